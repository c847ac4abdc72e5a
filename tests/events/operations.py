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
    """A custodian is started on the last copy of its ledger."""

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

_JOBS = st.sampled_from([0, 0, 0, 1, 1, 2])
_MEMBERS = st.integers(0, len(NAMES) - 1)
_FAULTS = st.one_of(st.just(()), st.lists(st.tuples(_MEMBERS, st.sampled_from(FATES)), max_size=2).map(tuple))
_ROUNDS = st.builds(Round, _JOBS, _FAULTS)
_OTHERS = (
    st.builds(Ask, _JOBS, _FAULTS),
    st.builds(Wait, st.sampled_from([1, 5, 30])),
    st.builds(Replay, st.integers(0, 200), st.integers(0, len(NAMES) + len(JOBS) - 1)),
    st.builds(Restart, _MEMBERS),
    st.builds(Resume, _JOBS),
    st.builds(ClockJump, _MEMBERS, st.sampled_from([1, -1, 40, -40])),
)
_RARE = (
    st.builds(Renew, _MEMBERS),
    st.builds(Backup, _MEMBERS),
    st.builds(Restore, _MEMBERS),
    st.builds(Stop, _MEMBERS, _MEMBERS),
)
_HARM = st.builds(Forge, _JOBS, _MEMBERS, st.sampled_from(CHANGES))
_QUIET = st.one_of(_ROUNDS, _ROUNDS, _ROUNDS, _ROUNDS, *_OTHERS)
_LOUD = st.one_of(_ROUNDS, _ROUNDS, _ROUNDS, _ROUNDS, _ROUNDS, *_OTHERS, *_RARE, _HARM, _HARM)


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
    """Half of the sequences hold faults only, and must end well; the others hold malice, too."""
    operations = st.one_of(
        st.lists(_QUIET, min_size=10, max_size=40).map(tuple), st.lists(_LOUD, min_size=10, max_size=40).map(tuple)
    )
    return st.builds(Sequence, st.sampled_from([25, 16, 40]), operations)
