"""The messages that a ledger keeps as exact bytes, contributions and receipts, each with what it cost."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from fedcredit.outbox.fields import ShownField, fields_of, first_words
from fedcredit.outbox.vectors import vector_in_words
from fedcredit.plan import Plan, parse_plan
from fedcredit.privacy.accounting import Accountant
from fedcredit.privacy.events import read_fraction
from fedcredit.privacy.ledger_read import LedgerReader
from fedcredit.wire.canonical import digest
from fedcredit.wire.envelope import Envelope, open_envelope
from fedcredit.wire.messages import Contribution, Message


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One message as the ledger keeps it.

    Attributes
    ----------
    event
        Number of the ledger event that it belongs to.
    plan
        The plan of its job.
    members
        Ids of the attempt's roster; none for a receipt.
    own_noise_variance
        Of this institution's noise on each sum, in squared lattice units; 0 for a receipt.
    size
        Bytes that left.
    reply_hash
        What the audit trail's line of these bytes says.
    cost
        In the ledger's unit; 0 for a receipt.
    epsilon, epsilon_so_far
        Of this message alone, and of all messages of its job up to it, at the job's delta; None where nothing is
        bounded.
    """

    event: int
    plan: Plan
    envelope: Envelope
    message: Message
    members: tuple[str, ...]
    own_noise_variance: int
    size: int
    reply_hash: str
    cost: Fraction
    epsilon: float | None
    epsilon_so_far: float | None

    def fields(self) -> tuple[ShownField, ...]:
        """Every field with its value and meaning."""
        if not isinstance(self.message, Contribution):
            return fields_of(self.envelope, self.message)
        words = vector_in_words(self.plan, self.message.role, len(self.members), self.own_noise_variance)
        return fields_of(self.envelope, self.message, words)

    def words(self) -> list[int]:
        """The first few noised numbers."""
        return first_words(self.message)


def stored_messages(ledger: LedgerReader) -> list[StoredMessage]:
    """Every message that a verified ledger keeps, oldest first.

    Raises
    ------
    RefusalError, WireError
        If stored bytes are not what this institution signed.
    """
    found = [
        one for plan_hash, job in ledger.jobs().items() for one in _of_job(ledger, plan_hash, parse_plan(job.plan))
    ]
    return sorted(found, key=lambda one: one.event)


def epsilon_of(accountant: Accountant, cost: Fraction, delta: float | None) -> float | None:
    """Epsilon of a cost; 0 of none at all, which the conversion of a Renyi divergence would not give."""
    if delta is None:
        return None
    return accountant.epsilon(cost, delta) if cost else 0.0


def _of_job(ledger: LedgerReader, plan_hash: bytes, plan: Plan) -> Iterator[StoredMessage]:
    accountant, delta, total = ledger.account.accountant, plan.privacy.delta, Fraction(0)
    charges = iter(ledger.charges(plan_hash))
    for event, kind, data in ledger.messages(plan_hash):
        # A join keeps the plan, which came in; a job that was closed by its operator has no receipt.
        if kind not in {"charge", "close"} or not data:
            continue
        charge = next(charges) if kind == "charge" else {}
        cost = read_fraction(charge.get("cost", "0/1"))
        total += cost
        envelope = open_envelope(data)
        yield StoredMessage(
            event=event,
            plan=plan,
            envelope=envelope,
            message=envelope.verify(ledger.signer_of(event)),
            members=tuple(charge.get("members", ())),
            own_noise_variance=charge.get("own_noise_variance", 0),
            size=len(data),
            reply_hash=digest("audit-reply", data).hex(),
            cost=cost,
            epsilon=epsilon_of(accountant, cost, delta),
            epsilon_so_far=epsilon_of(accountant, total, delta),
        )
