"""Reading a table in a process of its own: the same data, and every error as it would be here."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from subprocess import PIPE

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from fedcredit.custodian import data_process, read_data
from fedcredit.custodian.data_process import DataOrder, Reading, dataset_from_bytes, dataset_to_bytes, read_apart
from fedcredit.custodian.read_data import read_dataset
from fedcredit.data.source_spec import ParquetSpec
from fedcredit.data.sources import open_source
from fedcredit.errors import ConfigError, DataError, DictionaryError
from tests import tiny

ROWS = "id,age,status,bill,bad\n" + "".join(f"{n},{18 + n % 60},{n % 9 - 2},{n * 7},{n % 2}\n" for n in range(200))


@pytest.fixture
def order(tmp_path):
    (tmp_path / "dictionary.yaml").write_bytes(tiny.DICTIONARY)
    (tmp_path / "rows.csv").write_text(ROWS)
    (tmp_path / "data.key").touch(mode=0o600)
    (tmp_path / "data.key").write_text("ab" * 32)
    return DataOrder(
        kind="bank",
        dictionary=tmp_path / "dictionary.yaml",
        mapping=None,
        data={"kind": "csv", "path": tmp_path / "rows.csv"},
        data_key=tmp_path / "data.key",
        evaluation_percent=20,
        person_cap=None,
    )


def same(one, other):
    assert (one.kind, one.fingerprint) == (other.kind, other.fingerprint)
    for left, right in ((one.train, other.train), (one.evaluate, other.evaluate)):
        for name in ("cells", "bad", "offsets", "persons"):
            np.testing.assert_array_equal(getattr(left, name), getattr(right, name), strict=True)
    assert (one.units is None) == (other.units is None)
    if one.units is not None:
        assert one.units.key_check == other.units.key_check
        np.testing.assert_array_equal(one.units.hashes, other.units.hashes, strict=True)


@pytest.mark.parametrize("person_cap", [None, 2])
def test_the_same_data_as_in_this_process(order, person_cap, monkeypatch, tmp_path):
    """Whatever folder the operator stands in, even one with a module of our name."""
    (tmp_path / "fedcredit").mkdir()
    (tmp_path / "fedcredit" / "__init__.py").write_text("raise SystemExit('not ours')")
    monkeypatch.chdir(tmp_path)
    order = order.model_copy(update={"person_cap": person_cap})
    here, apart = read_dataset(order), read_apart(order)
    assert here.train.n_rows + here.evaluate.n_rows == 200
    assert (here.train.persons is None) == (person_cap is None)
    same(here, apart)


def test_cells_on_disk_are_the_cells_in_memory(order, monkeypatch, tmp_path):
    """Read here in many parts or apart in one; the folder is as empty afterwards as before."""
    monkeypatch.setattr(read_data, "_ROWS_OF_A_PART", 23)
    pq.write_table(open_source(order.data).read(["id", "age", "status", "bill", "bad"]), tmp_path / "rows.parquet")
    source = ParquetSpec(kind="parquet", path=tmp_path / "rows.parquet")
    (folder := tmp_path / "ledger").mkdir()
    for person_cap in (None, 2):
        in_memory = order.model_copy(update={"data": source, "person_cap": person_cap})
        on_disk = in_memory.model_copy(update={"cells_folder": folder})
        here = read_dataset(on_disk)
        same(read_dataset(in_memory), here)
    apart = read_apart(on_disk)
    same(here, apart)
    assert not apart.train.cells.flags.writeable
    assert [*folder.iterdir()] == []


def test_it_tells_how_far_it_is(order, monkeypatch, tmp_path):
    told: list[Reading] = []
    read_apart(order, told.append)
    assert told == [Reading(200, None)]
    on_disk = order.model_copy(update={"cells_folder": tmp_path})
    read_apart(on_disk, told.append)
    assert told[1:] == [Reading(200, 1.0)]
    pq.write_table(open_source(order.data).read(["id", "age", "status", "bill", "bad"]), tmp_path / "rows.parquet")
    monkeypatch.setattr(read_data, "_ROWS_OF_A_PART", 80)
    in_parts = on_disk.model_copy(update={"data": ParquetSpec(kind="parquet", path=tmp_path / "rows.parquet")})
    told.clear()
    read_dataset(in_parts, told.append)
    assert told == [Reading(80, 0.4), Reading(160, 0.8), Reading(200, 1.0)]


def test_an_interrupt_leaves_no_reader_behind(order):
    def interrupted(_: Reading) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_apart(order, interrupted)


def test_a_reader_whose_custodian_is_gone_ends(order):
    told, tells = os.pipe()
    os.close(told)
    command = [sys.executable, "-m", "fedcredit.custodian.read_data", str(tells)]
    ran = subprocess.run(
        command, input=order.model_dump_json().encode(), capture_output=True, pass_fds=(tells,), check=False
    )
    os.close(tells)
    assert (ran.returncode, ran.stdout, ran.stderr) == (4, b"", b"")


def test_what_is_wrong_with_the_table_is_said_for_cells_on_disk_too(order, tmp_path):
    drop_column(order)
    with pytest.raises(DataError, match="lacks the column: age; add or map them; 'fedcredit institution check"):
        read_dataset(order.model_copy(update={"cells_folder": tmp_path}))


def test_without_units_none_come_back(order):
    data = replace(read_dataset(order), units=None)
    same(data, dataset_from_bytes(dataset_to_bytes(data), "bank"))


def drop_column(order):
    order.data.path.write_text(ROWS.replace(",age,", ",years,"))


def no_dictionary(order):
    order.dictionary.unlink()


def other_mapping(order):
    path = order.dictionary.with_name("mapping.yaml")
    path.write_text(yaml.safe_dump({"features": {}, "target": {"column": "bad", "good": ["0"], "bad": ["1"]}}))
    return order.model_copy(update={"mapping": path})


def open_key(order):
    order.data_key.chmod(0o644)


def no_rows(order):
    order.data.path.write_text(ROWS.splitlines()[0] + "\n")


@pytest.mark.parametrize(
    ("spoil", "kind", "words"),
    [
        (
            drop_column,
            DataError,
            ("the column: age", "'fedcredit institution check SITE.yaml' lists every such column"),
        ),
        (no_dictionary, ConfigError, ("dictionary",)),
        (other_mapping, DictionaryError, ("mapping",)),
        (open_key, ConfigError, ("chmod 600",)),
        (no_rows, DataError, ("has no rows",)),
    ],
)
def test_an_error_is_the_same_as_in_this_process(order, spoil, kind, words):
    order = spoil(order) or order
    with pytest.raises(kind) as here:
        read_dataset(order)
    with pytest.raises(kind) as apart:
        read_apart(order)
    assert type(here.value) is type(apart.value)
    assert str(here.value) == str(apart.value)
    assert all(word in str(apart.value) for word in words), str(apart.value)


def test_a_column_that_changed_its_type_is_named(order, tmp_path):
    columns = {name: [*range(20)] for name in ("id", "age", "status", "bill")} | {"bad": [0, 1] * 10}
    columns["age"] = pa.array(columns["age"], pa.date32())
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    order = order.model_copy(update={"data": ParquetSpec(kind="parquet", path=tmp_path / "rows.parquet")})
    with pytest.raises(DataError, match=r"column 'age' has type date32.*institution check SITE.yaml"):
        read_dataset(order)


def test_a_file_of_another_account_is_said(order):
    path = order.data.path
    path.chmod(0)
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(65534)
        with pytest.raises(DataError, match=r"cannot be read \(Permission denied\); let this account read it"):
            open_source(order.data).column_types()
    finally:
        if root:
            os.seteuid(0)


def test_a_process_that_dies_is_said(order, monkeypatch):
    monkeypatch.setattr(data_process, "_READER", "fedcredit.custodian.no_such_module")
    with pytest.raises(DataError, match="ended with code 1; look at the memory"):
        read_apart(order)


_INTERRUPTED = """
import sys
from fedcredit.custodian.data_process import DataOrder, read_apart
try:
    read_apart(DataOrder.model_validate_json(sys.argv[1]))
except KeyboardInterrupt:
    print("interrupted")
"""


def test_an_interrupt_is_told_once_and_leaves_no_process(order, tmp_path):
    os.mkfifo(tmp_path / "waits.yaml")
    given = order.model_copy(update={"dictionary": tmp_path / "waits.yaml"})
    command = [sys.executable, "-c", _INTERRUPTED, given.model_dump_json()]
    with (
        subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True, start_new_session=True) as process,
        (tmp_path / "waits.yaml").open("wb"),  # opens once the process that reads the table has it open
    ):
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (out, err) == ("interrupted\n", "")
