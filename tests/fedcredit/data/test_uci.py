from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fedcredit.data.sources import TableSource
from fedcredit.data.uci import load_uci, uci_dictionary
from fedcredit.dictionary.check import examine_table
from fedcredit.dictionary.mapping import identity_mapping

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return load_uci()


def test_the_table_has_its_published_counts(table):
    assert table.num_rows == 30_000
    assert table.column("id").to_pylist() == list(range(1, 30_001))
    assert sum(column.null_count for column in table.columns) == 0
    counts = {
        "sex": {1: 11_888, 2: 18_112},
        "education": {0: 14, 1: 10_585, 2: 14_030, 3: 4_917, 4: 123, 5: 280, 6: 51},
        "marriage": {0: 54, 1: 13_659, 2: 15_964, 3: 323},
        "default": {0: 23_364, 1: 6_636},
    }
    for name, expected in counts.items():
        assert dict(zip(*map(list, np.unique(table.column(name), return_counts=True)), strict=True)) == expected
    first = {
        "limit_bal": 20_000,
        "sex": 2,
        "education": 2,
        "marriage": 1,
        "age": 24,
        "pay_0": 2,
        "bill_amt1": 3913,
    }
    assert {name: table.column(name)[0].as_py() for name in first} == first
    assert sum(table.column("limit_bal").to_pylist()) == 5_024_529_680
    assert (min(table.column("bill_amt6").to_pylist()), max(table.column("pay_amt2").to_pylist())) == (
        -339_603,
        1_684_259,
    )


def test_dictionary_and_table_have_the_same_columns(table):
    assert ["id", *uci_dictionary().feature_names, "default"] == table.column_names


def test_owners():
    dictionary = uci_dictionary()
    assert dictionary.owned("bank") == tuple(range(17))
    assert dictionary.owned("hospital") == (0, 1, 2, 3, 4, *range(17, 23))
    assert not dictionary.simulation_only


def test_flat_differs_in_owners_and_name_only():
    flat, dictionary = uci_dictionary(flat=True), uci_dictionary()
    assert flat.owned("bank") == flat.owned("hospital") == tuple(range(23))
    assert flat.features == dictionary.features
    assert flat.name == "uci_credit_flat"
    assert flat.digest() != dictionary.digest()


def test_directions_are_where_credit_sense_has_them():
    features = uci_dictionary().features
    assert not [f.name for f in features if f.monotone == "increasing"]  # pay status: codes up to 0 are no order
    assert {f.name for f in features if f.monotone == "decreasing"} == {
        "limit_bal",
        *(f"pay_amt{k}" for k in range(1, 7)),
    }
    assert {f.name for f in features if f.data_class == "sensitive"} == {
        "sex",
        "education",
        "marriage",
        "age",
    }


@pytest.mark.parametrize("kind", ["bank", "hospital"])
def test_the_packaged_data_passes_its_own_check(table, kind):
    dictionary = uci_dictionary()
    findings = examine_table(dictionary, kind, identity_mapping(dictionary, kind), TableSource(table))
    assert findings.problems == ()


def test_the_notice_attributes_the_data():
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    for part in ("CC BY 4.0", "10.24432/C55S3H", "I-Cheng Yeh", "Changes made", "uci_credit.parquet"):
        assert part in notice
