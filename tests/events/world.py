"""The whole protocol on a mock clock: real custodians on real ledgers, a real coordinator, and a network that fails.

A sequence of operations (`tests.events.operations`) drives four custodians with private ledgers, masks and guards, and
up to three jobs on them. Every bank's contribution is a public vector of its own (`tests.events.consortium`). A run
fails if, after any operation,

1. a released sum is anything but exactly one contribution of each member of its attempt, three members at least;
2. vectors that are not a whole attempt (single ones, parts of an attempt, parts of several) sum to anything but
   uniform words;
3. two different vectors of one member differ by anything but uniform words;
4. one request is answered with two different byte strings, or one slot (plan, role, round, attempt) twice;
5. a custodian goes back in a job, answers one round with two models, is summed with somebody who was left out before,
   or with fewer than two others;
6. a message has left that its ledger does not hold, a ledger's costs are not those of the messages, or a ledger loses
   or changes an event; at the end a whole chain verifies, of each member in turn;
7. a job spends more than it reserved, or more on retries than was reserved for them, or all jobs of a ledger together
   hold more than its budget;
8. a custodian contributes under a roster that is stopped, expired or replaced, to a job that is over, or on a ledger
   that it has found to be an older copy;
9. a custodian agrees on keys that are not the newest that it has seen of each member, or not of this job;
10. a custodian on a restored ledger contributes although every other member had been shown, when it signed the present
    keys, a contribution which that ledger lacks;
11. a coordinator's job goes back, brings a member back, or is another one after a restart;
12. a custodian fails with anything but a refusal, or a coordinator with anything but a `JobError` about its members;
13. once the network is well, clocks are right and everybody is up, a job does not end within `PATIENCE` questions: it
    must be done, or stopped for one of the reasons in `MAY_STOP`, which nothing but a person can mend.

What a run shows of the order of things is exact. What it does not show: it is one process and one thread, nothing is
killed in the middle of a call, noise is zero, and keys and nonces are drawn anew each time (masks are uniform words, a
false alarm of 2 and 3 has a chance below 2^-30 in ten thousand sequences).
"""

from collections import Counter, defaultdict
from datetime import datetime, timedelta

from fedcredit.custodian.custodian import Custodian
from fedcredit.custodian.noise import no_noise
from fedcredit.errors import JobError
from fedcredit.job.progress import Progress
from fedcredit.job.store import Decided, JobStore, Outcome
from fedcredit.privacy.ledger import Ledger
from fedcredit.wire.messages import JoinReply, Message, StopRequest
from server.coordinator import Coordinator, Step
from tests.events import consortium as one
from tests.events.consortium import JOBS, NAMES, QUORUM, START, consortium
from tests.events.forgery import Material, forged
from tests.events.invariants import Member, Record, ViolationError, read, require
from tests.events.network import LATENCY, TIMEOUT, Deadline, Network, Packet
from tests.events.operations import (
    HARMFUL,
    Ask,
    Backup,
    ClockJump,
    Forge,
    Operation,
    Renew,
    Replay,
    Restart,
    Restore,
    Resume,
    Round,
    Sequence,
    Stop,
    Wait,
)

PATIENCE = 40
# Words of the coordinator's last sentence, and what must be true of the sequence for them to be an honest end.
MAY_STOP = {
    "cannot pay for this job": "a member's budget holds other jobs",
    "retry reserve is used up": "preflight was tried as often as the plan allows",
    "mend the cause and resume": "members replaced the roster under which the job was planned",
}
_PHASES = ("preflight", "train", "evaluate", "release", "done")


