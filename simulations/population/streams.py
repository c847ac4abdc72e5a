"""Named streams of random numbers: one per drawn column, so that a new column moves no other.

Philox is counter-based (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): its key is the hash of
seed and name. Every stream is read from its start, row by row, so that row i does not depend on how many rows follow.
"""

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Streams:
    """All streams of one seed, each with `n` rows."""

    seed: int
    n: int

    def uniform(self, name: str) -> Floats:
        """Numbers in (0, 1); shape (n,)."""
        return self._generator(name).random(self.n) + 2.0**-54

    def normal(self, name: str) -> Floats:
        """Standard normal numbers; shape (n,)."""
        return np.asarray(ndtri(self.uniform(name)))

    def chance(self, name: str, probability: Floats | float) -> NDArray[np.bool_]:
        """Events of the given probability; shape (n,)."""
        return self.uniform(name) < probability

    def poisson(self, name: str, mean: Floats) -> NDArray[np.int64]:
        """Counts of the given means; shape (n,).

        By inversion from one uniform number a row, for means up to some dozens.
        """
        rest = self.uniform(name)
        count, mass = np.zeros(self.n, dtype=np.int64), np.exp(-mean)
        left = np.flatnonzero(rest >= mass)
        rest, mass, mean = (rest - mass)[left], mass[left], mean[left]
        step = 0
        while left.size:
            step += 1
            count[left] = step
            mass = mass * mean / step
            on = (rest >= mass) & (step < _MOST_EVENTS)
            left, rest, mass, mean = left[on], (rest - mass)[on], mass[on], mean[on]
        return count

    def _generator(self, name: str) -> np.random.Generator:
        key = sha256(f"fedcredit population {self.seed} {name}".encode()).digest()[:16]
        return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "big")))


_MOST_EVENTS = 200


def sigmoid(logit: Floats) -> Floats:
    """Probability of a logit."""
    return np.asarray(1.0 / (1.0 + np.exp(-logit)))
