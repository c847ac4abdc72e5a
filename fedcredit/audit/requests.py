"""What a request says about itself: sender, kind, job and place. Nothing here is proved, and nothing is refused."""

from typing import Any

from fedcredit.errors import WireError
from fedcredit.plan import plan_digest
from fedcredit.wire import fedcredit_pb2 as pb
from fedcredit.wire.envelope import envelope_hash, open_envelope
from fedcredit.wire.messages import JoinRequest, Message, decode_message

_KINDS = {number: name.lower() for name, number in pb.Kind.items()}
_UNREADABLE = "unreadable"


def described(request: bytes) -> dict[str, Any]:
    """Sender, kind and hash of a request, and where it is readable, plan hash, role, round and attempt."""
    found: dict[str, Any] = {"request_hash": envelope_hash(request).hex()}
    try:
        envelope = open_envelope(request)
    except WireError:
        return {**found, "sender": None, "kind": _UNREADABLE}
    found |= {"sender": envelope.sender, "kind": _KINDS.get(envelope.kind, str(envelope.kind))}
    try:
        return found | _place(decode_message(envelope.kind, envelope.payload))
    except WireError:
        return found | {"payload": _UNREADABLE}


def _place(message: Message) -> dict[str, Any]:
    plan_hash = plan_digest(message.plan) if isinstance(message, JoinRequest) else getattr(message, "plan_hash", None)
    place: dict[str, Any] = {} if plan_hash is None else {"plan_hash": plan_hash.hex()}
    role = getattr(message, "role", None)
    if role is not None:
        place |= {"role": role.name.lower()}
    for name in ("round", "attempt"):
        if (value := getattr(message, name, None)) is not None:
            place[name] = value
    return place
