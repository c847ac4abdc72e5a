import numpy as np
import pyarrow as pa
import pytest

from fedcredit.data.dataset import assemble_dataset
from fedcredit.data.quantise import Quantised, quantise_table
from fedcredit.data.rows import validate_rows
from fedcredit.data.uci import load_uci, uci_dictionary
from fedcredit.dictionary.mapping import SplitMapping, identity_mapping
from fedcredit.errors import DataError

KEY = b"k" * 32


def quantised(n: int = 400, rows_per_id: int = 4) -> Quantised:
    cells = np.arange(n, dtype=np.uint16).reshape(n, 1)
    takes_part = np.arange(n) % 10 != 0
    ids = tuple(str(i // rows_per_id).encode() for i in range(n))
    return Quantised(cells, (cells[:, 0] % 2).astype(np.uint8), takes_part, ids, None)


def test_roles_share_no_id_and_leave_out_what_takes_no_part():
    data = assemble_dataset(quantised(), "bank", key=KEY, evaluation_fraction=0.3, person_cap=None)
    train, evaluate = data.train.cells[:, 0].tolist(), data.evaluate.cells[:, 0].tolist()
    assert sorted(train + evaluate) == [i for i in range(400) if i % 10]
    assert {i // 4 for i in train}.isdisjoint(i // 4 for i in evaluate)
    assert train
    assert evaluate
    assert (data.kind, data.train.n_institutions, data.train.bad.tolist()) == (
        "bank",
        1,
        [i % 2 for i in train],
    )


def test_the_cap_holds_over_both_roles():
    data = assemble_dataset(quantised(), "bank", key=KEY, evaluation_fraction=0.3, person_cap=2)
    kept = data.train.cells[:, 0].tolist() + data.evaluate.cells[:, 0].tolist()
    persons, counts = np.unique([i // 4 for i in kept], return_counts=True)
    assert len(persons) == 100
    assert set(counts.tolist()) == {2}


def test_a_declared_split_is_followed():
    q = quantised()
    role = np.arange(400, dtype=np.int64) % 3 - 1
    for ids in (q.ids, None):
        split = Quantised(q.cells, q.bad, q.takes_part, ids, role)
        data = assemble_dataset(split, "bank", key=KEY, evaluation_fraction=0.3, person_cap=None)
        assert data.train.cells[:, 0].tolist() == [i for i in range(400) if i % 10 and i % 3 == 1]
        assert data.evaluate.cells[:, 0].tolist() == [i for i in range(400) if i % 10 and i % 3 == 2]


def test_ids_are_needed_for_roles_and_for_persons():
    q = quantised()
    without = Quantised(q.cells, q.bad, q.takes_part, None, None)
    with pytest.raises(DataError, match="the mapping names no id column"):
        assemble_dataset(without, "bank", key=KEY, evaluation_fraction=0.3, person_cap=None)
    split = Quantised(q.cells, q.bad, q.takes_part, None, np.zeros(400, dtype=np.int64))
    with pytest.raises(DataError, match="the mapping names no id column"):
        assemble_dataset(split, "bank", key=KEY, evaluation_fraction=0.3, person_cap=1)


def test_the_fingerprint_follows_the_rows_that_take_part():
    def mark(q: Quantised, cap: int | None = None) -> bytes:
        return assemble_dataset(q, "bank", key=KEY, evaluation_fraction=0.3, person_cap=cap).fingerprint

    q = quantised()
    dropped = Quantised(q.cells[1:], q.bad[1:], q.takes_part[1:], q.ids[1:], None)  # row 0 takes no part
    assert mark(dropped) == mark(q)
    assert mark(q, cap=2) != mark(q)


def test_the_packaged_data_makes_valid_rows():
    dictionary, table = uci_dictionary(), load_uci().slice(0, 3000)
    for kind in dictionary.kinds:
        q = quantise_table(dictionary, kind, identity_mapping(dictionary, kind), table)
        data = assemble_dataset(q, kind, key=KEY, evaluation_fraction=0.2, person_cap=None)
        validate_rows(data.train, dictionary, kind)
        validate_rows(data.evaluate, dictionary, kind)
        assert data.train.n_rows + data.evaluate.n_rows == 3000


def test_a_split_column_works_end_to_end(small):
    split = SplitMapping(column="part", train=("train",), evaluate=("test",))
    mapping = identity_mapping(small, "bank").model_copy(update={"split": split})
    rows = {
        "id": [1, 2, 3],
        "income": [1, 2, 3],
        "delay": [0, 1, 2],
        "bad": [0, 1, 0],
        "part": ["test", "train", "-"],
    }
    q = quantise_table(small, "bank", mapping, pa.table(rows))
    data = assemble_dataset(q, "bank", key=KEY, evaluation_fraction=0.2, person_cap=None)
    assert (data.train.cells[:, 1].tolist(), data.evaluate.cells[:, 1].tolist()) == ([1], [0])
