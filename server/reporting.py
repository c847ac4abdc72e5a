"""What the coordinator tells its operator: a line per event, and the news file that `server.watch` shows."""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Literal

from server.coordinator import Coordinator, Step
from server.deliveries import Delivery
from server.faults import Fault
from server.job_status import STATUS_FILE, Awaited, JobStatus, read_status, steps_left
from server.results import write_files

# So that whoever watches can tell a coordinator that waits from one that has died.
NEWS_EVERY_S = 5.0


class Reporter:
    """Tells of one job.

    Parameters
    ----------
    coordinator
        Whose job it is; without a folder there is no news file.
    say
        Receives one line per event.
    clock
        Monotonic seconds.
    """

    def __init__(self, coordinator: Coordinator, say: Callable[[str], None], clock: Callable[[], float]) -> None:
        self.say = say
        self._coordinator, self._clock, self._folder = coordinator, clock, coordinator.folder
        earlier = read_status(self._folder) if self._folder else None
        self._bytes_out, self._bytes_in = (earlier.bytes_out, earlier.bytes_in) if earlier else (0, 0)
        self._exchanges, self._seconds = (earlier.exchanges, earlier.seconds) if earlier else (0, ())
        self._missing: set[str] = set()
        self._told: dict[str, str] = {}
        self._since = datetime.now(UTC)
        self._last: tuple[float, JobStatus] | None = None

    def began(self, step: Step) -> None:
        """A step is about to be asked."""
        self._since = datetime.now(UTC)
        self._missing.clear()
        self.waiting(step, step.requests, {})

    def waiting(self, step: Step, names: Collection[str], deliveries: Mapping[str, Delivery]) -> None:
        """Who is waited for now."""
        self._write("asking", step, tuple(self._awaited(name, deliveries.get(name)) for name in names))

    def sent(self, n_bytes: int, *, exchanges: int) -> None:
        """Messages went out."""
        self._bytes_out, self._exchanges = self._bytes_out + n_bytes, self._exchanges + exchanges

    def received(self, n_bytes: int) -> None:
        """Replies came in."""
        self._bytes_in += n_bytes

    def fault(self, name: str, fault: Fault) -> None:
        """A node answered with a fault."""
        self.say(f"{name} did not answer: {fault.words()}")

    def missing(self, names: Collection[str], online: int, left_s: float) -> None:
        """Institutions have had no node online for long; told once a step."""
        if new := [name for name in names if name not in self._missing]:
            self._missing.update(new)
            self.say(
                f"{', '.join(new)} did not appear so far ({online} Flower nodes are online); the step waits for "
                f"{left_s:.0f} s more"
            )

    def refusals(self) -> None:
        """Tell what institutions refused since the last call."""
        for name, text in self._coordinator.refusals.items():
            if self._told.get(name) != text:
                self.say(f"{name} refused {text}")
        self._told = dict(self._coordinator.refusals)

    def ended(self, step: Step, silent: Collection[str], seconds: float) -> None:
        """A step's time is over, or it is decided."""
        self.refusals()
        # One whose answers were all there before a restart says nothing about the pace.
        if step.requests and not silent:
            self._seconds = (*self._seconds, round(seconds, 3))
        self.say(
            f"{step.phase} {step.round}, attempt {step.attempt}: {len(step.requests) - len(silent)} of "
            f"{len(step.requests)} replies in {seconds:.1f} s"
        )

    def stopped(self, reason: str) -> None:
        """The job cannot go on now."""
        self.refusals()
        self._write("stopped", None, (), reason)

    def done(self) -> None:
        """Every phase is decided."""
        self._write("done", None, ())

    def _awaited(self, name: str, delivery: Delivery | None) -> Awaited:
        if delivery is None:
            return Awaited(institution=name, since=self._since)
        fault = delivery.fault.words() if delivery.fault else ""
        return Awaited(institution=name, since=self._since, asked=delivery.asked, fault=fault)

    def _write(
        self,
        state: Literal["asking", "done", "stopped"],
        step: Step | None,
        waiting: tuple[Awaited, ...],
        reason: str = "",
    ) -> None:
        if self._folder is None:
            return
        progress = self._coordinator.progress
        phase, round_, attempt = (
            (step.phase, step.round, step.attempt)
            if step
            else (progress.next_phase, progress.next_round, progress.attempt)
        )
        status = JobStatus(
            state=state,
            reason=reason,
            phase=phase,
            round=round_,
            attempt=attempt,
            members=progress.members,
            waiting=waiting,
            refusals=self._coordinator.refusals,
            bytes_out=self._bytes_out,
            bytes_in=self._bytes_in,
            exchanges=self._exchanges,
            seconds=self._seconds,
            steps_left=steps_left(self._coordinator.plan, progress),
            written=datetime.now(UTC),
        )
        if self._is_news(status):
            self._store(status)

    def _is_news(self, status: JobStatus) -> bool:
        if self._last is None:
            return True
        at, last = self._last
        changed = status.model_copy(update={"written": last.written}) != last
        return changed or self._clock() - at >= NEWS_EVERY_S

    def _store(self, status: JobStatus) -> None:
        if self._folder is None:
            return
        self._last = self._clock(), status
        try:
            write_files(self._folder, {STATUS_FILE: status.model_dump_json(indent=1).encode()})
        except OSError as error:
            # The job does not depend on it.
            self.say(f"the news of the job cannot be written to {self._folder} ({error.strerror}); check the disk")
