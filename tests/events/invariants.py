"""What must never happen, checked at every message and every decision; the list is in `tests/events/world.py`.

Everything here is kept and computed beside the code under test: from packets, never from a ledger's own word.
"""

from collections import Counter, defaultdict
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import WireError
from fedcredit.job.progress import CHARGED
from fedcredit.job.store import Decided, Outcome
from fedcredit.privacy.ledger import Ledger
from fedcredit.secure_aggregation.transcript import transcript_digest
from fedcredit.wire.canonical import digest
from fedcredit.wire.envelope import open_envelope
from fedcredit.wire.heads import Head, read_head
from fedcredit.wire.messages import (
    Contribution,
    JoinReply,
    KeysReply,
    KeysRequest,
    Message,
    Receipt,
    Refusal,
    Role,
    RoundRequest,
    StopReply,
    decode_message,
)
from tests.events.consortium import EXPIRIES, NAMES, consortium, cost_of_a_message, own_part

# A masked word is smaller than this with a chance of 2^-43; only so many words of a vector are looked at.
SMALL = 2**20
WORDS = 8
ROLES = {"preflight": Role.PREFLIGHT, "train": Role.TRAIN, "evaluate": Role.EVALUATE}


class ViolationError(AssertionError):
    """One of the failure conditions, by its number."""


def require(number: int, holds: bool, what: str) -> None:
    """Raise unless a condition holds."""
    if not holds:
        raise ViolationError(f"failure condition {number}: {what}")


@lru_cache(maxsize=4096)
def read(packet: bytes) -> Message:
    """A packet's message; whether anybody signed it is the receiver's question."""
    envelope = open_envelope(packet)
    return decode_message(envelope.kind, envelope.payload)


