"""How an attempt's replies become a decided step: pure functions, whoever carried the replies.

The coordinator calls them with signed envelopes in hand, a simulation with the sums of a whole cohort; the rules of
retry and drop are one.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import JobError
from fedcredit.job.admission import plausible_sum
from fedcredit.job.progress import Progress, owned_by
from fedcredit.job.store import Decided, Outcome
from fedcredit.plan import Placement, Plan
from fedcredit.privacy.shares import fewest_members
from fedcredit.roster import FEWEST_MEMBERS
from fedcredit.wire.messages import Role
from server.verdict import Verdict

RESENDS = 1
"""How often an attempt's request is sent again to whoever is silent."""
ROLES = {"preflight": Role.PREFLIGHT, "train": Role.TRAIN, "evaluate": Role.EVALUATE}
"""The role of each phase in which institutions send sums."""


def whom_to_ask(progress: Progress) -> tuple[str, ...]:
    """Who is asked at the next step, in roster order."""
    return progress.joining if progress.next_phase == "join" else progress.members


def fewest(plan: Plan) -> int:
    """Fewest members over which this plan's sums can be taken."""
    terms = plan.privacy
    shared = terms.placement is Placement.DISTRIBUTED
    masked = FEWEST_MEMBERS if terms.masks else 1
    return max(masked, fewest_members(terms.colluders) if shared else 1, len(plan.members) - terms.max_drops)


def decided(progress: Progress, found: Verdict, sums: Callable[[Role], NDArray[np.int64]]) -> Decided:
    """The step that follows from a verdict.

    Parameters
    ----------
    sums
        Released sums of a role; asked for only where everybody has answered.
    """
    role = ROLES.get(progress.next_phase)
    released = np.zeros(0, dtype=np.int64)
    if role is not None and found.outcome is Outcome.DONE:
        released = sums(role)
    place = (progress.next_phase, progress.next_round, progress.attempt)
    return Decided(*place, found.outcome, found.members, found.rejoining, released)


def released_sum(
    plan: Plan, dictionary: DataDictionary, progress: Progress, role: Role, total: NDArray[np.int64]
) -> NDArray[np.int64]:
    """What is released of a sum over all members, in which masks have cancelled; zeros where nobody owns a coordinate.

    Raises
    ------
    JobError
        If a member did not keep to the protocol.
    """
    total = np.where(owned_by(plan, dictionary, role, progress.members), total, 0)
    if not plausible_sum(plan, progress.members, role, total):
        raise JobError(
            f"the sums of {role.name} {progress.next_round} are out of range: a member did not keep to the protocol, "
            "and masks hide which; found out with smaller rosters, each a job of its own."
        )
    return total
