"""Prometheus metrics of a custodian, on loopback: requests and verdicts, latency, and the institution's own budget.

They tell what no coordinator may know, and every account of the machine can read them. A label is a word from a fixed
list, this site's own id, or the hash of a plan that was joined: no caller can make the list of series grow.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from fedcredit.custodian.own_figures import OwnFigures, own_figures
from fedcredit.custodian.policy import Policy
from fedcredit.errors import LedgerError, WireError
from fedcredit.privacy.ledger_read import LedgerReader
from fedcredit.wire.envelope import open_envelope
from fedcredit.wire.messages import (
    IdentifyRequest,
    JoinRequest,
    KeysRequest,
    Refusal,
    ReleaseRequest,
    RoundRequest,
    StopRequest,
    decode_message,
)

OTHER = "other"
KINDS = {
    IdentifyRequest.kind: "identify",
    JoinRequest.kind: "join",
    KeysRequest.kind: "keys",
    RoundRequest.kind: "round",
    ReleaseRequest.kind: "release",
    StopRequest.kind: "stop",
}
ANSWERED = "answered"
# Every code with which a custodian refuses.
_CODES = (
    "accounting approval attempt audit basis budget capacity class colluders coordinator data delta dictionary drops "
    "epsilon evaluation expired hours internal job keys-epoch keys-few keys-head keys-job keys-many keys-member "
    "keys-missing keys-own keys-reused keys-shared keys-signature keys-stale keys-zero kind ledger masks member "
    "members model module noise order owners placement plan purpose region replay rolled-back roster round route "
    "signature stop stopped terms unit wire witness"
)
CODES = frozenset(_CODES.split())
REJECTIONS = frozenset({"token", "institution"})
_SECONDS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
_JOB_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Source:
    """Whose figures are shown: one institution's open ledger, its type and its policy."""

    ledger: LedgerReader
    kind: str
    policy: Policy | None


class Metrics:
    """What a service's calls are counted in; an observer of `fedcredit.custodian.service`.

    Parameters
    ----------
    sources
        By institution id.
    """

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self.registry: CollectorRegistry = CollectorRegistry()
        # Resident memory, CPU seconds, open files and start time of this process.
        ProcessCollector(registry=self.registry)
        self.registry.register(_Figures(sources))
        self._requests = Counter(
            "fedcredit_requests",
            "Requests by kind, and 'answered' or the code of the refusal.",
            ("kind", "verdict"),
            registry=self.registry,
        )
        self._rejected = Counter(
            "fedcredit_rejected_calls", "Calls that reached no custodian.", ("reason",), registry=self.registry
        )
        self._seconds = Histogram(
            "fedcredit_handling_seconds",
            "Seconds from a request to its reply; may depend on how many records there are, and on nothing in them.",
            ("kind",),
            buckets=_SECONDS,
            registry=self.registry,
        )

    def handled(self, request: bytes, reply: bytes, seconds: float) -> None:
        """Count a request and its verdict."""
        kind = _kind(request)
        self._requests.labels(kind, _verdict(reply)).inc()
        self._seconds.labels(kind).observe(seconds)

    def rejected(self, reason: str) -> None:
        """Count a call that reached no custodian."""
        self._rejected.labels(reason if reason in REJECTIONS else OTHER).inc()


class _Figures(Collector):
    """Reads the ledgers when it is asked, and again only after they have changed."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = sources
        self._read: dict[str, tuple[int, OwnFigures]] = {}

    def describe(self) -> Iterator[Metric]:
        """Nothing: what there is is known only once a ledger was read."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The figures of each institution; a ledger that cannot be read is said to be so."""
        budget, jobs, last, readable = _families()
        for name, source in self._sources.items():
            try:
                figures = self._figures(name, source)
            except LedgerError:
                readable.add_metric((name,), 0)
                continue
            readable.add_metric((name,), 1)
            _add_budget(budget, name, figures)
            _add_jobs(jobs, last, name, figures)
        yield from (budget, jobs, last, readable)

    def _figures(self, name: str, source: Source) -> OwnFigures:
        count = source.ledger.event_count
        known = self._read.get(name)
        if known is None or known[0] != count:
            known = self._read[name] = (count, own_figures(source.ledger, source.kind, source.policy))
        return known[1]


def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
    return (
        GaugeMetricFamily(
            "fedcredit_ledger_epsilon",
            "Epsilon at the policy's delta: budget, spent, committed (spent or set aside), left for one more job.",
            labels=("institution", "state"),
        ),
        GaugeMetricFamily(
            "fedcredit_job_epsilon",
            "Epsilon of an open job at its own delta: reserved, and spent so far.",
            labels=("institution", "job", "against", "state"),
        ),
        GaugeMetricFamily(
            "fedcredit_job_last_answered_round",
            "Round of the newest charged message of an open job, with its phase.",
            labels=("institution", "job", "phase"),
        ),
        GaugeMetricFamily("fedcredit_ledger_readable", "1 if the ledger can be read.", labels=("institution",)),
    )


def _add_budget(family: GaugeMetricFamily, name: str, figures: OwnFigures) -> None:
    totals = figures.totals
    states = {
        "budget": totals.epsilon_budget,
        "spent": figures.epsilon_spent,
        "committed": totals.epsilon_committed,
        "left": totals.epsilon_left,
    }
    for state, epsilon in states.items():
        if epsilon is not None:
            family.add_metric((name, state), epsilon)


def _add_jobs(family: GaugeMetricFamily, last: GaugeMetricFamily, name: str, figures: OwnFigures) -> None:
    for job in figures.jobs:
        short = job.plan_hash[:_JOB_DIGITS]
        for state, epsilons in (("reserved", job.reserved), ("spent", job.spent)):
            for against, epsilon in asdict(epsilons).items():
                if epsilon is not None:
                    family.add_metric((name, short, against, state), epsilon)
        if job.phase is not None and job.round is not None:
            last.add_metric((name, short, job.phase), job.round)


def _kind(request: bytes) -> str:
    try:
        return KINDS.get(open_envelope(request).kind, OTHER)
    except WireError:
        return OTHER


def _verdict(reply: bytes) -> str:
    """The custodian's own words, so nothing in them needs proof."""
    envelope = open_envelope(reply)
    if envelope.kind != Refusal.kind:
        return ANSWERED
    refusal = decode_message(envelope.kind, envelope.payload)
    code = refusal.code if isinstance(refusal, Refusal) else OTHER
    return code if code in CODES else OTHER
