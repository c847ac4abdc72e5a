import pytest

from fedcredit.dictionary.mapping import identity_mapping, load_mapping, mapping_problems, parse_mapping
from fedcredit.errors import DictionaryError

TEXT = b"""
features:
  income: {column: INC, scale: 0.01, codes: {none: null}}
  delay: {column: D, codes: {late: 3}}
target: {column: T, good: [good], bad: [bad, fraud]}
id_column: CLIENT
split: {column: S, train: [a], evaluate: [b]}
"""


def test_columns_are_listed_once_in_order():
    assert parse_mapping(TEXT).columns == ("INC", "D", "T", "CLIENT", "S")
    twice = TEXT.replace(b"column: D", b"column: INC")
    assert parse_mapping(twice).columns == ("INC", "T", "CLIENT", "S")


def test_identity(small):
    mapping = identity_mapping(small, "bank")
    assert mapping.columns == ("income", "delay", "bad", "id")
    assert mapping_problems(mapping, small, "bank") == []
    assert identity_mapping(small, "hospital").id_column is None


def test_a_mapping_must_serve_exactly_the_owned_features(small):
    problems = mapping_problems(parse_mapping(TEXT), small, "hospital")
    assert problems == [
        "sector: no column is mapped to it; add it",
        "delay: a hospital does not own this feature in dictionary 'small'; remove it",
    ]


@pytest.mark.parametrize(
    ("kind", "name", "entry", "sentence"),
    [
        ("bank", "delay", {"codes": {"late": "soon"}}, "delay: the code 'soon' must become a number or null"),
        ("bank", "delay", {"codes": {"late": "inf"}}, "delay: the code 'inf' must become a number or null"),
        ("hospital", "sector", {"codes": {"z": "9"}}, "sector: the dictionary has no code '9'; use one of"),
        ("hospital", "sector", {"scale": 2.0}, "sector: a category has no scale; remove it"),
    ],
)
def test_codes_must_lead_into_the_dictionary(small, kind, name, entry, sentence):
    mapping = identity_mapping(small, kind)
    column = mapping.features[name].model_copy(update=entry)
    changed = mapping.model_copy(update={"features": {**mapping.features, name: column}})
    (problem,) = mapping_problems(changed, small, kind)
    assert problem.startswith(sentence)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (b"bad: [bad, fraud]", b"bad: [good]", "target: the code 'good' is under both good and bad"),
        (b"evaluate: [b]", b"evaluate: [a]", "split: the code 'a' is under both train and evaluate"),
        (b"scale: 0.01", b"scale: -1", "income · scale: Input should be greater than 0 (got -1)"),
        (b"scale: 0.01", b"skale: 1", "income · skale: is not a known key"),
        (b"column: T", b"column:", "target · column: is blank; fill it in"),
    ],
)
def test_faults_have_sentences(old, new, sentence):
    with pytest.raises(DictionaryError) as caught:
        parse_mapping(TEXT.replace(old, new))
    assert sentence in str(caught.value)


def test_load(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_bytes(TEXT)
    assert load_mapping(path) == parse_mapping(TEXT)
    with pytest.raises(DictionaryError, match="cannot read the mapping"):
        load_mapping(tmp_path / "none.yaml")
