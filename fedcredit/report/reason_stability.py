"""How firmly reasons stand against the noise: which of a customer's main reasons would be others, were it drawn again.

A customer's reasons are the features whose contribution counts against them most. The noise of the training rounds
has moved every weight by about

    g σ / (h √T),  g = c h² / (c h² + σ²/T + h)

with σ the noise of a round on the bin's sum, T rounds, h = n p (1 - p) the curvature that n released records give,
and c the prior variance of a weight: the gain of the filter through which the rounds step, bin by bin. That neighbours
are pooled is left out, so it errs towards more noise; docs/report.md has the comparison with noise drawn again. Model
customers draw each feature's bin from its released counts, independently of the others, and each customer's
contributions are moved once by independent normal errors of that size. Points of a Kronecker sequence take the place
of random numbers, so the same release always gives the same answer.

References
----------
L. Kuipers, H. Niederreiter, "Uniform Distribution of Sequences", Wiley, 1974, ch. 2.3 (Kronecker sequences).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from fedcredit.binning import evidence
from fedcredit.job.progress import noise_variance
from fedcredit.models.scorecard_layout import layout
from fedcredit.models.scorecard_release import ScorecardFeature, read_release
from fedcredit.models.scorecard_spec import WEIGHT_SCALE, ScorecardSpec
from fedcredit.models.scorecard_start import prior_variance
from fedcredit.report.inputs import ReportInputs
from fedcredit.wire.messages import Role

Floats = NDArray[np.float64]
MOST_REASONS = 4
_CUSTOMERS = 2000


@dataclass(frozen=True, slots=True)
class ReasonStability:
    """For one institution type.

    Attributes
    ----------
    first_kept
        Share of model customers whose first reason stays the first.
    main_kept
        Share of their up to four main reasons that stay among them.
    noise_points
        Per feature the standard deviation of the noise in one customer's points for it, root mean square.
    """

    kind: str
    first_kept: float
    main_kept: float
    noise_points: tuple[tuple[str, float], ...]


def reason_stability(inputs: ReportInputs) -> tuple[tuple[ReasonStability, ...], str | None]:
    """Compute it for every institution type; empty with the reason why where it cannot be."""
    spec = inputs.plan.model
    if not isinstance(spec, ScorecardSpec):
        return (), f"not measured: the noise of single weights is not known for family {spec.family!r}"
    noise = weight_noise(inputs, spec)
    if not any(stddev.any() for stddev in noise.values()):
        return (), "no noise was added: reasons follow from the records alone"
    tables = {one.name: _table(one, noise[one.name]) for one in read_release(inputs.model).features}
    return tuple(_of_kind(inputs, kind, tables) for kind in inputs.dictionary.kinds), None


def weight_noise(inputs: ReportInputs, spec: ScorecardSpec) -> dict[str, Floats]:
    """Standard deviation of the noise that training left in each weight, in logits; by feature, shape (B,)."""
    noise, rounds = _noise_of_features(inputs, spec), int(inputs.job["rounds_trained"])
    counted = {one.name: one.noise_stddev for one in inputs.counts.features}
    return {
        one.name: _weight_stddev(one, _Noise(noise[one.name], rounds, counted.get(one.name, 0.0)), spec)
        for one in read_release(inputs.model).features
    }


@dataclass(frozen=True, slots=True)
class _Noise:
    """Noise of a round on one bin's sum, number of rounds, and noise of preflight on one count, in records."""

    of_round: float
    rounds: int
    of_count: float


@dataclass(frozen=True, slots=True)
class _Table:
    """A feature's bins: shares, contributions and the noise in them, in logits; shape (B,) each."""

    shares: Floats
    contributions: Floats
    stddev: Floats


