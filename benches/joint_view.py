"""Fits of the joint view, compared: ``python -m benches.joint_view [uci|synthetic] [--epsilon E …] [--seeds N]``.

Per ε the mean exact test AUC over seeds (split and noise) of bank customers: their own view from a job with the whole
budget, their own view from a base job that leaves the linked job its share, and each fit on top of that one. Beside
the fits of family ``joint`` stands a scorecard on the same linked rows. Not private: the figures are exact.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from fedcredit.data.quantise import feature_column
from fedcredit.data.rows import Dataset, single
from fedcredit.dictionary.mapping import ColumnMapping
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.models.joint_spec import JointSpec
from fedcredit.models.scorecard_spec import ScorecardSpec
from fedcredit.plan import EvaluationTerms, Placement, PrivacyTerms, PrivacyUnit
from fedcredit.planning import BudgetShares
from simulations.comparisons import score
from simulations.dataset import DataSpec, institutions_of, load
from simulations.federation import Institution, JobOutcome, JobSpec, found, run_in_process
from simulations.joint_view import (
    LinkedInstitution,
    LinkedRows,
    kinds_of,
    link_all,
    linked_spec,
    require_within,
    run_joint,
    split_budget,
)
from simulations.partition import SplitSpec, deal, institution_ids, train_and_test

KINDS = ("bank", "hospital")
FITS = ("one", "by_file", "surface", "scorecard")
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class World:
    """A consortium with linked rows, and bank customers to be scored.

    Attributes
    ----------
    own, other, bad
        Test customers of banks: cells of both types' features, and the banks' outcome.
    linked
        Which of them are known to a hospital and consent.
    segments
        Test customers by name of a segment.
    """

    dictionary: DataDictionary
    institutions: tuple[Institution, ...]
    rows: tuple[LinkedInstitution, ...]
    own: NDArray[np.uint16]
    other: NDArray[np.uint16]
    bad: NDArray[np.uint8]
    linked: Bools
    segments: dict[str, Bools]


def uci(seed: int) -> World:
    """Three banks and three hospitals; every bank customer is linked."""
    dictionary, table = load(DataSpec("uci_credit"))
    names = institution_ids(3, 3)
    parts = deal(table, len(names), SplitSpec("iid"), seed)
    test = train_and_test(table, seed)[1]
    own, other = (table.cells[test][:, list(dictionary.owned(kind))] for kind in KINDS)
    everyone = np.ones(len(test), dtype=np.bool_)
    return World(
        dictionary,
        institutions_of(dictionary, table, parts, list(names)),
        link_all(dictionary, table, parts, names, kinds_of(dictionary)),
        own,
        other,
        table.bad[test],
        everyone,
        {"all": everyone},
    )


def synthetic(seed: int) -> World:
    """Six banks and four hospitals of the synthetic population; who consents is linked."""
    from simulations.population.drawing import draw  # noqa: PLC0415
    from simulations.population.spec import PopulationSpec  # noqa: PLC0415
    from simulations.population.tables import consortium_dictionary, everybody  # noqa: PLC0415

    people = draw(PopulationSpec(seed=seed))
    contract = consortium_dictionary().model_dump()
    history = [feature["name"] for feature in contract["features"] if feature["block"] == "bank"]
    contract["institution_types"]["bank"]["thin_when_missing"] = history
    dictionary = DataDictionary.model_validate(contract)
    table = everybody(people, np.arange(people.n_persons))
    cells = np.column_stack([feature_column(one, ColumnMapping(column=one.name), table) for one in dictionary.features])
    own, other = (cells[:, list(dictionary.owned(kind))] for kind in KINDS)
    bad = {kind: people.columns[f"{kind}_bad"].astype(np.uint8) for kind in KINDS}
    test = np.random.default_rng(seed).random(people.n_persons) < 0.2

    def institution(name: str, kind: str) -> Institution:
        held, columns = people.held_by(name), own if kind == "bank" else other
        train, evaluate = (single(columns[part], bad[kind][part]) for part in (held[~test[held]], held[test[held]]))
        return Institution(name, kind, Dataset(kind, train, evaluate, bytes(32)))

    def rows(part: NDArray[np.int64]) -> LinkedRows:
        return LinkedRows(own[part], other[part], bad["bank"][part])

    members = [institution(name, "bank") for name in people.spec.bank_ids]
    members += [institution(name, "hospital") for name in people.spec.hospital_ids]
    linked = []
    for name in people.spec.bank_ids:
        held = people.held_by(name)[people.linked[people.held_by(name)]]
        linked.append(LinkedInstitution(name, rows(held[~test[held]]), rows(held[test[held]])))
    customers = np.flatnonzero(test & (people.places.bank >= 0))
    thin = people.columns["thin_file"][customers].astype(np.bool_)
    segments = {"all": np.ones(len(customers), dtype=np.bool_), "thin file": thin}
    return World(
        dictionary,
        tuple(members),
        tuple(linked),
        own[customers],
        other[customers],
        bad["bank"][customers],
        people.linked[customers],
        segments,
    )


WORLDS: dict[str, Callable[[int], World]] = {"uci": uci, "synthetic": synthetic}


def terms(epsilon: float | None) -> PrivacyTerms:
    """Shared noise at δ = 1e-6, or none."""
    if epsilon is None:
        return PrivacyTerms(placement=Placement.NONE, unit=PrivacyUnit.RECORD)
    return PrivacyTerms(
        placement=Placement.DISTRIBUTED, unit=PrivacyUnit.RECORD, epsilon=epsilon, delta=1e-6, masks=False
    )


def aucs(world: World, target: PrivacyTerms, percent: int, seed: int) -> list[list[float]]:
    """Per model the AUC of each segment."""
    job = JobSpec("joint", ScorecardSpec(), target, BudgetShares(), EvaluationTerms(score_bins=20), seed)
    base_terms, linked_terms = split_budget(target, percent)
    whole = run_of(world, job)
    base = whole if base_terms == target else run_of(world, replace(job, privacy=base_terms))
    found_auc = [_by_segment(world, _own_view(world, whole)), _by_segment(world, own := _own_view(world, base))]
    for fit in FITS:
        spec = linked_spec(job, linked_terms, JointSpec(fit="one" if fit == "scorecard" else fit))
        if fit == "scorecard":
            spec = replace(spec, model=ScorecardSpec(), shares=BudgetShares())
        joint = run_joint(world.dictionary, base, world.rows, KINDS, spec, masks="off")
        require_within(target, "bank", base.plan, joint.job.plan)
        pd = np.where(world.linked, joint.score(world.own, world.other).pd, own)
        found_auc.append(_by_segment(world, pd))
    return found_auc


def run_of(world: World, job: JobSpec) -> JobOutcome:
    """A job of the whole consortium."""
    return run_in_process(found(world.dictionary, world.institutions, job), job)


def _own_view(world: World, outcome: JobOutcome) -> NDArray[np.float64]:
    from fedcredit.models.family import family_of  # noqa: PLC0415

    cells = np.zeros((len(world.own), len(world.dictionary.features)), dtype=np.uint16)
    cells[:, list(world.dictionary.owned("bank"))] = world.own
    model = family_of("scorecard").final(outcome.progress.state)
    return score(world.dictionary, outcome.plan.model, model, "bank", cells).pd


def _by_segment(world: World, pd: NDArray[np.float64]) -> list[float]:
    return [float(roc_auc_score(world.bad[part], pd[part])) for part in world.segments.values()]


def main() -> None:
    """Print one Markdown line per ε and segment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", choices=WORLDS, nargs="?", default="uci")
    parser.add_argument("--epsilon", nargs="*", default=["0.5", "1", "2", "none"], help="numbers, or none")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--percent", type=int, default=10, help="the linked job's share of the cost")
    chosen = parser.parse_args()
    for text in chosen.epsilon:
        target, begun = terms(None if text == "none" else float(text)), time.monotonic()
        worlds = [WORLDS[chosen.data](seed) for seed in range(chosen.seeds)]
        found_auc = np.array([aucs(world, target, chosen.percent, seed) for seed, world in enumerate(worlds)])
        for place, segment in enumerate(worlds[0].segments):
            here = found_auc[:, :, place]
            # Of the default fit, over the base job's own view.
            gains = here[:, 2 + FITS.index("by_file")] - here[:, 1]
            spread = float(gains.std(ddof=1)) if chosen.seeds > 1 else 0.0
            cells = " | ".join(f"{value:.4f}" for value in here.mean(axis=0))
            print(f"| {text} | {segment} | {cells} | {spread:.4f} |", flush=True)
        print(f"<!-- {chosen.seeds} seeds in {time.monotonic() - begun:.0f} s -->", flush=True)


if __name__ == "__main__":
    main()
