"""How many lines strangers may cause: requests that cost no privacy are written one by one only so often.

A coordinator pays for a charged message out of the plan, so there are few of them. Refusals and repeats are free, and
whoever can reach the custodian can ask for millions. Beyond an allowance they are counted instead, and the counts stand
in the next line: a token bucket, so that the trail grows by a bounded number of lines a day whatever is sent.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

BURST = 500
PER_SECOND = 1 / 60
# Who sends under ever new names is counted as one.
MOST_KINDS = 30
_OTHERS = {"others": True}


class Allowance:
    """The lines that free requests may still take.

    Parameters
    ----------
    clock
        Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._left, self._at = clock, float(BURST), clock()

    def take(self) -> bool:
        """Use up one line, if there is one."""
        now = self._clock()
        self._left = min(float(BURST), self._left + (now - self._at) * PER_SECOND)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Tally:
    """Requests that got no line of their own, counted by what was asked and decided."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[tuple[str, Any], ...]] = Counter()

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, values: dict[str, Any]) -> None:
        """Count one request."""
        kind = tuple(sorted(values.items()))
        if kind not in self._counts and len(self._counts) >= MOST_KINDS:
            kind = tuple(_OTHERS.items())
        self._counts[kind] += 1

    def read(self) -> list[dict[str, Any]]:
        """The counts, most frequent first."""
        return [{**dict(kind), "count": count} for kind, count in self._counts.most_common()]

    def clear(self) -> None:
        """Begin anew, once they are written."""
        self._counts.clear()
