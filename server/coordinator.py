"""The coordinator: an untrusted machine that asks, adds and decides; it performs no I/O but its job store.

Drive it with ``while (step := coordinator.next_step()): coordinator.receive(channel(step.requests))``. In process,
through Flower's simulation runtime and over a network the same object runs; only what carries the bytes differs.

Replies that are missing are asked for once more with the same attempt (the custodian re-sends its stored bytes,
nothing is charged). An institution that lost an attempt's bytes is asked again with a higher attempt, charged from
the plan's reserve. An institution that still does not answer leaves the job; below the quorum the job stops, and
can be resumed from its store.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import JobError, RefusalError, WireError
from fedcredit.plan import Plan, parse_plan
from fedcredit.wire.envelope import SigningKey
from fedcredit.wire.messages import (
    Contribution,
    IdentifyRequest,
    JoinRequest,
    Message,
    Receipt,
    Refusal,
    ReleaseRequest,
    Role,
    RoundRequest,
)
from server.admission import Question, answers, authenticated, identity, question, vector_of
from server.progress import Progress, advance, owned_coordinates, request_model, start
from server.store import Decided, JobStore

_ROLES = {"preflight": Role.PREFLIGHT, "train": Role.TRAIN, "evaluate": Role.EVALUATE}
_RESENDS = 1
_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class Step:
    """What to deliver next.

    Attributes
    ----------
    phase, round, attempt
        Which step of the job; for progress lines.
    requests
        Signed envelope bytes per institution.
    """

    phase: str
    round: int
    attempt: int
    requests: Mapping[str, bytes]


@dataclass(slots=True)
class _Asking:
    """The step in flight: who answered, whom to ask, and how often each was asked."""

    answered: dict[str, tuple[Message, bytes]]
    waiting: dict[str, int]
    silent: dict[str, int]
    refused: dict[str, str]


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
        Called with each decided step and the state after it; for progress lines.

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
        self.dictionary = dictionary
        self._key, self._store, self._on_decided = key, store, on_decided
        self._quorum = len(self.plan.members) if quorum is None else quorum
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
        packets = self._store.packets("release")
        messages = {name: authenticated(self.plan, name, packet) for name, packet in packets.items()}
        return {name: message for name, message in messages.items() if isinstance(message, Receipt)}

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
        progress, waiting = self.progress, self._asking.waiting
        sealed = {
            attempt: self._key.seal(self.plan.coordinator, self._request(attempt)) for attempt in {*waiting.values()}
        }
        requests = {name: sealed[attempt] for name, attempt in waiting.items()}
        return Step(progress.next_phase, progress.next_round, max(waiting.values()), requests)

    def receive(self, replies: Mapping[str, bytes]) -> None:
        """Take the replies to `next_step` and decide the step if nobody is left to ask.

        Parameters
        ----------
        replies
            Envelope bytes per institution; whoever did not answer is left out.

        Raises
        ------
        JobError
            If fewer institutions than the quorum took part; the store keeps every earlier step.
        """
        waiting = dict(self._asking.waiting)
        questions = {attempt: question(self.plan, self._request(attempt)) for attempt in {*waiting.values()}}
        for name, attempt in waiting.items():
            self._take(name, questions[attempt], attempt, replies.get(name))
        if not self._asking.waiting:
            self._decide()

    def _ask(self) -> _Asking:
        return _Asking({}, dict.fromkeys(self.progress.members, 1), {}, {})

    def _request(self, attempt: int) -> JoinRequest | RoundRequest | ReleaseRequest:
        phase, progress = self.progress.next_phase, self.progress
        if phase == "join":
            return JoinRequest(self._plan_bytes)
        model = request_model(self.plan, progress)
        if phase == "release":
            return ReleaseRequest(self._plan_hash, model)
        return RoundRequest(self._plan_hash, _ROLES[phase], progress.next_round, attempt, progress.members, model)

    def _take(self, name: str, asked: Question, attempt: int, reply: bytes | None) -> None:
        asking = self._asking
        if reply is None:
            asking.silent[name] = asking.silent.get(name, 0) + 1
            if asking.silent[name] > _RESENDS:
                asking.refused[name] = "no answer in time"
                del asking.waiting[name]
            return
        del asking.waiting[name]
        try:
            message = authenticated(self.plan, name, reply)
        except (WireError, RefusalError) as error:
            asking.refused[name] = _sentence(str(error))
            return
        if not isinstance(message, Refusal):
            if answers(self.plan, name, asked, message):
                asking.answered[name] = (message, reply)
            else:
                asking.refused[name] = "answered with something that was not asked for"
        elif message.code in ("attempt", "replay") and attempt < self.plan.privacy.max_attempts:
            asking.waiting[name] = attempt + 1
        else:
            asking.refused[name] = _sentence(f"{message.code}: {message.text}")

    def _decide(self) -> None:
        # Whatever fails below, the step is asked again.
        progress, asking, self._asking = self.progress, self._asking, self._ask()
        members = tuple(name for name in progress.members if name in asking.answered)
        if len(members) < self._quorum or (progress.next_phase == "join" and asking.refused):
            reasons = "; ".join(f"{name}: {reason}" for name, reason in asking.refused.items())
            raise JobError(
                f"{progress.next_phase} has {len(members)} of {len(progress.members)} institutions ({reasons}); "
                "mend the cause and resume the job."
            )
        decided = Decided(progress.next_phase, progress.next_round, members, self._sums(asking, members))
        # Folded before it is stored: a step that cannot be folded must not stand in the way of a resume.
        following = advance(self.plan, self.dictionary, progress, decided)
        self._store.record(decided, [(name, asking.answered[name][1]) for name in members])
        self.progress = following
        self._asking = self._ask()
        if self._on_decided is not None:
            self._on_decided(decided, self.progress)

    def _sums(self, asking: _Asking, members: tuple[str, ...]) -> NDArray[np.int64]:
        role = _ROLES.get(self.progress.next_phase)
        if role is None:
            return np.zeros(0, dtype=np.int64)
        total = np.zeros(self.plan.phases.of(role).vector_length, dtype=np.int64)
        for member in self.plan.roster.members:
            if member.id in members:
                message = asking.answered[member.id][0]
                if isinstance(message, Contribution):
                    owned = owned_coordinates(self.plan, self.dictionary, role, member.kind)
                    total += np.where(owned, vector_of(message), 0)
        return total


def _sentence(text: str) -> str:
    """A member's words, fit for the operator's console: short, and without control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:_LONGEST_REASON])
