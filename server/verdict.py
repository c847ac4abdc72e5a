"""What becomes of an attempt: who answered, who did not and why, hence what the coordinator does next. No I/O.

A member that lost its bytes or its keys stays and is asked again, as long as attempts are left to go on without it
after that, or for want of a quorum to the last of them; one that is silent or refuses leaves the job. When
a member's reserve is used up, or the plan allows no further attempt, there is nothing left to ask for: training ends
with the model so far, and without an evaluation the model is released without one.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import AbsenceError, JobError
from fedcredit.job.progress import CHARGED, Progress
from fedcredit.job.store import Outcome
from fedcredit.ownership import fewest_owners
from fedcredit.plan import Placement, Plan
from fedcredit.printable import printable
from fedcredit.wire.messages import Message

_OVER = frozenset({"stop", "expired"})
_LATER = frozenset({"hours"})
_LONGEST_REASON = 500
_LOST_KEYS = frozenset({"keys-missing", "keys-stale", "keys-own"})
_LOST_BYTES = frozenset({"attempt", "replay"})
_MOST_AGREEMENTS = 50


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply that is what was asked for, and the exact envelope that it came in."""

    message: Message
    packet: bytes


_Given = TypeVar("_Given")


@dataclass(slots=True)
class Asking(Generic[_Given]):
    """The attempt in flight; what an answer is, only its keeper knows.

    Attributes
    ----------
    waiting
        Who has not answered yet.
    answered
        What came.
    refused
        Code and sentence of each that will not answer.
    silences
        How often each was asked in vain.
    """

    waiting: list[str]
    answered: dict[str, _Given] = field(default_factory=dict)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    silences: dict[str, int] = field(default_factory=dict)

    def answer(self, name: str, answer: _Given) -> None:
        """Take an answer."""
        self.waiting.remove(name)
        self.answered[name] = answer

    def refuse(self, name: str, code: str, text: str) -> None:
        """Give up on an institution for this attempt."""
        self.waiting.remove(name)
        self.refused[name] = (code, text)

    def fall_silent(self, resends: int, faults: Mapping[str, str]) -> None:
        """The time is over for whoever has not answered; more than `resends` times, and it will not."""
        for name in tuple(self.waiting):
            self.silences[name] = self.silences.get(name, 0) + 1
            if self.silences[name] > resends:
                self.refuse(name, "silent", sentence(faults.get(name, "no answer in time")))


def packets_of(asking: Asking[Answer]) -> dict[str, bytes]:
    """The envelopes of all answers."""
    return {name: answer.packet for name, answer in asking.answered.items()}


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an attempt ended, who is in the job from here on, and who must join again."""

    outcome: Outcome
    members: tuple[str, ...]
    rejoining: tuple[str, ...] = ()


def verdict(plan: Plan, dictionary: DataDictionary, progress: Progress, asking: Asking[Any], quorum: int) -> Verdict:
    """Decide an attempt in which nobody is left to ask.

    Raises
    ------
    AbsenceError
        If too few institutions are left because others are silent, or a member answers at other hours only.
    JobError
        If too few institutions are left for the quorum or for a block, a first join was refused, preflight cannot be
        paid again, or nobody took the release.
    """
    if later := _with(asking, _LATER):
        # Asked again on resume under the same attempt: who has answered re-sends stored bytes, and nobody is charged.
        raise AbsenceError(f"{later[0]}: {asking.refused[later[0]][1]}; resume the job then.")
    if progress.next_phase == "release":
        return _released(progress, asking)
    members, lost_keys = _left(plan, progress, asking, quorum)
    if len(members) < quorum or _refused_at_first(progress, asking) or not _owned(plan, dictionary, members):
        raise _too_few(progress, len(members), asking)
    if progress.next_phase in CHARGED and asking.refused:
        if _with(asking, _no_more(plan, progress, asking)) or progress.attempt >= plan.privacy.max_attempts:
            return _ended(progress, members)
        return Verdict(Outcome.AGAIN, members, lost_keys)
    if lost_keys and progress.attempt >= _MOST_AGREEMENTS:
        raise JobError(f"{', '.join(lost_keys)} lost their keys again and again; mend the cause and plan a new job.")
    return Verdict(Outcome.AGAIN if lost_keys else Outcome.DONE, members, lost_keys)


def _released(progress: Progress, asking: Asking[Any]) -> Verdict:
    """No sum is taken any more: the job is done with the receipts that came, and its members stay as they are."""
    if not asking.answered:
        raise _too_few(progress, 0, asking)
    return Verdict(Outcome.DONE, progress.members)


def _owned(plan: Plan, dictionary: DataDictionary, members: tuple[str, ...]) -> bool:
    """Whether enough members are left behind each block, where noise is shared; each custodian would refuse fewer."""
    if plan.privacy.placement is not Placement.DISTRIBUTED:
        return True
    return fewest_owners(plan.roster, dictionary, members) >= plan.privacy.min_owners


def _left(plan: Plan, progress: Progress, asking: Asking[Any], quorum: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Who is in the job from here on, and who of them must join again."""
    spent = set(_with(asking, _no_more(plan, progress, asking)))
    lost_keys, lost_bytes = _lost(progress, asking)
    without = _staying(progress, asking, spent)
    patient = progress.attempt == 1 or progress.attempt + 1 < plan.privacy.max_attempts
    if patient or len(without) < quorum:
        return _staying(progress, asking, {*spent, *lost_keys, *lost_bytes}), lost_keys
    return without, ()


