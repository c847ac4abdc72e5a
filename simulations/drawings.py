"""The figures of a run, from scores and released estimates to `simulations.figures`."""

import numpy as np
from sklearn.metrics import roc_curve

from fedcredit.evaluation.summary import FederatedMetrics
from simulations.comparisons import ALL_COLUMNS, Comparison
from simulations.federation import Institution
from simulations.figures import (
    InstitutionAuc,
    Reliability,
    RocCurve,
    institution_figure,
    reliability_figure,
    roc_figure,
)
from simulations.page import PageFigure
from simulations.population.segment_files import segment_drawings
from simulations.run import Finished, exact


def figures_of(finished: Finished, institutions: tuple[Institution, ...]) -> list[PageFigure]:
    """Draw what the run has: ROC always, calibration where it was released, institutions where rivals ran."""
    drawn = [PageFigure("roc", "Who is told apart", roc_figure(_curves(finished.comparison)))]
    if finished.released is not None and finished.released.calibration:
        drawn.append(
            PageFigure("calibration", "Predicted and observed", reliability_figure([_reliability(finished.released)]))
        )
    if finished.comparison.alone:
        bars = [_institution(finished.comparison, one) for one in institutions]
        drawn.append(PageFigure("institutions", "What each institution gains", institution_figure(bars)))
    if finished.segments:
        drawn += [PageFigure(*one) for one in segment_drawings(finished.segments)]
    return drawn


def _curves(comparison: Comparison) -> list[RocCurve]:
    named = {f"joint, {view} columns": (view, one) for view, one in comparison.joint.items() if view != ALL_COLUMNS}
    if ALL_COLUMNS in comparison.pooled:
        named["pooled, no privacy"] = ALL_COLUMNS, comparison.pooled[ALL_COLUMNS]
    curves = []
    for label, (view, scores) in named.items():
        auc = exact(comparison.labels[view], scores).auc
        if auc is not None:
            false_positive, true_positive, _ = roc_curve(comparison.labels[view], scores.pd)
            curves.append(RocCurve(label, false_positive, true_positive, auc))
    return curves


def _reliability(released: FederatedMetrics) -> Reliability:
    rows = released.calibration
    return Reliability(
        label="joint, released estimates",
        predicted=np.array([row.mean_pd for row in rows]),
        observed=np.array([row.bad_rate for row in rows]),
        low=np.array([row.low for row in rows]),
        high=np.array([row.high for row in rows]),
        n_rows=np.array([row.n_rows for row in rows]),
    )


def _institution(comparison: Comparison, institution: Institution) -> InstitutionAuc:
    kind, own = comparison.alone[institution.id]
    return InstitutionAuc(
        institution.id,
        alone=exact(comparison.labels[kind], own).auc,
        same_type=exact(comparison.labels[kind], comparison.same_type[kind]).auc,
        joint=exact(comparison.labels[kind], comparison.joint[kind]).auc,
    )
