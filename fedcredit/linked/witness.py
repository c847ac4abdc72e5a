"""What one institution's log of links knows of another's: which offers of theirs were used here, and their lines there.

An offer names its line in its sender's log. Two offers on one line mean that the log was cut, or that there are two of
it. A later line means a later offer: whoever withdrew consent in between stands in the earlier one only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedcredit.errors import ConfigError, LedgerError
from fedcredit.linked.log import lines_of
from fedcredit.linked.offer import Offer
from fedcredit.wire.envelope import SigningKey


@dataclass(frozen=True, slots=True)
class _Place:
    """An offer's line in its sender's log, its hash, and the model and purpose that it is for."""

    sender: str
    number: int
    hash: str
    use: tuple[str, str]


def require_latest(path: Path, key: SigningKey, offers: Sequence[Offer]) -> None:
    """Check offers against each other and against all that were used here.

    Parameters
    ----------
    path, key
        This institution's own log and key.
    offers
        Whose signatures hold.

    Raises
    ------
    LedgerError
        If this log does not hold, or two offers claim one line of their sender's.
    ConfigError
        If a sender has made a later offer for the same use.
    """
    mine = [_place(offer) for offer in offers]
    known = [*mine, *_used(path, key)]
    for place in mine:
        others = [one for one in known if one.sender == place.sender and one.hash != place.hash]
        _require_own_line(place, [one for one in others if one.number == place.number])
        _require_last(place, [one.number for one in others if one.use == place.use])


def _require_own_line(place: _Place, others: list[_Place]) -> None:
    if others:
        raise LedgerError(
            f"{place.sender} says that two offers are line {place.number} of its log of links: {place.hash[:16]} and "
            f"{others[0].hash[:16]}. That log was cut, or there are two of it; have them look into it."
        )


def _require_last(place: _Place, numbers: list[int]) -> None:
    latest = max(numbers, default=0)
    if latest > place.number:
        raise ConfigError(
            f"{place.sender} has made a later offer for this use, line {latest} of its log of links, and this one is "
            f"line {place.number}: whoever withdrew consent since is in this one only. Use the latest, or a new one."
        )


def _place(offer: Offer) -> _Place:
    terms = offer.terms
    return _Place(terms.sender, terms.log_number, offer.hash.hex(), (terms.model, terms.purpose))


def _used(path: Path, key: SigningKey) -> list[_Place]:
    told = [line.values for line in lines_of(path, key.public)]
    return [
        _Place(one["sender"], one["log_number"], one["offer"], (one["model"], one["purpose"]))
        for one in told
        if one.get("event") == "linked table"
    ]
