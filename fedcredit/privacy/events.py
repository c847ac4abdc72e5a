"""What a ledger writes down: events, not epsilons.

An epsilon cannot be composed; the event that caused it can, under whatever accountant the future prefers. Each
event is a small JSON object, hash-chained to the one before and signed by the institution.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from fedcredit.errors import LedgerError
from fedcredit.privacy.accounting import Mechanism
from fedcredit.wire.canonical import canonical_json, digest, parse_json
from fedcredit.wire.heads import Head
from fedcredit.wire.messages import Role

GENESIS = bytes(32)


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of one message in a job: nothing else can be charged twice."""

    plan_hash: bytes
    role: Role
    round: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Charge:
    """One noised message, before it is sent.

    Attributes
    ----------
    slot
        Which message of which job.
    mechanism
        Sensitivity, noise and sampling: what an accountant needs.
    request_hash, roster_hash, model_hash
        What was asked, for which members, on which model.
    vector_hash
        Hash of the noised vector that is about to leave.
    members
        Ids of the attempt's roster.
    colluders
        Number t of colluders that the noise was sized for.
    own_noise_variance
        Variance of the institution's own noise; under distributed noise its share.
    heads
        Ledger heads of other members that the request showed.
    """

    slot: Slot
    mechanism: Mechanism
    request_hash: bytes
    roster_hash: bytes
    model_hash: bytes
    vector_hash: bytes
    members: tuple[str, ...]
    colluders: int
    own_noise_variance: int
    heads: tuple[Head, ...] = ()

    def body(self, cost: Fraction) -> dict[str, Any]:
        """The event as JSON values."""
        return {
            "event": "charge",
            "plan_hash": self.slot.plan_hash.hex(),
            "role": self.slot.role.name.lower(),
            "round": self.slot.round,
            "attempt": self.slot.attempt,
            "mechanism": {
                "name": "rounded_gaussian" if self.mechanism.noise_variance else "no_noise",
                "sensitivity_squared": self.mechanism.sensitivity_squared,
                "noise_variance": self.mechanism.noise_variance,
                "sampling_rate": self.mechanism.sampling_rate,
                "steps": self.mechanism.steps,
            },
            "cost": write_fraction(cost),
            "members": list(self.members),
            "colluders": self.colluders,
            "own_noise_variance": self.own_noise_variance,
            "request_hash": self.request_hash.hex(),
            "roster_hash": self.roster_hash.hex(),
            "model_hash": self.model_hash.hex(),
            "vector_hash": self.vector_hash.hex(),
            "heads": [head.encode().hex() for head in self.heads],
        }


def event_hash(previous: bytes, body: bytes) -> bytes:
    """Chain one event to the one before; 32 bytes."""
    return digest("ledger-event", previous, body)


def encode_body(body: dict[str, Any]) -> bytes:
    """Canonical bytes of an event."""
    return canonical_json(body)


def decode_body(body: bytes) -> dict[str, Any]:
    """Read an event's bytes.

    Raises
    ------
    LedgerError
        If the bytes are not a canonical JSON object.
    """
    try:
        value = parse_json(body)
    except ValueError as error:
        raise LedgerError(
            f"a ledger event is not JSON ({error}); restore the ledger from its newest backup."
        ) from error
    if not isinstance(value, dict) or canonical_json(value) != body:
        raise LedgerError("a ledger event is not in canonical form; restore the ledger from its newest backup.")
    return value


def write_fraction(value: Fraction) -> str:
    """Exact text of a cost, ``numerator/denominator``."""
    return f"{value.numerator}/{value.denominator}"


def read_fraction(text: str) -> Fraction:
    """Read what `write_fraction` wrote."""
    return Fraction(text)
