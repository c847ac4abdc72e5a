"""One simulated run from settings to results: the joint job, its rivals, exact scores.

Nothing here trains or adds noise; it starts jobs and reads what they released.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.evaluation.summary import FederatedMetrics
from fedcredit.job.progress import Progress
from fedcredit.job.released import federated_metrics
from fedcredit.job.store import Decided
from fedcredit.plan import Plan
from fedcredit.planning import accountant_for
from fedcredit.privacy import pld
from fedcredit.privacy.statement import PrivacyStatement, planned_cost, statement
from fedcredit.report.reading import LINKED
from simulations.client_level import run_client_level
from simulations.cohort_run import run_cohort
from simulations.comparisons import (
    ALL_COLUMNS,
    Comparison,
    Run,
    Scores,
    run_alone,
    run_pooled,
    run_same_type,
    score_outcome,
    views,
)
from simulations.dataset import institutions_of
from simulations.federation import Federation, JobOutcome, JobSpec, found, noise_label, run_in_process
from simulations.joint_view import (
    JointOutcome,
    LinkedInstitution,
    added_up,
    kinds_of,
    link_all,
    linked_note,
    require_within,
    run_joint,
)
from simulations.partition import PooledTable, Split, deal, institution_ids, train_and_test
from simulations.placement import Masks, mask_label
from simulations.plan_words import coordinator_sees, device_note, joint_note, plan_notes
from simulations.population.consortium import Consortium, institutions_in, linked_institutions, split_of
from simulations.population.judging import judge
from simulations.population.segments import SegmentFigures
from simulations.results import (
    ClientLevelResult,
    Federated,
    InstitutionPlan,
    Metrics,
    ModelResult,
    PlanSummary,
    RunResult,
)
from simulations.rival_deltas import deltas_of
from simulations.settings import Settings
from simulations.training_noise import auc_noise

Runner = Callable[[Federation, JobSpec, Path | None, Callable[[Decided, Progress], None] | None], JobOutcome]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A simulation that is ready to start: institutions, keys and plan, nothing charged yet.

    Attributes
    ----------
    splits
        Per view, the rows that train and test it; of a single table, the same rows in every view.
    consortium
        Where the rows come from, if they were drawn.
    """

    settings: Settings
    dictionary: DataDictionary
    splits: Mapping[str, Split]
    federation: Federation
    started: float
    linked: tuple[LinkedInstitution, ...] = ()
    consortium: Consortium | None = None

    @property
    def table(self) -> PooledTable:
        """The table with all columns."""
        return self.splits[ALL_COLUMNS].table


@dataclass(frozen=True, slots=True)
class Finished:
    """Everything that a run found."""

    result: RunResult
    outcome: JobOutcome
    comparison: Comparison
    joint_view: JointOutcome | None = None
    segments: tuple[SegmentFigures, ...] = ()


def prepare(settings: Settings, dictionary: DataDictionary, table: PooledTable, started: float) -> Prepared:
    """Deal the rows and calibrate the plan.

    Raises
    ------
    FedcreditError
        If the settings do not fit the table or each other.
    """
    names = list(institution_ids(settings.banks, settings.hospitals))
    parts = deal(table, len(names), settings.split, settings.seed)
    # A cohort's books name no data, and a thousand fingerprints take longer than its training.
    institutions = institutions_of(dictionary, table, parts, names, fingerprints=settings.runtime != "cohort")
    linked: tuple[LinkedInstitution, ...] = ()
    if settings.linked is not None:
        linked = link_all(dictionary, table, parts, names, kinds_of(dictionary, settings.customers))
    split = Split(table, *train_and_test(table, settings.seed), np.ones(table.bad.size, dtype=np.bool_))
    splits = dict.fromkeys(views(dictionary), split)
    return Prepared(settings, dictionary, splits, found(dictionary, institutions, settings.job), started, linked)


def prepare_consortium(settings: Settings, consortium: Consortium, started: float) -> Prepared:
    """Calibrate the plan for a drawn population, whose institutions have their rows already.

    Raises
    ------
    FedcreditError
        If the settings do not fit the population or each other.
    """
    dictionary = consortium.dictionary
    splits = {kind: split_of(consortium, kind) for kind in dictionary.kinds}
    kinds = kinds_of(dictionary, settings.customers)
    splits[ALL_COLUMNS] = splits[kinds[0]]
    linked = linked_institutions(consortium, *kinds) if settings.linked is not None else ()
    federation = found(dictionary, institutions_in(consortium), settings.job)
    return Prepared(settings, dictionary, splits, federation, started, linked, consortium)


def in_process(
    federation: Federation, spec: JobSpec, folder: Path | None, on_decided: Callable[[Decided, Progress], None] | None
) -> JobOutcome:
    """The default runner: function calls."""
    return run_in_process(federation, spec, folder=folder, on_decided=on_decided)


