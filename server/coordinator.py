"""The coordinator: an untrusted machine that asks, adds and decides; it performs no I/O but its job store.

Drive it with ``while (step := coordinator.next_step()): coordinator.receive(channel(step.requests))``. In process,
through Flower's simulation runtime and over a network the same object runs; only what carries the bytes differs.

Masks cancel only in the sum over all members of one attempt, so an attempt is complete or worthless. Replies that are
missing are asked for once more with the same attempt (the custodian re-sends its stored bytes, nothing is charged).
An attempt that stays incomplete is given up, and the next one asks those who are left, charged from the plan's
reserve. Below the quorum the job stops, and can be resumed from its store; when the reserve is used up, the job ends
with the model so far.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

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
    plausible_sum,
    question,
    vector_of,
)
from fedcredit.job.progress import Progress, advance, owned_by, request_model, start
from fedcredit.job.store import Decided, JobStore, Outcome
from fedcredit.plan import Placement, Plan, parse_plan
from fedcredit.privacy.shares import fewest_members
from fedcredit.roster import FEWEST_MEMBERS
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
from server.joins import JoinBook
from server.verdict import Asking, sentence, verdict

_ROLES = {"preflight": Role.PREFLIGHT, "train": Role.TRAIN, "evaluate": Role.EVALUATE}
_RESENDS = 1


@dataclass(frozen=True, slots=True)
class Step:
    """What to deliver next.

    Attributes
    ----------
    phase, round, attempt
        Which step of the job, and which try at it; for progress lines.
    requests
        Signed envelope bytes per institution.
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
        self._quorum = max(len(self.plan.members) if quorum is None else quorum, _fewest(self.plan))
        self.progress = start(self.plan)
        for decided in store.steps():
            self.progress = advance(self.plan, dictionary, self.progress, decided)
        self._asking = self._ask()

    @property
    def institutions(self) -> tuple[str, ...]:
        """Ids of the institutions still in the job, in roster order."""
        return self.progress.members

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

    def receive(self, replies: Mapping[str, bytes]) -> None:
        """Take the replies to `next_step` and decide the step if nobody is left to ask.

        Parameters
        ----------
        replies
            Envelope bytes per institution; whoever did not answer is left out.

        Raises
        ------
        JobError
            If fewer institutions than the quorum are left; the store keeps every earlier step.
        """
        asked = question(self.plan, self._request(), self._sealed())
        for name in tuple(self._asking.waiting):
            self._take(name, asked, replies.get(name))
        if not self._asking.waiting:
            self._decide()

    def _ask(self) -> Asking:
        progress = self.progress
        return Asking(list(progress.joining if progress.next_phase == "join" else progress.members))

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
            _ROLES[phase],
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

    def _take(self, name: str, asked: Question, reply: bytes | None) -> None:
        asking = self._asking
        try:
            message = None if reply is None else authenticated(self.plan, name, reply)
        except (WireError, RefusalError) as error:
            asking.refuse(name, "foreign", sentence(str(error)))
            return
        if isinstance(message, Refusal) and message.request_hash != asked.request_hash:
            message = None  # an answer to something else, sent again by whoever carries the packets
        if message is None or reply is None:
            asking.silences[name] = asking.silences.get(name, 0) + 1
            if asking.silences[name] > _RESENDS:
                asking.refuse(name, "silent", "no answer in time")
        elif isinstance(message, Refusal):
            asking.refuse(name, message.code, sentence(f"{message.code}: {message.text}"))
        elif not answers(self.plan, name, asked, message):
            asking.refuse(name, "foreign", "answered with something that was not asked for")
        elif isinstance(message, JoinReply) and (fault := self._join_book.fault(name, reply, self._known_joins())):
            asking.refuse(name, "foreign", sentence(f"its join cannot be used: {fault}"))
        else:
            asking.answer(name, message, reply)

    def _known_joins(self) -> dict[str, bytes]:
        """Joins taken before, in this step or earlier, of members in the job."""
        taken = {**self._store.packets("join"), **{name: packet for name, (_, packet) in self._asking.answered.items()}}
        return {name: packet for name, packet in taken.items() if name in self.progress.members}

    def _decide(self) -> None:
        # Whatever fails below, the step is asked again.
        asking, self._asking = self._asking, self._ask()
        found = verdict(self.plan, self.dictionary, self.progress, asking, self._quorum)
        decided = Decided(
            self.progress.next_phase,
            self.progress.next_round,
            self.progress.attempt,
            found.outcome,
            found.members,
            found.rejoining,
            self._sums(asking) if found.outcome is Outcome.DONE else np.zeros(0, dtype=np.int64),
        )
        # Folded before it is stored: a step that cannot be folded must not stand in the way of a resume.
        following = advance(self.plan, self.dictionary, self.progress, decided)
        kept = (
            [(name, packet) for name, (_, packet) in asking.answered.items()] if decided.outcome is Outcome.DONE else []
        )
        self._store.record(decided, kept)
        self.progress = following
        self._asking = self._ask()
        if self._on_decided is not None:
            self._on_decided(decided, self.progress)

    def _sums(self, asking: Asking) -> NDArray[np.int64]:
        """The released sums modulo 2^64, in which the masks have cancelled; zeros where nobody owns a coordinate."""
        role = _ROLES.get(self.progress.next_phase)
        if role is None:
            return np.zeros(0, dtype=np.int64)
        total = np.zeros(self.plan.phases.of(role).vector_length, dtype=np.int64)
        for message, _ in asking.answered.values():
            if isinstance(message, Contribution):
                total += vector_of(message)
        members = self.progress.members
        total = np.where(owned_by(self.plan, self.dictionary, role, members), total, 0)
        if not plausible_sum(self.plan, members, role, total):
            raise JobError(
                f"the sums of {role.name} {self.progress.next_round} are out of range: a member did not keep to the "
                "protocol, and masks hide which; found out with smaller rosters, each a job of its own."
            )
        return total


def _fewest(plan: Plan) -> int:
    """Fewest members over which this plan's sums can be taken."""
    terms = plan.privacy
    shared = terms.placement is Placement.DISTRIBUTED
    masked = FEWEST_MEMBERS if terms.masks else 1
    return max(masked, fewest_members(terms.colluders) if shared else 1, len(plan.members) - terms.max_drops)
