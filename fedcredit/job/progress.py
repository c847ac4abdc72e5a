"""A job's state as a fold: decided steps in, next question out. Pure functions, no I/O, no clock.

Resuming, replaying and verifying a job are all this one function over the stored steps.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit import preflight
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.evaluation import phase as evaluation
from fedcredit.evaluation.score_grid import DEFAULT_RANGE, range_around
from fedcredit.job.store import Decided, Outcome
from fedcredit.models.family import family_of
from fedcredit.ownership import owned_coordinates
from fedcredit.plan import Placement, Plan
from fedcredit.preflight import Preflight
from fedcredit.privacy.shares import own_noise_variance
from fedcredit.roster import Member
from fedcredit.wire.canonical import canonical_json
from fedcredit.wire.messages import Role

CHARGED = ("preflight", "train", "evaluate")
"""Phases in which institutions send sums."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Everything that follows from the steps decided so far.

    Attributes
    ----------
    members
        Institutions still in the job, in roster order; it only shrinks.
    next_phase, next_round, attempt
        What to ask next, and which try at it; ``done`` when nothing is left.
    joining
        Whom phase join asks: all at first, later those that have lost their keys.
    resume
        Step (phase, round, attempt) that waits until keys are agreed on again; None before preflight.
    keyed
        Members whose joins make the key transcript: those in the job when keys were last agreed on.
    agreements
        How often phase join was over.
    new_keys
        Round of phase keys if it was since the last sums; then the next request carries the members' witness.
    last_sums
        Phase and round of the last sums, or None.
    rounds_trained
        Training rounds whose sums were released.
    preflight
        Released class counts, after phase preflight.
    state
        The family's state, after phase preflight.
    evaluation
        Released score histograms per grouping, after phase evaluate.
    """

    members: tuple[str, ...]
    next_phase: str
    next_round: int
    attempt: int = 1
    joining: tuple[str, ...] = ()
    resume: tuple[str, int, int] | None = None
    keyed: tuple[str, ...] = ()
    agreements: int = 0
    new_keys: int | None = None
    last_sums: tuple[str, int] | None = None
    rounds_trained: int = 0
    preflight: Preflight | None = None
    state: Any = None
    evaluation: dict[str, NDArray[np.float64]] | None = None


def start(plan: Plan) -> Progress:
    """Before anything was decided."""
    return Progress(plan.members, "join", 0, joining=plan.members)


def advance(plan: Plan, dictionary: DataDictionary, progress: Progress, decided: Decided) -> Progress:
    """Fold one decided attempt at a step."""
    progress = replace(progress, members=decided.members)
    match decided.outcome:
        case Outcome.DONE:
            return _done(plan, dictionary, progress, decided)
        case Outcome.AGAIN:
            return _again(progress, decided)
        case Outcome.ENDED:
            return _at(progress, *(("release", 0) if decided.phase == "evaluate" else ("evaluate", 1)))


def _done(plan: Plan, dictionary: DataDictionary, progress: Progress, decided: Decided) -> Progress:
    if decided.phase in CHARGED:
        progress = replace(progress, new_keys=None, last_sums=(decided.phase, decided.round))
    match decided.phase:
        case "join":
            joined = replace(progress, agreements=progress.agreements + 1, joining=(), keyed=progress.members)
            return _at(joined, "keys", decided.round, decided.attempt) if plan.privacy.masks else _after_keys(joined)
        case "keys":
            agreed = replace(progress, new_keys=decided.round)
            return _after_keys(agreed) if _witnessed(plan, progress) else _fewer(progress)
        case "preflight":
            released = _read_preflight(plan, dictionary, decided)
            noise = _train_noise(plan, dictionary, decided.members)
            records = _train_records(plan, dictionary, decided.members)
            state = family_of(plan.model.family).init(plan.model, dictionary, released, noise, records)
            return _at(replace(progress, preflight=released, state=state), "train", 1)
        case "train":
            state = family_of(plan.model.family).update(progress.state, decided.sums)
            trained = replace(progress, state=state, rounds_trained=progress.rounds_trained + 1)
            last = decided.round == plan.phases.train.rounds
            return _at(trained, "evaluate", 1) if last else _at(trained, "train", decided.round + 1)
        case "evaluate":
            counts = evaluation.read_release(dictionary, plan.evaluation, decided.sums, plan.phases.evaluate.scale)
            return _at(replace(progress, evaluation=counts), "release", 0)
        case _:
            return _at(progress, "done", 0)


def _again(progress: Progress, decided: Decided) -> Progress:
    """The next attempt, after those who lost their keys have joined again."""
    if not decided.rejoining:
        return _at(progress, decided.phase, decided.round, decided.attempt + 1)
    rejoining = replace(progress, joining=decided.rejoining)
    if decided.phase == "keys":
        # The step that waits for the keys waits on; attempts count how often agreeing on them has failed in a row.
        return _at(rejoining, "join", progress.agreements, decided.attempt + 1)
    waiting = (decided.phase, decided.round, decided.attempt + 1)
    return _at(replace(rejoining, resume=waiting), "join", progress.agreements)


def _witnessed(plan: Plan, progress: Progress) -> bool:
    """Whether enough members agreed for each to meet the witnesses that it wants of the others who joined."""
    return len(progress.members) - 1 >= min(plan.privacy.colluders + 1, len(progress.keyed) - 1)


def _fewer(progress: Progress) -> Progress:
    """Agree again on the joins of those who are left: nobody waits for the word of one who has gone."""
    fewer = replace(progress, keyed=progress.members, agreements=progress.agreements + 1)
    return _at(fewer, "keys", progress.agreements)


def _after_keys(progress: Progress) -> Progress:
    phase, round_, attempt = progress.resume or ("preflight", 1, 1)
    return _at(replace(progress, resume=None), phase, round_, attempt)


def _at(progress: Progress, phase: str, round_: int, attempt: int = 1) -> Progress:
    return replace(progress, next_phase=phase, next_round=round_, attempt=attempt)


def request_model(plan: Plan, progress: Progress) -> bytes:
    """The model bytes of the next request."""
    family = family_of(plan.model.family)
    match progress.next_phase:
        case "train":
            return family.broadcast(progress.state)
        case "evaluate":
            return scored_model(plan, progress).encode()
        case "release":
            return canonical_json(family.release(progress.state))
        case _:
            return b""


def scored_model(plan: Plan, progress: Progress) -> evaluation.ScoredModel:
    """The released model with score bins around the released base rate."""
    low, high = _score_range(progress.preflight)
    scale = evaluation.MARGIN_SCALE
    return evaluation.ScoredModel(
        round(low * scale), round(high * scale), family_of(plan.model.family).final(progress.state)
    )


def owned_by(plan: Plan, dictionary: DataDictionary, role: Role, members: tuple[str, ...]) -> NDArray[np.bool_]:
    """Coordinates that at least one of the members owns; the others' sums hold noise and nothing else."""
    owned = np.zeros(plan.phases.of(role).vector_length, dtype=np.bool_)
    asked = frozenset(members)
    for kind in {member.kind for member in plan.roster.members if member.id in asked}:
        owned |= owned_coordinates(plan, dictionary, role, kind)
    return owned


