"""The job's phases as a Flower strategy: what the coordinator asks becomes messages, replies its input.

Flower's own loop waits for ever for missing nodes, polls every 3 s and cannot resume.
`CoordinatorStrategy.start` replaces it: a deadline for the institutions to appear and to prove who they
are, a deadline per step, polling every 0.2 s, and no state of its own, so that a new run resumes whatever
job the coordinator's store holds.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import override

from fedcredit.errors import ConfigError, JobError
from server.coordinator import Coordinator, Step
from server.flower_adapter import envelope_of, fault_of, pull, push, request
from server.roll_call import RollCall

_EVALUATION_PHASES = ("evaluate", "release")


class Pacing(BaseModel):
    """Deadlines of a job over Flower, in seconds.

    Attributes
    ----------
    institutions_timeout_s
        How long a step waits for the institutions that it asks to be online and identified.
    step_timeout_s
        How long a step waits for replies.
    poll_interval_s
        Pause between two looks at the Grid.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    institutions_timeout_s: float = Field(default=120.0, gt=0, allow_inf_nan=False)
    step_timeout_s: float = Field(default=1800.0, gt=0, allow_inf_nan=False)
    poll_interval_s: float = Field(default=0.2, ge=0, le=10, allow_inf_nan=False)


class CoordinatorStrategy(Strategy):
    """A coordinator's job as a Flower strategy.

    Parameters
    ----------
    coordinator
        Decides what is asked, checks every reply and keeps the job's store.
    pacing
        Deadlines.
    announce
        Receives one line per event, for the operator.
    clock, sleep
        Monotonic seconds, and how to wait.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        pacing: Pacing,
        *,
        announce: Callable[[str], None] = print,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._coordinator, self._pacing, self._announce = coordinator, pacing, announce
        self._clock, self._sleep = clock, sleep
        self._step: Step | None = None
        self._node_of: dict[str, int] = {}
        self._asked: dict[str, str] = {}

    @override
    def summary(self) -> None:
        """Announce who is asked and how long they have."""
        names, pacing = self._coordinator.institutions, self._pacing
        self._announce(
            f"{len(names)} institutions ({', '.join(names)}); they have {pacing.institutions_timeout_s:g} s "
            f"to appear and {pacing.step_timeout_s:g} s to answer a step"
        )

    @override
    def start(self, grid: Grid, *refused: Any, **also_refused: Any) -> Result:
        """Drive the job to its end, from wherever its store left it.

        Returns
        -------
        Result
            Empty: the model and the evaluation lie in the coordinator's store.

        Raises
        ------
        ConfigError
            If anything but the Grid is given; rounds and model are the plan's.
        JobError
            If an institution is missing when the job begins, or the coordinator loses its quorum.
        """
        if refused or also_refused:
            raise ConfigError("the plan fixes rounds, model and settings; call start(grid) alone.")
        self.summary()
        roll_call = RollCall(grid, self._coordinator, self._announce, self._clock)
        while (step := self._coordinator.next_step()) is not None:
            self._step, self._node_of = step, self._gather(roll_call, step)
            self._take(grid, step)
        return Result()

    @override
    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Make the messages of the step at hand, if it is join, preflight or train."""
        return self._messages() if self._step and self._step.phase not in _EVALUATION_PHASES else []

    @override
    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Hand the replies to the coordinator, which checks, sums and stores them."""
        self._receive(replies)
        return None, None

    @override
    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Make the messages of the step at hand, if it is evaluate or release."""
        return self._messages() if self._step and self._step.phase in _EVALUATION_PHASES else []

    @override
    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Hand the replies to the coordinator, which checks, sums and stores them."""
        self._receive(replies)
        return None

    def _gather(self, roll_call: RollCall, step: Step) -> dict[str, int]:
        """Wait until everybody whom a step asks is there; a job does not begin without one of them."""
        deadline = self._clock() + self._pacing.institutions_timeout_s
        present = roll_call.present()
        while missing := sorted(set(step.requests) - set(present)):
            if self._clock() >= deadline:
                self._report_missing(step, missing, len(roll_call.online()))
                break
            roll_call.advance(self._pacing.institutions_timeout_s)
            self._sleep(self._pacing.poll_interval_s)
            present = roll_call.present()
        return present

    def _report_missing(self, step: Step, missing: list[str], nodes_online: int) -> None:
        reason = (
            f"{', '.join(missing)} did not appear within {self._pacing.institutions_timeout_s:g} s "
            f"({nodes_online} Flower nodes are online, {len(step.requests)} institutions are needed)"
        )
        if step.phase == "join":
            raise JobError(f"{reason}; start their custodians and SuperNodes, then run the job again.")
        # Later, the coordinator decides whether the job goes on without them.
        self._announce(reason)

    def _take(self, grid: Grid, step: Step) -> None:
        began = self._clock()
        nothing = ArrayRecord(), ConfigRecord()
        replies: list[Message]
        if step.phase in _EVALUATION_PHASES:
            replies = self._exchange(grid, self.configure_evaluate(step.round, *nothing, grid))
            self.aggregate_evaluate(step.round, replies)
        else:
            replies = self._exchange(grid, self.configure_train(step.round, *nothing, grid))
            self.aggregate_train(step.round, replies)
        self._announce(
            f"{step.phase} {step.round}, attempt {step.attempt}: {len(replies)} of {len(step.requests)} "
            f"replies in {self._clock() - began:.1f} s"
        )

    def _messages(self) -> list[Message]:
        if self._step is None:
            return []
        label, ttl_s = f"{self._step.phase}-{self._step.round}", self._pacing.step_timeout_s
        asked = ((name, envelope) for name, envelope in self._step.requests.items() if name in self._node_of)
        return [request(self._node_of[name], envelope, ttl_s, label) for name, envelope in asked]

    def _exchange(self, grid: Grid, messages: Iterable[Message]) -> list[Message]:
        """Send, and collect replies until all are there or the step's time is over."""
        name_of = {node: name for name, node in self._node_of.items()}
        self._asked = {message_id: name_of[node] for message_id, node in push(grid, messages).items()}
        deadline = self._clock() + self._pacing.step_timeout_s
        replies: dict[str, Message] = {}
        while waiting := [message_id for message_id in self._asked if message_id not in replies]:
            replies |= pull(grid, waiting)
            if len(replies) == len(self._asked) or self._clock() >= deadline:
                break
            self._sleep(self._pacing.poll_interval_s)
        return list(replies.values())

    def _receive(self, replies: Iterable[Message]) -> None:
        """Give the coordinator the envelopes that came; errors and silence are both absence."""
        envelopes: dict[str, bytes] = {}
        for reply in replies:
            name, envelope = self._asked.get(reply.metadata.reply_to_message_id), envelope_of(reply)
            if name is not None and envelope is not None:
                envelopes[name] = envelope
            elif name is not None:
                self._announce(f"{name} did not answer: {fault_of(reply)}")
        self._coordinator.receive(envelopes)
