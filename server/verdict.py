"""What becomes of an attempt: who answered, who did not and why, hence what the coordinator does next. No I/O.

A member that lost its bytes or its keys stays and is asked again, as long as attempts are left to go on without it
after that, or for want of a quorum to the last of them; one that is silent or refuses leaves the job. When
a member's reserve is used up, or the plan allows no further attempt, there is nothing left to ask for: training ends
with the model so far, and without an evaluation the model is released without one.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from fedcredit.errors import JobError
from fedcredit.plan import Plan
from fedcredit.wire.messages import Message
from server.progress import Progress
from server.store import Outcome

CHARGED = ("preflight", "train", "evaluate")
_LONGEST_REASON = 500
_LOST_KEYS = frozenset({"keys-missing", "keys-stale", "keys-own"})
_LOST_BYTES = frozenset({"attempt", "replay"})
_SPENT = frozenset({"budget"})
# From a member whose training was given up before it took part.
_UNTRAINED = frozenset({"order"})
_MOST_AGREEMENTS = 50


@dataclass(slots=True)
class Asking:
    """The attempt in flight.

    Attributes
    ----------
    waiting
        Who has not answered yet.
    answered
        Messages and their exact envelopes.
    refused
        Code and sentence of each that will not answer.
    silences
        How often each was asked in vain.
    """

    waiting: list[str]
    answered: dict[str, tuple[Message, bytes]] = field(default_factory=dict)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    silences: dict[str, int] = field(default_factory=dict)

    def answer(self, name: str, message: Message, packet: bytes) -> None:
        """Take an answer."""
        self.waiting.remove(name)
        self.answered[name] = (message, packet)

    def refuse(self, name: str, code: str, text: str) -> None:
        """Give up on an institution for this attempt."""
        self.waiting.remove(name)
        self.refused[name] = (code, text)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an attempt ended, who is in the job from here on, and who must join again."""

    outcome: Outcome
    members: tuple[str, ...]
    rejoining: tuple[str, ...] = ()


def verdict(plan: Plan, progress: Progress, asking: Asking, quorum: int) -> Verdict:
    """Decide an attempt in which nobody is left to ask.

    Raises
    ------
    JobError
        If too few institutions are left, a first join was refused, or preflight cannot be paid again.
    """
    charged = progress.next_phase in CHARGED
    members, lost_keys = _left(plan, progress, asking, quorum)
    if len(members) < quorum or _refused_at_first(progress, asking):
        raise JobError(_too_few(progress, len(members), asking))
    if charged and asking.refused:
        if _with(asking, _no_more(progress)) or progress.attempt >= plan.privacy.max_attempts:
            return _ended(progress, members)
        return Verdict(Outcome.AGAIN, members, lost_keys)
    if lost_keys and progress.attempt >= _MOST_AGREEMENTS:
        raise JobError(f"{', '.join(lost_keys)} lost their keys again and again; mend the cause and plan a new job.")
    return Verdict(Outcome.AGAIN if lost_keys else Outcome.DONE, members, lost_keys)


def _left(plan: Plan, progress: Progress, asking: Asking, quorum: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Who is in the job from here on, and who of them must join again."""
    spent = set(_with(asking, _no_more(progress)))
    lost_keys, lost_bytes = _lost(progress, asking)
    without = _staying(progress, asking, spent)
    patient = progress.attempt == 1 or progress.attempt + 1 < plan.privacy.max_attempts
    if patient or len(without) < quorum:
        return _staying(progress, asking, {*spent, *lost_keys, *lost_bytes}), lost_keys
    return without, ()


def _no_more(progress: Progress) -> frozenset[str]:
    """Refusals after which the step can be done by nobody, and the job goes on without it."""
    return {"preflight": _SPENT, "train": _SPENT, "evaluate": _SPENT | _UNTRAINED}.get(progress.next_phase, frozenset())


def _staying(progress: Progress, asking: Asking, forgiven: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in progress.members if name not in asking.refused or name in forgiven)


def sentence(text: str) -> str:
    """A member's words, fit for the operator's console: short, and without control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:_LONGEST_REASON])


def _ended(progress: Progress, members: tuple[str, ...]) -> Verdict:
    if progress.next_phase == "preflight":
        raise JobError("preflight failed and the retry reserve is used up; mend the cause and plan a new job.")
    return Verdict(Outcome.ENDED, members)


def _lost(progress: Progress, asking: Asking) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Members whose keys, and whose bytes, are gone, where asking again can help."""
    if progress.next_phase == "keys":
        return _with(asking, _LOST_KEYS), ()
    if progress.next_phase in CHARGED:
        return _with(asking, _LOST_KEYS), _with(asking, _LOST_BYTES)
    return (), ()


def _refused_at_first(progress: Progress, asking: Asking) -> bool:
    """Whether a member said no to the plan; then a person has to look at it."""
    first = progress.next_phase == "join" and progress.agreements == 0
    return first and any(code != "silent" for code, _ in asking.refused.values())


def _with(asking: Asking, codes: frozenset[str]) -> tuple[str, ...]:
    return tuple(name for name, (code, _) in asking.refused.items() if code in codes)


def _too_few(progress: Progress, n_left: int, asking: Asking) -> str:
    reasons = "; ".join(f"{name}: {reason}" for name, (_, reason) in asking.refused.items())
    return (
        f"{progress.next_phase} has {n_left} of {len(progress.members)} institutions ({reasons}); "
        "mend the cause and resume the job."
    )
