"""The compiled kernel of binned models: NumPy's integers, for one institution or thousands, whatever holds the rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit import preflight
from fedcredit.errors import ConfigError
from fedcredit.models import binned_compiled, binned_kernel
from fedcredit.models.binned_kernel import NUMPY, BinnedKernel, binned_kernel_of
from fedcredit.models.binned_tables import BinnedTables
from tests import tiny
from tests.binned_rows import rows, tables

COMPILED = binned_kernel_of("compiled")


def all_integers(kernel: BinnedKernel, table: BinnedTables, n_cells: list[int], data: tuple) -> list[list]:
    cells, bad, offsets = data
    found = (
        kernel.margins(table, cells),
        kernel.residual_sums(table, 1024, cells, bad, offsets),
        kernel.class_counts(tuple(n_cells), cells, bad, offsets),
    )
    assert {one.dtype for one in found} == {np.dtype(np.int64)}
    return [one.tolist() for one in found]


@settings(deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_cells=st.lists(st.integers(2, 40), min_size=1, max_size=5),
    sizes=st.lists(st.integers(0, 30), min_size=1, max_size=8),
    dtype=st.sampled_from([np.uint8, np.uint16]),
)
def test_the_integers_are_those_of_numpy(seed, n_cells, sizes, dtype):
    rng = np.random.default_rng(seed)
    table, data = tables(rng, n_cells), rows(rng, n_cells, sizes, dtype)
    assert all_integers(COMPILED, table, n_cells, data) == all_integers(NUMPY, table, n_cells, data)


@pytest.mark.parametrize("sizes", [[4000], [0, 3999, 1], [1] * 4000, [1700, 0, 600, 1700]], ids=str)
def test_parts_and_threads_change_nothing(sizes, monkeypatch):
    """Cut in the middle of institutions, and between them."""
    rng, n_cells = np.random.default_rng(3), [5, 30, 2]
    table, data = tables(rng, n_cells), rows(rng, n_cells, sizes, np.uint8)
    expected = all_integers(NUMPY, table, n_cells, data)
    monkeypatch.setattr(binned_compiled, "_LOOKUPS_OF_A_THREAD", 1000)
    monkeypatch.setattr(binned_compiled, "_processors", lambda: 3)
    assert len(binned_compiled._parts(4000, 3)) == 12
    assert all_integers(COMPILED, table, n_cells, data) == expected
    monkeypatch.setattr(binned_compiled, "_LOOKUPS_OF_A_PART", 100)
    assert len(binned_compiled._parts(4000, 3)) == 120
    assert all_integers(COMPILED, table, n_cells, data) == expected


def test_rows_may_be_mapped_from_a_file_and_read_only(tmp_path):
    rng, n_cells = np.random.default_rng(4), [9, 12]
    table, (cells, bad, offsets) = tables(rng, n_cells), rows(rng, n_cells, [70, 30], np.uint8)
    np.save(tmp_path / "cells.npy", cells)
    mapped = np.load(tmp_path / "cells.npy", mmap_mode="r")
    bad.setflags(write=False)
    expected = all_integers(NUMPY, table, n_cells, (cells, bad, offsets))
    assert all_integers(COMPILED, table, n_cells, (mapped, bad, offsets)) == expected


def test_preflight_counts_are_the_same_by_either_kernel():
    dictionary, own = tiny.dictionary(), tiny.rows("bank", 300, 5)
    by_numpy = preflight.count(dictionary, "bank", own)
    assert np.array_equal(preflight.count(dictionary, "bank", own, COMPILED.class_counts), by_numpy)
    assert by_numpy.sum() == 3 * 300


@pytest.mark.parametrize("wrong", ["margins", "residual_sums", "class_counts"])
def test_code_that_gives_other_integers_is_refused(wrong, monkeypatch):
    right = getattr(binned_compiled, wrong)
    binned_kernel_of.cache_clear()
    monkeypatch.setattr(binned_compiled, wrong, lambda *arguments: right(*arguments) + 1)
    with pytest.raises(ConfigError, match="other integers than NumPy"):
        binned_kernel_of("compiled")
    monkeypatch.undo()
    assert binned_kernel_of("compiled").margins is binned_compiled.margins


def test_without_a_compiler_the_remedy_is_named(monkeypatch):
    binned_kernel_of.cache_clear()
    monkeypatch.setattr(binned_kernel, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'fedcredit\[fast\]', or set kernel=numpy"):
        binned_kernel_of("compiled")
