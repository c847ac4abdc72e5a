"""When a ledger is an older copy of itself, and where its count goes on after an operator has paid for what it lacks.

A restored backup is a valid chain; only a count that somebody else kept shows that there was more. That is the
institution's own counter (`fedcredit.privacy.ledger_counter`) or its peers (`fedcredit.custodian.witness`).
"""

from collections.abc import Iterable, Mapping
from typing import Any


def rolled_back(own_count: int, seen_count: int) -> bool:
    """Whether more events were seen of a ledger than it has."""
    return seen_count > own_count


def lost_count(events: Iterable[Mapping[str, Any]]) -> int:
    """The highest count that peers have shown since the last recovery.

    Parameters
    ----------
    events
        The ledger's events of the kinds ``rolled_back`` and ``recovered``, oldest first.
    """
    highest = 0
    for event in events:
        highest = max(highest, event["event_count"]) if event["event"] == "rolled_back" else 0
    return highest


def count_offset(own_count: int, seen_count: int) -> int:
    """How many counts a recovery leaves out, so that its own is higher than every one that was seen."""
    return max(0, seen_count - own_count)
