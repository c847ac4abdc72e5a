"""Which base models may give scores: those that a job of this institution's own ledger released.

A model is what turns a record into the number that is offered. One that somebody made up could spell out a record, a
few bits at a time; so a model counts only if a custodian here has seen it at the end of a job and signed its receipt.
"""

from pathlib import Path
from typing import Any

from fedcredit.errors import ConfigError
from fedcredit.privacy.ledger import Ledger
from fedcredit.wire.canonical import canonical_json, digest, parse_json
from fedcredit.wire.envelope import open_envelope
from fedcredit.wire.messages import Receipt, decode_message


def load_released(path: Path) -> dict[str, Any]:
    """Read a released model.

    Raises
    ------
    ConfigError
        If the file cannot be read or is no model.
    """
    try:
        value = parse_json(path.read_bytes())
    except OSError as fault:
        raise ConfigError(f"cannot read the model {path}: {fault.strerror}; check the path.") from None
    except ValueError:
        raise ConfigError(f"{path} is not JSON; give the model.json that was released.") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{path} holds no model; give the model.json that was released.")
    return value


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
    if wanted not in _receipts(ledger, public_key):
        raise ConfigError(
            f"model {wanted.hex()[:16]} was not released by any job in ledger {ledger}; give the model.json of a job "
            "that this institution took part in to its end."
        )


def _receipts(path: Path, public_key: bytes) -> set[bytes]:
    """Model hashes of all receipts that this institution's custodian has given."""
    with Ledger.read(path, public_key) as ledger:
        kept = [
            open_envelope(sent) for job in ledger.jobs() for _, kind, sent in ledger.messages(job) if kind == "close"
        ]
    messages = (decode_message(envelope.kind, envelope.payload) for envelope in kept)
    return {message.model_hash for message in messages if isinstance(message, Receipt)}
