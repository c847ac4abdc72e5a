"""A figure of a report: its value and 95 % interval, the two parts of its uncertainty, or why there is none."""

import math
from dataclasses import dataclass

from fedcredit.evaluation.intervals import Estimate

#: Two-sided 95 % point of the normal law, squared.
Z95_SQUARED = 3.841458820694124


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure.

    Attributes
    ----------
    value
        Estimate; None where it cannot be computed.
    low, high
        95 % interval over sampling and noise together; None where none is given.
    sampling_stddev, noise_stddev
        Standard deviation over samples of records without noise, and over the noise with the records fixed.
    why
        Why there is no value, for people; None where there is one.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    sampling_stddev: float | None = None
    noise_stddev: float | None = None
    why: str | None = None


def unknown(why: str) -> Figure:
    """A figure that cannot be computed."""
    return Figure(None, why=why)


def of_estimate(estimate: Estimate | None, why: str) -> Figure:
    """An estimate as a figure; `why` where there is none."""
    if estimate is None:
        return unknown(why)
    return Figure(estimate.value, estimate.low, estimate.high, estimate.sampling_stddev, estimate.noise_stddev)


def within(figure: Figure, lowest: float, highest: float) -> Figure:
    """Cut value and interval at the bounds of what the figure can be."""
    if figure.value is None or figure.low is None or figure.high is None:
        return figure
    value, low, high = (min(highest, max(lowest, end)) for end in (figure.value, figure.low, figure.high))
    return Figure(value, low, high, figure.sampling_stddev, figure.noise_stddev)


def difference(first: Figure, second: Figure) -> Figure:
    """First minus second, of independent records."""
    if first.value is None or second.value is None:
        return unknown(first.why or second.why or "")
    sampling = math.hypot(first.sampling_stddev or 0.0, second.sampling_stddev or 0.0)
    noise = math.hypot(first.noise_stddev or 0.0, second.noise_stddev or 0.0)
    value, half = first.value - second.value, math.sqrt(Z95_SQUARED) * math.hypot(sampling, noise)
    return Figure(value, value - half, value + half, sampling, noise)


def quotient(first: Figure, second: Figure) -> Figure:
    """First over second, of independent records; both positive where they are known at all.

    The interval is Fieller's: the ratios r at which ``first - r second`` does not differ from 0.
    """
    if first.value is None or second.value is None:
        return unknown(first.why or second.why or "")
    parts = [(one.sampling_stddev or 0.0, one.noise_stddev or 0.0) for one in (first, second)]
    variances = [sampling**2 + noise**2 for sampling, noise in parts]
    ends = fieller(first.value, second.value, variances[0], variances[1], 0.0)
    if ends is None:
        return unknown("the group that it is compared with cannot be told from the noise")
    ratio = first.value / second.value
    sampling, noise = (math.hypot(parts[0][k], ratio * parts[1][k]) / second.value for k in (0, 1))
    return Figure(ratio, *ends, sampling, noise)


def fieller(
    numerator: float, denominator: float, variance: float, variance_below: float, covariance: float
) -> tuple[float, float] | None:
    """95 % interval of a ratio of two normal estimates; None where the lower one cannot be told from 0.

    Parameters
    ----------
    numerator, denominator
        The estimates.
    variance, variance_below, covariance
        Variance of the one, of the other, and their covariance.

    References
    ----------
    E. C. Fieller, "Some problems in interval estimation", Journal of the Royal Statistical Society B 16 (1954),
    175-185.
    """
    a = denominator**2 - Z95_SQUARED * variance_below
    b = numerator * denominator - Z95_SQUARED * covariance
    c = numerator**2 - Z95_SQUARED * variance
    if a <= 0 or denominator <= 0:
        return None
    spread = math.sqrt(max(0.0, b**2 - a * c))
    return (b - spread) / a, (b + spread) / a
