"""A table read a part at a time, its cells in files: the same data as of the whole table, and nothing left on disk."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.data.cell_files import append, cell_files, mapped, nameless_file
from fedcredit.data.dataset import assemble_dataset
from fedcredit.data.in_parts import assemble_in_parts
from fedcredit.data.persons_in_parts import assemble_persons_in_parts
from fedcredit.data.quantise import Quantised, quantise_table
from fedcredit.data.rows import Dataset, validate_rows
from fedcredit.dictionary.mapping import identity_mapping
from fedcredit.errors import ConfigError, DataError
from tests import labelled, tiny

KEY = bytes(range(32))
ids = st.sampled_from([None, "", "a", "b", "ab", "7", "10"])  # few, so that most stand in several parts
bills, labels = st.sampled_from(["0", "12.5", "", "x"]), st.sampled_from("01?")
record = st.tuples(ids, st.integers(0, 90), st.integers(-4, 9), bills, labels)


def quantised(records: list[tuple]) -> Quantised:
    texts = [[None if one is None else str(one) for one in column] for column in zip(*records, strict=True)]
    table = pa.table(dict(zip(("id", "age", "status", "bill", "bad"), texts, strict=True)))
    dictionary = tiny.dictionary()
    return quantise_table(dictionary, "bank", identity_mapping(dictionary, "bank"), table)


def equal(one: Dataset, other: Dataset) -> None:
    assert (one.kind, one.fingerprint) == (other.kind, other.fingerprint)
    for left, right in ((one.train, other.train), (one.evaluate, other.evaluate)):
        for name in ("cells", "bad", "offsets", "persons", "groups"):
            np.testing.assert_array_equal(getattr(left, name), getattr(right, name), strict=True)
    assert (one.units is None) == (other.units is None)
    if one.units is not None:
        assert one.units.key_check == other.units.key_check
        np.testing.assert_array_equal(one.units.hashes, other.units.hashes, strict=True)


@settings(deadline=None, max_examples=25)
@given(records=st.lists(record, min_size=1, max_size=40), size=st.integers(3, 20), fraction=st.sampled_from([0.0, 0.3]))
def test_parts_of_any_size_give_the_data_of_the_whole_table(records, size, fraction, tmp_path_factory):
    """Ids that repeat across parts, empty ones, rows without a label, rows that are the same."""
    whole = assemble_dataset(quantised(records), "bank", key=KEY, evaluation_fraction=fraction, person_cap=None)
    parts = [quantised(records[start : start + size]) for start in range(0, len(records), size)]
    with cell_files(tmp_path_factory.getbasetemp()) as files:
        found = assemble_in_parts(parts, "bank", files, key=KEY, evaluation_fraction=fraction)
    equal(found, whole)
    for rows in (found.train, found.evaluate):
        validate_rows(rows, tiny.dictionary(), "bank")


@settings(deadline=None, max_examples=40)
@given(
    records=st.lists(record, min_size=1, max_size=40),
    size=st.integers(3, 20),
    cap=st.integers(1, 3),
    dealt=st.lists(st.integers(-1, 1), min_size=40, max_size=40),
    declared=st.booleans(),
)
def test_persons_keep_the_same_rows_wherever_their_parts_end(records, size, cap, dealt, declared, tmp_path_factory):
    """Persons with rows in several parts, in more rows than the cap, with rows of either declared role or none."""
    whole = quantised(records)
    roles = np.array(dealt[: len(records)])
    whole = replace(whole, declared_role=roles if declared else None, groups=labelled.labels(len(records), 2))
    places = [slice(start, start + size) for start in range(0, len(records), size)]
    folder = tmp_path_factory.getbasetemp()
    with cell_files(folder) as files, nameless_file(folder) as spill:
        found = assemble_persons_in_parts(
            (cut(whole, part) for part in places),
            "bank",
            files,
            spill,
            key=KEY,
            evaluation_fraction=0.4,
            person_cap=cap,
        )
    equal(found, assemble_dataset(whole, "bank", key=KEY, evaluation_fraction=0.4, person_cap=cap))


def cut(whole: Quantised, part: slice) -> Quantised:
    declared = None if whole.declared_role is None else whole.declared_role[part]
    arrays = (whole.cells[part], whole.bad[part], whole.takes_part[part])
    return Quantised(*arrays, whole.ids[part], declared, None if whole.groups is None else whole.groups[part])


def test_group_labels_come_with_evaluation_rows_only(tmp_path):
    rows = [(str(number), 20 + number, number % 9, "7", str(number % 2)) for number in range(60)]
    whole = replace(quantised(rows), groups=labelled.labels(60, 1))
    parts = [cut(whole, slice(start, start + 25)) for start in (0, 25, 50)]
    with cell_files(tmp_path) as files:
        found = assemble_in_parts(parts, "bank", files, key=KEY, evaluation_fraction=0.4)
    equal(found, assemble_dataset(whole, "bank", key=KEY, evaluation_fraction=0.4, person_cap=None))
    assert found.train.groups is None
    assert found.evaluate.groups.shape == (found.evaluate.n_rows, 2)


def test_a_table_without_ids_has_no_roles(tmp_path):
    whole = quantised([("1", 20, 1, "0", "1")])
    bare = Quantised(whole.cells, whole.bad, whole.takes_part, None, None)
    terms = {"key": KEY, "evaluation_fraction": 0.2}
    with cell_files(tmp_path) as files, pytest.raises(DataError, match="set id_column"):
        assemble_in_parts([bare], "bank", files, **terms)
    with cell_files(tmp_path) as files, pytest.raises(DataError, match="set id_column"):
        assemble_persons_in_parts([bare], "bank", files, files.train, **terms, person_cap=1)


def test_a_file_has_no_name_and_is_for_this_account_only(tmp_path):
    with cell_files(tmp_path) as files:
        append(files.train, np.array([[1, 2], [3, 65535]], dtype=np.uint16))
        append(files.train, np.array([[5, 6]], dtype=np.uint16))
        states = [os.fstat(number) for number in files.descriptors()]
        assert [*tmp_path.iterdir()] == []
        assert {state.st_nlink for state in states} == {0}
        assert {stat.S_IMODE(state.st_mode) for state in states} == {0o600}
        rows = mapped(files.train, 3, 2)
    assert rows.tolist() == [[1, 2], [3, 65535], [5, 6]]  # what is mapped stays
    assert not rows.flags.writeable
    assert mapped(files.train, 0, 2).shape == (0, 2)


def test_a_folder_that_takes_no_file_is_named(tmp_path: Path):
    words = r"no file can be made in .*missing.*; mend the folder"
    with pytest.raises(ConfigError, match=words), cell_files(tmp_path / "missing"):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_one_sentence():
    with (
        Path("/dev/full").open("wb", buffering=0) as full,
        pytest.raises(ConfigError, match="cannot be written to the ledger's disk"),
    ):
        append(full, np.ones((4, 4), dtype=np.uint16))
