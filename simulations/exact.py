"""Exact figures of a model on rows; only a simulation can compute them."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import brier_score_loss, roc_auc_score, roc_curve

from simulations.comparisons import Scores
from simulations.results import Metrics


def exact(labels: NDArray[np.uint8], scores: Scores) -> Metrics:
    """Exact AUC, KS and Brier on rows."""
    if labels.size == 0 or labels.min() == labels.max():
        return Metrics(None, None, None, int(labels.size))
    false_positive, true_positive, _ = roc_curve(labels, scores.pd)
    return Metrics(
        auc=float(roc_auc_score(labels, scores.pd)),
        ks=float(np.max(true_positive - false_positive)),
        brier=float(brier_score_loss(labels, scores.pd)),
        n_test=int(labels.size),
    )
