from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Value(_message.Message):
    __slots__ = ("number", "text")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    number: float
    text: str
    def __init__(self, number: _Optional[float] = ..., text: _Optional[str] = ...) -> None: ...

class Customer(_message.Message):
    __slots__ = ("id", "values")
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Value, _Mapping]] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    id: str
    values: _containers.MessageMap[str, Value]
    def __init__(self, id: _Optional[str] = ..., values: _Optional[_Mapping[str, Value]] = ...) -> None: ...

class ScoreRequest(_message.Message):
    __slots__ = ("customers",)
    CUSTOMERS_FIELD_NUMBER: _ClassVar[int]
    customers: _containers.RepeatedCompositeFieldContainer[Customer]
    def __init__(self, customers: _Optional[_Iterable[_Union[Customer, _Mapping]]] = ...) -> None: ...

class Reason(_message.Message):
    __slots__ = ("feature", "text", "points_lost")
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    POINTS_LOST_FIELD_NUMBER: _ClassVar[int]
    feature: str
    text: str
    points_lost: int
    def __init__(self, feature: _Optional[str] = ..., text: _Optional[str] = ..., points_lost: _Optional[int] = ...) -> None: ...

class Score(_message.Message):
    __slots__ = ("id", "pd", "points", "verdict", "reasons", "flags", "decision_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    PD_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    pd: float
    points: int
    verdict: str
    reasons: _containers.RepeatedCompositeFieldContainer[Reason]
    flags: _containers.RepeatedScalarFieldContainer[str]
    decision_id: str
    def __init__(self, id: _Optional[str] = ..., pd: _Optional[float] = ..., points: _Optional[int] = ..., verdict: _Optional[str] = ..., reasons: _Optional[_Iterable[_Union[Reason, _Mapping]]] = ..., flags: _Optional[_Iterable[str]] = ..., decision_id: _Optional[str] = ...) -> None: ...

class ScoreReply(_message.Message):
    __slots__ = ("scores", "view", "package_hash", "model_hash", "dictionary_hash")
    SCORES_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    PACKAGE_HASH_FIELD_NUMBER: _ClassVar[int]
    MODEL_HASH_FIELD_NUMBER: _ClassVar[int]
    DICTIONARY_HASH_FIELD_NUMBER: _ClassVar[int]
    scores: _containers.RepeatedCompositeFieldContainer[Score]
    view: str
    package_hash: str
    model_hash: str
    dictionary_hash: str
    def __init__(self, scores: _Optional[_Iterable[_Union[Score, _Mapping]]] = ..., view: _Optional[str] = ..., package_hash: _Optional[str] = ..., model_hash: _Optional[str] = ..., dictionary_hash: _Optional[str] = ...) -> None: ...

class Signed(_message.Message):
    __slots__ = ("payload", "signature")
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    signature: bytes
    def __init__(self, payload: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Question(_message.Message):
    __slots__ = ("asker", "answerer", "block", "package", "purpose", "person", "token", "nonce", "asked_at")
    ASKER_FIELD_NUMBER: _ClassVar[int]
    ANSWERER_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    PACKAGE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    PERSON_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    ASKED_AT_FIELD_NUMBER: _ClassVar[int]
    asker: str
    answerer: str
    block: str
    package: bytes
    purpose: str
    person: bytes
    token: bytes
    nonce: bytes
    asked_at: int
    def __init__(self, asker: _Optional[str] = ..., answerer: _Optional[str] = ..., block: _Optional[str] = ..., package: _Optional[bytes] = ..., purpose: _Optional[str] = ..., person: _Optional[bytes] = ..., token: _Optional[bytes] = ..., nonce: _Optional[bytes] = ..., asked_at: _Optional[int] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("question", "value")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    question: bytes
    value: bytes
    def __init__(self, question: _Optional[bytes] = ..., value: _Optional[bytes] = ...) -> None: ...