def execute(
    prepared: Prepared,
    folder: Path | None,
    on_decided: Callable[[Decided, Progress], None] | None = None,
    on_comparison: Callable[[str], None] | None = None,
    runner: Runner = in_process,
) -> Finished:
    """Run the joint job, then its rivals, and score everything on the whole test set.

    Parameters
    ----------
    folder
        Where the joint job's ledgers and store go; None keeps them in memory.
    on_decided, on_comparison
        Progress: each decided step of the joint job, and the name of each rival before it runs.
    runner
        What carries the joint job's messages.
    """
    settings = prepared.settings
    begun = time.monotonic()
    announce = on_comparison or (lambda _: None)
    outcome = runner(prepared.federation, settings.job, folder, on_decided)
    joint_view = _joint_view(prepared, outcome, folder, announce)
    comparison = _compare(prepared, outcome, joint_view, announce)
    rival = _client_level(prepared, announce)
    # Imported at the end: scikit-learn takes as long to load as a thousand institutions to train.
    exact: Callable[[NDArray[np.uint8], Scores], Metrics] = import_module("simulations.exact").exact
    released = federated_metrics(outcome.plan, prepared.dictionary, outcome.progress)
    result = RunResult(
        joint=_model_result(exact, comparison.labels, comparison.joint),
        same_type=_model_result(exact, comparison.labels, comparison.same_type),
        pooled=_model_result(exact, comparison.labels, comparison.pooled),
        alone={
            name: ModelResult(own := exact(comparison.labels[kind], scores), {kind: own})
            for name, (kind, scores) in comparison.alone.items()
        },
        federated=_federated(released),
        privacy=outcome.statements if joint_view is None else added_up(outcome.statements, joint_view.job.statements),
        epsilon_joint=epsilons_joint(outcome.plan),
        noise=noise_label(settings.job),
        placement=outcome.plan.privacy.placement.value,
        masks=mask_label(outcome.plan.privacy.masks, len(outcome.plan.members)),
        seconds_start=round(begun - prepared.started, 3),
        seconds_total=round(time.monotonic() - prepared.started, 3),
        virtual=outcome.virtual,
        deltas=deltas_of(comparison),
        client_level=None
        if rival is None
        else ClientLevelResult(_model_result(exact, comparison.labels, rival[0]), rival[1]),
    )
    segments: tuple[SegmentFigures, ...] = ()
    if prepared.consortium is not None:
        segments = judge(prepared.consortium, comparison, kinds_of(prepared.dictionary, settings.customers)[0])
    return Finished(result, outcome, comparison, joint_view, segments)


def plan_summary(prepared: Prepared) -> PlanSummary:
    """What each institution will spend, before anything is charged."""
    plan = prepared.federation.plan
    return PlanSummary(
        institutions=_institution_plans(prepared, plan),
        n_colluders=plan.privacy.colluders,
        coordinator_sees=coordinator_sees(plan),
        notes=(
            *plan_notes(plan, prepared.dictionary, prepared.settings.placement),
            *joint_note(epsilons_joint(plan)),
            *device_note(prepared.settings.job.kernel),
            *linked_note(prepared.settings.linked, prepared.settings.target, len(prepared.linked)),
        ),
    )


def epsilons_joint(plan: Plan) -> dict[str, float | None]:
    """Epsilon of each institution's messages and dearest retries if all were fixed in advance; of sampled plans."""
    accountant = accountant_for(plan.privacy, plan.phases.train.sampling_rate)
    kinds = dict.fromkeys(member.kind for member in plan.roster.members)
    sampled = plan.phases.train.sampling_rate < 1 and pld.installed()
    of_kind = {
        kind: pld.epsilon_of_plan(plan, kind, pld.dearest_retries(plan, kind, accountant)) if sampled else None
        for kind in kinds
    }
    return {member.id: of_kind[member.kind] for member in plan.roster.members}


def _joint_view(
    prepared: Prepared, outcome: JobOutcome, folder: Path | None, announce: Callable[[str], None]
) -> JointOutcome | None:
    """Fit the joint view, where linked rows are declared."""
    settings = prepared.settings
    if settings.linked is None:
        return None
    announce("joint view")
    place = folder / LINKED if folder else None
    kinds = kinds_of(prepared.dictionary, settings.customers)
    found = run_joint(prepared.dictionary, outcome, prepared.linked, kinds, settings.linked, folder=place)
    require_within(settings.target, found.kind, outcome.plan, found.job.plan)
    return found


