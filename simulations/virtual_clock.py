"""How long a simulated job would take over a network: a clock that adds up what each exchange costs its slowest member.

An exchange is over when the last reply is in, or when the time to wait for it is. A member's own time is what its node
waits before it asks for work, two latencies, both transfers at its bandwidth, its share of arithmetic and what a
custodian needs besides (a signature, an fsynced transaction). The coordinator's link carries everybody's bytes. A model
of a network, not a measurement of one: `docs/simulator.md` says where its numbers come from.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Of a member's latency around the mean: a factor with this standard deviation of its logarithm.
_LATENCY_SPREAD = 0.5
_SECONDS_PER_ROW = 1e-6
_SECONDS_PER_MESSAGE = 0.02
_BITS_PER_BYTE = 8


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """The network.

    Attributes
    ----------
    latency_ms
        One way, of a typical member.
    bandwidth_mbit
        Of each member's link, and of the coordinator's.
    poll_s
        A node asks for work so often; it waits half of it on average.
    timeout_s
        How long the coordinator waits for who is silent, each time that it asks.
    """

    latency_ms: float = 50.0
    bandwidth_mbit: float = 100.0
    poll_s: float = 3.0
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class VirtualTime:
    """What a job would take, in seconds, and under which assumptions."""

    seconds: float
    exchanges: int
    institutions: int
    latency_ms: float
    bandwidth_mbit: float
    poll_s: float
    timeout_s: float

    def sentence(self) -> str:
        """For the console."""
        minutes, seconds = divmod(round(self.seconds), 60)
        time = f"{minutes} min {seconds:02} s" if minutes else f"{self.seconds:.1f} s"
        return (
            f"Over a network this job would take {time}: {self.exchanges} exchanges with {self.institutions:,} "
            f"institutions at {self.latency_ms:g} ms and {self.bandwidth_mbit:g} Mbit/s, nodes that ask for work every "
            f"{self.poll_s:g} s, {self.timeout_s:g} s of waiting for who is silent (a model, not a measurement)."
        )


class VirtualClock:
    """Adds up the exchanges of one job.

    Parameters
    ----------
    spec
        The network.
    n_institutions
        Number of institutions, in roster order.
    seed
        Of the run.
    """

    def __init__(self, spec: NetworkSpec, n_institutions: int, seed: int) -> None:
        self._spec, self._generator = spec, np.random.default_rng([seed, 0xC10C])
        spread = np.exp(_LATENCY_SPREAD * self._generator.standard_normal(n_institutions))
        self._latency = spec.latency_ms / 1000 * spread
        self._seconds, self._exchanges, self._n = 0.0, 0, n_institutions

    def exchange(
        self, asked: NDArray[np.int64], answered: NDArray[np.int64], n_bytes: tuple[int, int], rows: NDArray[np.int64]
    ) -> None:
        """Let the time of one exchange pass.

        Parameters
        ----------
        asked, answered
            Indices of institutions; whoever is missing among the answered was waited for.
        n_bytes
            Of one request, and of one reply.
        rows
            Shape (n_institutions,): records that each goes through.
        """
        down, up = n_bytes
        per_byte = _BITS_PER_BYTE / (self._spec.bandwidth_mbit * 1e6)
        polls = self._spec.poll_s * self._generator.random(self._n)
        own = polls + 2 * self._latency + _SECONDS_PER_ROW * rows + _SECONDS_PER_MESSAGE + (down + up) * per_byte
        slowest = float(own[answered].max()) if answered.size else 0.0
        if answered.size < asked.size:
            slowest = max(slowest, self._spec.timeout_s)
        self._seconds += slowest + (asked.size * down + answered.size * up) * per_byte
        self._exchanges += 1

    def time(self) -> VirtualTime:
        """What has passed."""
        spec = self._spec
        network = (spec.latency_ms, spec.bandwidth_mbit, spec.poll_s, spec.timeout_s)
        return VirtualTime(round(self._seconds, 3), self._exchanges, self._n, *network)
