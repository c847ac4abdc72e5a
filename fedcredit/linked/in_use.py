"""Whether linked rows may be charged and read: on the base job's ledger, as they were made, while their offers hold.

Looked at when a custodian starts, and in an institution's own check. A job that begins later is no use that an offer
allowed, if it has expired meanwhile; and rows that somebody edited are of persons of whom nothing was offered.
"""

import hashlib
from datetime import date
from pathlib import Path

from fedcredit.data.source_spec import ParquetSpec, SourceSpec
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import ConfigError, LedgerError
from fedcredit.linked.dictionary import base_model_of
from fedcredit.linked.log import lines_of, link_log_of
from fedcredit.linked.released import models_released
from fedcredit.privacy.ledger_read import LedgerReader

_REMEDY = "make them anew with 'fedcredit linked table', from offers that hold"


def require_usable(
    dictionary: DataDictionary, data: SourceSpec, path: Path, ledger: LedgerReader, public_key: bytes, today: date
) -> None:
    """Check what a linked job is about to read; rows of any other dictionary need nothing.

    Parameters
    ----------
    data
        Where the site's rows are.
    path, ledger
        The ledger's file, and the ledger.
    public_key
        Of the institution.
    today
        The day of use.

    Raises
    ------
    LedgerError
        If no job of this ledger released the model that scored the rows, or the log of links does not hold.
    ConfigError
        If the rows are not as a command wrote them, or an offer in them has expired.
    """
    model = base_model_of(dictionary)
    if model is None:
        return
    if model not in models_released(ledger):
        raise LedgerError(
            f"dictionary {dictionary.name!r} is of linked rows that model {model.hex()[:16]} scored, and no job of "
            "this ledger released it; name the base job's population and ledger in SITE.yaml, so that both jobs "
            "share one budget."
        )
    log = link_log_of(path)
    made = [line.values for line in lines_of(log, public_key) if line.values.get("table") == _hash(data)]
    if not made:
        raise ConfigError(f"log {log} has no linked rows like those that SITE.yaml names as data; {_REMEDY}.")
    expires = min(date.fromisoformat(str(values["expires"])) for values in made)
    if today > expires:
        raise ConfigError(f"an offer in these linked rows expired on {expires}; {_REMEDY}.")


def _hash(data: SourceSpec) -> str:
    """Names a file of linked rows as the log does; nothing else can be one."""
    if not isinstance(data, ParquetSpec):
        return ""
    try:
        with data.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"linked rows {data.path} cannot be read ({error.strerror}); check the path.") from error