def _compare(
    prepared: Prepared, outcome: JobOutcome, joint_view: JointOutcome | None, announce: Callable[[str], None]
) -> Comparison:
    dictionary, splits = prepared.dictionary, prepared.splits
    spec = replace(prepared.settings.job, privacy=prepared.settings.target)
    labels = {view: split.table.bad[split.test] for view, split in splits.items()}
    joint = _joint_scores(prepared, outcome, joint_view)
    if not prepared.settings.compare:
        return Comparison(labels, joint, {}, {}, {})
    institutions = prepared.federation.institutions
    by_cohort = prepared.settings.runtime == "cohort"
    run: Run = run_cohort if by_cohort else run_in_process
    masks: Masks = "off" if by_cohort else prepared.settings.masks
    kinds = tuple(dict.fromkeys(one.kind for one in institutions))
    same_type: dict[str, Scores] = {}
    noise: dict[tuple[str, str], float | None] = {}
    for kind in kinds:
        announce(f"same type: {kind}")
        rival = run_same_type(dictionary, institutions, kind, spec, masks, run)
        same_type[kind] = score_outcome(dictionary, rival, splits[kind].table, splits[kind].test)[kind]
        for model, job in (("joint", outcome), ("same_type", rival)):
            noise[model, kind] = _noise(dictionary, job, kind, splits[kind])
    first = prepared.settings.customers or kinds[0]
    same_type[ALL_COLUMNS] = same_type[first]
    noise["same_type", ALL_COLUMNS] = noise["same_type", first]
    noise["joint", ALL_COLUMNS] = noise["joint", first] if joint_view is None else None
    alone: dict[str, tuple[str, Scores]] = {}
    for one in institutions:
        announce(f"alone: {one.id}")
        rival, split = run_alone(dictionary, one, spec, run), splits[one.kind]
        alone[one.id] = (one.kind, score_outcome(dictionary, rival, split.table, split.test)[one.kind])
    pooled: dict[str, Scores] = {}
    for view, split in splits.items():
        announce(f"pooled: {view} columns")
        pooled[view] = run_pooled(dictionary, split.table, split.train, split.test, view, spec, run)[1]
    return Comparison(labels, joint, same_type, pooled, alone, noise)


def _noise(dictionary: DataDictionary, outcome: JobOutcome, kind: str, split: Split) -> float | None:
    cells, labels = split.table.cells[split.test], split.table.bad[split.test]
    return auc_noise(dictionary, outcome, kind, cells, labels)


def _client_level(
    prepared: Prepared, announce: Callable[[str], None]
) -> tuple[Mapping[str, Scores], PrivacyStatement] | None:
    """The rival that protects whole institutions, where it was asked for."""
    settings = prepared.settings
    if not settings.client_level:
        return None
    announce("institutions protected as wholes")
    spec = replace(settings.job, privacy=settings.target)
    found = run_client_level(prepared.dictionary, prepared.federation.institutions, spec)
    scores = {}
    for view, split in prepared.splits.items():
        of_table = score_outcome(prepared.dictionary, found.outcome, split.table, split.test)
        if view in of_table:
            scores[view] = of_table[view]
    return scores, found.privacy


def _joint_scores(prepared: Prepared, outcome: JobOutcome, joint_view: JointOutcome | None) -> dict[str, Scores]:
    """Score each view's own test rows; `all` is one type's view, and the joint view where rows are linked."""
    joint = {}
    for view, split in prepared.splits.items():
        found = score_outcome(prepared.dictionary, outcome, split.table, split.test)
        of_view = prepared.settings.customers or view if view == ALL_COLUMNS else view
        if of_view in found:
            joint[view] = found[of_view]
    if joint_view is not None:
        split = prepared.splits[ALL_COLUMNS]
        linked = split.linked[split.test]
        cells = split.table.cells[split.test[linked]]
        own, other = (cells[:, list(prepared.dictionary.owned(kind))] for kind in (joint_view.kind, joint_view.other))
        pd = joint[ALL_COLUMNS].pd.copy()
        pd[linked] = joint_view.score(own, other).pd
        joint[ALL_COLUMNS] = Scores(pd)
    return joint


def _model_result(
    exact: Callable[[NDArray[np.uint8], Scores], Metrics],
    labels: Mapping[str, NDArray[np.uint8]],
    scores: Mapping[str, Scores],
) -> ModelResult:
    by_view = {view: exact(labels[view], one) for view, one in scores.items()}
    return ModelResult(by_view.get(ALL_COLUMNS, Metrics(None, None, None, 0)), by_view)


def _federated(released: FederatedMetrics | None) -> Federated:
    if released is None:
        return Federated(None, None, None, None, None)
    return Federated(released.auc, released.auc_low, released.auc_high, released.ks, released.brier)


def _institution_plans(prepared: Prepared, plan: Plan) -> tuple[InstitutionPlan, ...]:
    """In roster order; institutions of one type own the same columns and plan to spend the same."""
    accountant = accountant_for(plan.privacy, plan.phases.train.sampling_rate)
    columns: dict[str, dict[str, int]] = {}
    numbers: dict[str, PrivacyStatement] = {}
    for kind in dict.fromkeys(member.kind for member in plan.roster.members):
        columns[kind] = dict(Counter(feature.block for feature in prepared.dictionary.owned_features(kind)))
        planned = planned_cost(plan, kind, accountant)
        numbers[kind] = statement(plan, kind, accountant, planned, Fraction(0))
    return tuple(
        InstitutionPlan(one.id, one.kind, one.public_size, columns[one.kind], numbers[one.kind])
        for one in plan.roster.members
    )
