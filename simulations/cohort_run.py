"""A whole job over a cohort: the coordinator's rules, asked of all institutions in one call.

Who is asked, when an attempt is given up, who leaves the job and what follows are the functions of `server.verdict`,
`server.deciding` and `fedcredit.job.progress`, as they are for envelopes.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcredit.job.progress import Progress, advance, request_model, start
from fedcredit.job.store import Decided, JobStore
from fedcredit.wire.messages import NO_TRANSCRIPT, Role, RoundRequest
from server.deciding import RESENDS, ROLES, decided, fewest, released_sum, whom_to_ask
from server.verdict import Asking, verdict
from simulations.circumstances import Circumstances
from simulations.cohort import Cohort, Replies
from simulations.cohort_events import Events
from simulations.federation import Federation, JobOutcome, JobSpec
from simulations.virtual_clock import VirtualClock

_ENVELOPE_BYTES = 512  # of a message, beside its plan, members, model or vector
_NAME_BYTES = 2  # of a name, beside its letters


def run_cohort(
    federation: Federation,
    spec: JobSpec,
    *,
    circumstances: Circumstances | None = None,
    folder: Path | None = None,
    on_decided: Callable[[Decided, Progress], None] | None = None,
) -> JobOutcome:
    """Run a whole job.

    Parameters
    ----------
    folder
        Where the job store goes; None keeps it in memory. Ledgers are in memory.
    on_decided
        Called after each decided step.

    Raises
    ------
    ConfigError
        If the plan is not one for a cohort.
    JobError
        If too few institutions are left.
    """
    plan_bytes = federation.plan.to_bytes()
    run = _Run(federation, spec, circumstances or Circumstances(), len(plan_bytes))
    with JobStore(folder / "job.sqlite" if folder else None, plan_bytes) as store:
        while run.progress.next_phase != "done":
            step = run.attempt()
            store.record(step, [])
            if on_decided is not None:
                on_decided(step, run.progress)
    return JobOutcome(federation.plan, run.progress, run.cohort.statements(), run.clock.time())


class _Run:
    """The state of a job between its steps."""

    def __init__(self, federation: Federation, spec: JobSpec, circumstances: Circumstances, plan_size: int) -> None:
        plan, n = federation.plan, len(federation.institutions)
        events = circumstances.events
        self._plan, self._plan_hash, self._dictionary = plan, plan.digest(), federation.dictionary
        self._events = Events(events, n, circumstances.seed)
        self.cohort = Cohort(federation, spec, self._events.poisoners, events.poison_factor)
        self.clock = VirtualClock(circumstances.network, n, circumstances.seed)
        self._names, self._plan_size = plan.members, plan_size
        self._index = {name: index for index, name in enumerate(self._names)}
        self._quorum = fewest(plan) if events.anybody_missing else n
        self.progress = start(plan)

    def attempt(self) -> Decided:
        """Ask until nobody is left to ask, and decide."""
        plan, progress = self._plan, self.progress
        asking: Asking[None] = Asking(list(whom_to_ask(progress)))
        total = np.zeros(0, dtype=np.int64)
        model = request_model(plan, progress)
        self._events.begin_attempt()
        for times_asked in range(1, RESENDS + 2):
            replies = self._ask(asking, model, times_asked)
            total = replies.total if total.size == 0 else total + replies.total
            if not asking.waiting:
                break
            asking.fall_silent(RESENDS, {})
        found = verdict(plan, self._dictionary, progress, asking, self._quorum)

        def released(role: Role) -> NDArray[np.int64]:
            return released_sum(plan, self._dictionary, progress, role, total)

        step = decided(progress, found, released)
        self.progress = advance(plan, self._dictionary, progress, step)
        return step

    def _ask(self, asking: Asking[None], model: bytes, times_asked: int) -> Replies:
        asked = np.array([self._index[name] for name in asking.waiting], dtype=np.int64)
        present = asked[self._events.answering(times_asked)[asked]]
        replies = self._replies(present, model)
        for index in replies.answered.tolist():
            asking.answer(self._names[index], None)
        for index, (code, text) in replies.refused.items():
            asking.refuse(self._names[index], code, text)
        n_bytes = (self._request_bytes(model), 8 * replies.total.size + _ENVELOPE_BYTES)
        self.clock.exchange(asked, present, n_bytes, self.cohort.rows)
        return replies

    def _request_bytes(self, model: bytes) -> int:
        """Of a request: it brings the plan to whoever joins and names all members in a round, so it grows with both."""
        progress, size = self.progress, len(model) + _ENVELOPE_BYTES
        if progress.next_phase == "join":
            return size + self._plan_size
        if progress.next_phase in ROLES:
            return size + sum(len(name) + _NAME_BYTES for name in progress.members)
        return size

    def _replies(self, present: NDArray[np.int64], model: bytes) -> Replies:
        progress = self.progress
        role = ROLES.get(progress.next_phase)
        if role is not None:
            place = (self._plan_hash, role, progress.next_round, progress.attempt)
            return self.cohort.contribute(RoundRequest(*place, progress.members, model, NO_TRANSCRIPT, (), ()), present)
        if progress.next_phase == "join":
            return self.cohort.join(present)
        return Replies(np.zeros(0, dtype=np.int64), present, {})
