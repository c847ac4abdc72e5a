from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.errors import ConfigError, DataError
from fedcredit.evaluation.score_grid import DEFAULT_RANGE, score_bins
from fedcredit.evaluation.summary import FederatedMetrics, evaluate_release

Draw = Callable[..., Any]

GRID = score_bins(20, *DEFAULT_RANGE, 1024)


def numbers(metrics: FederatedMetrics) -> list[float]:
    flat = asdict(metrics)
    table = [value for row in flat.pop("calibration") for value in row.values()]
    return [value for value in [*flat.values(), *table] if isinstance(value, float)]


def test_groups_are_summed_with_their_noise(draw: Draw) -> None:
    rng = np.random.default_rng(1)
    first, second = draw(rng, 5_000).counts(GRID), draw(rng, 5_000).counts(GRID)
    split = evaluate_release(np.concatenate([first, second]), GRID, 10.0)
    whole = evaluate_release(first + second, GRID, 10.0 * np.sqrt(2))
    assert split == whole
    assert split == evaluate_release(np.concatenate([first, second]), GRID, [6.0, np.sqrt(164)])
    assert split.n_rows == 10_000
    assert split.gini == pytest.approx(2 * split.auc - 1)
    assert split.auc_low < split.auc < split.auc_high
    assert split.ks_low < split.ks < split.ks_high
    assert split.brier_low < split.brier < split.brier_high
    assert split.base_rate == pytest.approx((first + second)[0, 1].sum() / 10_000)
    assert split.unavailable is None
    assert evaluate_release(first, GRID, 10.0).auc_noise_stddev < split.auc_noise_stddev * 2.1


def test_no_bad_cases() -> None:
    counts = np.zeros((1, 2, 20))
    counts[0, 0] = 50.0
    metrics = evaluate_release(counts, GRID)
    assert metrics.unavailable == "no bad cases"
    assert metrics.auc is metrics.auc_low is metrics.gini is metrics.ks is metrics.slope is None
    assert metrics.base_rate == 0
    assert metrics.brier > 0
    assert len(metrics.calibration) > 0


@pytest.mark.parametrize(
    ("cell", "noise_stddev", "reason"),
    [(0.0, 0.0, "no records"), (-3.0, 5.0, "no records"), (1.0, 5.0, "too few records for the noise")],
)
def test_without_usable_records_everything_is_none_and_a_reason_stands(
    cell: float, noise_stddev: float, reason: str
) -> None:
    metrics = evaluate_release(np.full((1, 2, 20), cell), GRID, noise_stddev)
    assert metrics.unavailable == reason
    assert metrics.calibration == ()
    given_anyway = {"n_rows", "n_bad", "unavailable", "calibration"}
    assert all(getattr(metrics, f.name) is None for f in fields(metrics) if f.name not in given_anyway)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    level=st.sampled_from([-5.0, 0.0, 0.5, 20.0, 1e9]),
    noise_stddev=st.sampled_from([0.0, 1.0, 100.0, 1e6]),
)
def test_no_nan_and_no_figure_out_of_range(seed: int, level: float, noise_stddev: float) -> None:
    rng = np.random.default_rng(seed)
    counts = np.round(level * rng.random((2, 2, 20)) + noise_stddev * rng.standard_normal((2, 2, 20)))
    metrics = evaluate_release(counts, GRID, noise_stddev)
    assert np.isfinite(numbers(metrics)).all()
    assert metrics.unavailable or metrics.auc is not None
    for name in ("auc", "ks", "brier", "base_rate"):
        value = getattr(metrics, name)
        assert value is None or 0 <= value <= 1


@pytest.mark.parametrize("shape", [(2, 20), (1, 2, 19), (0, 2, 20), (1, 3, 20)])
def test_foreign_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="shape"):
        evaluate_release(np.ones(shape), GRID)


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(DataError, match="finite"):
        evaluate_release(np.full((1, 2, 20), np.nan), GRID)
    with pytest.raises(ConfigError, match="noise_stddev"):
        evaluate_release(np.ones((1, 2, 20)), GRID, -1.0)
    with pytest.raises(ConfigError, match="noise_stddev"):
        evaluate_release(np.ones((1, 2, 20)), GRID, float("nan"))
    with pytest.raises(ConfigError, match="one per group"):
        evaluate_release(np.ones((1, 2, 20)), GRID, [1.0, 2.0])
