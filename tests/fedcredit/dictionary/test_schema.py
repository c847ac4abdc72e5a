import pytest
from pydantic import ValidationError

from fedcredit.dictionary.schema import load_dictionary, parse_dictionary
from fedcredit.errors import DictionaryError


def problems_of(text: str) -> str:
    with pytest.raises(DictionaryError) as caught:
        parse_dictionary(text.encode())
    return str(caught.value)


def test_owners_and_order(small):
    assert small.feature_names == ("income", "delay", "sector")
    assert small.kinds == ("bank", "hospital")
    assert small.owned("bank") == (0, 1)
    assert small.owned("hospital") == (0, 2)
    assert [f.name for f in small.owned_features("hospital")] == ["income", "sector"]


def test_cells_include_atom_and_missing(small):
    income, delay, sector = small.features
    assert (income.n_cells, delay.n_cells, sector.n_cells) == (12, 7, 4)
    assert income.missing_cell == 11
    assert income.cuts[:2].tolist() == [5e-324, 100.0]
    assert sector.codes == ("1", "2", "other")


def test_unknown_type_names_the_known_ones(small):
    with pytest.raises(DictionaryError, match="no institution type 'insurer'; it has: bank, hospital"):
        small.owned("insurer")


def test_digest_ignores_layout_and_sees_every_value(small, small_text):
    assert small.digest().hex() == "5fdb368f525378fcae553621363bd4e63dbc140ff4bbe9240a45c5a8939b5ebf"
    assert parse_dictionary(("# a comment\n" + small_text).encode()).digest() == small.digest()
    for old, new in [
        ("cells: 10", "cells: 11"),
        ("Sector", "Branch"),
        ("{1: farm, 2: shop, other: other}", "{2: shop, 1: farm, other: other}"),
        ("window_months: 12", "window_months: 6"),
        ("monotone: increasing", "monotone: none"),
    ]:
        changed = small_text.replace(old, new)
        assert changed != small_text
        assert parse_dictionary(changed.encode()).digest() != small.digest()


def test_used_and_unused_dictionaries_are_equal(small, small_text):
    assert [feature.n_cells for feature in small.features]
    assert parse_dictionary(small_text.encode()) == small


def test_a_changed_copy_has_new_cells(small):
    income = small.features[0]
    assert income.n_cells == 12
    assert income.model_copy(update={"grid": income.grid.model_copy(update={"cells": 5})}).n_cells == 7


def test_frozen(small):
    with pytest.raises(ValidationError, match="frozen"):
        small.features[0].unit = "USD"


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("cells: 10", "cells: 5000", "income · grid · cells: Input should be less than 4096 (got 5000)"),
        (
            "range: [0, 1000]",
            "range: [1000, 0]",
            "income · range: the lowest value 1000 is not below the highest 0",
        ),
        ("range: [0, 1000]", "range: [0, .inf]", "Input should be a finite number (got inf)"),
        (
            "range: [0, 1000]",
            "range:",
            "income · range: is blank; write the lowest and highest allowed value",
        ),
        ("range: [0, 5]", "range: [0, 5.5]", "delay · range: an integer feature needs whole-number limits"),
        ("range: [0, 5]", "range: [0, 5000]", "delay · grid: 5001 integers are more than 4095 cells"),
        ("atoms: [0]", "atoms: [0, 2000]", "income · atoms: the atom 2000 is outside the range [0, 1000]"),
        ("atoms: [0]", "atoms: [0, 0]", "income · atoms: the atom 0 is listed twice"),
        ("atoms: []", "atoms: [1]", "delay · atoms: every value already has a cell of its own here"),
        ("{kind: linear, cells: 10}", "{kind: integers}", "needs a feature of type integer"),
        ("{kind: linear, cells: 10}", "{kind: edges, edges: [5, 3]}", "edges must increase strictly"),
        ("{kind: linear, cells: 10}", "{kind: edges, edges: [0, 3]}", "the edge 0 is outside (0, 1000]"),
        ("{kind: integers}", "{kind: categories, codes: {1: a}}", "cannot have a grid of kind categories"),
        ("{kind: integers}", "{kind: woe}", "found using 'kind' does not match"),
        ("type: category", "type: category\n    monotone: increasing", "so monotone must be none"),
        ("type: category", "type: category\n    range: [0, 1]", "a category has no range"),
        ("other: other", "no: other", "the code False was read as a truth value; put it in quotes"),
        ("name: delay", "name: income", "two features are called 'income'"),
        ("name: delay", "name: Delay", "String should match pattern"),
        (
            "block: bank",
            "block: banc",
            "delay: the block 'banc' is not among blocks: applicant, bank, hospital",
        ),
        ("[applicant, bank]", "[applicant, banc]", "bank: owns the unknown block 'banc'"),
        ("[applicant, bank]", "[applicant, bank, bank]", "bank: owns the block 'bank' twice"),
        ("[applicant, bank]", "[applicant]", "no institution type owns the block 'bank'"),
        ("blocks: [", "blocks: [spare, ", "no feature is in the block 'spare'"),
        ("blocks: [", "blocks: [bank, ", "the block 'bank' is listed twice"),
        ("purpose: test", "purpose: test\n    porpoise: 1", "porpoise: is not a known key"),
        ("licence: none", "", "licence: is missing; add it"),
        ("licence: none", "licence:", "licence: is blank; fill it in"),
        ("schema_version: 1", "schema_version: 2", "schema_version: Input should be 1 (got 2)"),
        ("title: A", "title: A\ntitle: B", "the key 'title' stands twice"),
    ],
)
def test_each_fault_has_its_sentence(small_text, old, new, sentence):
    assert old in small_text
    assert sentence in problems_of(small_text.replace(old, new, 1))


def test_every_problem_is_listed_at_once(small_text):
    text = small_text.replace("cells: 10", "cells: 0").replace("licence: none", "").replace("block: bank", "block: b")
    message = problems_of(text)
    for part in (
        "income · grid · cells",
        "licence: is missing",
        "delay: the block 'b'",
        "no feature is in the block 'bank'",
    ):
        assert part in message
    assert message.startswith("data dictionary has ")


def test_too_many_cells_with_atoms(small_text):
    text = small_text.replace("{kind: linear, cells: 10}", "{kind: linear, cells: 4095}").replace(
        "atoms: [0]", "atoms: [1]"
    )
    assert "income: the grid has 4098 cells, more than 4096; use fewer cells" in problems_of(text)


def test_a_missing_file_names_its_path(tmp_path):
    with pytest.raises(DictionaryError, match=r"cannot read .*none\.yaml: No such file"):
        load_dictionary(tmp_path / "none.yaml")


def test_load_reads_what_parse_reads(tmp_path, small, small_text):
    (tmp_path / "d.yaml").write_text(small_text)
    assert load_dictionary(tmp_path / "d.yaml").digest() == small.digest()
