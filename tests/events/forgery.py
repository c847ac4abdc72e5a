"""Requests that a coordinator should not send, made from the last one that it should."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from fedcredit.evaluation.phase import ScoredModel
from fedcredit.wire.envelope import SigningKey
from fedcredit.wire.heads import Head, sign_head
from fedcredit.wire.messages import KeysReply, KeysRequest, Message, ReleaseRequest, Role, RoundRequest
from tests.events.consortium import COORDINATOR, NAMES, TERMS, consortium, fixed_model


@dataclass(frozen=True)
class Material:
    """What a coordinator knows when it forges.

    Attributes
    ----------
    asked
        Its last request of each kind, by job.
    joins
        Every signed join that it has seen, by job and member, oldest first.
    """

    asked: Mapping[int, Mapping[type[Message], Message]]
    joins: Mapping[tuple[int, str], list[bytes]]


def forged(material: Material, job: int, name: str, change: str) -> bytes | None:
    """The envelope, or None where there is nothing yet to forge it from."""
    one = consortium()
    key = one.coordinator_keys[one.version(job)]
    if change == "early release":
        return key.seal(COORDINATOR, ReleaseRequest(one.plans[job].digest(), b"{}"))
    asked = material.asked.get(job, {})
    if change in JOINS:
        keys = asked.get(KeysRequest)
        joins = JOINS[change](material, job, name, keys.joins) if isinstance(keys, KeysRequest) else None
        return key.seal(COORDINATOR, KeysRequest(keys.plan_hash, joins)) if joins else None
    true = asked.get(RoundRequest)
    if not isinstance(true, RoundRequest):
        return None
    match change:
        case "truncated":
            return key.seal(COORDINATOR, true)[:-7]
        case "another key":
            return SigningKey.generate().seal(COORDINATOR, true)
        case _:
            return key.seal(COORDINATOR, ROUNDS[change](true, job, name))


def _other_model(true: RoundRequest, *_: object) -> RoundRequest:
    model = fixed_model(7).encode()
    return replace(true, model=ScoredModel(-4096, 4096, model).encode() if true.role is Role.EVALUATE else model)


def _other_role(true: RoundRequest, *_: object) -> RoundRequest:
    role = Role.TRAIN if true.role is Role.EVALUATE else Role.EVALUATE
    return _other_model(replace(true, role=role, round=1, attempt=1))


def _fewer(true: RoundRequest, _: int, name: str) -> RoundRequest:
    left_out = next(member for member in true.members if member != name)
    return replace(true, members=tuple(member for member in true.members if member != left_out))


def _witnesses(true: RoundRequest, job: int, _: str) -> RoundRequest:
    one = consortium()
    said = KeysReply(true.plan_hash, true.transcript_hash)
    return replace(true, witnesses=tuple(one.coordinator_keys[one.version(job)].seal(peer, said) for peer in NAMES))


def _heads(true: RoundRequest, job: int, _: str) -> RoundRequest:
    one = consortium()
    key = one.coordinator_keys[one.version(job)]
    heads = (Head(peer, 999, bytes(32), sign_head(key, peer, 999, bytes(32))).encode() for peer in NAMES)
    return replace(true, heads=(*heads, b"no head"))


def _another_job(true: RoundRequest, job: int, _: str) -> RoundRequest:
    return replace(true, plan_hash=consortium().plans[1 - min(job, 1)].digest())


ROUNDS: Mapping[str, Callable[[RoundRequest, int, str], RoundRequest]] = {
    "model": _other_model,
    "fewer members": _fewer,
    "a member twice": lambda true, *_: replace(true, members=(*true.members, true.members[0])),
    "next attempt": lambda true, *_: replace(true, attempt=true.attempt + 1),
    "last attempt": lambda true, *_: replace(true, attempt=TERMS.max_attempts),
    "too many attempts": lambda true, *_: replace(true, attempt=TERMS.max_attempts + 1),
    "earlier round": lambda true, *_: replace(true, round=true.round - 1),
    "later round": lambda true, *_: replace(true, round=true.round + 1),
    "another role": _other_role,
    "transcript": lambda true, *_: replace(true, transcript_hash=bytes(31) + b"x"),
    "no witnesses": lambda true, *_: replace(true, witnesses=()),
    "forged witnesses": _witnesses,
    "forged heads": _heads,
    "another job": _another_job,
}

Joins = tuple[bytes, ...]


def _old_join(material: Material, job: int, name: str, joins: Joins) -> Joins | None:
    """The first join of a peer that has joined again since."""
    for place, join in enumerate(joins):
        for peer in NAMES:
            known = material.joins.get((job, peer), [])
            if peer != name and join in known[1:]:
                return (*joins[:place], known[0], *joins[place + 1 :])
    return None


def _other_jobs_join(material: Material, job: int, name: str, joins: Joins) -> Joins | None:
    other = next((known[-1] for (place, peer), known in material.joins.items() if place != job and peer != name), None)
    return None if other is None else (other, *joins[1:])


JOINS: Mapping[str, Callable[[Material, int, str, Joins], Joins | None]] = {
    "old join": _old_join,
    "another job's join": _other_jobs_join,
    "joins swapped": lambda _material, _job, _name, joins: (joins[1], joins[0], *joins[2:]),
}
