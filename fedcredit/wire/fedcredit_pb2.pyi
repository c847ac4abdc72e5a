from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KIND_UNSPECIFIED: _ClassVar[Kind]
    IDENTIFY_REQUEST: _ClassVar[Kind]
    IDENTIFY_REPLY: _ClassVar[Kind]
    JOIN_REQUEST: _ClassVar[Kind]
    JOIN_REPLY: _ClassVar[Kind]
    ROUND_REQUEST: _ClassVar[Kind]
    CONTRIBUTION: _ClassVar[Kind]
    RELEASE_REQUEST: _ClassVar[Kind]
    RECEIPT: _ClassVar[Kind]
    REFUSAL: _ClassVar[Kind]
    KEYS_REQUEST: _ClassVar[Kind]
    KEYS_REPLY: _ClassVar[Kind]
    STOP_REQUEST: _ClassVar[Kind]
    STOP_REPLY: _ClassVar[Kind]

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    PREFLIGHT: _ClassVar[Role]
    TRAIN: _ClassVar[Role]
    EVALUATE: _ClassVar[Role]
KIND_UNSPECIFIED: Kind
IDENTIFY_REQUEST: Kind
IDENTIFY_REPLY: Kind
JOIN_REQUEST: Kind
JOIN_REPLY: Kind
ROUND_REQUEST: Kind
CONTRIBUTION: Kind
RELEASE_REQUEST: Kind
RECEIPT: Kind
REFUSAL: Kind
KEYS_REQUEST: Kind
KEYS_REPLY: Kind
STOP_REQUEST: Kind
STOP_REPLY: Kind
ROLE_UNSPECIFIED: Role
PREFLIGHT: Role
TRAIN: Role
EVALUATE: Role

class Envelope(_message.Message):
    __slots__ = ("version", "kind", "sender", "payload", "signature")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    version: int
    kind: Kind
    sender: str
    payload: bytes
    signature: bytes
    def __init__(self, version: _Optional[int] = ..., kind: _Optional[_Union[Kind, str]] = ..., sender: _Optional[str] = ..., payload: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class IdentifyRequest(_message.Message):
    __slots__ = ("nonce",)
    NONCE_FIELD_NUMBER: _ClassVar[int]
    nonce: bytes
    def __init__(self, nonce: _Optional[bytes] = ...) -> None: ...

class IdentifyReply(_message.Message):
    __slots__ = ("nonce",)
    NONCE_FIELD_NUMBER: _ClassVar[int]
    nonce: bytes
    def __init__(self, nonce: _Optional[bytes] = ...) -> None: ...

class JoinRequest(_message.Message):
    __slots__ = ("plan",)
    PLAN_FIELD_NUMBER: _ClassVar[int]
    plan: bytes
    def __init__(self, plan: _Optional[bytes] = ...) -> None: ...

class JoinReply(_message.Message):
    __slots__ = ("plan_hash", "event_count", "roster_version", "roster_hash", "agreement_key", "key_epoch", "nonce", "event_hash", "head_signature")
    PLAN_HASH_FIELD_NUMBER: _ClassVar[int]
    EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    ROSTER_VERSION_FIELD_NUMBER: _ClassVar[int]
    ROSTER_HASH_FIELD_NUMBER: _ClassVar[int]
    AGREEMENT_KEY_FIELD_NUMBER: _ClassVar[int]
    KEY_EPOCH_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_HASH_FIELD_NUMBER: _ClassVar[int]
    HEAD_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    plan_hash: bytes
    event_count: int
    roster_version: int
    roster_hash: bytes
    agreement_key: bytes
    key_epoch: int
    nonce: bytes
    event_hash: bytes
    head_signature: bytes
    def __init__(self, plan_hash: _Optional[bytes] = ..., event_count: _Optional[int] = ..., roster_version: _Optional[int] = ..., roster_hash: _Optional[bytes] = ..., agreement_key: _Optional[bytes] = ..., key_epoch: _Optional[int] = ..., nonce: _Optional[bytes] = ..., event_hash: _Optional[bytes] = ..., head_signature: _Optional[bytes] = ...) -> None: ...

class Head(_message.Message):
    __slots__ = ("institution", "event_count", "event_hash", "signature")
    INSTITUTION_FIELD_NUMBER: _ClassVar[int]
    EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    EVENT_HASH_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    institution: str
    event_count: int
    event_hash: bytes
    signature: bytes
    def __init__(self, institution: _Optional[str] = ..., event_count: _Optional[int] = ..., event_hash: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class KeysRequest(_message.Message):
    __slots__ = ("plan_hash", "joins")
    PLAN_HASH_FIELD_NUMBER: _ClassVar[int]
    JOINS_FIELD_NUMBER: _ClassVar[int]
    plan_hash: bytes
    joins: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, plan_hash: _Optional[bytes] = ..., joins: _Optional[_Iterable[bytes]] = ...) -> None: ...

class KeysReply(_message.Message):
    __slots__ = ("plan_hash", "transcript_hash", "heads")
    PLAN_HASH_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPT_HASH_FIELD_NUMBER: _ClassVar[int]
    HEADS_FIELD_NUMBER: _ClassVar[int]
    plan_hash: bytes
    transcript_hash: bytes
    heads: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, plan_hash: _Optional[bytes] = ..., transcript_hash: _Optional[bytes] = ..., heads: _Optional[_Iterable[bytes]] = ...) -> None: ...

