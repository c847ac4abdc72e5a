import pyarrow as pa
import pytest

from fedcredit.data.sources import TableSource
from fedcredit.data.uci import load_uci
from fedcredit.dictionary.check import examine_table
from fedcredit.dictionary.draft import draft_dictionary
from fedcredit.dictionary.mapping import identity_mapping, parse_mapping
from fedcredit.dictionary.schema import parse_dictionary
from fedcredit.errors import DictionaryError


class NoRows:
    """A source that fails the test if any row is read."""

    def __init__(self, types):
        self.types = types

    def column_types(self):
        return self.types

    def read(self, columns):
        raise AssertionError(columns)


TYPES = {"id": "int64", "income": "double", "flag": "bool", "kind": "text", "day": "date32[day]", "default": "int8"}


def test_a_draft_reads_no_row_and_does_not_load_until_filled():
    text = draft_dictionary(NoRows(TYPES), "loans.parquet").dictionary
    with pytest.raises(DictionaryError) as caught:
        parse_dictionary(text.encode(), "draft.yaml")
    message = str(caught.value)
    for part in (
        "title: is blank; fill it in",
        "features · income · range: is blank; write the lowest and highest allowed value",
        "features · income · data_class: is blank",
        "features · kind · type: is blank",
    ):
        assert part in message
    assert "# left out: day: type date32[day] cannot be a feature" in text
    assert 'id_column: "id"' in text
    assert "name: default" in text


def test_a_filled_draft_loads():
    text = draft_dictionary(NoRows({k: TYPES[k] for k in ("id", "income", "flag", "default")}), "t").dictionary
    blanks = {
        "title:": "T", "source:": "S", "licence:": "L", "definition:": "D", "range:": "[0, 10]",
        "data_class:": "private", "purpose:": "p", "basis:": "b", "reason:": "r",
    }  # fmt: skip
    lines = [
        f"{line.split('#')[0].rstrip()} {blanks[line.strip().split()[0]]}" if "REQUIRED: " in line else line
        for line in text.splitlines()
    ]
    dictionary = parse_dictionary("\n".join(lines).encode())
    assert dictionary.feature_names == ("income", "flag")
    assert not dictionary.simulation_only


def test_a_draft_from_data_loads_checks_clean_and_is_for_simulation_only():
    source = TableSource(load_uci())
    draft = draft_dictionary(source, "uci", from_data=True)
    assert draft.mapping is None
    dictionary = parse_dictionary(draft.dictionary.encode())
    assert dictionary.simulation_only
    assert len(dictionary.features) == 23
    findings = examine_table(dictionary, "bank", identity_mapping(dictionary, "bank"), source)
    assert (findings.problems, findings.notes) == ((), ())
    payment = dictionary.features[-1]
    assert payment.atoms == (0.0,)
    assert payment.grid.kind == "signed_log"
    assert dictionary.features[5].grid.kind == "integers"


def test_a_draft_from_texts():
    table = pa.table(
        {
            "Person-ID": ["a", "b", "c", "d"],
            "Income (€)": ["1.5", "", "2000", "-3"],
            "sector": ['it\'s "x"', "b: c", None, " #1 "],
            "constant": ["1", "1", "1", "1"],
            "name": pa.array([None] * 4, pa.string()),
            "Default": ["0", "1", "0", "1"],
        }
    )
    source = TableSource(table)
    draft = draft_dictionary(source, "odd\nname", from_data=True)
    dictionary = parse_dictionary(draft.dictionary.encode())
    assert dictionary.feature_names == ("income", "sector")
    assert dictionary.features[0].range == (-3.0, 2000.0)
    assert dictionary.features[1].codes == ("#1", "b: c", 'it\'s "x"')
    for part in ("left out: constant: it holds one value only", "left out: name: it holds 0 different texts"):
        assert part in draft.dictionary
    assert draft.mapping is not None
    mapping = parse_mapping(draft.mapping.encode())
    assert mapping.columns == ("Income (€)", "sector", "Default", "Person-ID")
    assert examine_table(dictionary, "bank", mapping, source).problems == ()


def test_names_stay_apart():
    types = {"A b": "int8", "a_b": "int8", "1": "int8", "": "int8"}
    mapping = draft_dictionary(NoRows(types), "t").mapping
    assert mapping is not None
    for line in ('a_b: {column: "A b"}', 'a_b_2: {column: "a_b"}', 'c_1: {column: "1"}', 'c_: {column: ""}'):
        assert line in mapping
