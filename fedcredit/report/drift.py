"""Part 7: whether the population has shifted: indices of scores and features between two charged releases.

Within one job preflight counted the training records and evaluation the others, so a feature by which the plan groups
has been counted twice. Everything else needs an earlier job's counts.
"""

from dataclasses import dataclass

import numpy as np

from fedcredit.evaluation.stability import Stability, stability
from fedcredit.job.released_counts import FeatureCounts, ReleasedCounts
from fedcredit.report.discrimination import overall_cells
from fedcredit.report.inputs import ReportInputs

_ONE_RELEASE = (
    "not measured: there is one release. Compare with an earlier job's folder (--against), or run a monitoring job."
)
_WITHIN = (
    "Training records against held-out records of this job, for features by which the plan groups. Both are of one "
    "period, so this checks the split and says nothing of drift."
)


@dataclass(frozen=True, slots=True)
class Shift:
    """One index."""

    what: str
    stability: Stability
    excess: float | None


@dataclass(frozen=True, slots=True)
class Drift:
    """The part; `why` says why there is no comparison with an earlier job, or is None."""

    score: Shift | None
    features: tuple[Shift, ...]
    why: str | None
    within: tuple[Shift, ...]
    within_note: str


def drift_of(inputs: ReportInputs) -> Drift:
    """Compute the part."""
    within = _within(inputs.counts)
    note = _WITHIN if within else "No feature is both counted in preflight and a grouping of the plan."
    if inputs.earlier is None:
        return Drift(None, (), _ONE_RELEASE, within, note)
    return Drift(_score(inputs.earlier, inputs.counts), _features(inputs.earlier, inputs.counts), None, within, note)


def _score(earlier: ReleasedCounts, now: ReleasedCounts) -> Shift:
    if earlier.grid is None or now.grid is None:
        return _shift("score", Stability(None, None, 0, "phase evaluate did not run in both jobs"))
    if earlier.grid != now.grid:
        why = "the two jobs counted scores in different bins; a monitoring job counts in the old ones"
        return _shift("score", Stability(None, None, 0, why))
    old, new = overall_cells(earlier), overall_cells(now)
    found = stability(old.good + old.bad, new.good + new.bad, old.noise_stddev * 2**0.5, new.noise_stddev * 2**0.5)
    return _shift("score", found)


def _features(earlier: ReleasedCounts, now: ReleasedCounts) -> tuple[Shift, ...]:
    old = {one.name: one for one in earlier.features}
    return tuple(_shift(one.name, _compared(old.get(one.name), one)) for one in now.features)


def _compared(old: FeatureCounts | None, new: FeatureCounts) -> Stability:
    if old is None or old.counts.shape != new.counts.shape:
        return Stability(None, None, 0, "the earlier job did not count it on the same grid")
    noise = old.noise_stddev * 2**0.5, new.noise_stddev * 2**0.5
    return stability(old.counts.sum(axis=1), new.counts.sum(axis=1), *noise)


def _within(counts: ReleasedCounts) -> tuple[Shift, ...]:
    held_out = {one.grouping: one for one in counts.groupings}
    shifts = []
    for one in counts.features:
        other = held_out.get(one.name)
        if other is None:
            continue
        # A group's total adds up 2 B noisy cells; owners differ by group only for the institution type.
        noise = float(np.max(other.noise_stddev)) * (2 * other.counts.shape[2]) ** 0.5
        found = stability(one.counts.sum(axis=1), other.counts.sum(axis=(1, 2)), one.noise_stddev * 2**0.5, noise)
        shifts.append(_shift(one.name, found))
    return tuple(shifts)


def _shift(what: str, found: Stability) -> Shift:
    return Shift(what, found, found.excess)
