"""Compiled loops that are kept: loaded without the compiler, made anew when anything is wrong, never half written."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fedcredit.errors import ConfigError
from fedcredit.models import binned_loops, kept_code
from fedcredit.models.binned_kernel import NUMPY
from fedcredit.models.kept_code import FOLDER_VARIABLE, Loop
from fedcredit.models.residual_table import residual_table
from fedcredit.models.scorecard_spec import MARGIN_LIMIT
from tests.binned_rows import rows, tables

COUNTS = {"count": Loop(binned_loops.class_counts, (int, np.int64, int, np.uint8, np.uint8, np.uint64, int, np.int64))}
ARGUMENTS = (1, np.array([0, 3]), 1, np.array([0, 1, 1], np.uint8), np.array([0, 0, 1], np.uint8))
ANOTHER_PROCESS = "from fedcredit.models.binned_kernel import binned_kernel_of as of; of('compiled')"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "kept"))
    return tmp_path / "kept"


def counted() -> list[int]:
    counts = np.zeros(4, np.int64)
    kept_code.load(COUNTS)["count"](*ARGUMENTS, np.zeros(1, np.uint64), 4, counts)
    return counts.tolist()


def compilations(monkeypatch) -> list[int]:
    """One entry for each time that something is compiled."""
    made, compiled = [], kept_code._compiled
    monkeypatch.setattr(kept_code, "_compiled", lambda loops: made.append(len(loops)) or compiled(loops))
    return made


def test_code_is_compiled_once_and_kept_whole(folder, monkeypatch):
    made = compilations(monkeypatch)
    assert counted() == counted() == [1, 0, 1, 1]
    assert made == [1]
    [kept] = folder.iterdir()
    assert kept.suffix == ".o"
    assert kept.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("length", [0, 40, -1])
def test_code_that_was_cut_is_compiled_anew_and_mended(folder, monkeypatch, length):
    counted()
    [kept] = folder.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[:length])
    assert_mended(kept, whole, monkeypatch)


def test_code_with_another_byte_is_compiled_anew_and_mended(folder, monkeypatch):
    counted()
    [kept] = folder.iterdir()
    whole = bytearray(kept.read_bytes())
    whole[-1] ^= 1
    kept.write_bytes(whole)
    assert_mended(kept, whole, monkeypatch)


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_code_that_others_could_have_written_is_compiled_anew(folder, monkeypatch, mode):
    counted()
    [kept] = folder.iterdir()
    kept.chmod(mode)
    assert_mended(kept, kept.read_bytes(), monkeypatch)
    assert kept.stat().st_mode & 0o777 == 0o644


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_code_of_another_account_is_compiled_anew(folder, monkeypatch):
    counted()
    [kept] = folder.iterdir()
    os.chown(kept, 12345, 12345)
    assert_mended(kept, kept.read_bytes(), monkeypatch)
    assert kept.stat().st_uid == 0


def assert_mended(kept: Path, whole: bytes, monkeypatch) -> None:
    made = compilations(monkeypatch)
    assert counted() == [1, 0, 1, 1]
    assert counted() == [1, 0, 1, 1]
    assert made == [1]
    assert len(kept.read_bytes()) == len(whole)


def test_another_source_type_or_compiler_is_other_code(folder, monkeypatch):
    """Never code of an earlier version: its name holds all that it depends on."""
    own = kept_code._key(COUNTS)
    [loop] = COUNTS.values()
    wider = Loop(loop.function, (*loop.takes[:3], np.uint16, *loop.takes[4:]))
    other = Loop(binned_loops.margins, loop.takes)
    names = {own, kept_code._key({"count": wider}), kept_code._key({"count": other}), kept_code._key({"other": loop})}
    monkeypatch.setattr(kept_code, "version", lambda _: "0")
    names.add(kept_code._key(COUNTS))
    monkeypatch.undo()
    monkeypatch.setattr(kept_code, "_features", lambda: "another processor")
    names.add(kept_code._key(COUNTS))
    monkeypatch.undo()
    monkeypatch.setattr(Path, "read_bytes", lambda _: b"another source")
    names.add(kept_code._key(COUNTS))
    assert len(names) == 7


def test_a_second_process_needs_no_compiler(folder):
    for hidden in ("", "import sys; sys.modules['fedcredit.models.compiling'] = None; "):
        subprocess.run([sys.executable, "-c", hidden + ANOTHER_PROCESS], check=True, timeout=200)
    assert len([*folder.iterdir()]) == 1


def test_several_processes_may_compile_at_once(folder):
    started = [subprocess.Popen([sys.executable, "-c", ANOTHER_PROCESS]) for _ in range(3)]
    assert [process.wait(timeout=200) for process in started] == [0, 0, 0]
    assert len([*folder.iterdir()]) == 1


def test_no_place_to_keep_code_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(ConfigError, match="name a folder of this user's own in NUMBA_CACHE_DIR, or set kernel=numpy"):
        counted()


def test_a_compiler_that_is_turned_off_is_said(folder, monkeypatch):
    """And what was kept before still serves."""
    with monkeypatch.context() as off:
        off.setenv("NUMBA_DISABLE_JIT", "1")
        with pytest.raises(ConfigError, match="NUMBA_DISABLE_JIT is set"):
            counted()
    counted()
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert counted() == [1, 0, 1, 1]


def test_where_the_package_may_not_be_written_the_cache_of_the_user_is(tmp_path, monkeypatch):
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__pycache__").touch()  # not even root can make a folder here
    monkeypatch.setattr(kept_code, "__file__", str(tmp_path / "package" / "kept_code.py"))
    for name in ("kept_code.py", "compiling.py"):
        (tmp_path / "package" / name).touch()
    assert counted() == [1, 0, 1, 1]
    assert len([*(tmp_path / "fedcredit").glob("*.o")]) == 1


def test_arrays_of_other_types_are_refused(folder):
    """Their bytes would be taken for something else."""
    compiled, counts = kept_code.load(COUNTS)["count"], np.zeros(4, np.int64)
    for place, wrong in ((3, np.array([0, 1, 1], np.uint16)), (1, [0, 3]), (3, np.zeros((3, 2), np.uint8)[:, 0])):
        arguments = [*ARGUMENTS, np.zeros(1, np.uint64), 4, counts]
        arguments[place] = wrong
        with pytest.raises(ctypes.ArgumentError):
            compiled(*arguments)


def raising(n, values):
    if n > 3:
        raise ValueError


def test_loops_that_can_raise_are_not_compiled(folder):
    with pytest.raises(TypeError, match="compiled loops may need no other function"):
        kept_code.load({"raising": Loop(raising, (int, np.int64))})
    assert not folder.exists()


def test_the_loops_as_python_are_numpys_sums():
    """The slow twin: what is compiled, run as it stands."""
    rng, n_cells = np.random.default_rng(8), [7, 3, 12]
    table, (cells, bad, offsets) = tables(rng, n_cells), rows(rng, n_cells, [9, 0, 14], np.uint8)
    starts, weights = table.starts[:-1].astype(np.int64), table.weights
    found, sums = np.zeros(23, np.int64), np.zeros((3, table.length), np.int64)
    counts = np.zeros((3, 2 * sum(n_cells)), np.int64)
    flat, bad = cells.ravel().astype(np.int64), bad.astype(np.int64)
    binned_loops.margins(23, 3, flat, starts, weights, table.intercept, found)
    model = (len(weights), weights, table.places, table.intercept, table.intercept_place, table.length)
    room = (np.zeros(3, np.int64), np.zeros(len(weights), np.int64))
    residuals = residual_table(1024).ravel()
    binned_loops.residual_sums(3, offsets, 3, flat, bad, starts, *model, residuals, MARGIN_LIMIT, *room, sums.ravel())
    double = (2 * np.cumsum([0, *n_cells])[:-1]).astype(np.uint64)
    binned_loops.class_counts(3, offsets, 3, flat, bad, double, counts.shape[1], counts.ravel())
    assert found.tolist() == NUMPY.margins(table, cells).tolist()
    assert sums.tolist() == NUMPY.residual_sums(table, 1024, cells, bad, offsets).tolist()
    assert counts.tolist() == NUMPY.class_counts(tuple(n_cells), cells, bad, offsets).tolist()
