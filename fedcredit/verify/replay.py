"""A job replayed from its signed messages: each step checked against the plan, the steps before it and its sum.

The fold is the coordinator's own (`fedcredit.job.progress`), so a model that does not follow from the sums, or a sum
that does not follow from the messages, stands at the step where it happened. Where all messages of a step hold, the
fold goes on with their true sum, so that one lie is named once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import FedcreditError, RefusalError, WireError
from fedcredit.job.admission import authenticated, vector_of
from fedcredit.job.progress import CHARGED, Progress, advance, owned_by, request_model, start
from fedcredit.job.store import Decided, Outcome
from fedcredit.plan import Plan
from fedcredit.secure_aggregation.transcript import read_join, transcript_digest
from fedcredit.verify.checks import Check, all_or, failed, unchecked
from fedcredit.verify.heads import HeadLog
from fedcredit.verify.run_files import Recorded
from fedcredit.wire.canonical import digest
from fedcredit.wire.heads import Head
from fedcredit.wire.messages import Contribution, KeysReply, Role

Place = tuple[str, int, int]
"""Role, round and attempt of a message."""

_ROLES = {role.name.lower(): role for role in Role}


@dataclass(slots=True)
class Replay:
    """A replay and what it found.

    Attributes
    ----------
    progress
        The state after the last step that could be taken.
    sent
        Vector hash of each member's messages that are part of a sum.
    failed_attempts
        Charged attempts that were given up; some members may have answered them.
    """

    plan: Plan
    dictionary: DataDictionary
    progress: Progress
    found: list[Check] = field(default_factory=list)
    sent: dict[str, dict[Place, str]] = field(default_factory=dict)
    failed_attempts: set[Place] = field(default_factory=set)
    _joins: dict[str, bytes] = field(default_factory=dict)
    _heads: HeadLog = field(default_factory=HeadLog)

    @property
    def over(self) -> bool:
        """Whether the job came to its end."""
        return self.progress.next_phase == "done"

    def checks(self) -> list[Check]:
        """One line for each named check, or one for each of its problems."""
        n_sent = sum(len(messages) for messages in self.sent.values())
        trained, planned = self.progress.rounds_trained, self.plan.phases.train.rounds
        found = [*self.found, *self._heads.problems()]
        lines = {
            "rounds": f"every step follows from the one before; {trained} of {planned} rounds trained",
            "joins": f"{len(self._joins)} members joined under this plan and roster, each by its own signature",
            "keys": "every member signed the same joins" if self.plan.privacy.masks else "the plan has no masks",
            "contributions": f"{n_sent} messages, each signed for its plan, round, attempt and members",
            "models": "every message answers the model that the sums before it give",
            "sums": "every recorded sum is the sum of the signed vectors",
            "ledger heads": "every member's ledger only ever grew, and shows one history",
        }
        return [check for name, detail in lines.items() for check in all_or(found, name, detail)]

    def take(self, decided: Decided, packets: Mapping[str, bytes]) -> bool:
        """Check one step and go on after it; False if nothing can follow it."""
        if not self._follows(decided):
            return False
        sums = np.zeros(0, dtype=np.int64)
        if decided.outcome is Outcome.DONE:
            match decided.phase:
                case "join":
                    self._take_joins(decided, packets)
                case "keys":
                    self._take_keys(decided, packets)
                case "release":
                    self._heads.take_receipts(self.plan, packets)
                case _:
                    sums = self._take_contributions(decided, packets)
        elif decided.phase in CHARGED:
            self.failed_attempts.add((decided.phase, decided.round, decided.attempt))
        return self._advance(decided, sums)

    def fail(self, name: str, where: str, detail: str) -> None:
        """Note a problem."""
        self.found.append(failed(name, where, detail))

    def _advance(self, decided: Decided, sums: NDArray[np.int64]) -> bool:
        step = Decided(
            decided.phase,
            decided.round,
            decided.attempt,
            decided.outcome,
            decided.members,
            decided.rejoining,
            sums,
        )
        try:
            self.progress = advance(self.plan, self.dictionary, self.progress, step)
        except (FedcreditError, ValueError, ArithmeticError, LookupError) as error:
            self.fail("sums", _place(decided), f"the job cannot go on from it ({error})")
            return False
        return True

    def _follows(self, decided: Decided) -> bool:
        """Whether this step is the next one, with members that may be in it."""
        now, where = self.progress, _place(decided)
        expected = (now.next_phase, now.next_round, now.attempt)
        if (decided.phase, decided.round, decided.attempt) != expected:
            wanted = "nothing" if self.over else _words(*expected)
            self.fail("rounds", where, f"{wanted} must come here; a step is missing, added or out of order")
            return False
        left = [name for name in now.members if name in decided.members]
        if list(decided.members) != left or not set(decided.rejoining) <= set(left):
            self.fail("rounds", where, "its members are no part of those of the step before, in roster order")
            return False
        charged = decided.phase in CHARGED
        if charged and decided.outcome is Outcome.DONE and decided.members != now.members:
            self.fail("rounds", where, "it is done without some who were asked, and only the next attempt may be")
        if charged and len(left) < len(self.plan.members) - self.plan.privacy.max_drops:
            self.fail("rounds", where, f"more than {self.plan.privacy.max_drops} members are left out")
        if charged and decided.attempt > self.plan.privacy.max_attempts:
            self.fail("rounds", where, f"the plan allows {self.plan.privacy.max_attempts} attempts")
        if decided.outcome is Outcome.ENDED:
            self._check_ended(decided)
        return True

    def _check_ended(self, decided: Decided) -> None:
        """Training or evaluation was given up: attempts before it, or the plan's limit, tell why."""
        tried = decided.attempt > 1 or decided.attempt == self.plan.privacy.max_attempts
        gave_up_before = decided.phase == "evaluate" and self.progress.rounds_trained < self.plan.phases.train.rounds
        if decided.phase not in {"train", "evaluate"}:
            self.fail("rounds", _place(decided), "only training and evaluation can end before they are done")
        elif not tried and not gave_up_before:
            detail = "ended at its first attempt, which only a stop or an expired roster explains; ask the members"
            self.found.append(unchecked("rounds", _place(decided), detail))

    def _take_joins(self, decided: Decided, packets: Mapping[str, bytes]) -> None:
        asked = self.progress.joining
        self._check_company("joins", decided, [name for name in asked if name in decided.members], packets, asked)
        for name, packet in packets.items():
            where = f"{_place(decided)}, {name}"
            try:
                peer = read_join(self.plan.digest(), self.plan.roster, packet)
            except (RefusalError, WireError) as error:
                self.fail("joins", where, str(error))
                continue
            if peer.institution != name:
                self.fail("joins", where, f"it is the join of {peer.institution}")
                continue
            self._joins[name] = packet
            self._heads.take(where, peer.head, packet)

    def _take_keys(self, decided: Decided, packets: Mapping[str, bytes]) -> None:
        self._check_company("keys", decided, decided.members, packets, self.progress.keyed)
        joins = tuple(self._joins.get(name, b"") for name in self.progress.keyed)
        expected = (self.plan.digest(), transcript_digest(self.plan.digest(), joins))
        for name, packet in packets.items():
            where = f"{_place(decided)}, {name}"
            try:
                reply = authenticated(self.plan, name, packet)
            except (RefusalError, WireError) as error:
                self.fail("keys", where, str(error))
                continue
            if not isinstance(reply, KeysReply) or (reply.plan_hash, reply.transcript_hash) != expected:
                self.fail("keys", where, "it does not answer for the joins of this job")
                continue
            self._heads.take_testimony(self.plan, where, reply.heads)

    def _take_contributions(self, decided: Decided, packets: Mapping[str, bytes]) -> NDArray[np.int64]:
        """The sum to go on with: the true one if every message holds, else the recorded one."""
        members, role = self.progress.members, _ROLES[decided.phase]
        self._check_company("contributions", decided, members, packets, members)
        model_hash = digest("model", request_model(self.plan, self.progress))
        sent = [self._contribution(decided, name, packet, model_hash) for name, packet in packets.items()]
        length = self.plan.phases.of(role).vector_length
        recorded = decided.sums if decided.sums.size == length else np.zeros(length, dtype=np.int64)
        vectors = [vector_of(one) for one in sent if one is not None]
        if len(vectors) != len(members) or set(packets) != set(members):
            self.found.append(unchecked("sums", _place(decided), "not all of its messages hold"))
            return recorded
        total = np.add.reduce(vectors, dtype=np.int64)
        true = np.where(owned_by(self.plan, self.dictionary, role, members), total, 0)
        if not np.array_equal(decided.sums, true):
            n_other = length if decided.sums.size != length else int(np.sum(decided.sums != true))
            self.fail("sums", _place(decided), f"{n_other} of {length} coordinates are not the sum of the vectors")
        return true

    def _contribution(self, decided: Decided, name: str, packet: bytes, model_hash: bytes) -> Contribution | None:
        """A message that is what it should be; only its model may be another."""
        where = f"{_place(decided)}, {name}"
        try:
            sent = authenticated(self.plan, name, packet)
        except (RefusalError, WireError) as error:
            self.fail("contributions", where, str(error))
            return None
        problem = self._bound(decided, sent)
        if problem is not None or not isinstance(sent, Contribution):
            self.fail("contributions", where, problem or "it is no contribution")
            return None
        if sent.model_hash != model_hash:
            self.fail("models", where, "it answers another model than the sums before it give")
        self._heads.take(where, Head(name, sent.event_count, sent.event_hash, sent.head_signature), packet, self.plan)
        place = (decided.phase, decided.round, decided.attempt)
        self.sent.setdefault(name, {})[place] = digest("vector", sent.vector).hex()
        return sent

    def _bound(self, decided: Decided, sent: object) -> str | None:
        """What a message was sent for, if that is something else than this step."""
        if not isinstance(sent, Contribution):
            return "it is no contribution"
        if sent.plan_hash != self.plan.digest():
            return "it was sent for another plan"
        place = (sent.role.name.lower(), sent.round, sent.attempt)
        if place != (decided.phase, decided.round, decided.attempt):
            return f"it was sent for {_words(*place)}"
        if sent.roster_hash != self.plan.roster.attempt_digest(self.progress.members):
            return "it was sent for a sum over other members"
        if len(sent.vector) != 8 * self.plan.phases.of(sent.role).vector_length:
            return "its vector has another length than the plan says"
        return None

    def _check_company(
        self,
        name: str,
        decided: Decided,
        needed: list[str] | tuple[str, ...],
        packets: Mapping[str, bytes],
        allowed: tuple[str, ...],
    ) -> None:
        for missing in [one for one in needed if one not in packets]:
            self.fail(name, f"{_place(decided)}, {missing}", "there is no message of this member")
        for extra in [one for one in packets if one not in allowed]:
            self.fail(name, f"{_place(decided)}, {extra}", "this institution was not asked")


def replay(plan: Plan, dictionary: DataDictionary, recorded: Recorded) -> Replay:
    """Replay a job's steps from the first, as far as each follows from the one before."""
    job = Replay(plan, dictionary, start(plan))
    for decided in recorded.steps:
        if not job.take(decided, recorded.packets.get((decided.phase, decided.round), {})):
            break
    else:
        if not job.over:
            expected = (job.progress.next_phase, job.progress.next_round, job.progress.attempt)
            job.fail("rounds", "the end", f"{_words(*expected)} must come here; the job is not over")
    done = {(one.phase, one.round) for one in recorded.steps if one.outcome is Outcome.DONE}
    for phase, round_ in sorted(set(recorded.packets) - done):
        job.fail("rounds", f"{phase} {round_}", "messages of a step that was never done")
    return job


def _place(decided: Decided) -> str:
    return _words(decided.phase, decided.round, decided.attempt)


def _words(phase: str, round_: int, attempt: int) -> str:
    return f"{phase} {round_}, attempt {attempt}"