class World:
    """Four custodians, up to three coordinators, and the network between them."""

    def __init__(self, tenths: int) -> None:
        self.network, self.record = Network(), Record()
        self.days, self.version = dict.fromkeys(NAMES, 0), dict.fromkeys(NAMES, 0)
        self.ledgers = {name: Ledger.create(None, consortium().keys[name], one.account(name, tenths)) for name in NAMES}
        self.custodians: dict[str, Custodian] = {}
        for name in NAMES:
            self._start(name)
        self.coordinators: dict[int, Coordinator] = {}
        self.stores: dict[int, JobStore] = {}
        self.backups: dict[str, tuple[Ledger, Member, int]] = {}
        self.asked: dict[int, dict[type[Message], Message]] = defaultdict(dict)
        self.joins: dict[tuple[int, str], list[bytes]] = defaultdict(list)
        self.harmed = False
        self._answers: dict[int, dict[str, bytes]] = {}
        self._question: dict[int, int] = {}
        self._questions = 0
        self._touched: set[str] = set()
        self._furthest: dict[int, Progress] = {}
        self.stopped: dict[int, str] = {}

    @property
    def reached(self) -> Counter[str]:
        """How often each state was reached."""
        return self.record.reached

    def run(self, sequence: Sequence) -> None:
        """Every operation, then peace, then whatever must be true at the end."""
        for operation in sequence.operations:
            self.apply(operation)
        if not self.harmed or self.reached["operation: Restore"]:
            self.settle()
        # One whole chain, in turn: its signatures are most of what a short run costs.
        self.ledgers[NAMES[len(sequence.operations) % len(NAMES)]].verify()

    def close(self) -> None:
        """Free the databases."""
        for ledger in (*self.ledgers.values(), *(backup for backup, _, _ in self.backups.values())):
            ledger.close()
        for store in self.stores.values():
            store.close()

    def apply(self, operation: Operation) -> None:
        """One operation, and the checks after it."""
        self.reached[f"operation: {type(operation).__name__}"] += 1
        self.harmed |= isinstance(operation, HARMFUL)
        match operation:
            case Round(job, faults):
                self._ask(job, faults)
                self._until_answered(job)
            case Ask(job, faults):
                self._ask(job, faults)
            case Wait(minutes):
                self._until(self.network.now + minutes)
            case Replay(number, receiver):
                self._replay(number, receiver)
            case Forge(job, member, change):
                self._forge(job, NAMES[member], change)
            case Resume(job):
                self._resume(job)
            case _:
                self._operate(operation)
        for name in self._touched:
            self.record.grew(name, self.ledgers[name])
        self._touched.clear()

    def _operate(self, operation: Operation) -> None:
        """What an institution, its machine or its operator does."""
        match operation:
            case Restart(member):
                self._start(NAMES[member])
            case ClockJump(member, days):
                self.days[NAMES[member]] += days
            case Renew(member):
                self.version[NAMES[member]] = 1
                self._start(NAMES[member])
            case Backup(member):
                self._back_up(NAMES[member])
            case Restore(member):
                self._restore(NAMES[member])
            case Stop(by, at):
                self._stop(NAMES[by], NAMES[at])

    def settle(self) -> None:
        """Peace: packets in flight arrive, clocks are right, nobody fails; every job that was begun must end."""
        self._until(self.network.last)
        for name in NAMES:
            self.days[name] = 0
        if 2 in self.coordinators:
            for name in NAMES:
                self.version[name] = 1
                self._start(name)
        for job in sorted(self.coordinators):
            self._finish(job)

    def _finish(self, job: int) -> None:
        words: list[str] = []
        for _ in range(PATIENCE):
            if words[-3:] == words[-1:] * 3 and len(words) > 2:
                break
            if self.coordinators[job].done:
                self.reached["ended: done"] += 1
                self.reached[f"done after {self.coordinators[job].progress.rounds_trained} rounds"] += 1
                return
            self._ask(job, ())
            self._until_answered(job)
            words = [*words, self.stopped[job]] if job in self.stopped else []
        reason = self.stopped.get(job, "")
        known = [words for words in MAY_STOP if words in reason]
        self.reached[f"ended: {known[0] if known else 'other'}"] += 1
        if self.harmed:
            return
        require(13, bool(known), f"job {JOBS[job]} neither ends nor stops for a known reason: {reason!r}")
        require(13, self._excused(job, known[0]), f"job {JOBS[job]} has stopped without cause: {reason!r}")

    def _excused(self, job: int, words: str) -> bool:
        """Whether an honest end has the cause that it needs."""
        if words == "cannot pay for this job":
            return len(self.coordinators) > 1
        if words == "retry reserve is used up":
            return self.coordinators[job].progress.next_phase == "preflight"
        return any(version != consortium().version(job) for version in self.version.values())

    def _today(self, name: str) -> datetime:
        return START + timedelta(days=self.days[name], minutes=self.network.now)

    def _start(self, name: str) -> None:
        site = one.site(name, self.version[name], lambda: self._today(name))
        self.custodians[name] = Custodian(site, self.ledgers[name], noise_law=no_noise)

    def _leader(self, job: int) -> Coordinator:
        if job not in self.coordinators:
            self.stores[job] = JobStore(None, consortium().plans[job].to_bytes())
            self._resume(job, first=True)
        return self.coordinators[job]

    def _resume(self, job: int, *, first: bool = False) -> None:
        if job not in self.stores:
            return
        plan, key = consortium().plans[job].to_bytes(), consortium().coordinator_keys[consortium().version(job)]
        self.coordinators[job] = Coordinator(
            plan,
            consortium().dictionary,
            key,
            self.stores[job],
            quorum=QUORUM,
            on_decided=lambda decided, after: self.record.decided(job, decided, _trained(decided, after)),
        )
        self._question.pop(job, None)
        if not first:
            before, after = self._furthest[job], self.coordinators[job].progress
            require(11, _shape(before) == _shape(after), f"job {JOBS[job]} is another one after a restart")
        self._forward(job)

    def _forward(self, job: int) -> None:
        """The job has not gone back."""
        after = self.coordinators[job].progress
        before = self._furthest.get(job, after)
        require(11, _rank(after) >= _rank(before), f"job {JOBS[job]} went back to {after.next_phase}")
        require(11, set(after.members) <= set(before.members), f"job {JOBS[job]} brought a member back")
        self._furthest[job] = after

    def _ask(self, job: int, faults: tuple[tuple[int, str], ...]) -> None:
        """Send the next question, unless the last one still waits."""
        step = None if job in self._question else self._leader(job).next_step()
        if step is None:
            return
        self._questions += 1
        self._question[job], self._answers[job] = self._questions, {}
        self._note(job, step)
        fates = {NAMES[member]: fate for member, fate in faults}
        for name, request in step.requests.items():
            fate = fates.get(name, "")
            packet = Packet(request, str(job), name, job, name, fate)
            if fate == "request lost":
                self.network.sent.append(packet)
                continue
            self.network.send(packet, {"request late": TIMEOUT + 5, "slow": TIMEOUT / 2}.get(fate, LATENCY))
            if fate == "request doubled":
                self.network.send(packet, LATENCY * 2)
        self.network.post(Deadline(job, self._questions), TIMEOUT)

    def _note(self, job: int, step: Step) -> None:
        for request in dict.fromkeys(step.requests.values()):
            message = read(request)
            self.asked[job][type(message)] = message

    def _until_answered(self, job: int) -> None:
        while job in self._question:
            self._next(float("inf"))

    def _until(self, end: float) -> None:
        while self._next(end):
            pass

    def _next(self, end: float) -> bool:
        match self.network.next_before(end):
            case None:
                return False
            case Deadline(job, question) if self._question.get(job) == question:
                self._decide(job)
            case Packet() as packet if packet.receiver in self.custodians:
                self._deliver(packet)
            case Packet(data=data, job=job, name=name) if job in self._question:
                self._answers[job][name] = data
        return True

    def _deliver(self, packet: Packet) -> None:
        """A request arrives at a custodian."""
        name = packet.receiver
        if packet.fate == "crash before":
            self._start(name)
        reply = self._handled(name, packet.data, packet.job)
        if packet.fate == "crash after":
            self._start(name)
        if packet.fate in ("reply lost", "crash after"):
            return
        other = NAMES[(NAMES.index(name) + 1) % len(NAMES)]
        back = Packet(
            reply, name, str(packet.job), packet.job, other if packet.fate == "under another's name" else name
        )
        self.network.send(back, TIMEOUT + 5 if packet.fate == "reply late" else LATENCY)
        if packet.fate == "reply doubled":
            self.network.send(back, LATENCY * 2)

    def _handled(self, name: str, request: bytes, job: int) -> bytes:
        reply = self.custodians[name].handle(request)
        self._touched.add(name)
        today = self._today(name).date()
        message = self.record.answered(name, self.ledgers[name], self.version[name], today, request, reply)
        if isinstance(message, JoinReply) and reply not in self.joins[job, name]:
            self.joins[job, name].append(reply)
        return reply

    def _decide(self, job: int) -> None:
        """The time for answers is over."""
        del self._question[job]
        leader = self.coordinators[job]
        try:
            leader.receive(self._answers.pop(job))
            self.stopped.pop(job, None)
        except JobError as error:
            require(1, "out of range" not in str(error), f"masks do not cancel in {JOBS[job]}: {error}")
            self.stopped[job] = str(error)
            self.reached[f"stopped in {leader.progress.next_phase}"] += 1
        except ViolationError:
            raise
        except Exception as error:
            raise ViolationError(f"failure condition 12: the coordinator of {JOBS[job]} failed: {error!r}") from error
        self._forward(job)

    def _replay(self, number: int, receiver: int) -> None:
        if not self.network.sent:
            return
        old = self.network.sent[number % len(self.network.sent)]
        if receiver < len(NAMES):
            self.network.post(Packet(old.data, "anybody", NAMES[receiver], old.job, NAMES[receiver]), LATENCY)
        else:
            job = receiver - len(NAMES)
            self.network.post(Packet(old.data, "anybody", str(job), job, old.name), LATENCY)

    def _back_up(self, name: str) -> None:
        copy = Ledger(None, consortium().keys[name])
        self.ledgers[name].copy_into(copy._connection)
        if name in self.backups:
            self.backups[name][0].close()
        self.backups[name] = copy, self.record.members[name].copy(), self.version[name]

    def _restore(self, name: str) -> None:
        if name not in self.backups:
            self._back_up(name)
            return
        self.ledgers[name].close()
        self.ledgers[name], known, self.version[name] = self.backups.pop(name)
        self.record.restored(name, known)
        self._start(name)

    def _stop(self, by: str, at: str) -> None:
        roster = consortium().rosters[self.version[by]]
        request = consortium().keys[by].seal(by, StopRequest(roster.digest()))
        self.network.sent.append(Packet(request, by, at, 0, at))
        self._handled(at, request, 0)

    def _forge(self, job: int, name: str, change: str) -> None:
        if "witnesses" in change and job in self.coordinators and (step := self.coordinators[job].next_step()):
            self._note(job, step)  # witnesses are wanted once, in a request that was not sent yet
        request = forged(Material(self.asked, self.joins), job, name, change)
        if request is not None:
            self.reached[f"forged: {change}"] += 1
            self.network.send(Packet(request, str(job), name, job, name))


def _shape(progress: Progress) -> tuple[object, ...]:
    return progress.next_phase, progress.next_round, progress.attempt, progress.members, progress.resume


def _rank(progress: Progress) -> tuple[int, ...]:
    """Where a job stands; keys that are agreed on anew belong to the step that waits for them."""
    if progress.next_phase in ("join", "keys"):
        phase, round_, attempt = progress.resume or ("preflight", 0, 0)
        return _PHASES.index(phase), round_, attempt, progress.agreements
    return _PHASES.index(progress.next_phase), progress.next_round, progress.attempt, progress.agreements


def _trained(decided: Decided, after: Progress) -> int:
    """Rounds that the model of a decided step had seen."""
    return after.rounds_trained - (decided.phase == "train" and decided.outcome is Outcome.DONE)
