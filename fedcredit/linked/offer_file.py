"""Files of linked rows: an offer as it is handed over, and any table that holds what an offer told.

Both are Parquet, for this account only, written whole or not at all and never over anything. An offer is parsed before
its signature can be checked, so nothing is taken from it but two columns of the declared types, and nothing is unpacked
that is larger than the file: hashes do not compress.
"""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
from pydantic import ValidationError

from fedcredit.errors import ConfigError, WireError
from fedcredit.linked.offer import MOST_STEPS, Offer, OfferTerms, OfferUse, encode_terms, require_for
from fedcredit.linked.person import HASH_BYTES
from fedcredit.provisioning.new_files import write_file
from fedcredit.wire.canonical import parse_json
from fedcredit.wire.envelope import SigningKey

_TERMS, _SIGNATURE = b"fedcredit.offer.terms", b"fedcredit.offer.signature"
_SCHEMA = pa.schema([("person", pa.binary(HASH_BYTES)), ("steps", pa.int16())])


def write_offer(path: Path, offer: Offer, key: SigningKey) -> None:
    """Sign and write an offer.

    Raises
    ------
    ConfigError
        If the file exists or cannot be written.
    """
    columns = [pa.array(offer.persons, pa.binary(HASH_BYTES)), pa.array(offer.steps, pa.int16())]
    metadata = {_TERMS: encode_terms(offer.terms), _SIGNATURE: offer.signature(key).hex().encode()}
    write_file(path, encode_table(pa.table(columns, schema=_SCHEMA.with_metadata(metadata))), secret=True)


def open_offer(path: Path, public_key: bytes, expected: OfferUse, today: date) -> Offer:
    """Read an offer and check that it was made for just this use; see `fedcredit.linked.offer.require_for`.

    Raises
    ------
    WireError
        If the file is no offer.
    ConfigError
        If it cannot be read, or was made for another use.
    """
    offer, signature = _read(path)
    try:
        require_for(offer, signature, public_key, expected, today)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return offer


def named_sender(path: Path) -> str:
    """Who claims to have made an offer; nothing is proved yet.

    Raises
    ------
    WireError, ConfigError
        If the file is no offer, or cannot be read.
    """
    return _read(path)[0].terms.sender


def encode_table(table: pa.Table) -> bytes:
    """The bytes of a Parquet file."""
    sink = pa.BufferOutputStream()
    pa_parquet.write_table(table, sink)
    return bytes(sink.getvalue().to_pybytes())


def _read(path: Path) -> tuple[Offer, bytes]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"offer {path} cannot be read ({error.strerror}); check the path.") from error
    try:
        return _parsed(data)
    except (OSError, pa.ArrowException, KeyError, ValueError, ValidationError, TypeError) as error:
        raise WireError(f"{path} is no offer of linked rows; have it made with 'fedcredit linked offer'.") from error


def _parsed(data: bytes) -> tuple[Offer, bytes]:
    with pa_parquet.ParquetFile(pa.BufferReader(data)) as file:
        schema: Any = file.schema_arrow
        if not schema.equals(_SCHEMA) or _values(file.metadata) * HASH_BYTES > len(_SCHEMA) * len(data):
            raise ValueError("other columns, or more rows than it can hold")
        table: Any = file.read()
    metadata, persons, steps = schema.metadata or {}, table.column("person"), table.column("steps")
    terms = OfferTerms.model_validate(parse_json(metadata[_TERMS]))
    if encode_terms(terms) != metadata[_TERMS] or persons.null_count or steps.null_count:
        raise ValueError("terms in another spelling, or a row without a value")
    offer = Offer(terms, tuple(persons.to_pylist()), np.asarray(steps.to_numpy(), dtype=np.int64))
    if list(offer.persons) != sorted(set(offer.persons)) or np.any(np.abs(offer.steps) > MOST_STEPS):
        raise ValueError("a person twice, rows out of order, or a score out of range")
    return offer, bytes.fromhex(metadata[_SIGNATURE].decode("ascii"))


def _values(metadata: Any) -> int:  # noqa: ANN401  (PyArrow's own type is not exported)
    """Values that the columns of a file claim to have; that many are unpacked."""
    groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
    return sum(group.column(index).num_values for group in groups for index in range(group.num_columns))
