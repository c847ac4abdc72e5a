"""The torch kernel of binned models: NumPy's integers on every device, whatever holds the rows."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.errors import ConfigError
from fedcredit.models import binned_kernel, binned_torch
from fedcredit.models.binned_kernel import NUMPY, binned_kernel_of
from fedcredit.models.binned_tables import BinnedTables
from fedcredit.models.scorecard_spec import MARGIN_LIMIT
from tests.binned_rows import rows, tables

pytestmark = pytest.mark.neural
has_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU that torch knows")
on_devices = pytest.mark.parametrize("kernel", ["torch-cpu", pytest.param("torch-cuda", marks=has_gpu)])


def all_bytes(kernel: str, table: BinnedTables, n_cells: list[int], data: tuple) -> list[tuple]:
    """Shape, type and bytes of everything that a kernel computes."""
    cells, bad, offsets = data
    found = binned_kernel_of(kernel)
    arrays = (
        found.margins(table, cells),
        found.residual_sums(table, 4096, cells, bad, offsets),
        found.class_counts(tuple(n_cells), cells, bad, offsets),
    )
    return [(one.shape, one.dtype.str, one.tobytes()) for one in arrays]


@on_devices
@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    n_cells=st.lists(st.integers(2, 300), min_size=1, max_size=5),
    sizes=st.lists(st.integers(0, 30), min_size=1, max_size=8),
    wide=st.booleans(),
)
def test_the_bytes_are_those_of_numpy(kernel, seed, n_cells, sizes, wide):
    rng = np.random.default_rng(seed)
    dtype = np.uint16 if wide or max(n_cells) > 256 else np.uint8
    table, data = tables(rng, n_cells), rows(rng, n_cells, sizes, dtype)
    assert all_bytes(kernel, table, n_cells, data) == all_bytes("numpy", table, n_cells, data)


@on_devices
def test_parts_change_nothing(kernel, monkeypatch):
    """Cut in the middle of institutions, and between them."""
    rng, n_cells, sizes = np.random.default_rng(3), [5, 30, 2], [70, 0, 129, 1]
    table, data = tables(rng, n_cells), rows(rng, n_cells, sizes, np.uint8)
    expected = all_bytes("numpy", table, n_cells, data)
    monkeypatch.setattr(binned_torch, "_LOOKUPS_OF_A_PART", 21)
    assert len([*binned_torch._parts(200, 3)]) == 29
    assert all_bytes(kernel, table, n_cells, data) == expected


@on_devices
def test_sums_beyond_what_any_float_holds_are_exact(kernel):
    """Residuals of 4096 over many records in one cell: an odd sum above 2**24, where float32 has even numbers only."""
    n = 5001
    table = BinnedTables(np.array([0, 1]), np.array([-MARGIN_LIMIT]), np.array([0]), 0, 1, 2)
    cells, bad = np.zeros((n, 1), dtype=np.uint8), np.ones(n, dtype=np.uint8)
    bad[0] = 0
    data = (table, 4096, cells, bad, np.array([0, n]))
    found = binned_kernel_of(kernel).residual_sums(*data)
    assert np.abs(found).min() > 2**24
    assert found.tolist() == NUMPY.residual_sums(*data).tolist()


def test_rows_may_be_mapped_from_a_file(tmp_path):
    rng, n_cells = np.random.default_rng(4), [9, 12]
    table, (cells, bad, offsets) = tables(rng, n_cells), rows(rng, n_cells, [70, 30], np.uint8)
    np.save(tmp_path / "cells.npy", cells)
    mapped = np.load(tmp_path / "cells.npy", mmap_mode="r")
    expected = all_bytes("numpy", table, n_cells, (cells, bad, offsets))
    assert all_bytes("torch-cpu", table, n_cells, (mapped, bad, offsets)) == expected


def test_a_device_that_gives_other_integers_is_refused(monkeypatch):
    binned_kernel_of.cache_clear()
    monkeypatch.setattr(binned_torch, "_add", lambda sums, *_: sums.add_(1))
    with pytest.raises(ConfigError, match="other integers than NumPy on device=cpu"):
        binned_kernel_of("torch-cpu")


def test_without_torch_the_remedy_is_named(monkeypatch):
    binned_kernel_of.cache_clear()
    monkeypatch.setattr(binned_kernel, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'fedcredit\[neural\]', or set kernel=numpy"):
        binned_kernel_of("torch-cpu")
