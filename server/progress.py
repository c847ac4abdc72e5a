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
from fedcredit.models.family import family_of
from fedcredit.plan import Placement, Plan
from fedcredit.preflight import Preflight
from fedcredit.wire.canonical import canonical_json
from fedcredit.wire.messages import Role
from server.store import Decided


@dataclass(frozen=True, slots=True)
class Progress:
    """Everything that follows from the steps decided so far.

    Attributes
    ----------
    members
        Institutions still in the job, in roster order; it only shrinks.
    next_phase, next_round
        What to ask next; ``done`` when nothing is left.
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
    preflight: Preflight | None = None
    state: Any = None
    evaluation: dict[str, NDArray[np.float64]] | None = None


def start(plan: Plan) -> Progress:
    """Before anything was decided."""
    return Progress(plan.members, "join", 0)


def advance(plan: Plan, dictionary: DataDictionary, progress: Progress, decided: Decided) -> Progress:
    """Fold one decided step."""
    members = decided.members
    match decided.phase:
        case "join":
            return replace(progress, members=members, next_phase="preflight", next_round=1)
        case "preflight":
            released = _read_preflight(plan, dictionary, decided)
            noise = _train_noise(plan, dictionary, members)
            state = family_of(plan.model.family).init(plan.model, dictionary, released, noise)
            return replace(progress, members=members, next_phase="train", next_round=1, preflight=released, state=state)
        case "train":
            state = family_of(plan.model.family).update(progress.state, decided.sums)
            last = decided.round == plan.phases.train.rounds
            following = ("evaluate", 1) if last else ("train", decided.round + 1)
            return replace(progress, members=members, next_phase=following[0], next_round=following[1], state=state)
        case "evaluate":
            counts = evaluation.read_release(dictionary, plan.evaluation, decided.sums, plan.phases.evaluate.scale)
            return replace(progress, members=members, next_phase="release", next_round=0, evaluation=counts)
        case _:
            return replace(progress, members=members, next_phase="done", next_round=0)


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


def owned_coordinates(plan: Plan, dictionary: DataDictionary, role: Role, kind: str) -> NDArray[np.bool_]:
    """Coordinates of a phase's vector that an institution type owns; others carry only its noise and are dropped."""
    match role:
        case Role.PREFLIGHT:
            return preflight.owned_coordinates(dictionary, kind)
        case Role.TRAIN:
            return family_of(plan.model.family).owned_coordinates(plan.model, dictionary, kind)
        case Role.EVALUATE:
            return evaluation.owned_coordinates(dictionary, plan.evaluation, kind)


def noise_variance(plan: Plan, dictionary: DataDictionary, role: Role, members: tuple[str, ...]) -> NDArray[np.float64]:
    """Total noise variance on each released coordinate, in squared lattice units; shape (vector_length,).

    Not an integer array: a plan's variance may reach 2^80.
    """
    terms = plan.phases.of(role)
    total = np.zeros(terms.vector_length)
    for member in plan.roster.members:
        if member.id in members:
            own = owned_coordinates(plan, dictionary, role, member.kind) * float(terms.noise_variance[member.kind])
            total = np.maximum(total, own) if plan.privacy.placement is Placement.CENTRAL else total + own
    return total


def _read_preflight(plan: Plan, dictionary: DataDictionary, decided: Decided) -> Preflight:
    variance = noise_variance(plan, dictionary, Role.PREFLIGHT, decided.members)
    starts = np.cumsum([0, *(2 * feature.n_cells for feature in dictionary.features)])[:-1]
    per_feature = {index: int(variance[start]) for index, start in enumerate(starts)}
    return preflight.read_release(dictionary, decided.sums, plan.phases.preflight.scale, per_feature)


def _train_noise(plan: Plan, dictionary: DataDictionary, members: tuple[str, ...]) -> NDArray[np.float64]:
    variance = noise_variance(plan, dictionary, Role.TRAIN, members)
    return np.sqrt(variance) / plan.phases.train.scale


def _score_range(released: Preflight | None) -> tuple[float, float]:
    if released is None:
        return DEFAULT_RANGE
    good, bad = (float(sum(counts[:, label].sum() for counts in released.counts)) for label in (0, 1))
    base_rate = bad / (good + bad) if good + bad > 0 else 0.0
    return range_around(base_rate) if 0.005 < base_rate < 0.6 else DEFAULT_RANGE
