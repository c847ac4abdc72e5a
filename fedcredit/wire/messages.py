"""Frozen messages and their bytes.

One dataclass per message of ``fedcredit.proto``, same field names. Decoding is strict: unknown fields, wrong
lengths and foreign kinds are refused, because a field that one side ignores is a field that the other side can hide
something in.
"""

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, ClassVar, TypeAlias

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from fedcredit.errors import WireError
from fedcredit.wire import fedcredit_pb2 as pb

HASH_BYTES = 32
NO_TRANSCRIPT = bytes(HASH_BYTES)
SIGNATURE_BYTES = 64
MAX_MESSAGE_BYTES = 256 * 2**20


class Role(IntEnum):
    """What a contribution is for; the wire's enum values."""

    PREFLIGHT = 1
    TRAIN = 2
    EVALUATE = 3


@dataclass(frozen=True, slots=True)
class IdentifyRequest:
    """Ask a node to prove which institution it speaks for."""

    kind: ClassVar[int] = pb.IDENTIFY_REQUEST
    nonce: bytes


@dataclass(frozen=True, slots=True)
class IdentifyReply:
    """The signed envelope around the request's nonce is the proof."""

    kind: ClassVar[int] = pb.IDENTIFY_REPLY
    nonce: bytes


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """The plan of a job, as canonical JSON."""

    kind: ClassVar[int] = pb.JOIN_REQUEST
    plan: bytes


@dataclass(frozen=True, slots=True)
class JoinReply:
    """The institution reserved the whole plan in its ledger and will answer the plan's requests."""

    kind: ClassVar[int] = pb.JOIN_REPLY
    plan_hash: bytes
    event_count: int
    roster_version: int
    roster_hash: bytes
    agreement_key: bytes
    key_epoch: int
    nonce: bytes
    event_hash: bytes
    head_signature: bytes


@dataclass(frozen=True, slots=True)
class KeysRequest:
    """The signed joins of all members, envelope by envelope in roster order: with whose keys sums are masked."""

    kind: ClassVar[int] = pb.KEYS_REQUEST
    plan_hash: bytes
    joins: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class KeysReply:
    """The institution checked every join and will mask under this transcript.

    `heads` holds the newest ledger head (`fedcredit.wire.heads`) that it has ever seen of each member.
    """

    kind: ClassVar[int] = pb.KEYS_REPLY
    plan_hash: bytes
    transcript_hash: bytes
    heads: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class RoundRequest:
    """Ask for one contribution to a sum over `members`; `model` is empty in preflight.

    `transcript_hash` is `NO_TRANSCRIPT` where the plan has no masks. `witnesses` are members' keys replies, wanted once
    after keys were agreed on; `heads` are the ledger heads of those who answered the last step.
    """

    kind: ClassVar[int] = pb.ROUND_REQUEST
    plan_hash: bytes
    role: Role
    round: int
    attempt: int
    members: tuple[str, ...]
    model: bytes
    transcript_hash: bytes
    witnesses: tuple[bytes, ...] = ()
    heads: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Contribution:
    """One charged, noised and masked integer vector; `vector` is little-endian int64, modulo 2^64."""

    kind: ClassVar[int] = pb.CONTRIBUTION
    plan_hash: bytes
    role: Role
    round: int
    attempt: int
    roster_hash: bytes
    model_hash: bytes
    vector: bytes
    event_count: int
    event_hash: bytes
    head_signature: bytes


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """The job is over; the model is handed to every member."""

    kind: ClassVar[int] = pb.RELEASE_REQUEST
    plan_hash: bytes
    model: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """An institution's own signed statement of what the job cost it."""

    kind: ClassVar[int] = pb.RECEIPT
    plan_hash: bytes
    model_hash: bytes
    statement: bytes
    event_count: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A well-formed request that is not answered, with a code and the remedy."""

    kind: ClassVar[int] = pb.REFUSAL
    request_hash: bytes
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class StopRequest:
    """A member's word that no job under this roster may be answered any more."""

    kind: ClassVar[int] = pb.STOP_REQUEST
    roster_hash: bytes


@dataclass(frozen=True, slots=True)
class StopReply:
    """The institution wrote the stop into its ledger."""

    kind: ClassVar[int] = pb.STOP_REPLY
    roster_hash: bytes
    event_count: int


