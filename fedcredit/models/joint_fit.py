"""From released counts to the joint view: an intercept, a slope and λ, by file where asked for, and a surface.

The view is ``a + b · own + λ · other`` in logits. The prior is the view without linked rows: b = 1, λ = 0. With files,
each file's coefficients are the common ones plus deviations whose prior is 0, so that a group of few records leans on
all others. The surface corrects the sum smoothly where the two scores overlap; its prior is no correction.
"""

from dataclasses import dataclass

import numpy as np

from fedcredit.count_regression import CellCounts, Floats, fit, residuals
from fedcredit.models.joint_spec import FILES, Fit
from fedcredit.models.step_filter import smooth

# Of intercept, slope and λ, in logits and logits per logit.
_PRIOR_MEAN = np.array([0.0, 1.0, 0.0])
_PRIOR_STDDEV = np.array([1.0, 0.5, 0.5])
# By which a file's own coefficients may differ from the common ones.
_FILE_STDDEV = np.array([0.5, 0.25, 0.35])
_SURFACE_STDDEV = 0.2
_SURFACE_REACH = 1.0
"""Distance in logits of either score at which corrections are alike by 1/e."""
_MOST_WEIGHT = 2.0


@dataclass(frozen=True, slots=True)
class LinkedCounts:
    """What the one message released.

    Attributes
    ----------
    own, other
        Scores that stand for each bin's records, in logits; shapes (K1, nodes) and (K2, nodes).
    counts
        Shape (K1, K2, files, 2): goods and bads.
    noise_variance
        Of one count, in records².
    records
        Public number of records.
    """

    own: Floats
    other: Floats
    counts: Floats
    noise_variance: float
    records: float


@dataclass(frozen=True, slots=True)
class JointFit:
    """The fitted view.

    Attributes
    ----------
    coefficients, stddev
        Per file intercept, slope and λ, and their uncertainty from sampling and noise; shapes (files, 3).
    surface
        Shape (K1, K2): correction in logits; zeros unless asked for.
    """

    coefficients: Floats
    stddev: Floats
    surface: Floats


def fit_joint(how: Fit, released: LinkedCounts) -> JointFit:
    """Fit the joint view to released counts; free post-processing."""
    expected = _expected(released)
    centre = _centre(released, expected)
    common = _design(released, centre)
    cells = _cells(released, expected, common if how == "one" else _with_files(common))
    size = cells.design.shape[2]
    found = fit(cells, *_prior(size, centre))
    maps = np.stack([_of_file(index, size, centre) for index in range(len(FILES))])
    coefficients = np.add.reduce(maps * found.values, axis=2)
    spread = np.add.reduce(maps[:, :, :, None] * found.covariance * maps[:, :, None, :], axis=(2, 3))
    coefficients[:, 2] = np.clip(coefficients[:, 2], 0.0, _MOST_WEIGHT)
    surface = _surface(released, cells, found.values) if how == "surface" else np.zeros(released.counts.shape[:2])
    return JointFit(coefficients, np.sqrt(spread), surface)


def _cells(released: LinkedCounts, expected: Floats, design: Floats) -> CellCounts:
    """The counts as cells of a regression, each with all pairs of its bins' nodes in equal shares."""
    n_nodes = released.own.shape[1] * released.other.shape[1]
    return CellCounts(
        design=design.reshape(expected.size, n_nodes, -1),
        shares=np.full((expected.size, n_nodes), 1 / n_nodes),
        good=released.counts[..., 0].ravel(),
        bad=released.counts[..., 1].ravel(),
        expected=expected.ravel(),
        noise_variance=released.noise_variance,
    )


def _expected(released: LinkedCounts) -> Floats:
    """Records per cell; under noise from the margins of each file, which average it; shape (K1, K2, files)."""
    totals = released.counts.sum(axis=3)
    if not released.noise_variance:
        return np.asarray(np.maximum(totals, 0.0))
    by_own, by_other, by_file = (_shares(totals.sum(axis=axes)) for axes in (1, 0, (0, 1)))
    return released.records * by_file * by_own[:, None, :] * by_other[None, :, :]


def _shares(counts: Floats) -> Floats:
    """Counts as shares along the first axis; same shape."""
    believed = np.maximum(counts, 0.0)
    return np.asarray(believed / np.maximum(believed.sum(axis=0), 1e-12))


def _centre(released: LinkedCounts, expected: Floats) -> float:
    """Mean own view of the linked records."""
    of_bin = np.add.reduce(expected, axis=(1, 2))
    total = float(np.add.reduce(of_bin))
    return float(np.add.reduce(of_bin * released.own.mean(axis=1))) / total if total > 0 else 0.0


def _design(released: LinkedCounts, centre: float) -> Floats:
    """Columns 1, own - centre, other at every node; shape (K1, K2, files, nodes, nodes, 3)."""
    (k1, nodes), k2 = released.own.shape, len(released.other)
    shape = (k1, k2, len(FILES), nodes, released.other.shape[1])
    own = np.broadcast_to((released.own - centre)[:, None, None, :, None], shape)
    other = np.broadcast_to(released.other[None, :, None, None, :], shape)
    return np.stack([np.ones(shape), own, other], axis=-1)


def _with_files(common: Floats) -> Floats:
    """The common columns, then the same for each file alone; last axis 3 + 3 files."""
    alone = []
    for index in range(len(FILES)):
        part = np.zeros_like(common)
        part[:, :, index] = common[:, :, index]
        alone.append(part)
    return np.concatenate([common, *alone], axis=-1)


def _prior(size: int, centre: float) -> tuple[Floats, Floats]:
    """Mean and precision; the intercept stands at the centre of the own view, where slope 1 leaves it."""
    mean = np.concatenate([_PRIOR_MEAN + np.array([centre, 0.0, 0.0]), np.zeros(size - 3)])
    stddev = np.concatenate([_PRIOR_STDDEV, np.tile(_FILE_STDDEV, (size - 3) // 3)])
    return mean, np.eye(size) / stddev**2


def _of_file(index: int, size: int, centre: float) -> Floats:
    """Matrix from all coefficients to one file's intercept (at own view 0), slope and λ; shape (3, size)."""
    back = np.eye(3)
    back[0, 1] = -centre
    out = np.zeros((3, size))
    out[:, :3] = back
    if size > 3:
        out[:, 3 + 3 * index : 6 + 3 * index] = back
    return out


def _surface(released: LinkedCounts, cells: CellCounts, values: Floats) -> Floats:
    """Smoothed residuals of both files together, in logits; shape (K1, K2)."""
    shape = released.counts.shape[:3]
    found = residuals(cells, values)
    per_logit = found.slope[:, 0]
    information = np.add.reduce((per_logit**2 / found.variance).reshape(shape), axis=2).ravel()
    seen = np.add.reduce((per_logit * found.value / found.variance).reshape(shape), axis=2).ravel()
    known = np.maximum(information, 1e-9)
    own, other = (
        np.ravel(part) for part in np.meshgrid(released.own.mean(axis=1), released.other.mean(axis=1), indexing="ij")
    )
    apart = np.abs(own[:, None] - own) + np.abs(other[:, None] - other)
    covariance = _SURFACE_STDDEV**2 * np.exp(-apart / _SURFACE_REACH)
    return smooth(seen / known, 1 / known, covariance).reshape(shape[:2])
