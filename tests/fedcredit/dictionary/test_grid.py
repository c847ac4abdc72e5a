import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedcredit.dictionary.grid import (
    MAX_CELLS,
    cell_cuts,
    integer_edges,
    linear_edges,
    quantise_codes,
    quantise_numbers,
    signed_log_edges,
)

finite = st.floats(allow_nan=False, allow_infinity=False, width=64)
any_float = st.floats(allow_nan=True, allow_infinity=True, width=64)


@st.composite
def grids(draw: st.DrawFn) -> tuple[NDArray[np.float64], float, float, tuple[float, ...], bool]:
    """Cut points of a random feature, with its range, atoms and whether it holds integers."""
    integer = draw(st.booleans())
    bound = st.integers(-(10**6), 10**6).map(float) if integer else st.floats(-1e6, 1e6)
    low, high = sorted((draw(bound), draw(bound)))
    assume(high - low >= 1e-3)
    cells = draw(st.integers(1, 60))
    edges = (
        linear_edges(low, high, cells)
        if draw(st.booleans())
        else signed_log_edges(low, high, cells, draw(st.floats(1e-2, 1e5)))
    )
    inside = st.integers(int(low), int(high)).map(float) if integer else st.floats(low, high)
    atoms = tuple(draw(st.lists(inside, max_size=3, unique=True)))
    return cell_cuts(edges, atoms, low, high, integer=integer), low, high, atoms, integer


def slow_cell(value: float, cuts: list[float], low: float, high: float) -> int:
    """One value at a time: clip, then count the cut points at or below it."""
    if not math.isfinite(value):
        return len(cuts) + 1
    clipped = low if value < low else high if value > high else value
    return sum(1 for cut in cuts if cut <= clipped)


@given(grids(), st.lists(any_float, max_size=50))
def test_quantisation_equals_its_slow_twin(grid, values):
    cuts, low, high, _, _ = grid
    near = [low, high, *cuts.tolist(), *np.nextafter(cuts, -np.inf).tolist(), *values]
    cells = quantise_numbers(np.array(near), cuts, low, high)
    assert cells.dtype == np.uint16
    assert cells.tolist() == [slow_cell(value, cuts.tolist(), low, high) for value in near]


@given(grids(), st.lists(finite, min_size=2, max_size=30))
def test_cells_never_fall_as_values_rise(grid, values):
    cuts, low, high, _, _ = grid
    cells = quantise_numbers(np.sort(np.array(values)), cuts, low, high)
    assert np.all(np.diff(cells.astype(int)) >= 0)


@given(grids())
def test_every_value_cell_can_be_reached(grid):
    cuts, low, high, _, _ = grid
    assert np.all(np.diff(cuts) > 0)
    cells = quantise_numbers(np.array([low, *cuts.tolist()]), cuts, low, high)
    assert cells.tolist() == list(range(len(cuts) + 1))


@given(grids(), finite)
def test_an_atom_is_alone_in_its_cell(grid, other):
    cuts, low, high, atoms, integer = grid
    for atom in atoms:
        step = 1.0 if integer else 0.0
        neighbours = [np.nextafter(atom, -np.inf) - step, np.nextafter(atom, np.inf) + step, other]
        inside = [x for x in neighbours if low <= x <= high and x != atom and not atom <= x < atom + step]
        cells = quantise_numbers(np.array([atom, *inside]), cuts, low, high)
        assert cells[0] not in cells[1:]


@given(grids(), st.floats(0, 1e9))
def test_values_outside_the_range_go_to_the_outer_cells(grid, beyond):
    cuts, low, high, _, _ = grid
    cells = quantise_numbers(np.array([low - beyond, low, high, high + beyond]), cuts, low, high)
    assert cells[0] == cells[1]
    assert cells[2] == cells[3]


@given(grids(), st.integers(-(10**6), 10**6), st.floats(0, 1, exclude_max=True))
def test_a_fraction_falls_with_its_integer(grid, whole, fraction):
    cuts, low, high, _, integer = grid
    assume(integer)
    cells = quantise_numbers(np.array([whole, whole + fraction * 0.999]), cuts, low, high)
    assert cells[0] == cells[1]


def test_missing_values_have_the_last_cell():
    cuts = cell_cuts(linear_edges(0, 10, 5), (), 0, 10, integer=False)
    assert quantise_numbers(np.array([np.nan, np.inf, -np.inf, 0.0]), cuts, 0, 10).tolist() == [5, 5, 5, 0]


def test_linear_edges():
    assert linear_edges(0, 1, 4) == (0.25, 0.5, 0.75)
    assert linear_edges(0, 1, 1) == ()


def test_signed_log_edges_are_odd_and_grow():
    edges = signed_log_edges(-1e6, 1e6, 10, 1000)
    assert edges == tuple(-e + 0.0 for e in reversed(edges))
    assert edges[4] == 0.0
    steps = np.diff([e for e in edges if e >= 0])
    assert np.all(steps[1:] > 2 * steps[:-1])


def test_signed_log_edges_follow_their_formula():
    unit, cells = 500.0, 40
    edges = signed_log_edges(0, 2e6, cells, unit)
    expected = [unit * math.expm1(math.log1p(2e6 / unit) * i / cells) for i in range(1, cells)]
    assert edges == pytest.approx(expected, rel=1e-5)


def test_edges_have_six_digits_and_collapse_where_equal():
    assert linear_edges(1_000_000, 1_000_010, 10) == (1_000_000.0, 1_000_010.0)


def test_edges_do_not_depend_on_the_callers_decimal_context():
    import decimal

    expected = signed_log_edges(-5, 77, 13, 0.3)
    with decimal.localcontext(decimal.Context(prec=3, rounding=decimal.ROUND_UP)):
        assert signed_log_edges(-5, 77, 13, 0.3) == expected


def test_integers_get_a_cell_each():
    cuts = cell_cuts(integer_edges(-2, 8), (), -2, 8, integer=True)
    assert quantise_numbers(np.arange(-3.0, 10.0), cuts, -2, 8).tolist() == [0, *range(11), 10]


def test_cuts_are_read_only():
    cuts = cell_cuts((1.0,), (), 0, 2, integer=False)
    with pytest.raises(ValueError, match="read-only"):
        cuts[0] = 5.0


@given(st.lists(st.integers(-3, 20), max_size=30), st.integers(1, 10))
def test_codes_equal_their_slow_twin(index, n_codes):
    cells = quantise_codes(np.array(index, dtype=np.int64), n_codes)
    assert cells.dtype == np.uint16
    assert cells.tolist() == [i if 0 <= i < n_codes else n_codes for i in index]


def test_the_largest_grid_fits():
    cuts = cell_cuts(linear_edges(0, 1, MAX_CELLS - 1), (), 0, 1, integer=False)
    assert quantise_numbers(np.array([1.0, np.nan]), cuts, 0, 1).tolist() == [MAX_CELLS - 2, MAX_CELLS - 1]
