"""Which base models may give scores: those that a job of this institution's own ledger released.

A model is what turns a record into the number that is offered. One that somebody made up could spell out a record, a
few bits at a time; so a model counts only if a custodian here has seen it at the end of a job and signed its receipt.
For the same reason linked rows are charged to that ledger: it is where the base job spent its part of one budget.
"""

from pathlib import Path
from typing import Any

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import ConfigError, LedgerError
from fedcredit.linked.dictionary import base_model_of
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
        if wanted not in _released(known):
            raise ConfigError(
                f"model {wanted.hex()[:16]} was not released by any job in ledger {ledger}; give the model.json of a "
                "job that this institution took part in to its end."
            )


def require_one_budget(dictionary: DataDictionary, ledger: LedgerReader) -> None:
    """Check that linked rows are charged where the job was charged whose model scored them.

    Parameters
    ----------
    dictionary
        Any; one that is no linked one needs nothing.

    Raises
    ------
    LedgerError
        If no job of this ledger released that model.
    """
    model = base_model_of(dictionary)
    if model is not None and model not in _released(ledger):
        raise LedgerError(
            f"dictionary {dictionary.name!r} is of linked rows that model {model.hex()[:16]} scored, and no job of "
            "this ledger released it; name the base job's population and ledger in SITE.yaml, so that both jobs "
            "share one budget."
        )


def _released(ledger: LedgerReader) -> set[bytes]:
    """Model hashes of all receipts that this institution's custodian has given."""
    kept = [sent for job in ledger.jobs() for _, kind, sent in ledger.messages(job) if kind == "close"]
    envelopes = (open_envelope(sent) for sent in kept)
    messages = (decode_message(envelope.kind, envelope.payload) for envelope in envelopes)
    return {message.model_hash for message in messages if isinstance(message, Receipt)}
