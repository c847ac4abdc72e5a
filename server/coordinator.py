"""The coordinator: an untrusted machine that asks, adds and decides; it performs no I/O but its job store.

Drive it with ``while (step := coordinator.next_step()): coordinator.receive(channel(step.requests))``; a channel on
which replies come one by one hands them to `take` as they arrive, and calls `receive` when the step's time is over. In
process, through Flower's simulation runtime and over a network the same object runs; only what carries the bytes
differs.

Masks cancel only in the sum over all members of one attempt, so an attempt is complete or worthless. Replies that are
missing are asked for once more with the same attempt (the custodian re-sends its stored bytes, nothing is charged).
An attempt that stays incomplete is given up, and the next one asks those who are left, charged from the plan's
reserve. Below the quorum the job stops, and can be resumed from its store; when the reserve is used up, the job ends
with the model so far.

A reply that was taken is in the store before the next is waited for, so a coordinator that died asks only those who
had not answered. What it reads back is checked like any reply. Refusals and silences are not kept: who gave them is
asked again.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import JobError, RefusalError, WireError
from fedcredit.job.admission import (
    Question,
    Request,
    answers,
    authenticated,
    head_of,
    identity,
    question,
    vector_of,
)
from fedcredit.job.progress import Progress, advance, request_model, start
from fedcredit.job.store import Decided, JobStore, Outcome
from fedcredit.plan import Plan, parse_plan
from fedcredit.secure_aggregation.transcript import transcript_digest
from fedcredit.wire.envelope import SigningKey
from fedcredit.wire.messages import (
    NO_TRANSCRIPT,
    Contribution,
    IdentifyRequest,
    JoinReply,
    JoinRequest,
    KeysRequest,
    Receipt,
    Refusal,
    ReleaseRequest,
    Role,
    RoundRequest,
)
from server.deciding import RESENDS, ROLES, decided, fewest, released_sum, whom_to_ask
from server.joins import JoinBook
from server.verdict import Answer, Asking, packets_of, sentence, verdict


@dataclass(frozen=True, slots=True)
class Step:
    """What to deliver next.

    Attributes
    ----------
    phase, round, attempt
        Which step of the job, and which try at it; for progress lines.
    requests
        Signed envelope bytes per institution that has not answered; none if all had before the coordinator died.
    """

    phase: str
    round: int
    attempt: int
    requests: Mapping[str, bytes]


class Coordinator:
    """One job's coordinator.

    Parameters
    ----------
    plan
        The job's exact plan.
    dictionary
        The data dictionary that the plan names.
    key
        The coordinator's identity key, as in the plan.
    store
        Job store; a job found in it is resumed.
    quorum
        Fewest institutions with which the job goes on; None means all of the roster.
    on_decided
        Called with each decided attempt at a step and the state after it; for progress lines.

    Attributes
    ----------
    refusals
        The latest refusal of each institution since this object was made, with its phase and round; for the operator.

    Raises
    ------
    JobError
        If dictionary or key are not the plan's.
    """

    def __init__(
        self,
        plan: bytes,
        dictionary: DataDictionary,
        key: SigningKey,
        store: JobStore,
        *,
        quorum: int | None = None,
        on_decided: Callable[[Decided, Progress], None] | None = None,
    ) -> None:
        self.plan: Plan = parse_plan(plan)
        if self.plan.dictionary != dictionary.digest().hex() or self.plan.coordinator_key != key.public.hex():
            raise JobError("the plan names another dictionary or coordinator key; use the ones it was made with.")
        self._plan_bytes, self._plan_hash = plan, self.plan.digest()
        self.dictionary, self._join_book = dictionary, JoinBook(self.plan)
        self._key, self._store, self._on_decided = key, store, on_decided
        self._quorum = max(len(self.plan.members) if quorum is None else quorum, fewest(self.plan))
        self.progress = start(self.plan)
        self.refusals: dict[str, str] = {}
        for step in store.steps():
            self.progress = advance(self.plan, dictionary, self.progress, step)
        self._asking = self._ask()

    @property
    def node_keys(self) -> dict[str, str]:
        """The Flower node's key of each member for which the roster pins one."""
        return {member.id: member.node_key for member in self.plan.roster.members if member.node_key is not None}

    @property
    def institutions(self) -> tuple[str, ...]:
        """Ids of the institutions still in the job, in roster order."""
        return self.progress.members

    @property
    def folder(self) -> Path | None:
        """Where the job's store lies; None if it is kept in memory."""
        return None if self._store.path is None else self._store.path.parent

    @property
    def done(self) -> bool:
        """Whether every phase is decided."""
        return self.progress.next_phase == "done"

    def receipts(self) -> dict[str, Receipt]:
        """Each institution's signed statement of what the job cost it, after the release."""
        packets = self.receipt_envelopes()
        messages = {name: authenticated(self.plan, name, packet) for name, packet in packets.items()}
        return {name: message for name, message in messages.items() if isinstance(message, Receipt)}

    def receipt_envelopes(self) -> dict[str, bytes]:
        """The signed envelopes of `receipts`, as they came."""
        return self._store.packets("release")

    def identify_request(self) -> bytes:
        """Signed envelope that asks a node which institution it speaks for."""
        return self._key.seal(self.plan.coordinator, IdentifyRequest(os.urandom(32)))

    def identify(self, request: bytes, reply: bytes) -> str:
        """The institution that answered `request`, proved by its pinned key.

        Raises
        ------
        RefusalError
            If the reply is not an answer to this request, or its sender is not in the roster.
        """
        return identity(self.plan, request, reply)

    def next_step(self) -> Step | None:
        """What to deliver now; None when the job is done."""
        if self.done:
            return None
        progress, sealed = self.progress, self._sealed()
        return Step(
            progress.next_phase, progress.next_round, progress.attempt, dict.fromkeys(self._asking.waiting, sealed)
        )

    def take(self, replies: Mapping[str, bytes]) -> tuple[str, ...]:
        """Take replies to `next_step` that have arrived, and decide the step if nobody is left to ask.

        Parameters
        ----------
        replies
            Envelope bytes per institution; one that is no answer to this step is passed over.

        Returns
        -------
        tuple of str
            Whom the step still waits for; empty if it is decided.

        Raises
        ------
        JobError
            If fewer institutions than the quorum are left; the store keeps every earlier step, and the answers.
        """
        self._answered(replies)
        return self._decide_if_complete()

    def receive(self, replies: Mapping[str, bytes], faults: Mapping[str, str] | None = None) -> None:
        """Take the last replies to `next_step`, and decide the step if nobody is left to ask.

        Parameters
        ----------
        replies
            Envelope bytes per institution; whoever did not answer is left out.
        faults
            What is known of why somebody did not answer, one sentence each.

        Raises
        ------
        JobError
            If fewer institutions than the quorum are left; the store keeps every earlier step, and the answers.
        """
        self._answered(replies)
        self._asking.fall_silent(RESENDS, faults or {})
        self._decide_if_complete()

    def _ask(self) -> Asking[Answer]:
        """The attempt at hand, with the replies to it that the store has kept."""
        progress = self.progress
        asking: Asking[Answer] = Asking(list(whom_to_ask(progress)))
        place = progress.next_phase, progress.next_round, progress.attempt
        if (not self.done) and (kept := self._store.kept(*place)):
            asked = question(self.plan, self._request(), self._sealed())
            for name, packet in kept.items():
                if name in asking.waiting and isinstance(found := self._judged(name, asked, packet, asking), Answer):
                    asking.answer(name, found)
        return asking

    def _sealed(self) -> bytes:
        """The request's exact bytes: the same every time, so that an answer can be told to be to this one."""
        return self._key.seal(self.plan.coordinator, self._request())

    def _request(self) -> Request:
        phase, progress = self.progress.next_phase, self.progress
        match phase:
            case "join":
                return JoinRequest(self._plan_bytes)
            case "keys":
                return KeysRequest(self._plan_hash, self._joins())
            case "release":
                return ReleaseRequest(self._plan_hash, request_model(self.plan, progress))
        transcript = transcript_digest(self._plan_hash, self._joins()) if self.plan.privacy.masks else NO_TRANSCRIPT
        return RoundRequest(
            self._plan_hash,
            ROLES[phase],
            progress.next_round,
            progress.attempt,
            progress.members,
            request_model(self.plan, progress),
            transcript,
            self._witnesses(),
            self._heads(),
        )

    def _joins(self) -> tuple[bytes, ...]:
        """The latest signed join of everybody who has keys, in roster order."""
        packets = self._store.packets("join")
        return tuple(packets[name] for name in self.progress.keyed)

    def _witnesses(self) -> tuple[bytes, ...]:
        """Where keys were agreed on since the last sums, enough members' word on each other's ledgers."""
        if self.progress.new_keys is None:
            return ()
        packets = self._store.packets("keys", self.progress.new_keys)
        # One more than each needs of others: it may stand among them itself.
        return tuple(packets.values())[: self.plan.privacy.colluders + 2]

    def _heads(self) -> tuple[bytes, ...]:
        """Where the ledgers of those stood who answered last."""
        if not self.plan.privacy.masks or self.progress.last_sums is None:
            return ()
        packets = self._store.packets(*self.progress.last_sums)
        return tuple(head_of(self.plan, name, packet).encode() for name, packet in packets.items())

    def _answered(self, replies: Mapping[str, bytes]) -> None:
        """Sort replies into answers and refusals; while others are waited for, the store keeps the answers."""
        asking, fresh = self._asking, {}
        asked = question(self.plan, self._request(), self._sealed())
        for name in [name for name in asking.waiting if name in replies]:
            match self._judged(name, asked, replies[name], asking):
                case Answer() as answer:
                    asking.answer(name, answer)
                    fresh[name] = answer.packet
                case (code, text):
                    asking.refuse(name, code, text)
        if asking.waiting:
            self._keep(fresh)

    def _judged(
        self, name: str, asked: Question, reply: bytes, asking: Asking[Answer]
    ) -> Answer | tuple[str, str] | None:
        """An answer, the code and sentence of a refusal, or None where the reply is to something else."""
        try:
            message = authenticated(self.plan, name, reply)
        except (WireError, RefusalError) as error:
            return "foreign", sentence(str(error))
        if isinstance(message, Refusal):
            # One that is to something else was sent again by whoever carries the packets.
            mine = message.request_hash == asked.request_hash
            return (message.code, sentence(f"{message.code}: {message.text}")) if mine else None
        if not answers(self.plan, name, asked, message):
            return "foreign", "answered with something that was not asked for"
        known = self._known_joins(asking)
        if isinstance(message, JoinReply) and (fault := self._join_book.fault(name, reply, known)):
            return "foreign", sentence(f"its join cannot be used: {fault}")
        return Answer(message, reply)

    def _known_joins(self, asking: Asking[Answer]) -> dict[str, bytes]:
        """Joins taken before, in this step or earlier, of members in the job."""
        taken = {**self._store.packets("join"), **packets_of(asking)}
        return {name: packet for name, packet in taken.items() if name in self.progress.members}

    def _keep(self, packets: Mapping[str, bytes]) -> None:
        if packets:
            self._store.keep(self.progress.next_phase, self.progress.next_round, self.progress.attempt, packets)

    def _decide_if_complete(self) -> tuple[str, ...]:
        """Decide the step unless somebody is waited for; whom."""
        waiting, place = tuple(self._asking.waiting), f"{self.progress.next_phase} {self.progress.next_round}"
        self.refusals |= {name: f"{place}: {text}" for name, (_, text) in self._asking.refused.items()}
        if not waiting:
            self._decide()
        return waiting

    def _decide(self) -> None:
        asking = self._asking
        try:
            step = self._decided(asking)
            # Folded before it is stored: a step that cannot be folded must not stand in the way of a resume.
            following = advance(self.plan, self.dictionary, self.progress, step)
            packets = packets_of(asking) if step.outcome is Outcome.DONE else {}
            self._store.record(step, [(name, packets[name]) for name in self.progress.members if name in packets])
            self.progress = following
        finally:
            # Whatever failed, the step is asked again.
            self._asking = self._ask()
        if self._on_decided is not None:
            self._on_decided(step, self.progress)

    def _decided(self, asking: Asking[Answer]) -> Decided:
        try:
            found = verdict(self.plan, self.dictionary, self.progress, asking, self._quorum)
        except JobError:
            self._keep(packets_of(asking))
            raise
        return decided(self.progress, found, lambda role: self._sums(role, asking))

    def _sums(self, role: Role, asking: Asking[Answer]) -> NDArray[np.int64]:
        """The released sums modulo 2^64."""
        total = np.zeros(self.plan.phases.of(role).vector_length, dtype=np.int64)
        for answer in asking.answered.values():
            if isinstance(answer.message, Contribution):
                total += vector_of(answer.message)
        try:
            return released_sum(self.plan, self.dictionary, self.progress, role, total)
        except JobError:
            # Kept, the same replies would give the same sum at every resume.
            self._store.forget()
            raise