def _weight_stddev(feature: ScorecardFeature, noise: _Noise, spec: ScorecardSpec) -> Floats:
    counts = np.array([[one.good, one.bad] for one in feature.bins])
    found = evidence(counts, np.array([len(one.cells) for one in feature.bins]), noise.of_count)
    curvature, of_rounds = found.information, noise.of_round**2 / max(noise.rounds, 1)
    prior = prior_variance(found, spec)
    gain = prior * curvature**2 / (prior * curvature**2 + of_rounds + curvature)
    return np.asarray(np.sqrt(gain**2 * of_rounds / curvature**2))


def _table(feature: ScorecardFeature, stddev: Floats) -> _Table:
    shares = np.maximum(np.array([one.good + one.bad for one in feature.bins]), 1.0)
    shares = shares / shares.sum()
    weights = np.array([one.weight for one in feature.bins]) / WEIGHT_SCALE
    variance = stddev**2
    # The mean moves along with the weights that it is taken of.
    moved = variance * (1 - 2 * shares) + (shares**2 * variance).sum()
    return _Table(shares, weights - (shares * weights).sum(), np.sqrt(np.maximum(moved, 0.0)))


def _noise_of_features(inputs: ReportInputs, spec: ScorecardSpec) -> dict[str, float]:
    """Standard deviation of one round's noise on a bin's sum, in records."""
    members = tuple(map(str, inputs.job["institutions"]))
    variance = noise_variance(inputs.plan, inputs.dictionary, Role.TRAIN, members)
    slots = layout(spec.max_bins, inputs.dictionary).slots
    scale = inputs.plan.phases.train.scale
    return {
        name: math.sqrt(variance[place.start]) / scale
        for name, place in zip(inputs.dictionary.feature_names, slots, strict=True)
    }


def _of_kind(inputs: ReportInputs, kind: str, tables: dict[str, _Table]) -> ReasonStability:
    names = [feature.name for feature in inputs.dictionary.owned_features(kind)]
    points = _kronecker(_CUSTOMERS, 2 * len(names))
    before, after = np.empty((_CUSTOMERS, len(names))), np.empty((_CUSTOMERS, len(names)))
    for column, name in enumerate(names):
        table = tables[name]
        upper = np.cumsum(table.shares)[:-1]
        bins = np.searchsorted(upper, points[:, column], side="right")
        before[:, column] = table.contributions[bins]
        errors = ndtri(np.clip(points[:, len(names) + column], 1e-6, 1 - 1e-6)) * table.stddev[bins]
        after[:, column] = before[:, column] + errors
    factor = inputs.assumptions.scale.factor
    chosen = ((name, tables[name]) for name in names)
    noise = tuple((name, factor * float(np.sqrt((one.shares * one.stddev**2).sum()))) for name, one in chosen)
    return ReasonStability(kind, *_kept(before, after), noise)


def _kept(before: Floats, after: Floats) -> tuple[float, float]:
    first, main = _reasons(before), _reasons(after)
    has_one = first[:, 0] >= 0
    same_first = (first[:, 0] == main[:, 0])[has_one]
    named = int((first >= 0).sum())
    stay = int(((first[:, :, None] == main[:, None, :]) & (first[:, :, None] >= 0)).sum())
    return float(same_first.mean()) if same_first.size else 1.0, stay / named if named else 1.0


def _reasons(contributions: Floats) -> NDArray[np.int64]:
    """Columns of the heaviest contributions above 0, -1 where there are fewer; shape (n, up to 4)."""
    most = min(MOST_REASONS, contributions.shape[1])
    order = np.argsort(-contributions, axis=1, kind="stable")[:, :most]
    heights = np.take_along_axis(contributions, order, axis=1)
    return np.where(heights > 0, order, -1).astype(np.int64)


def _kronecker(n: int, dimensions: int) -> Floats:
    """Points ``k √prime`` modulo 1; shape (n, dimensions)."""
    primes = [p for p in range(2, 20 * dimensions + 20) if all(p % q for q in range(2, math.isqrt(p) + 1))]
    steps = np.sqrt(np.array(primes[:dimensions], dtype=np.float64))
    return np.asarray((np.arange(1, n + 1)[:, None] * steps) % 1.0)
