"""A message field by field: name, value as text, size and meaning. A vector's numbers are never among the values."""

from dataclasses import dataclass, fields
from typing import Any

from fedcredit.outbox.meanings import FIELDS
from fedcredit.wire.canonical import PROTOCOL_VERSION
from fedcredit.wire.envelope import Envelope
from fedcredit.wire.heads import read_head
from fedcredit.wire.messages import Contribution, Message, Role

WORD_BYTES = 8
_SHOWN_WORDS = 8


@dataclass(frozen=True, slots=True)
class ShownField:
    """One field as a person reads it."""

    name: str
    value: str
    meaning: str


def fields_of(envelope: Envelope, message: Message, vector: str | None = None) -> tuple[ShownField, ...]:
    """The envelope's fields, then the message's; of messages that a custodian sends.

    Parameters
    ----------
    vector
        What a contribution's numbers are (`fedcredit.outbox.vectors`); None for any other message.
    """
    name = type(message).__name__
    around = {
        "version": str(PROTOCOL_VERSION),
        "kind": name,
        "sender": envelope.sender,
        "payload": f"{len(envelope.payload)} bytes",
        "signature": envelope.signature.hex(),
    }
    outer = tuple(ShownField(f"envelope.{one}", value, FIELDS["Envelope"][one]) for one, value in around.items())
    known = {**FIELDS[name], **({} if vector is None else {"vector": vector})}
    inner = tuple(
        ShownField(one.name, _value(one.name, getattr(message, one.name)), known[one.name]) for one in fields(message)
    )
    return outer + inner


def first_words(message: Message) -> list[int]:
    """The first few of a contribution's numbers, as they left; none of any other message's."""
    if not isinstance(message, Contribution):
        return []
    words = (message.vector[start : start + WORD_BYTES] for start in range(0, len(message.vector), WORD_BYTES))
    return [int.from_bytes(word, "little", signed=True) for word, _ in zip(words, range(_SHOWN_WORDS), strict=False)]


def _value(name: str, value: Any) -> str:  # noqa: ANN401  (a field of any message)
    match value:
        case bytes() if name == "vector":
            return f"{len(value) // WORD_BYTES} integers, {len(value)} bytes"
        case bytes() if name == "statement":
            return value.decode()
        case bytes():
            return value.hex()
        case tuple():  # a keys reply's heads: no other reply repeats anything
            return ", ".join(f"{head.institution} at event {head.event_count}" for head in map(read_head, value))
        case Role():
            return value.name.lower()
        case _:
            return str(value)
