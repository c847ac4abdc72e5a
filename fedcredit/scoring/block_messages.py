"""What a bank asks a hospital for, and what comes back: both signed, and the answer bound to its question.

The payload's exact bytes are signed (Ed25519, under a tag of their own), never a re-serialised message. Every answer
has the same size, whatever it says.
"""

import hmac
import struct
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256

from fedcredit.errors import RefusalError, WireError
from fedcredit.scoring import scoring_pb2 as pb
from fedcredit.wire.canonical import digest, length_prefixed
from fedcredit.wire.envelope import SigningKey, verify_signature
from fedcredit.wire.messages import SIGNATURE_BYTES, parse_strictly

SERVICE = "fedcredit.scoring.v1.Block"
METHOD = f"/{SERVICE}/Ask"
TOKEN_BYTES, NONCE_BYTES, HASH_BYTES = 32, 16, 32
_QUESTION, _ANSWER, _PERSON = "block-question", "block-answer", "block-person"
_VALUE = struct.Struct("<Bi")
_LONGEST_NAME, _LONGEST_PURPOSE = 63, 1000


class Outcome(IntEnum):
    """What an answer says. `REFUSED` means that there is no consent, or no such person, or no longer."""

    ANSWERED = 1
    REFUSED = 2
    LIMIT = 3


@dataclass(frozen=True, slots=True)
class Question:
    """One question; see ``scoring.proto``.

    Attributes
    ----------
    asked_at
        Seconds since 1970, UTC.
    """

    asker: str
    answerer: str
    block: str
    package: bytes
    purpose: str
    person: bytes
    token: bytes
    nonce: bytes
    asked_at: int


def person_hash(pair_key: bytes, person: bytes) -> bytes:
    """Name a person so that only the two institutions of a pair can, 32 bytes.

    Parameters
    ----------
    pair_key
        Secret of the pair, 32 bytes.
    person
        The person's id in both institutions' spelling.
    """
    return hmac.digest(pair_key, length_prefixed(_PERSON, person), "sha256")


def token_hash(token: bytes) -> str:
    """What the answering side keeps of a consent token, hex."""
    return sha256(token).hexdigest()


def seal_question(key: SigningKey, question: Question) -> bytes:
    """Sign a question."""
    payload = pb.Question(
        asker=question.asker,
        answerer=question.answerer,
        block=question.block,
        package=question.package,
        purpose=question.purpose,
        person=question.person,
        token=question.token,
        nonce=question.nonce,
        asked_at=question.asked_at,
    ).SerializeToString(deterministic=True)
    return _sealed(key, _QUESTION, payload)


def read_question(data: bytes) -> Question:
    """Read a question; nothing in it is proved yet.

    Raises
    ------
    WireError
        If the bytes are foreign or a field has another size.
    """
    proto = parse_strictly(pb.Question, parse_strictly(pb.Signed, data).payload)
    sizes = ((proto.package, HASH_BYTES), (proto.person, HASH_BYTES), (proto.token, TOKEN_BYTES))
    if any(len(field) != size for field, size in (*sizes, (proto.nonce, NONCE_BYTES))):
        raise WireError("a field of the question has another size; its sender is foreign.")
    if max(map(len, (proto.asker, proto.answerer, proto.block))) > _LONGEST_NAME:
        raise WireError(f"a name in the question has over {_LONGEST_NAME} characters; its sender is foreign.")
    if len(proto.purpose) > _LONGEST_PURPOSE:
        raise WireError(f"the question's purpose has over {_LONGEST_PURPOSE} characters; shorten it.")
    return Question(
        proto.asker,
        proto.answerer,
        proto.block,
        proto.package,
        proto.purpose,
        proto.person,
        proto.token,
        proto.nonce,
        proto.asked_at,
    )


def verify_question(data: bytes, public_key: bytes) -> None:
    """Check a question's signature.

    Raises
    ------
    RefusalError
        If it does not hold.
    """
    _verify(data, public_key, _QUESTION)


def seal_answer(key: SigningKey, question: bytes, outcome: Outcome, steps: int) -> bytes:
    """Sign an answer; `steps` is 0 unless it is answered."""
    value = _VALUE.pack(outcome, steps if outcome is Outcome.ANSWERED else 0)
    return _sealed(key, _ANSWER, pb.Answer(question=_hash(question), value=value).SerializeToString(deterministic=True))


def open_answer(data: bytes, public_key: bytes, question: bytes) -> tuple[Outcome, int]:
    """Check and read an answer.

    Raises
    ------
    WireError
        If the bytes are foreign.
    RefusalError
        If the signature does not hold, or it answers another question.
    """
    _verify(data, public_key, _ANSWER)
    proto = parse_strictly(pb.Answer, parse_strictly(pb.Signed, data).payload)
    if not hmac.compare_digest(proto.question, _hash(question)):
        raise RefusalError("replay", "the answer is to another question; somebody replays it.")
    try:
        outcome, steps = _VALUE.unpack(proto.value)
        return Outcome(outcome), steps
    except (struct.error, ValueError) as error:
        raise WireError("the answer's value is foreign; both sides need the same version.") from error


def _hash(question: bytes) -> bytes:
    return digest("block-question-hash", question)


def _sealed(key: SigningKey, tag: str, payload: bytes) -> bytes:
    signature = key.sign(length_prefixed(tag, payload))
    return pb.Signed(payload=payload, signature=signature).SerializeToString(deterministic=True)


def _verify(data: bytes, public_key: bytes, tag: str) -> None:
    signed = parse_strictly(pb.Signed, data)
    sized = len(signed.signature) == SIGNATURE_BYTES
    if not sized or not verify_signature(public_key, length_prefixed(tag, signed.payload), signed.signature):
        raise RefusalError("signature", "the signature does not match the pinned key; compare the peers files.")
