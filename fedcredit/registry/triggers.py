"""What suspends a model by itself: pure functions of released figures and of thresholds that people signed up to.

A figure suspends when it is beyond its threshold by more than chance and noise explain; one that is beyond it and could
be there by chance is a warning. A drift index is read above its floor, and has to exceed what happens once in a
thousand monitoring jobs without any drift; ratio and slope suspend when their whole 95 % interval is outside.
"""

from dataclasses import dataclass

from fedcredit.evaluation.figure import Figure
from fedcredit.evaluation.stability import Stability
from fedcredit.monitoring.figures import Monitored
from fedcredit.registry.registry_file import Thresholds

FALSE_ALARMS = 1e-3
"""Chance of an alarm of one monitoring job by drift figures alone when nothing has shifted, split over the figures."""


@dataclass(frozen=True, slots=True)
class Triggered:
    """What the figures say.

    Attributes
    ----------
    reasons
        Why the model is to be suspended, one sentence each; empty if it is not.
    warnings
        What is beyond a threshold and may be there by chance, or could not be judged.
    """

    reasons: tuple[str, ...]
    warnings: tuple[str, ...]


def triggered(figures: Monitored, thresholds: Thresholds) -> Triggered:
    """Judge a monitoring job's figures."""
    level = FALSE_ALARMS / max(1, len(figures.scores) + len(figures.features))
    drifts = [(f"the score of type {name}", one, thresholds.psi) for name, one in figures.scores.items()]
    drifts += [(f"feature {name}", one, thresholds.csi) for name, one in figures.features.items()]
    found = [_drift(what, one, threshold, thresholds.watch, level) for what, one, threshold in drifts]
    found.append(_outside("the calibration slope", figures.recalibration.slope, *thresholds.calibration_slope))
    ratio = thresholds.approval_ratio
    found += [_outside(f"approval of {name}", one, ratio, None) for name, one in figures.approval_ratios.items()]
    reasons = [text for serious, text in found if serious and text]
    warnings = [text for serious, text in found if not serious and text]
    if figures.unpaid:
        reasons.append("the monitoring job ended early because a member's budget for it was spent")
    reasons += [f"{name} took part in training and no longer does" for name in figures.withdrew]
    warnings += [f"group {name} has too few records to be judged" for name in figures.too_few]
    return Triggered(tuple(reasons), tuple(warnings))


_Finding = tuple[bool, str]


def _drift(what: str, drift: Stability, threshold: float, watch: float, level: float) -> _Finding:
    excess, limit = drift.excess, drift.limit(level)
    if drift.index is None or excess is None or limit is None:
        return False, f"the drift of {what} cannot be judged: {drift.why}"
    above = f"index {drift.index:.3f}, {excess:.3f} above its floor"
    if excess > threshold:
        return drift.index > limit, f"{what} drifted: {above}, threshold {threshold:g}"
    if excess > watch and drift.index > limit:
        return False, f"{what} has moved: {above}"
    return False, ""


def _outside(what: str, figure: Figure, low: float, high: float | None) -> _Finding:
    if figure.value is None or figure.low is None or figure.high is None:
        return False, f"{what} cannot be judged: {figure.why}"
    if figure.value >= low and (high is None or figure.value <= high):
        return False, ""
    band = f"below {low:g}" if high is None else f"outside {low:g} to {high:g}"
    text = f"{what} is {figure.value:.2f} (95 % {figure.low:.2f} to {figure.high:.2f}), {band}"
    return figure.high < low or (high is not None and figure.low > high), text