def _no_more(plan: Plan, progress: Progress, asking: Asking[Any]) -> frozenset[str]:
    """Refusals after which the step can be done by nobody, and the job goes on without it.

    Each only where an honest member can have cause for it: a reserve is used up by retries, not by a first attempt; an
    evaluation comes too early only after training was given up; a stop or an expiry stops everybody.
    """
    if progress.next_phase not in CHARGED:
        return frozenset()
    codes = {"budget"} if progress.attempt > 1 else set()
    if progress.next_phase == "evaluate" and progress.rounds_trained < plan.phases.train.rounds:
        codes.add("order")
    if not asking.answered and {code for code, _ in asking.refused.values()} <= _OVER:
        codes |= _OVER
    return frozenset(codes)


def _staying(progress: Progress, asking: Asking[Any], forgiven: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in progress.members if name not in asking.refused or name in forgiven)


def sentence(text: str) -> str:
    """A member's words, fit for the operator's console: short, and without control characters."""
    return printable(text[:_LONGEST_REASON])


def _ended(progress: Progress, members: tuple[str, ...]) -> Verdict:
    if progress.next_phase == "preflight":
        raise JobError("preflight failed and the retry reserve is used up; mend the cause and plan a new job.")
    return Verdict(Outcome.ENDED, members)


def _lost(progress: Progress, asking: Asking[Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Members whose keys, and whose bytes, are gone, where asking again can help."""
    if progress.next_phase == "keys":
        return _with(asking, _LOST_KEYS), ()
    if progress.next_phase in CHARGED:
        return _with(asking, _LOST_KEYS), _with(asking, _LOST_BYTES)
    return (), ()


def _refused_at_first(progress: Progress, asking: Asking[Any]) -> bool:
    """Whether a member said no to the plan; then a person has to look at it."""
    first = progress.next_phase == "join" and progress.agreements == 0
    return first and any(code != "silent" for code, _ in asking.refused.values())


def _with(asking: Asking[Any], codes: frozenset[str]) -> tuple[str, ...]:
    return tuple(name for name, (code, _) in asking.refused.items() if code in codes)


def _too_few(progress: Progress, n_left: int, asking: Asking[Any]) -> JobError:
    reasons = "; ".join(f"{name}: {reason}" for name, (_, reason) in asking.refused.items())
    silent_only = all(code == "silent" for code, _ in asking.refused.values())
    return (AbsenceError if silent_only else JobError)(
        f"{progress.next_phase} has {n_left} of {len(progress.members)} institutions ({reasons}); "
        "mend the cause and resume the job."
    )
