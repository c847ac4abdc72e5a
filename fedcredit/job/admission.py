"""Who may speak in a job, and what counts as an answer: members of the plan's roster, each under its pinned key."""

from collections import Counter
from dataclasses import dataclass
from math import isqrt
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fedcredit.custodian.guard import CAPACITY
from fedcredit.errors import RefusalError
from fedcredit.plan import Plan, plan_digest
from fedcredit.roster import Member
from fedcredit.secure_aggregation.transcript import transcript_digest
from fedcredit.wire.canonical import digest, parse_json
from fedcredit.wire.envelope import envelope_hash, open_envelope
from fedcredit.wire.heads import Head
from fedcredit.wire.messages import (
    Contribution,
    IdentifyReply,
    IdentifyRequest,
    JoinReply,
    JoinRequest,
    KeysReply,
    KeysRequest,
    Message,
    Receipt,
    ReleaseRequest,
    Role,
    RoundRequest,
    decode_message,
)

Request: TypeAlias = JoinRequest | KeysRequest | RoundRequest | ReleaseRequest

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


@dataclass(frozen=True, slots=True)
class Question:
    """A request of the job, the hash of its exact bytes, and the hashes that an answer to it must carry."""

    request: Request
    request_hash: bytes
    hashes: tuple[bytes, ...]


def question(plan: Plan, request: Request, sealed: bytes) -> Question:
    """Bind a request to its envelope, the plan, the attempt's roster and the model."""
    return Question(request, envelope_hash(sealed), _answers_hashes(plan, request))


def _answers_hashes(plan: Plan, request: Request) -> tuple[bytes, ...]:
    match request:
        case JoinRequest():
            return plan_digest(request.plan), plan.roster.digest()
        case KeysRequest():
            return request.plan_hash, transcript_digest(request.plan_hash, request.joins)
        case RoundRequest():
            roster_hash = plan.roster.attempt_digest(request.members)
            return request.plan_hash, roster_hash, digest("model", request.model)
        case ReleaseRequest():
            return request.plan_hash, digest("model", request.model)


def answers(plan: Plan, institution: str, asked: Question, reply: Message) -> bool:
    """Whether a reply is what was asked for, down to the hashes of roster and model.

    A contribution that is not masked must also be one that the institution's public size and the plan's noise can give.
    That does not stop poisoning; it keeps one member from driving every sum out of the range of numbers. Under masks
    only the sum can be looked at (`plausible_sum`).
    """
    match asked.request, reply:
        case JoinRequest(), JoinReply():
            return (reply.plan_hash, reply.roster_hash) == asked.hashes
        case KeysRequest(), KeysReply():
            return (reply.plan_hash, reply.transcript_hash) == asked.hashes
        case RoundRequest() as request, Contribution():
            return (
                (reply.role, reply.round, reply.attempt) == (request.role, request.round, request.attempt)
                and (reply.plan_hash, reply.roster_hash, reply.model_hash) == asked.hashes
                and len(reply.vector) == 8 * plan.phases.of(request.role).vector_length
                and _head(institution, reply).holds(_identity_key(plan, institution))
                and (plan.privacy.masks or _is_plausible(plan, institution, reply))
            )
        case ReleaseRequest(), Receipt():
            return (reply.plan_hash, reply.model_hash) == asked.hashes and _is_statement(reply.statement)
        case _:
            return False


def head_of(plan: Plan, institution: str, packet: bytes) -> Head:
    """Where an institution's ledger stood when it contributed.

    Raises
    ------
    RefusalError, WireError
        If the packet is no contribution of its.
    """
    message = authenticated(plan, institution, packet)
    if not isinstance(message, Contribution):
        raise RefusalError("sender", f"a packet of {institution!r} is a {type(message).__name__}, no contribution.")
    return _head(institution, message)


def vector_of(contribution: Contribution) -> NDArray[np.int64]:
    """The contribution's coordinates."""
    return np.frombuffer(contribution.vector, dtype="<i8").astype(np.int64, copy=False)


def plausible_sum(plan: Plan, members: tuple[str, ...], role: Role, total: NDArray[np.int64]) -> bool:
    """Whether a sum over `members` is one that their public sizes and the plan's noise can give.

    It is not where masks did not cancel: then it is uniform over 64 bits.
    """
    asked = frozenset(members)
    present = [member for member in plan.roster.members if member.id in asked]
    # Members of one type and size have one limit; of a thousand, most do.
    alike = {(member.kind, member.public_size): member for member in present}
    times = Counter((member.kind, member.public_size) for member in present)
    return _within(total, sum(n * largest_plausible(plan, alike[one], role) for one, n in times.items()))


def _head(institution: str, sent: Contribution) -> Head:
    return Head(institution, sent.event_count, sent.event_hash, sent.head_signature)


def _identity_key(plan: Plan, institution: str) -> bytes:
    member = plan.roster.member(institution)
    return b"" if member is None else bytes.fromhex(member.public_key)


def largest_plausible(plan: Plan, member: Member, role: Role) -> int:
    """The largest number in a vector that a member's public size and the plan's noise can give."""
    terms = plan.phases.of(role)
    from_rows = _MOST_TIMES_PUBLIC_SIZE * member.public_size * (isqrt(terms.sensitivity_squared[member.kind]) + 1)
    of_steps = terms.local_steps * (from_rows + 40 * isqrt(terms.noise_variance[member.kind]))
    return min(of_steps, CAPACITY // len(plan.roster.members))


def _is_plausible(plan: Plan, institution: str, sent: Contribution) -> bool:
    member = plan.roster.member(institution)
    return member is not None and _within(vector_of(sent), largest_plausible(plan, member, sent.role))


def _within(vector: NDArray[np.int64], limit: int) -> bool:
    return bool(np.all((vector <= limit) & (vector >= -limit)))


def _is_statement(data: bytes) -> bool:
    try:
        return isinstance(parse_json(data), dict)
    except ValueError:
        return False
