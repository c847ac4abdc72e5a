"""The guard's memory: what a request may be, given what this institution has answered in the job before.

A job goes forward only: preflight, training rounds in order, evaluation; attempts of one round rise, carry one
model, and ask members of whom nobody returns who was left out before.
"""

from collections.abc import Sequence
from typing import Any

from fedcredit.errors import RefusalError
from fedcredit.plan import Plan
from fedcredit.wire.canonical import digest
from fedcredit.wire.messages import Role, RoundRequest

_ROLES = {role.name.lower(): role for role in Role}


def guard_history(
    plan: Plan, request: RoundRequest, charged: Sequence[dict[str, Any]], *, reserve_used_up: bool
) -> None:
    """Check a request that has not been answered yet against those that were.

    Parameters
    ----------
    charged
        The job's charge events, oldest first.
    reserve_used_up
        Whether a retry was asked for in this job that its reserve could not pay.

    Raises
    ------
    RefusalError
        If the request goes back in the job, repeats an attempt, changes the model of a round, brings a dropped
        member back, or asks for the evaluation while training can go on.
    """
    same_round = [event for event in charged if _place(event) == (request.role, request.round)]
    if {event["model_hash"] for event in same_round} - {digest("model", request.model).hex()}:
        raise RefusalError("model", "an earlier attempt of this round used another model; send that one.")
    if any(event["attempt"] >= request.attempt for event in same_round):
        raise RefusalError("attempt", "a higher attempt of this round was answered already; raise the attempt.")
    if charged:
        _guard_order(charged[-1], request)
    if request.role is Role.EVALUATE and not _training_over(plan, charged, reserve_used_up):
        raise RefusalError("order", "training is not over here; the model is evaluated once, after the last round.")


def _guard_order(last: dict[str, Any], request: RoundRequest) -> None:
    if (request.role, request.round) < _place(last):
        raise RefusalError("order", "a later round of this job was answered already; this one is over.")
    returned = sorted(set(request.members) - set(last["members"]))
    if returned:
        raise RefusalError("members", f"{returned[0]} was left out of this job before and cannot return to it.")


def _training_over(plan: Plan, charged: Sequence[dict[str, Any]], reserve_used_up: bool) -> bool:
    """Whether the last round was answered, or a round was asked for again and may have been given up."""
    if any(_place(event)[0] is Role.EVALUATE for event in charged):
        return True
    trained = [event for event in charged if _place(event)[0] is Role.TRAIN]
    if not trained:
        return False
    last_round, last_attempt = trained[-1]["round"], trained[-1]["attempt"]
    tried_again = last_attempt > 1 or last_attempt == plan.privacy.max_attempts or reserve_used_up
    return bool(last_round == plan.phases.train.rounds or tried_again)


def _place(event: dict[str, Any]) -> tuple[Role, int]:
    return _ROLES[event["role"]], event["round"]