def noise_variance(plan: Plan, dictionary: DataDictionary, role: Role, members: tuple[str, ...]) -> NDArray[np.float64]:
    """Total noise variance on each released coordinate, in squared lattice units; shape (vector_length,).

    Not an integer array: a plan's variance may reach 2^80.
    """
    terms, placement = plan.phases.of(role), plan.privacy.placement
    total = np.zeros(terms.vector_length)
    own_of = {
        kind: owned_coordinates(plan, dictionary, role, kind) * float(variance * terms.local_steps)
        for kind, variance in terms.noise_variance.items()
    }
    for member in _present(plan, members):
        own = own_of[member.kind]
        total = total + own if placement is Placement.LOCAL else np.maximum(total, own)
    if placement is Placement.DISTRIBUTED:
        share = own_noise_variance(plan, plan.roster.members[0].kind, role, len(members))
        return np.where(total > 0, float(share) * len(members), 0.0)
    return total


def _read_preflight(plan: Plan, dictionary: DataDictionary, decided: Decided) -> Preflight:
    variance = noise_variance(plan, dictionary, Role.PREFLIGHT, decided.members)
    starts = np.cumsum([0, *(2 * feature.n_cells for feature in dictionary.features)])[:-1]
    per_feature = {index: int(variance[start]) for index, start in enumerate(starts)}
    return preflight.read_release(dictionary, decided.sums, plan.phases.preflight.scale, per_feature)


def _train_noise(plan: Plan, dictionary: DataDictionary, members: tuple[str, ...]) -> NDArray[np.float64]:
    variance = noise_variance(plan, dictionary, Role.TRAIN, members)
    return np.sqrt(variance) / plan.phases.train.scale


def _train_records(plan: Plan, dictionary: DataDictionary, members: tuple[str, ...]) -> NDArray[np.float64]:
    records = np.zeros(plan.phases.train.vector_length)
    owned = {kind: owned_coordinates(plan, dictionary, Role.TRAIN, kind) for kind in dictionary.kinds}
    for member in _present(plan, members):
        records += owned[member.kind] * plan.training_records_of(member)
    return records


def _present(plan: Plan, members: tuple[str, ...]) -> list[Member]:
    """Members still in the job, in roster order."""
    asked = frozenset(members)
    return [member for member in plan.roster.members if member.id in asked]


def _score_range(released: Preflight | None) -> tuple[float, float]:
    if released is None:
        return DEFAULT_RANGE
    good, bad = (float(sum(counts[:, label].sum() for counts in released.counts)) for label in (0, 1))
    base_rate = bad / (good + bad) if good + bad > 0 else 0.0
    return range_around(base_rate) if 0.005 < base_rate < 0.6 else DEFAULT_RANGE