Message: TypeAlias = (
    IdentifyRequest
    | IdentifyReply
    | JoinRequest
    | JoinReply
    | KeysRequest
    | KeysReply
    | RoundRequest
    | Contribution
    | ReleaseRequest
    | Receipt
    | Refusal
    | StopRequest
    | StopReply
)

_BY_KIND: dict[int, tuple[type[Any], type[Any]]] = {
    pb.IDENTIFY_REQUEST: (IdentifyRequest, pb.IdentifyRequest),
    pb.IDENTIFY_REPLY: (IdentifyReply, pb.IdentifyReply),
    pb.JOIN_REQUEST: (JoinRequest, pb.JoinRequest),
    pb.JOIN_REPLY: (JoinReply, pb.JoinReply),
    pb.ROUND_REQUEST: (RoundRequest, pb.RoundRequest),
    pb.CONTRIBUTION: (Contribution, pb.Contribution),
    pb.RELEASE_REQUEST: (ReleaseRequest, pb.ReleaseRequest),
    pb.RECEIPT: (Receipt, pb.Receipt),
    pb.REFUSAL: (Refusal, pb.Refusal),
    pb.KEYS_REQUEST: (KeysRequest, pb.KeysRequest),
    pb.KEYS_REPLY: (KeysReply, pb.KeysReply),
    pb.STOP_REQUEST: (StopRequest, pb.StopRequest),
    pb.STOP_REPLY: (StopReply, pb.StopReply),
}
_HASH_FIELDS = (
    "nonce",
    "plan_hash",
    "roster_hash",
    "model_hash",
    "event_hash",
    "request_hash",
    "transcript_hash",
    "agreement_key",
)
_LENGTHS = {**dict.fromkeys(_HASH_FIELDS, HASH_BYTES), "head_signature": SIGNATURE_BYTES}
_REPEATED = frozenset({"members", "joins", "witnesses", "heads"})


def encode_message(message: Message) -> bytes:
    """Payload bytes of a message; deterministic."""
    proto = _BY_KIND[message.kind][1]()
    for field in fields(message):
        value = getattr(message, field.name)
        if isinstance(value, tuple):
            getattr(proto, field.name).extend(value)
        else:
            setattr(proto, field.name, value)
    encoded: bytes = proto.SerializeToString(deterministic=True)
    return encoded


def decode_message(kind: int, payload: bytes) -> Message:
    """Read a payload of a known kind.

    Raises
    ------
    WireError
        If the kind is unknown, or the payload is truncated, foreign, oversized, not in canonical form, or holds a
        hash of the wrong length.
    """
    if kind not in _BY_KIND:
        raise WireError(f"message kind {kind} is not part of wire version 1; upgrade the older side.")
    message_type, proto_type = _BY_KIND[kind]
    proto = parse_strictly(proto_type, payload)
    values = {field.name: getattr(proto, field.name) for field in fields(message_type)}
    for name in _LENGTHS.keys() & values.keys():
        if len(values[name]) != _LENGTHS[name]:
            raise WireError(
                f"{message_type.__name__}.{name} has {len(values[name])} bytes, not {_LENGTHS[name]}: a foreign sender."
            )
    for name in _REPEATED & values.keys():
        values[name] = tuple(values[name])
    if "role" in values:
        values["role"] = _role(values["role"])
    message: Message = message_type(**values)
    return message


def parse_strictly(proto_type: type[Any], data: bytes) -> Any:  # noqa: ANN401  (a generated message)
    """Parse protobuf bytes that must be exactly what our own encoder would write.

    Raises
    ------
    WireError
        As for `decode_message`.
    """
    if len(data) > MAX_MESSAGE_BYTES:
        raise WireError(f"message of {len(data)} bytes is over the limit of {MAX_MESSAGE_BYTES}; check the sender.")
    try:
        proto = proto_type.FromString(data)
    except DecodeError as error:
        raise WireError(
            f"bytes are not a {proto_type.__name__}: truncated or foreign ({len(data)} bytes); send them again."
        ) from error
    if len(UnknownFieldSet(proto)) or proto.SerializeToString(deterministic=True) != data:
        raise WireError(f"{proto_type.__name__} is not in canonical form; the sender speaks another version.")
    return proto


def _role(value: int) -> Role:
    try:
        return Role(value)
    except ValueError as error:
        raise WireError(f"role {value} is not part of wire version 1; upgrade the older side.") from error
