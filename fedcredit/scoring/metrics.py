"""Prometheus metrics of the scoring services.

A label is a word from a fixed list: no caller makes the list grow, and no value of a customer is in it.
"""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

VERDICTS = ("approve", "decline", "none")
FLAGS = ("range", "code", "text", "block")
OUTCOMES = ("answered", "refused", "limit")
REJECTIONS = ("token", "request", "own", "peer", "signature", "time", "replay", "package", "block", "purpose", "limit")
_SECONDS = (0.0003, 0.001, 0.003, 0.005, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


class ScoringMetrics:
    """What a service's calls are counted in."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._decisions = self._counter("fedcredit_decisions", "Decisions by verdict.", "verdict", VERDICTS)
        self._flags = self._counter("fedcredit_flags", "Flags by kind; a decision may have several.", "kind", FLAGS)
        self._answers = self._counter("fedcredit_answers", "Answers to peers by outcome.", "outcome", OUTCOMES)
        self._rejected = self._counter("fedcredit_rejected_calls", "Calls turned away.", "reason", REJECTIONS)
        self._seconds = Histogram(
            "fedcredit_call_seconds", "Seconds from a call to its reply.", buckets=_SECONDS, registry=self.registry
        )

    def decided(self, verdict: str | None, flags: Sequence[str]) -> None:
        """Count a decision."""
        self._decisions.labels(verdict or "none").inc()
        for flag in flags:
            self._flags.labels(flag.partition(":")[0]).inc()

    def answered(self, outcome: str) -> None:
        """Count an answer to a peer."""
        self._answers.labels(outcome).inc()

    def rejected(self, reason: str) -> None:
        """Count a call that was turned away."""
        self._rejected.labels(reason).inc()

    def took(self, seconds: float) -> None:
        """Take note of a call's time."""
        self._seconds.observe(seconds)

    def _counter(self, name: str, words: str, label: str, values: Sequence[str]) -> Counter:
        counter = Counter(name, words, (label,), registry=self.registry)
        for value in values:
            counter.labels(value)  # all series from the start
        return counter
