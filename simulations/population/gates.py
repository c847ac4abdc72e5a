"""Realism gates: figures of the population beside those of real portfolios and public tables.

Each gate is one figure and the band that it has to lie in; gate f has no band and is reported only. A population that
fails one can still be drawn: the gates hold for the defaults, and tell what an override has changed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.preprocessing import OneHotEncoder

from fedcredit.binning import bin_counts, choose_bins, information_value
from fedcredit.data.uci import load_uci
from simulations.population import reference
from simulations.population.consortium import BANK, HOSPITAL, Consortium
from simulations.population.realism import correlations, distances, stability_index
from simulations.population.streams import Floats


@dataclass(frozen=True, slots=True)
class Gate:
    """One figure and its band; without a band it is reported only."""

    letter: str
    what: str
    value: float
    low: float | None = None
    high: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the figure lies in the band; None without one."""
        if self.low is None or self.high is None:
            return None
        return self.low <= self.value <= self.high


def run_gates(consortium: Consortium) -> tuple[Gate, ...]:
    """Measure every gate on a drawn population."""
    return tuple(
        gate
        for part in (_labels, _features, _models, _marginals, _regions, _real_table, _truth)
        for gate in part(consortium)
    )


def _labels(consortium: Consortium) -> Iterator[Gate]:
    for kind in (BANK, HOSPITAL):
        rate = consortium.labels(kind)[consortium.customers(kind)].mean()
        yield Gate("a", f"bad rate, {kind}s", float(rate), 0.03, 0.22)


def _features(consortium: Consortium) -> Iterator[Gate]:
    """No single column gives the label away, and the best ones say something."""
    for kind in (BANK, HOSPITAL):
        found = [_of_column(consortium, kind, index) for index in consortium.dictionary.owned(kind)]
        yield Gate("a", f"AUC of the strongest column, {kind}s", max(auc for auc, _ in found), 0.52, 0.66)
        yield Gate("a", f"largest information value of a column, {kind}s", max(iv for _, iv in found), 0.0, 0.5)


def _of_column(consortium: Consortium, kind: str, index: int) -> tuple[float, float]:
    """AUC and information value of one column's bins."""
    rows = consortium.customers(kind)
    cells, bad = consortium.cells[rows, index], consortium.labels(kind)[rows]
    n_cells = consortium.dictionary.features[index].n_cells
    counts = np.stack([np.bincount(cells[bad == label], minlength=n_cells) for label in (0, 1)], axis=1)
    bins = choose_bins(counts.astype(np.float64), 0.0, 16, 0.02)
    binned = bin_counts(counts.astype(np.float64), bins)
    rates = binned[:, 1] / binned.sum(axis=1)
    return float(roc_auc_score(bad, rates[bins[cells]])), float(information_value(binned).sum())


def _models(consortium: Consortium) -> Iterator[Gate]:
    """A boosting model and a logistic one on the banks' customers; three folds."""
    rows = consortium.customers(BANK)
    cells = consortium.cells[rows][:, list(consortium.dictionary.owned(BANK))]
    bad = consortium.labels(BANK)[rows]
    boosting = HistGradientBoostingClassifier(max_iter=80, max_leaf_nodes=8, min_samples_leaf=200, random_state=0)
    boosted = _auc_of(boosting, cells, bad)
    one_hot = OneHotEncoder(min_frequency=0.01, handle_unknown="infrequent_if_exist").fit_transform(cells)
    logistic = _auc_of(LogisticRegression(C=0.1, max_iter=300), one_hot, bad)
    yield Gate("b", "AUC with bank columns, boosting", boosted, 0.68, 0.87)
    yield Gate("c", "AUC of boosting minus logistic", boosted - logistic, -0.005, 0.03)


def _marginals(consortium: Consortium) -> Iterator[Gate]:
    persons = consortium.population.persons
    for name, distance in distances(persons).items():
        yield Gate("d", f"distance of {name} from the public table", distance, 0.0, 0.1)
    for pair, value in correlations(persons).items():
        gap = abs(value - reference.RANK_CORRELATIONS[pair])
        yield Gate("d", f"rank correlation {pair[0]}-{pair[1]}, distance", gap, 0.0, 0.1)


def _regions(consortium: Consortium) -> Iterator[Gate]:
    rows = consortium.customers(BANK)
    columns, bad = consortium.population.columns, consortium.labels(BANK)[rows]
    region = consortium.population.persons.region[rows]
    members = [region == one for one in range(consortium.population.spec.regions)]
    shifts = [
        stability_index(columns[name][rows], there)
        for there in members
        for name in ("income", "savings", "debt_to_income")
    ]
    rates = [float(bad[there].mean()) for there in members]
    yield Gate("e", "stability index of the most shifted region", max(shifts), 0.1, 0.4)
    yield Gate("e", "highest over lowest bad rate of a region", max(rates) / min(rates), 1.3, 2.6)


def _real_table(consortium: Consortium) -> Iterator[Gate]:
    """Whether a classifier can tell bank customers from the cardholders of the UCI table, by what both have."""
    made_up, real = _made_up_cardholders(consortium), _real_cardholders()
    scaled = [table / [1.0, np.median(table[:, 1]), 1.0, 1.0] for table in (made_up, real)]
    which = np.repeat([0, 1], [len(made_up), len(real)])
    model = HistGradientBoostingClassifier(max_iter=40, random_state=0)
    yield Gate("f", "AUC of telling made-up from UCI customers", _auc_of(model, np.concatenate(scaled), which))


def _made_up_cardholders(consortium: Consortium) -> Floats:
    """Age, amount, utilisation and late payments of those with a file; shape (n, 4)."""
    columns, rows = consortium.population.columns, consortium.customers(BANK)
    names = ("age", "loan_amount", "utilisation", "delinquencies_24m")
    table = np.stack([columns[name][rows].astype(np.float64) for name in names], axis=1)
    return np.asarray(table[~np.isnan(table).any(axis=1)])


def _real_cardholders() -> Floats:
    """The same of the packaged UCI table; shape (30000, 4)."""
    uci = load_uci()
    late = sum((uci[f"pay_{month}"].to_numpy() > 0).astype(np.float64) for month in (0, 2, 3, 4, 5, 6))
    limit = uci["limit_bal"].to_numpy().astype(np.float64)
    used = np.clip(uci["bill_amt1"].to_numpy() / limit, 0.0, 2.0)
    return np.stack([uci["age"].to_numpy().astype(np.float64), limit, used, np.asarray(late)], axis=1)


def _truth(consortium: Consortium) -> Iterator[Gate]:
    """Labels against the true probability, in tenths of it."""
    outcomes = consortium.population.outcomes
    for kind, truth in ((BANK, outcomes.true_pd_bank), (HOSPITAL, outcomes.true_pd_hospital)):
        rows = consortium.customers(kind)
        pd, bad = truth[rows], consortium.labels(kind)[rows].astype(np.float64)
        tenth = np.digitize(pd, np.quantile(pd, np.linspace(0.1, 0.9, 9)))
        spread = np.sqrt(np.bincount(tenth, weights=pd * (1 - pd)))
        excess = np.abs(np.bincount(tenth, weights=bad - pd)) / spread
        yield Gate("g", f"tenths against true probability, most sd, {kind}s", float(excess.max()), 0.0, 4.0)


def _auc_of(model: object, features: object, labels: NDArray[np.generic]) -> float:
    found = cross_val_predict(model, features, labels, cv=3, method="predict_proba")
    return float(roc_auc_score(labels, found[:, 1]))