class RoundRequest(_message.Message):
    __slots__ = ("plan_hash", "role", "round", "attempt", "members", "model", "transcript_hash", "witnesses", "heads")
    PLAN_HASH_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPT_HASH_FIELD_NUMBER: _ClassVar[int]
    WITNESSES_FIELD_NUMBER: _ClassVar[int]
    HEADS_FIELD_NUMBER: _ClassVar[int]
    plan_hash: bytes
    role: Role
    round: int
    attempt: int
    members: _containers.RepeatedScalarFieldContainer[str]
    model: bytes
    transcript_hash: bytes
    witnesses: _containers.RepeatedScalarFieldContainer[bytes]
    heads: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, plan_hash: _Optional[bytes] = ..., role: _Optional[_Union[Role, str]] = ..., round: _Optional[int] = ..., attempt: _Optional[int] = ..., members: _Optional[_Iterable[str]] = ..., model: _Optional[bytes] = ..., transcript_hash: _Optional[bytes] = ..., witnesses: _Optional[_Iterable[bytes]] = ..., heads: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Contribution(_message.Message):
    __slots__ = ("plan_hash", "role", "round", "attempt", "roster_hash", "model_hash", "vector", "event_count", "event_hash", "head_signature")
    PLAN_HASH_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ROSTER_HASH_FIELD_NUMBER: _ClassVar[int]
    MODEL_HASH_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    EVENT_HASH_FIELD_NUMBER: _ClassVar[int]
    HEAD_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
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
    def __init__(self, plan_hash: _Optional[bytes] = ..., role: _Optional[_Union[Role, str]] = ..., round: _Optional[int] = ..., attempt: _Optional[int] = ..., roster_hash: _Optional[bytes] = ..., model_hash: _Optional[bytes] = ..., vector: _Optional[bytes] = ..., event_count: _Optional[int] = ..., event_hash: _Optional[bytes] = ..., head_signature: _Optional[bytes] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("plan_hash", "model")
    PLAN_HASH_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    plan_hash: bytes
    model: bytes
    def __init__(self, plan_hash: _Optional[bytes] = ..., model: _Optional[bytes] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("plan_hash", "model_hash", "statement", "event_count")
    PLAN_HASH_FIELD_NUMBER: _ClassVar[int]
    MODEL_HASH_FIELD_NUMBER: _ClassVar[int]
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    plan_hash: bytes
    model_hash: bytes
    statement: bytes
    event_count: int
    def __init__(self, plan_hash: _Optional[bytes] = ..., model_hash: _Optional[bytes] = ..., statement: _Optional[bytes] = ..., event_count: _Optional[int] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("request_hash", "code", "text")
    REQUEST_HASH_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    request_hash: bytes
    code: str
    text: str
    def __init__(self, request_hash: _Optional[bytes] = ..., code: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class StopRequest(_message.Message):
    __slots__ = ("roster_hash",)
    ROSTER_HASH_FIELD_NUMBER: _ClassVar[int]
    roster_hash: bytes
    def __init__(self, roster_hash: _Optional[bytes] = ...) -> None: ...

class StopReply(_message.Message):
    __slots__ = ("roster_hash", "event_count")
    ROSTER_HASH_FIELD_NUMBER: _ClassVar[int]
    EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    roster_hash: bytes
    event_count: int
    def __init__(self, roster_hash: _Optional[bytes] = ..., event_count: _Optional[int] = ...) -> None: ...
