"""The bytes beside a ledger's events: that each plan and each sent vector is the one that its event was written for."""

from fedcredit.errors import LedgerError, RefusalError, WireError
from fedcredit.plan import plan_digest
from fedcredit.privacy.ledger_read import LedgerReader
from fedcredit.wire.canonical import digest
from fedcredit.wire.envelope import open_envelope
from fedcredit.wire.messages import Contribution


def verify_messages(ledger: LedgerReader) -> int:
    """Compare stored plans and contributions with their events; the number of contributions.

    Raises
    ------
    LedgerError
        At the first one that is another.
    """
    for plan_hash, job in ledger.jobs().items():
        if plan_digest(job.plan) != plan_hash:
            raise LedgerError(f"the plan of job {plan_hash.hex()[:16]} is another one than was joined.")
    sent = ledger.sent()
    for seq, event, message in sent:
        try:
            contribution = open_envelope(message).verify(ledger.signer_of(seq))
        except (WireError, RefusalError) as error:
            raise LedgerError(f"the message of ledger event {seq} cannot be read: {error}") from error
        if not isinstance(contribution, Contribution) or contribution.event_count != seq:
            raise LedgerError(f"the message of ledger event {seq} belongs to another event.")
        if digest("vector", contribution.vector).hex() != event["vector_hash"]:
            raise LedgerError(f"the message of ledger event {seq} holds another vector than was charged.")
    return len(sent)
