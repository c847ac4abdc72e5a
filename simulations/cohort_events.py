"""What goes wrong among simulated institutions: drawn once from a seed, so that a run can be repeated.

Absent institutions never answer. Of the others, some go silent for good at a step, some answer only when they are asked
again, and some send another vector than their rows give. What becomes of the job is the coordinator's own rules.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class EventSpec:
    """How often things go wrong; all 0: never.

    Attributes
    ----------
    absent
        Share of institutions that never answer.
    dropout
        Probability that an institution is silent for good from a step on.
    straggler
        Probability that an institution answers a step only when it is asked a second time.
    poisoner
        Share of institutions that multiply the vectors of training by `poison_factor`.
    poison_factor
        A whole number; -1 turns the gradient round.
    """

    absent: float = 0.0
    dropout: float = 0.0
    straggler: float = 0.0
    poisoner: float = 0.0
    poison_factor: int = -1

    @property
    def anybody_missing(self) -> bool:
        """Whether an institution may be silent, or refused for what it sent, so that the job must go on with fewer."""
        return self.absent > 0 or self.dropout > 0 or self.poisoner > 0


class Events:
    """The events of one run.

    Parameters
    ----------
    spec
        How often.
    n_institutions
        Number of institutions, in roster order.
    seed
        Of the run.

    Attributes
    ----------
    poisoners
        Shape (n_institutions,).
    """

    def __init__(self, spec: EventSpec, n_institutions: int, seed: int) -> None:
        self._spec, self._generator = spec, np.random.default_rng([seed, 0xE7E27])
        self._gone = self._generator.random(n_institutions) < spec.absent
        self.poisoners: Flags = self._generator.random(n_institutions) < spec.poisoner
        self._late = np.zeros(n_institutions, dtype=np.bool_)

    def begin_attempt(self) -> None:
        """Draw who is lost, and who is late, from the attempt that begins."""
        n = len(self._gone)
        self._gone |= self._generator.random(n) < self._spec.dropout
        self._late = self._generator.random(n) < self._spec.straggler

    def answering(self, times_asked: int) -> Flags:
        """Who answers when it is asked for the `times_asked`-th time in this attempt; shape (n_institutions,)."""
        return ~self._gone & ~(self._late if times_asked == 1 else np.zeros_like(self._late))
