"""What can happen: the operations of a sequence, and how hypothesis draws and shrinks lists of them."""

from dataclasses import dataclass
from typing import TypeAlias

from hypothesis import strategies as st

from tests.events.consortium import JOBS, NAMES

FATES = (
    "request lost",
    "reply lost",
    "request doubled",
    "reply doubled",
    "request late",
    "reply late",
    "slow",
    "crash before",
    "crash after",
    "under another's name",
)
CHANGES = (
    "model",
    "fewer members",
    "a member twice",
    "next attempt",
    "last attempt",
    "too many attempts",
    "earlier round",
    "later round",
    "another role",
    "transcript",
    "no witnesses",
    "forged witnesses",
    "forged heads",
    "another job",
    "old join",
    "another job's join",
    "joins swapped",
    "early release",
    "truncated",
    "another key",
)


@dataclass(frozen=True)
class Round:
    """The coordinator asks its next question and waits for the answers, or until the time is over."""

    job: int
    faults: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Ask:
    """The coordinator asks; what comes next happens meanwhile."""

    job: int
    faults: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Wait:
    """Time passes, and whatever is in flight arrives."""

    minutes: int


@dataclass(frozen=True)
class Replay:
    """Somebody sends an old packet once more, to anybody."""

    packet: int
    receiver: int


@dataclass(frozen=True)
class Restart:
    """A custodian's process ends, and a new one opens the same ledger."""

    member: int


@dataclass(frozen=True)
class Resume:
    """A coordinator's process ends, and a new one opens the same job store."""

    job: int


@dataclass(frozen=True)
class ClockJump:
    """A custodian's calendar moves."""

    member: int
    days: int


@dataclass(frozen=True)
class Renew:
    """A custodian's operator pins the next roster and the coordinator's next key."""

    member: int


@dataclass(frozen=True)
class Backup:
    """A custodian's ledger is copied."""

    member: int


@dataclass(frozen=True)
class Restore:
    """A custodian is started on the last copy of its ledger; without one, a copy is made."""

    member: int


@dataclass(frozen=True)
class Stop:
    """A member stops every job under its roster, and its word reaches another member."""

    by: int
    at: int


@dataclass(frozen=True)
class Forge:
    """The coordinator sends one member something else than it should."""

    job: int
    member: int
    change: str


Operation: TypeAlias = (
    Round | Ask | Wait | Replay | Restart | Resume | ClockJump | Renew | Backup | Restore | Stop | Forge
)
HARMFUL = (Forge, Stop, Restore)
"""Operations after which a job need not end well."""

_MEMBERS = st.integers(0, len(NAMES) - 1)
_FAULTS = st.one_of(st.just(()), st.lists(st.tuples(_MEMBERS, st.sampled_from(FATES)), max_size=2).map(tuple))
_RECEIVERS = st.integers(0, len(NAMES) + len(JOBS) - 1)


def _drawn_as(weights: dict[st.SearchStrategy[Operation], int]) -> st.SearchStrategy[Operation]:
    """One of several, by weight; `one_of` draws equal branches as one."""
    return st.sampled_from([one for one, weight in weights.items() for _ in range(weight)]).flatmap(lambda one: one)


def _mixture(
    jobs: list[int], *rare: st.SearchStrategy[Operation], weight: int = 3, then: tuple[Operation, ...] = ()
) -> st.SearchStrategy[tuple[Operation, ...]]:
    """A job that has come some way, then a list of operations: rounds mostly, and what goes wrong meanwhile."""
    job = st.sampled_from(jobs)
    weights: dict[st.SearchStrategy[Operation], int] = {
        st.builds(Round, job, _FAULTS): 12,
        st.builds(Ask, job, _FAULTS): 2,
        st.builds(Wait, st.sampled_from([1, 5, 30])): 1,
        st.builds(Replay, st.integers(0, 200), _RECEIVERS): 2,
        st.builds(Restart, _MEMBERS): 2,
        st.builds(Resume, job): 1,
        st.builds(ClockJump, _MEMBERS, st.sampled_from([1, -1, 40, -40])): 1,
        **dict.fromkeys(rare, weight),
    }
    begun = st.integers(0, 5).map(lambda rounds: (Round(jobs[0]),) * rounds + then)
    after = st.lists(_drawn_as(weights), min_size=6, max_size=35).map(tuple)
    return st.builds(lambda first, rest: first + rest, begun, after)


_SCENES = (
    _mixture([0]),
    _mixture([0, 1]),
    _mixture(
        [0, 0, 0, 1], st.builds(Forge, st.just(0), _MEMBERS, st.sampled_from((*CHANGES, *("old join",) * 4))), weight=12
    ),
    _mixture([0], st.builds(Restore, st.just(1)), st.builds(Restart, st.just(1)), weight=2, then=(Backup(1),)),
    _mixture([0, 2], st.builds(Stop, _MEMBERS, _MEMBERS), st.builds(Renew, _MEMBERS), weight=2),
)


@dataclass(frozen=True)
class Sequence:
    """One run.

    Attributes
    ----------
    tenths
        What every ledger can pay for, in tenths of a job.
    operations
        What happens, in order.
    """

    tenths: int
    operations: tuple[Operation, ...]


def sequences() -> st.SearchStrategy[Sequence]:
    """Scenes: one job, two at once, a malicious coordinator, restored backups, new rosters and stops."""
    return st.builds(Sequence, st.sampled_from([25, 16]), st.one_of(*_SCENES))
