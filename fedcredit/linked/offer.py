"""An offer: what one institution tells another about persons who consent, one quantised number each.

Its terms and rows are signed together. The terms say for whom, for which released model, under which dictionary, for
what purpose and until when, so that an offer made for one use is refused at any other. Rows stand in the order of their
hashes, which says nothing about anybody. `fedcredit.linked.offer_file` puts it into a file.
"""

import os
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from fedcredit.audit.lines import Link
from fedcredit.errors import ConfigError
from fedcredit.roster import HashHex
from fedcredit.wire.canonical import canonical_json, digest, length_prefixed
from fedcredit.wire.envelope import SigningKey, verify_signature

MOST_STEPS = 16
"""An offered score lies between this many steps below 0 and above."""

_SALT_BYTES = 32


class OfferUse(BaseModel):
    """What an offer is good for.

    Attributes
    ----------
    sender, receiver
        Institution that made it, and the one that may use it.
    dictionary, model
        Hashes of the base dictionary and of the released base model.
    purpose
        What it may be used for, in the words of the consent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sender: str = Field(min_length=1, max_length=200)
    receiver: str = Field(min_length=1, max_length=200)
    dictionary: HashHex
    model: HashHex
    purpose: str = Field(min_length=1, max_length=1000)


class OfferTerms(OfferUse):
    """What an offer is good for, how long, and where its sender wrote it down.

    Attributes
    ----------
    expires
        Last day on which it may be used.
    salt
        Under which this offer hashes persons, and no other does; 32 bytes as hex.
    log_number, log_previous
        Of its line in the sender's log of links: the number, and the hash of the line before.
    """

    expires: date
    salt: HashHex
    log_number: int = Field(ge=1)
    log_previous: HashHex


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
        rows = b"".join(self.persons), self.steps.astype("<i8").tobytes()
        return length_prefixed("linked-offer", encode_terms(self.terms), *rows)

    def signature(self, key: SigningKey) -> bytes:
        """What the sender signs terms and rows with."""
        return key.sign(self._to_sign())

    def signed_by(self, public_key: bytes, signature: bytes) -> bool:
        """Whether an institution with that identity key signed the offer."""
        return verify_signature(public_key, self._to_sign(), signature)


def new_terms(use: OfferUse, expires: date, log: Link) -> OfferTerms:
    """Terms of an offer that is not made yet, with a salt from the operating system.

    Parameters
    ----------
    log
        Last line of the sender's log of links; the offer's own is the next one.
    """
    return OfferTerms(
        **use.model_dump(),
        expires=expires,
        salt=os.urandom(_SALT_BYTES).hex(),
        log_number=log.number + 1,
        log_previous=log.hash.hex(),
    )


def encode_terms(terms: OfferTerms) -> bytes:
    """The one spelling of some terms."""
    return canonical_json(terms.model_dump(mode="json"))


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


def require_for(offer: Offer, signature: bytes, public_key: bytes, expected: OfferUse, today: date) -> None:
    """Check that an offer was made for just this use.

    Parameters
    ----------
    public_key
        Identity key of the sender, from the roster.
    expected
        What it must say.
    today
        The day of use.

    Raises
    ------
    ConfigError
        If it was made by or for somebody else, for another model, dictionary or purpose, has expired, or was changed.
    """
    for name in OfferUse.model_fields:
        stated, wanted = getattr(offer.terms, name), getattr(expected, name)
        if stated != wanted:
            raise ConfigError(f"the offer is for {name} {stated!r}, not {wanted!r}; ask for one that is for this use.")
    if today > offer.terms.expires:
        raise ConfigError(f"the offer expired on {offer.terms.expires}; ask for a new one.")
    if not offer.signed_by(public_key, signature):
        raise ConfigError(f"the offer is not signed by {offer.terms.sender!r}; ask for it again.")
