"""What a message costs and what a ledger may spend, in exact fractions.

Three accountants, fixed when a ledger is opened:

``gaussian``
    Unsampled Gaussian releases only. Cost = mu² = sensitivity² / noise variance, a ratio of two integers; costs add
    exactly and the filter is valid for adaptively chosen messages (Dong, Roth & Su 2019, arXiv 1905.02383; Smith &
    Thakurta 2022).
``mixed``
    Sampled releases too. Cost = Renyi divergence at one order (Mironov, Talwar & Zhang 2019, arXiv 1908.10530),
    rounded up.
``not_private``
    For data declared public or synthetic, with no noise at all; it bounds nothing and says so.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Protocol

from fedcredit.errors import LedgerError, PrivacyError
from fedcredit.privacy import gdp, rdp

# One part in a thousand of every delta pays for the integer sampler's distance from the ideal law (`sampler_delta`).
SAMPLER_SHARE = 1e-3


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One noised release, in integers.

    Attributes
    ----------
    sensitivity_squared
        Squared L2 change of the integer vector when one unit is zeroed out.
    noise_variance
        Variance of the rounded Gaussian; 0 without noise.
    sampling_rate
        Probability q with which a unit takes part.
    steps
        Number of such releases, each with a sample and noise of its own, that one message is made of.
    """

    sensitivity_squared: int
    noise_variance: int
    sampling_rate: float = 1.0
    steps: int = 1


class Accountant(Protocol):
    """A unit of cost and a budget in it."""

    mode: ClassVar[str]

    @property
    def budget(self) -> Fraction:
        """The most that a ledger may spend, in this unit."""
        ...

    def cost(self, mechanism: Mechanism) -> Fraction:
        """Cost of one release."""
        ...

    def target(self, epsilon: float, delta: float) -> Fraction:
        """The most that may be spent for (epsilon, delta), in this unit."""
        ...

    def epsilon(self, cost: Fraction, delta: float) -> float | None:
        """Smallest provable epsilon of a total cost at `delta`; None where nothing is bounded."""
        ...

    def to_json(self) -> dict[str, Any]:
        """What a ledger's opening event stores."""
        ...


@dataclass(frozen=True, slots=True)
class GaussianAccountant:
    """Exact Gaussian differential privacy; refuses sampled releases."""

    mode: ClassVar[str] = "gaussian"
    budget: Fraction

    @classmethod
    def for_target(cls, epsilon: float, delta: float) -> "GaussianAccountant":
        """Accountant whose budget proves (epsilon, delta)."""
        return cls(gdp.budget_mu_squared(epsilon, delta * (1 - SAMPLER_SHARE)))

    def target(self, epsilon: float, delta: float) -> Fraction:
        """The sum of mu² that proves (epsilon, delta)."""
        return self.for_target(epsilon, delta).budget

    def cost(self, mechanism: Mechanism) -> Fraction:
        """mu² of one release.

        Raises
        ------
        PrivacyError
            If the release is sampled or has no noise.
        """
        _require_noise(mechanism)
        if mechanism.sampling_rate != 1.0:
            raise PrivacyError(
                f"a gaussian ledger cannot account for sampling rate {mechanism.sampling_rate}; use a plan at rate "
                "1, or a population whose ledger was opened with `fedcredit ledger open --mode mixed`."
            )
        return mechanism.steps * gdp.mu_squared(mechanism.sensitivity_squared, mechanism.noise_variance)

    def epsilon(self, cost: Fraction, delta: float) -> float | None:
        """Exact epsilon of a sum of mu² (rounded up)."""
        return gdp.epsilon_of(gdp.mu_from_squared(cost), delta * (1 - SAMPLER_SHARE))

    def to_json(self) -> dict[str, Any]:
        """Mode and exact budget."""
        return {"mode": self.mode, "budget": _write(self.budget)}


@dataclass(frozen=True, slots=True)
class MixedAccountant:
    """Renyi differential privacy at one order, for ledgers that hold sampled releases."""

    mode: ClassVar[str] = "mixed"
    budget: Fraction
    order: int

    @classmethod
    def for_target(cls, epsilon: float, delta: float, order: int) -> "MixedAccountant":
        """Accountant whose budget proves (epsilon, delta) by the conversion at `order`."""
        return cls(Fraction(rdp.budget(epsilon, delta * (1 - SAMPLER_SHARE), order)), order)

    def target(self, epsilon: float, delta: float) -> Fraction:
        """The Renyi divergence that proves (epsilon, delta) at this order."""
        return self.for_target(epsilon, delta, self.order).budget

    def cost(self, mechanism: Mechanism) -> Fraction:
        """Renyi divergence of one release at the ledger's order.

        Raises
        ------
        PrivacyError
            If the release has no noise.
        """
        _require_noise(mechanism)
        noise_multiplier = (mechanism.noise_variance / mechanism.sensitivity_squared) ** 0.5
        return mechanism.steps * Fraction(
            rdp.subsampled_gaussian(mechanism.sampling_rate, noise_multiplier, self.order)
        )

    def epsilon(self, cost: Fraction, delta: float) -> float | None:
        """Epsilon by conversion at the ledger's order."""
        return rdp.epsilon_from_rdp(float(cost), self.order, delta * (1 - SAMPLER_SHARE))

    def to_json(self) -> dict[str, Any]:
        """Mode, exact budget and order."""
        return {"mode": self.mode, "budget": _write(self.budget), "order": self.order}


@dataclass(frozen=True, slots=True)
class NoAccountant:
    """Counts messages on public or synthetic data; everything costs nothing and nothing is promised."""

    mode: ClassVar[str] = "not_private"
    budget: Fraction = Fraction(0)

    def cost(self, mechanism: Mechanism) -> Fraction:  # noqa: ARG002  (the protocol's signature)
        """Nothing is promised, so nothing is spent."""
        return Fraction(0)

    def target(self, epsilon: float, delta: float) -> Fraction:  # noqa: ARG002
        """Nothing is promised, so nothing is limited."""
        return Fraction(0)

    def epsilon(self, cost: Fraction, delta: float) -> float | None:  # noqa: ARG002
        """No bound exists."""
        return None

    def to_json(self) -> dict[str, Any]:
        """Mode and a budget of nothing."""
        return {"mode": self.mode, "budget": _write(self.budget)}


def accountant_from_json(stored: dict[str, Any]) -> Accountant:
    """Read what `to_json` wrote.

    Raises
    ------
    LedgerError
        If the mode is unknown.
    """
    budget = Fraction(stored["budget"])
    match stored["mode"]:
        case "gaussian":
            return GaussianAccountant(budget)
        case "mixed":
            return MixedAccountant(budget, stored["order"])
        case "not_private":
            return NoAccountant(budget)
        case mode:
            raise LedgerError(f"ledger mode {mode!r} is unknown to this version; upgrade fedcredit.")


def _require_noise(mechanism: Mechanism) -> None:
    if mechanism.noise_variance <= 0 or mechanism.sensitivity_squared <= 0:
        raise PrivacyError(
            f"a release needs noise_variance > 0 and sensitivity > 0, got noise_variance={mechanism.noise_variance}; "
            "a job without privacy needs a custodian of public or synthetic data."
        )


def _write(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"
