"""Group labels in the dictionary and the mapping: no feature, and no trace where there are none."""

import pyarrow as pa
import pytest
import yaml

from fedcredit.data.quantise import quantise_table
from fedcredit.data.sources import TableSource
from fedcredit.data.uci import as_groups, uci_dictionary
from fedcredit.dictionary.check import examine_table
from fedcredit.dictionary.mapping import identity_mapping, mapping_problems, parse_mapping
from fedcredit.dictionary.schema import parse_dictionary
from fedcredit.errors import DictionaryError
from fedcredit.models.scorecard_layout import layout
from fedcredit.provisioning.mapping_draft import draft_mapping
from tests import labelled, tiny

MAPPING = {
    "features": {"age": {"column": "a"}, "status": {"column": "s"}, "bill": {"column": "b"}},
    "groups": {"sex": {"column": "g", "codes": {"W": "f", "x": None}}},
    "target": {"column": "bad"},
    "id_column": "id",
}


def changed(**changes):
    document = yaml.safe_load(labelled.DICTIONARY)
    document["groups"][0] |= changes
    return yaml.safe_dump(document).encode()


def mapped(**changes):
    return parse_mapping(yaml.safe_dump({**MAPPING, **changes}, sort_keys=False).encode())


def table(sexes):
    n = len(sexes)
    columns = {"a": [30] * n, "s": [0] * n, "b": [1.0] * n, "bad": [0, 1] * (n // 2), "id": list(range(n))}
    return pa.table({**columns, "g": sexes})


def test_a_dictionary_without_groups_hashes_as_before_there_were_any():
    assert tiny.dictionary().digest().hex() == "9da8defe76c31aa78cf02f37dad98ee6f0279b8b96b335048946c5a3d2ad7dfe"
    assert uci_dictionary().digest().hex() == "694e125afa8c952f513bee38e3a760cabfe13fcb12cee677355ba209d0e09cc8"
    assert "groups" not in tiny.dictionary().model_dump()


def test_a_group_changes_the_digest_and_no_layout():
    plain, grouped = tiny.dictionary(), labelled.dictionary()
    assert grouped.digest() != plain.digest()
    assert parse_dictionary(yaml.safe_dump(grouped.model_dump(mode="json")).encode()) == grouped
    assert layout(16, grouped) == layout(16, plain)
    assert grouped.feature_names == plain.feature_names
    assert [group.name for group in grouped.owned_groups("bank")] == ["sex", "region"]
    assert grouped.owned_groups("hospital") == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "age"}, "both a feature and a group"),
        ({"name": "type"}, "institution type"),
        ({"name": "region"}, "two groups"),
        ({"owners": ["shop"]}, "no institution type"),
        ({"owners": ["bank", "bank"]}, "listed twice"),
        ({"missing_codes": ["f"]}, "both a label and a missing code"),
        ({"data_class": "private"}, "sensitive"),
        ({"purpose": "marketing"}, "bias-examination"),
        ({"codes": {"f": "female"}}, "at least 2"),
        ({"block": "bank"}, "block"),
    ],
)
def test_a_group_that_is_none_is_refused(changes, words):
    with pytest.raises(DictionaryError, match=words):
        parse_dictionary(changed(**changes))


def test_labels_become_cells_and_whatever_is_unknown_the_last():
    found = quantise_table(labelled.dictionary(), "bank", mapped(), table(["f", "m", "W", "x", None, "?"]))
    assert found.groups[:, 0].tolist() == [0, 1, 0, 2, 2, 2]
    assert found.groups[:, 1].tolist() == [3] * 6  # not mapped, so not read
    assert quantise_table(tiny.dictionary(), "bank", mapped(groups={}), table(["f", "m"])).groups is None


def test_only_a_mapped_label_is_read():
    assert mapped().columns == ("a", "s", "b", "bad", "id", "g")
    assert mapped(groups={}).columns == ("a", "s", "b", "bad", "id")
    assert [entry.column for entry in identity_mapping(labelled.dictionary(), "bank").groups.values()] == [
        "sex",
        "region",
    ]


@pytest.mark.parametrize("column", ["a", "bad", "id"])
def test_a_column_cannot_be_a_label_and_something_else(column):
    with pytest.raises(DictionaryError, match="a group label is nothing else"):
        mapped(groups={"sex": {"column": column}})


def test_a_mapping_serves_groups_that_the_type_holds_with_codes_that_there_are():
    foreign = mapped(groups={"age": {"column": "g"}})
    assert mapping_problems(foreign, labelled.dictionary(), "bank") == [
        "age: a bank holds no such group in dictionary 'tiny'; remove it"
    ]
    unknown = mapped(groups={"sex": {"column": "g", "codes": {"W": "w"}}})
    assert "no code 'w'" in mapping_problems(unknown, labelled.dictionary(), "bank")[0]


@pytest.mark.parametrize(
    ("sexes", "words"),
    [(["f", "m", "f", "q"], "1 of 4 values (25.00%) have codes"), ([None] * 4, "all 4 values are missing")],
)
def test_the_check_looks_at_labels(sexes, words):
    found = examine_table(labelled.dictionary(), "bank", mapped(), TableSource(table(sexes)))
    assert any(words in problem for problem in found.problems)
    assert not any(word in line for line in found.problems for word in ("'q'", '"q"'))


def test_a_drafted_mapping_reads_no_label_until_its_institution_says_so():
    text = draft_mapping(labelled.dictionary(), "bank")
    assert '#   sex: {column: "sex"}' in text
    assert parse_mapping(text.encode()).groups == {}
    wanted = text.replace("# groups:", "groups:").replace("#   sex", "  sex")
    assert list(parse_mapping(wanted.encode()).groups) == ["sex"]
    assert "groups" not in draft_mapping(tiny.dictionary(), "bank")


def test_uci_columns_become_groups():
    dictionary = as_groups(uci_dictionary(), ("sex", "marriage"))
    assert {"sex", "marriage"}.isdisjoint(dictionary.feature_names)
    assert [(group.name, group.owners) for group in dictionary.groups] == [
        ("sex", ("bank", "hospital")),
        ("marriage", ("bank", "hospital")),
    ]


@pytest.mark.parametrize("purpose", ["bias-examination", "Bias examination", " BIAS_EXAMINATION "])
def test_what_is_held_to_examine_bias_is_no_feature(purpose):
    """Nor under its own name beside the groups: whoever writes the dictionary cannot have it both ways."""
    document = yaml.safe_load(tiny.DICTIONARY)
    document["features"][0]["purpose"] = purpose
    with pytest.raises(DictionaryError, match="age: its purpose is the examination of bias, and a feature is scored"):
        parse_dictionary(yaml.safe_dump(document, sort_keys=False).encode())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"split": {"column": "g", "train": ["f"], "evaluate": ["m"]}}, "is the split as well"),
        ({"consent": "g"}, "is the consent as well"),
    ],
    ids=["split", "consent"],
)
def test_a_label_decides_neither_who_is_trained_on_nor_who_is_linked(changes, words):
    with pytest.raises(DictionaryError, match=words):
        mapped(**changes)
