"""One step's questions: who has been asked, who is to be asked again, and when. No I/O and no clock of its own.

A question is on its way until its reply or its failure arrives. What failed for a cause that may pass is asked again,
with the same bytes, after a pause that doubles; what failed for a cause that stays is left alone in this step.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from server.faults import NOT_ACCEPTED, Fault
from server.pacing import Pacing


@dataclass(slots=True)
class Delivery:
    """One institution's question.

    Attributes
    ----------
    asked
        How often it was sent in this step.
    message_id
        Flower's name of the message that is on its way, or None.
    fault
        Why it failed last, or None.
    """

    asked: int = 0
    message_id: str | None = None
    failures: int = 0
    not_before: float = 0.0
    fault: Fault | None = None

    @property
    def given_up(self) -> bool:
        """Whether nothing is expected of it any more in this step."""
        return self.message_id is None and self.fault is not None and not self.fault.passing


class Deliveries:
    """The questions of one step.

    Parameters
    ----------
    institutions
        Whom the step asks.
    pacing
        How long to pause after a failure.
    """

    def __init__(self, institutions: Iterable[str], pacing: Pacing) -> None:
        self.of = {name: Delivery() for name in institutions}
        self._pacing = pacing

    @property
    def on_their_way(self) -> dict[str, str]:
        """Institution by the message that it has been sent."""
        return {one.message_id: name for name, one in self.of.items() if one.message_id is not None}

    @property
    def hopeless(self) -> bool:
        """Whether nobody can be expected to answer in this step."""
        return all(one.given_up for one in self.of.values())

    def due(self, now: float) -> list[str]:
        """Who is to be asked now, if it can be reached."""
        return [
            name
            for name, one in self.of.items()
            if one.message_id is None and not one.given_up and now >= one.not_before
        ]

    def sent(self, names: Collection[str], accepted: Mapping[str, str], now: float) -> list[str]:
        """Note the messages to `names`, of which Flower took `accepted`: institution by message.

        Returns
        -------
        list of str
            Whose message it did not take.
        """
        for message_id, name in accepted.items():
            self.of[name].asked += 1
            self.of[name].message_id = message_id
        refused = sorted(set(names) - set(accepted.values()))
        for name in refused:
            self.failed(name, NOT_ACCEPTED, now)
        return refused

    def failed(self, name: str, fault: Fault, now: float) -> None:
        """Note that a question came back without an answer."""
        one = self.of[name]
        one.message_id, one.fault, one.failures = None, fault, one.failures + 1
        one.not_before = now + self._pacing.retry_s(one.failures)

    def keep(self, waiting: Collection[str]) -> None:
        """Drop whoever is not waited for any more."""
        self.of = {name: one for name, one in self.of.items() if name in waiting}

    def words(self, names: Collection[str]) -> dict[str, str]:
        """Why each of `names` failed last, for the operator; those that only kept silent are left out."""
        return {name: one.fault.words() for name, one in self.of.items() if name in names and one.fault is not None}
