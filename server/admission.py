"""Who may speak in a job, and what counts as an answer: members of the plan's roster, each under its pinned key."""

from math import isqrt

import numpy as np
from numpy.typing import NDArray

from fedcredit.custodian.guard import CAPACITY
from fedcredit.errors import RefusalError
from fedcredit.plan import Plan, plan_digest
from fedcredit.wire.canonical import digest, parse_json
from fedcredit.wire.envelope import open_envelope
from fedcredit.wire.messages import (
    Contribution,
    IdentifyReply,
    IdentifyRequest,
    JoinReply,
    JoinRequest,
    Message,
    Receipt,
    ReleaseRequest,
    RoundRequest,
    decode_message,
)

# Public sizes are rounded, and an institution may hold more than it declares.
_MOST_TIMES_PUBLIC_SIZE = 16


def authenticated(plan: Plan, institution: str, packet: bytes) -> Message:
    """Open a packet that claims to come from `institution`.

    Raises
    ------
    RefusalError
        If another institution signed it, or the roster does not know the sender.
    WireError
        If the bytes are truncated or foreign.
    """
    envelope = open_envelope(packet)
    member = plan.roster.member(institution)
    if member is None or envelope.sender != institution:
        raise RefusalError("sender", f"a packet for {institution!r} was signed as {envelope.sender!r}.")
    return envelope.verify(bytes.fromhex(member.public_key))


def identity(plan: Plan, request: bytes, reply: bytes) -> str:
    """The institution that answered an identify request, proved by its pinned key.

    Raises
    ------
    RefusalError
        If the reply is not an answer to this request, or its sender is not in the roster.
    WireError
        If the bytes are truncated or foreign.
    """
    asked = decode_message(IdentifyRequest.kind, open_envelope(request).payload)
    name = open_envelope(reply).sender
    message = authenticated(plan, name, reply)
    if not isinstance(message, IdentifyReply) or not isinstance(asked, IdentifyRequest) or message.nonce != asked.nonce:
        raise RefusalError("identity", f"{name} did not answer this question; its reply is stale or foreign.")
    return name


def answers(plan: Plan, institution: str, request: Message, reply: Message) -> bool:
    """Whether a reply is what a request of the job asks for, down to the hashes of roster and model.

    A contribution must also be one that the institution's public size and the plan's noise can give. That does not stop
    poisoning; it keeps one member from driving every sum out of the range of numbers.
    """
    match request, reply:
        case JoinRequest(), JoinReply():
            return reply.plan_hash == plan_digest(request.plan)
        case RoundRequest(), Contribution():
            asked = (request.plan_hash, request.role, request.round, request.attempt)
            bound = (plan.roster.attempt_digest(request.members), digest("model", request.model))
            return (
                (reply.plan_hash, reply.role, reply.round, reply.attempt) == asked
                and (reply.roster_hash, reply.model_hash) == bound
                and len(reply.vector) == 8 * plan.phases.of(request.role).vector_length
                and _plausible(plan, institution, reply)
            )
        case ReleaseRequest(), Receipt():
            named = (reply.plan_hash, reply.model_hash) == (request.plan_hash, digest("model", request.model))
            return named and _is_statement(reply.statement)
        case _:
            return False


def vector_of(contribution: Contribution) -> NDArray[np.int64]:
    """The contribution's coordinates."""
    return np.frombuffer(contribution.vector, dtype="<i8").astype(np.int64, copy=False)


def _plausible(plan: Plan, institution: str, contribution: Contribution) -> bool:
    member, terms = plan.roster.member(institution), plan.phases.of(contribution.role)
    if member is None:
        return False
    from_rows = _MOST_TIMES_PUBLIC_SIZE * member.public_size * (isqrt(terms.sensitivity_squared[member.kind]) + 1)
    limit = min(from_rows + 40 * isqrt(terms.noise_variance), CAPACITY // len(plan.members))
    vector = vector_of(contribution)
    return bool(np.all((vector <= limit) & (vector >= -limit)))


def _is_statement(data: bytes) -> bool:
    try:
        return isinstance(parse_json(data), dict)
    except ValueError:
        return False
