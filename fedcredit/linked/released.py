"""Which base models may give scores: those that a job of this institution's own ledger released.

A model is what turns a record into the number that is offered. One that somebody made up could spell out a record, a
few bits at a time; so a model counts only if a custodian here has seen it at the end of a job and signed its receipt.
"""

from pathlib import Path
from typing import Any

from fedcredit.errors import ConfigError
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_read import LedgerReader
from fedcredit.wire.canonical import canonical_json, digest
from fedcredit.wire.envelope import open_envelope
from fedcredit.wire.messages import Receipt, decode_message


def model_hash(released: dict[str, Any]) -> bytes:
    """Names a model as receipts do; 32 bytes."""
    return digest("model", canonical_json(released))


def require_released_here(released: dict[str, Any], ledger: Path, public_key: bytes) -> None:
    """Check that a model is one that this institution's custodian gave a receipt for.

    Raises
    ------
    ConfigError
        If it is not.
    LedgerError
        If the ledger does not exist or does not hold.
    """
    wanted = model_hash(released)
    with Ledger.read(ledger, public_key) as known:
        if wanted not in models_released(known):
            raise ConfigError(
                f"model {wanted.hex()[:16]} was not released by any job in ledger {ledger}; give the model.json of a "
                "job that this institution took part in to its end."
            )


def models_released(ledger: LedgerReader) -> set[bytes]:
    """Model hashes of all receipts that this institution's custodian has given."""
    kept = [sent for job in ledger.jobs() for _, kind, sent in ledger.messages(job) if kind == "close"]
    envelopes = (open_envelope(sent) for sent in kept)
    messages = (decode_message(envelope.kind, envelope.payload) for envelope in envelopes)
    return {message.model_hash for message in messages if isinstance(message, Receipt)}