@dataclass
class Member:
    """What one custodian has done since its ledger was opened; a restored backup takes this back as well.

    Attributes
    ----------
    answers
        Reply to each request that was answered with a contribution or a receipt.
    places
        Round requests that were answered, by plan, oldest first.
    spent
        Cost of what was sent, by plan.
    epochs
        Newest key epoch that it has accepted of each peer, by plan and peer.
    stopped
        Hashes of the rosters that were stopped here.
    closed
        Plans that are over here.
    shown
        Heads of each member's contributions that it was shown and has taken in.
    """

    answers: dict[bytes, bytes] = field(default_factory=dict)
    places: dict[bytes, list[RoundRequest]] = field(default_factory=lambda: defaultdict(list))
    spent: dict[bytes, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    epochs: dict[tuple[bytes, str], int] = field(default_factory=dict)
    stopped: set[bytes] = field(default_factory=set)
    closed: set[bytes] = field(default_factory=set)
    shown: dict[str, set[tuple[int, bytes]]] = field(default_factory=lambda: defaultdict(set))
    head: tuple[int, bytes] = (0, b"")

    def copy(self) -> "Member":
        """What a backup of the ledger remembers."""
        return deepcopy(self)


@dataclass(frozen=True)
class Sent:
    """One vector that left, and the attempt that it was for."""

    name: str
    attempt: tuple[object, ...]
    members: tuple[str, ...]
    words: NDArray[np.int64]


class Record:
    """Everything that was sent and decided in one world."""

    def __init__(self) -> None:
        self.members = {name: Member() for name in NAMES}
        self.reached: Counter[str] = Counter()
        self._sent: dict[tuple[bytes, Role, int], list[Sent]] = defaultdict(list)
        # What each member had been shown of the others when it last signed a transcript.
        self._witness: dict[bytes, dict[str, dict[str, set[tuple[int, bytes]]]]] = defaultdict(dict)
        self._rolled_back: set[str] = set()

    def restored(self, name: str, known: Member) -> None:
        """A member was started on a copy of its ledger."""
        self.members[name] = known.copy()
        self._rolled_back.discard(name)

    def answered(self, name: str, ledger: Ledger, version: int, today: date, request: bytes, reply: bytes) -> Message:
        """Check one answer of a custodian."""
        message, member = read(reply), self.members[name]
        self.reached[_label(message)] += 1
        if request in member.answers:
            if isinstance(message, Refusal) and message.code == "signature":
                return message  # the coordinator's key was replaced since
            require(4, reply == member.answers[request], f"{name} answers the same request with other bytes")
            return message
        match message:
            case Refusal():
                require(12, message.code != "internal", f"{name} failed: {message.text}")
                if message.code == "rolled-back":
                    self._rolled_back.add(name)
            case JoinReply():
                self._joined(name, ledger, message)
            case KeysReply():
                self._agreed(name, read(request), message)
            case StopReply():
                member.stopped.add(message.roster_hash)
            case Receipt():
                member.answers[request] = reply
                member.closed.add(message.plan_hash)
                self._budget(name, ledger)
            case Contribution():
                asked = read(request)
                assert isinstance(asked, RoundRequest)
                self._contributed(name, ledger, version, today, asked, message)
                member.answers[request] = reply
                self._charged(name, ledger, asked, reply)
        return message

    def grew(self, name: str, ledger: Ledger) -> None:
        """A ledger only grows."""
        member = self.members[name]
        count, head = ledger.event_count, ledger.head_hash
        if member.head[0]:
            holds = ledger._rows("SELECT hash FROM event WHERE seq = ?", (member.head[0],)) == [(member.head[1],)]
            require(6, holds and count >= member.head[0], f"the ledger of {name} has lost or changed an event")
        member.head = (count, head)

    def decided(self, job: int, decided: Decided, trained: int) -> None:
        """A released sum holds each member of its attempt once, and nobody else."""
        self.reached[f"decided: {decided.phase} {decided.outcome.value}"] += 1
        if decided.attempt > 1 and decided.phase in CHARGED and decided.outcome is Outcome.DONE:
            self.reached[f"done at attempt {decided.attempt}"] += 1
        if decided.phase not in CHARGED or decided.outcome is not Outcome.DONE:
            return
        self.reached[f"a sum of {len(decided.members)}"] += 1
        parts = [own_part(name, job, ROLES[decided.phase], trained) for name in decided.members]
        whole = bool(np.array_equal(sum(parts), decided.sums))
        require(1, whole and len(parts) >= 3, f"the sum of {decided.phase} {decided.round} is not one of each member")

    def _joined(self, name: str, ledger: Ledger, join: JoinReply) -> None:
        require(8, join.plan_hash not in self.members[name].closed, f"{name} joins a job that is over here")
        self._budget(name, ledger)

    def _agreed(self, name: str, asked: Message, reply: KeysReply) -> None:
        member = self.members[name]
        if not isinstance(asked, KeysRequest):
            raise ViolationError(f"failure condition 4: {name} agrees on keys without being asked")
        for packet in asked.joins:
            peer, join = open_envelope(packet).sender, read(packet)
            if not isinstance(join, JoinReply):
                raise ViolationError(f"failure condition 9: {name} takes a {type(join).__name__} for a join")
            place = (reply.plan_hash, peer)
            newest = join.key_epoch >= member.epochs.get(place, 0) and join.plan_hash == reply.plan_hash
            require(9, newest, f"{name} accepts a key of {peer} that is not its newest of this job")
            member.epochs[place] = join.key_epoch
        transcript = transcript_digest(reply.plan_hash, asked.joins)
        require(9, transcript == reply.transcript_hash, f"{name} signs another transcript than it was shown")
        self._witness[transcript][name] = {peer: set(heads) for peer, heads in member.shown.items()}

    def _contributed(
        self, name: str, ledger: Ledger, version: int, today: date, asked: RoundRequest, sent: Contribution
    ) -> None:
        member, plans = self.members[name], {plan.digest(): plan for plan in consortium().plans}
        place = (sent.plan_hash, sent.role, sent.round, sent.attempt)
        require(4, place == (asked.plan_hash, asked.role, asked.round, asked.attempt), f"{name} answers another slot")
        before = member.places[asked.plan_hash]
        taken = [(one.role, one.round, one.attempt) for one in before]
        require(4, place[1:] not in taken, f"{name} answers {place[1:]} twice")
        plan, roster = plans[asked.plan_hash], consortium().rosters[version]
        require(8, plan.roster.version == roster.version, f"{name} contributes under a roster that it replaced")
        require(8, today <= EXPIRIES[version], f"{name} contributes under an expired roster")
        require(8, roster.digest() not in member.stopped, f"{name} contributes after a stop")
        require(8, asked.plan_hash not in member.closed, f"{name} contributes to a job that is over")
        require(8, name not in self._rolled_back, f"{name} contributes from a ledger that is known to be old")
        self._forward(name, before, asked)
        self._witnessed(name, ledger, asked)
        before.append(asked)
        self._hidden(name, asked, sent)

    def _forward(self, name: str, before: list[RoundRequest], asked: RoundRequest) -> None:
        """Forward only, one model per round, nobody returns, and never below three."""
        require(5, len(set(asked.members)) >= 3 and name in asked.members, f"{name} is summed with too few")
        if not before:
            return
        last = before[-1]
        require(
            5, (asked.role, asked.round, asked.attempt) > (last.role, last.round, last.attempt), f"{name} goes back"
        )
        require(5, set(asked.members) <= set(last.members), f"{name} is summed with a member that was left out")
        same = {one.model for one in before if (one.role, one.round) == (asked.role, asked.round)}
        require(5, same <= {asked.model}, f"{name} is asked one round with two models")

    def _witnessed(self, name: str, ledger: Ledger, asked: RoundRequest) -> None:
        """Whoever's ledger lacks an event that all others had seen when they signed these keys says nothing."""
        said = self._witness.get(asked.transcript_hash, {})
        others = [heads.get(name, set()) for peer, heads in said.items() if peer != name]
        lacking = [any(not ledger.has_been_at(*head) for head in heads) for heads in others]
        require(10, not others or not all(lacking), f"{name} contributes from a ledger that lacks what all saw")
        for data in asked.heads:
            try:
                head = read_head(data)
            except WireError:
                continue
            if _signed(head):
                self.members[name].shown[head.institution].add((head.event_count, head.event_hash))

    def _hidden(self, name: str, asked: RoundRequest, sent: Contribution) -> None:
        """No sum and no difference but the whole attempt's is anything but uniform words."""
        model = digest("model", asked.model)
        attempt = (sent.plan_hash, sent.role, sent.round, sent.attempt, asked.members, model, asked.transcript_hash)
        words = np.frombuffer(sent.vector, dtype="<i8")[:WORDS].astype(np.int64)
        new = Sent(name, attempt, asked.members, words)
        known = self._sent[sent.plan_hash, sent.role, sent.round]
        for earlier in known:
            if earlier.name == name:
                require(3, not _small(words - earlier.words), f"two vectors of {name} have one mask")
        partial = [(new.words, True, 1)]
        for peer in NAMES:
            choices = [one for one in known if one.name == peer and peer != name][-3:]
            partial += [
                (total + one.words, same and one.attempt == attempt, n + 1)
                for total, same, n in partial
                for one in choices
            ]
        open_sums = [total for total, same, n in partial if not (same and n == len(asked.members))]
        if open_sums:
            require(2, not _small(np.stack(open_sums)), f"vectors sum to something readable with that of {name}")
        known.append(new)

    def _charged(self, name: str, ledger: Ledger, asked: RoundRequest, reply: bytes) -> None:
        """Paid before it left, to the last message, and within what was set aside."""
        member = self.members[name]
        stored = ledger._rows(
            "SELECT message FROM event WHERE kind = 'charge' AND plan_hash = ? AND role = ? AND round = ? "
            "AND attempt = ?",
            (asked.plan_hash, int(asked.role), asked.round, asked.attempt),
        )
        require(6, stored == [(reply,)], f"{name} sent a message that its ledger does not hold")
        member.spent[asked.plan_hash] += cost_of_a_message(asked.role)
        job = ledger.job(asked.plan_hash)
        require(6, job is not None and job.spent == member.spent[asked.plan_hash], f"{name} has miscounted its costs")
        if job is not None:
            first = sum(
                cost_of_a_message(role) for role, _ in {(one.role, one.round) for one in member.places[asked.plan_hash]}
            )
            require(7, job.spent <= job.reserved, f"{name} spends more than it reserved")
            require(7, job.spent - first <= job.retry_reserve, f"{name} spends more on retries than it reserved")

    def _budget(self, name: str, ledger: Ledger) -> None:
        member = self.members[name]
        costs = [member.spent[key] if key in member.closed else job.reserved for key, job in ledger.jobs().items()]
        self.reached[f"{len(costs)} jobs on one ledger"] += 1
        require(7, sum(costs) <= ledger.account.accountant.budget, f"the jobs of {name} together exceed its budget")


def _small(words: NDArray[np.int64]) -> bool:
    return bool(np.any((words > -SMALL) & (words < SMALL)))


@lru_cache(maxsize=4096)
def _signed(head: Head) -> bool:
    key = consortium().keys.get(head.institution)
    return key is not None and head.witnessed(key.public)


def _label(message: Message) -> str:
    return f"refused: {message.code}" if isinstance(message, Refusal) else f"answered: {type(message).__name__}"
