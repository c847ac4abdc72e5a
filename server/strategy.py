"""The job's phases as a Flower strategy: what the coordinator asks becomes messages, replies its input.

Flower's own loop waits for ever for missing nodes, polls every 3 s and cannot resume. `CoordinatorStrategy.start`
replaces it. It has no state of its own, so that a new run resumes whatever job the coordinator's store holds. Every
reply goes to the coordinator as soon as it arrives. Whoever cannot be reached, or answers with a fault that may pass,
is asked again with the same bytes until the step's time is over; nobody who has answered is.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy
from typing_extensions import override

from fedcredit.errors import AbsenceError, ConfigError, JobError
from server.coordinator import Coordinator, Step
from server.deliveries import Deliveries
from server.faults import NO_ENVELOPE, NOT_ACCEPTED
from server.flower_adapter import envelope_of, fault_of, pull, push, request
from server.pacing import Pacing
from server.reporting import Reporter
from server.roll_call import RollCall

_EVALUATION_PHASES = ("evaluate", "release")
_NOTHING: tuple[ArrayRecord, ConfigRecord] = (ArrayRecord(), ConfigRecord())


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
        self._coordinator, self._pacing = coordinator, pacing
        self._clock, self._sleep = clock, sleep
        self._report = Reporter(coordinator, announce, clock)
        self._step: Step | None = None
        self._deliveries = Deliveries((), pacing)
        self._node_of: dict[str, int] = {}
        self._began = self._deadline = 0.0
        self._waiting: tuple[str, ...] = ()

    @override
    def summary(self) -> None:
        """Announce who is asked and how long they have."""
        names, pacing = self._coordinator.institutions, self._pacing
        self._report.say(
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
        AbsenceError
            If an institution is missing when the job begins.
        JobError
            If the coordinator loses its quorum.
        """
        if refused or also_refused:
            raise ConfigError("the plan fixes rounds, model and settings; call start(grid) alone.")
        self.summary()
        again_s = self._pacing.retry_first_s
        roll_call = RollCall(grid, self._coordinator, self._report.say, self._clock, again_s)
        try:
            while (step := self._coordinator.next_step()) is not None:
                if step.phase == "join" and step.round == 0:
                    self._gather(roll_call, step)
                self._take(grid, roll_call, step)
        except JobError as error:
            self._report.stopped(str(error))
            raise
        self._report.done()
        return Result()

    @override
    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Make the messages that are due in the step at hand, if it is join, keys, preflight or train."""
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
        """Make the messages that are due in the step at hand, if it is evaluate or release."""
        return self._messages() if self._step and self._step.phase in _EVALUATION_PHASES else []

    @override
    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Hand the replies to the coordinator, which checks, sums and stores them."""
        self._receive(replies)
        return None

    def _gather(self, roll_call: RollCall, step: Step) -> None:
        """Wait until everybody is there: a job does not begin without one of them."""
        deadline = self._clock() + self._pacing.institutions_timeout_s
        while missing := sorted(set(step.requests) - set(roll_call.present())):
            if self._clock() >= deadline:
                raise AbsenceError(
                    f"{', '.join(missing)} did not appear within {self._pacing.institutions_timeout_s:g} s "
                    f"({roll_call.online} Flower nodes are online, {len(step.requests)} institutions are needed); "
                    "start their custodians and SuperNodes, then run the job again."
                )
            self._identify(roll_call)
            self._report.waiting(step, missing, {})
            self._sleep(self._pacing.poll_interval_s)

    def _take(self, grid: Grid, roll_call: RollCall, step: Step) -> None:
        """Ask, and take replies as they arrive, until the step is decided or its time is over."""
        self._step, self._began = step, self._clock()
        self._deadline = self._began + self._pacing.step_timeout_s
        self._deliveries = Deliveries(step.requests, self._pacing)
        # If all replies had arrived before a restart, there is nobody to ask.
        self._waiting = tuple(step.requests) or self._coordinator.take({})
        self._report.began(step)
        while self._waiting and not self._deliveries.hopeless and self._clock() < self._deadline:
            self._ask(grid, roll_call, step)
            self._collect(grid, step)
            self._report.waiting(step, self._waiting, self._deliveries.of)
            if self._waiting:
                self._sleep(self._pacing.poll_interval_s)
        silent = self._waiting
        if silent:
            self._coordinator.receive({}, self._deliveries.words(silent))
        self._report.ended(step, silent, self._clock() - self._began)

    def _ask(self, grid: Grid, roll_call: RollCall, step: Step) -> None:
        """Send the questions that are due to the nodes that are there."""
        if not (due := self._deliveries.due(self._clock())):
            return
        self._node_of = {name: node for name, node in roll_call.present().items() if name in due}
        if absent := [name for name in due if name not in self._node_of]:
            self._identify(roll_call)
            if self._clock() - self._began >= self._pacing.institutions_timeout_s:
                self._report.missing(absent, roll_call.online, self._deadline - self._clock())
        if not self._node_of:
            return
        evaluating = step.phase in _EVALUATION_PHASES
        configure = self.configure_evaluate if evaluating else self.configure_train
        accepted = push(grid, configure(step.round, *_NOTHING, grid))
        name_of = {node: name for name, node in self._node_of.items()}
        taken = {message_id: name_of[node] for message_id, node in accepted.items()}
        for name in self._deliveries.sent(self._node_of, taken, self._clock()):
            self._report.fault(name, NOT_ACCEPTED)
        self._report.sent(sum(len(step.requests[name]) for name in taken.values()), exchanges=bool(taken))

    def _identify(self, roll_call: RollCall) -> None:
        before = roll_call.exchanges
        roll_call.advance(self._pacing.institutions_timeout_s)
        self._report.sent(0, exchanges=roll_call.exchanges - before)

    def _collect(self, grid: Grid, step: Step) -> None:
        """Give the coordinator the replies that have arrived."""
        replies = pull(grid, self._deliveries.on_their_way).values()
        if not replies:
            return
        if step.phase in _EVALUATION_PHASES:
            self.aggregate_evaluate(step.round, replies)
        else:
            self.aggregate_train(step.round, replies)

    def _messages(self) -> list[Message]:
        if self._step is None:
            return []
        label, left_s = f"{self._step.phase}-{self._step.round}", self._deadline - self._clock()
        asked = self._step.requests
        return [request(node, asked[name], left_s, label) for name, node in self._node_of.items()]

    def _receive(self, replies: Iterable[Message]) -> None:
        """Give the coordinator the envelopes that came; a fault is told, and asked again if it may pass."""
        name_of, envelopes, now = self._deliveries.on_their_way, dict[str, bytes](), self._clock()
        for reply in replies:
            name, envelope = name_of.get(reply.metadata.reply_to_message_id), envelope_of(reply)
            if name is None:
                continue
            if envelope is None:
                self._report.fault(name, fault_of(reply))
                self._deliveries.failed(name, fault_of(reply), now)
            else:
                envelopes[name] = envelope
        self._report.received(sum(map(len, envelopes.values())))
        if envelopes:
            self._waiting = self._coordinator.take(envelopes)
        self._report.refusals()
        for name in set(envelopes) & set(self._waiting):
            # It carried an answer to something else: an old packet that somebody sent again.
            self._deliveries.failed(name, NO_ENVELOPE, now)
        self._deliveries.keep(self._waiting)
