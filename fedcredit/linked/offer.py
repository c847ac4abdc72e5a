"""An offer: what one institution tells another about persons who consent, one quantised number each.

A Parquet file whose terms and rows are signed together. The terms say for whom, for which released model, under which
dictionary, for what purpose and until when, so that an offer made for one use is refused at any other. Rows stand in
the order of their hashes, which says nothing about anybody.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedcredit.errors import ConfigError, WireError
from fedcredit.linked.person import HASH_BYTES
from fedcredit.roster import HashHex
from fedcredit.wire.canonical import canonical_json, digest, length_prefixed, parse_json
from fedcredit.wire.envelope import SigningKey, verify_signature

MOST_STEPS = 16
"""An offered score lies between this many steps below 0 and above."""

_TERMS, _SIGNATURE = b"fedcredit.offer.terms", b"fedcredit.offer.signature"


class OfferTerms(BaseModel):
    """What an offer is good for.

    Attributes
    ----------
    sender, receiver
        Institution that made it, and the one that may use it.
    dictionary, model
        Hashes of the base dictionary and of the released base model.
    purpose
        What it may be used for, in the words of the consent.
    expires
        Last day on which it may be used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sender: str
    receiver: str
    dictionary: HashHex
    model: HashHex
    purpose: str = Field(min_length=1, max_length=1000)
    expires: date


@dataclass(frozen=True, slots=True)
class Offer:
    """Terms and rows.

    Attributes
    ----------
    persons
        Hashes in increasing order, each once.
    steps
        Shape (n,): score of each person in steps of `fedcredit.linked.dictionary.OTHER_STEP` logits.
    """

    terms: OfferTerms
    persons: tuple[bytes, ...]
    steps: NDArray[np.int64]

    @property
    def hash(self) -> bytes:
        """Names the offer in logs; 32 bytes."""
        return digest("linked-offer-hash", self._to_sign())

    def _to_sign(self) -> bytes:
        terms = canonical_json(self.terms.model_dump(mode="json"))
        return length_prefixed("linked-offer", terms, b"".join(self.persons), self.steps.astype("<i8").tobytes())

    def write(self, path: Path, key: SigningKey) -> None:
        """Sign and write the offer.

        Raises
        ------
        ConfigError
            If the file exists or cannot be written.
        """
        signature = key.sign(self._to_sign()).hex().encode()
        metadata = {_TERMS: canonical_json(self.terms.model_dump(mode="json")), _SIGNATURE: signature}
        table = pa.table(
            {"person": pa.array(self.persons, pa.binary(HASH_BYTES)), "steps": pa.array(self.steps, pa.int16())}
        ).replace_schema_metadata(metadata)
        write_table(path, table)

    def signed_by(self, public_key: bytes, signature: bytes) -> bool:
        """Whether an institution with that identity key signed the offer."""
        return verify_signature(public_key, self._to_sign(), signature)


def make_offer(terms: OfferTerms, persons: tuple[bytes, ...], steps: NDArray[np.int64]) -> Offer:
    """Put one row per person in order.

    Parameters
    ----------
    persons, steps
        One entry per row of the sender's table. The rows of a person are averaged, rounded to whole steps, and kept
        within `MOST_STEPS`.
    """
    names, first, place = np.unique(np.array(persons, dtype=np.object_), return_index=True, return_inverse=True)
    totals = np.bincount(place, weights=steps.astype(np.float64), minlength=len(names))
    means = np.rint(totals / np.maximum(np.bincount(place, minlength=len(names)), 1)).astype(np.int64)
    return Offer(terms, tuple(persons[index] for index in first), np.clip(means, -MOST_STEPS, MOST_STEPS))


def open_offer(path: Path, public_key: bytes, expected: OfferTerms, today: date) -> Offer:
    """Read an offer and check that it was made for just this use.

    Parameters
    ----------
    public_key
        Identity key of the sender, from the roster.
    expected
        What it must say; `expires` is not compared.
    today
        The day of use.

    Raises
    ------
    WireError
        If the file is no offer.
    ConfigError
        If it was made by or for somebody else, for another model, dictionary or purpose, has expired, or was changed.
    """
    offer, signature = _read(path)
    for name in ("sender", "receiver", "dictionary", "model", "purpose"):
        stated, wanted = getattr(offer.terms, name), getattr(expected, name)
        if stated != wanted:
            raise ConfigError(
                f"offer {path} is for {name} {stated!r}, not {wanted!r}; ask for one that is for this use."
            )
    if today > offer.terms.expires:
        raise ConfigError(f"offer {path} expired on {offer.terms.expires}; ask for a new one.")
    if not offer.signed_by(public_key, signature):
        raise ConfigError(f"offer {path} is not signed by {offer.terms.sender!r}; ask for it again.")
    return offer


def named_sender(path: Path) -> str:
    """Who claims to have made an offer; nothing is proved yet.

    Raises
    ------
    WireError
        If the file is no offer.
    """
    return _read(path)[0].terms.sender


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file for this account only, where there is none.

    Raises
    ------
    ConfigError
        If the file exists or cannot be written.
    """
    try:
        path.touch(mode=0o600, exist_ok=False)
        pa_parquet.write_table(table, path)
    except FileExistsError:
        raise ConfigError(f"{path} exists, and nothing is overwritten; choose another name.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}); choose another place.") from error


def _read(path: Path) -> tuple[Offer, bytes]:
    foreign = f"{path} is no offer of linked rows; have it made with 'fedcredit linked offer'."
    try:
        table = pa_parquet.read_table(path)
        metadata: dict[bytes, Any] = table.schema.metadata or {}
        terms = OfferTerms.model_validate(parse_json(metadata[_TERMS]))
        signature = bytes.fromhex(metadata[_SIGNATURE].decode("ascii"))
        persons = tuple(one for one in table.column("person").to_pylist() if isinstance(one, bytes))
        steps = np.asarray(table.column("steps").to_numpy(), dtype=np.int64)
    except OSError as error:
        raise ConfigError(f"offer {path} cannot be read ({error.strerror}); check the path.") from error
    except (pa.ArrowException, KeyError, ValueError, ValidationError, TypeError) as error:
        raise WireError(foreign) from error
    whole = len(persons) == len(steps) and all(len(one) == HASH_BYTES for one in persons)
    if not whole or list(persons) != sorted(set(persons)) or np.any(np.abs(steps) > MOST_STEPS):
        raise WireError(foreign)
    return Offer(terms, persons, steps), signature
