"""The law of the noise that really goes out: operating-system key, keyed stream, sampler.

With 100,000 draws each test accepts the stated scale and rejects one that is off by 0.7 or 1.3; a test that
could not reject would prove nothing. The accepting thresholds fail by chance less than once in 10^12 runs.
"""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.special import ndtr

from fedcredit.privacy import rounded_gaussian
from fedcredit.privacy.bits import BitSource, OsBitSource, noise_context

pytestmark = pytest.mark.statistical

N = 100_000
ACCEPT, REJECT = 1e-12, 1e-20
VARIANCES = [64**2, 100_003, 1024**2 * 24 * 279, 2**52 + 1]


def draw(source: BitSource, variance: int, *fields: bytes) -> NDArray[np.int64]:
    bits = source.stream(noise_context(*fields), rounded_gaussian.bytes_needed(N))
    return rounded_gaussian.draw(variance, N, bits)


def kolmogorov_p(draws: NDArray[np.int64], stddev: float) -> float:
    """P-value of the largest gap to the rounded Gaussian's own (discrete) distribution function."""
    values, counts = np.unique(draws, return_counts=True)
    gap = np.abs(np.cumsum(counts) / draws.size - ndtr((values + 0.5) / stddev)).max()
    return float(stats.kstwo.sf(gap, draws.size))


def chi_square_p(draws: NDArray[np.int64], stddev: float) -> float:
    """P-value of counts in 60 cells between half-integers, exact under the rounded Gaussian."""
    edges = np.unique(np.rint(np.linspace(-3.2, 3.2, 59) * stddev)) + 0.5
    counts = np.histogram(draws, bins=np.concatenate([[-np.inf], edges, [np.inf]]))[0]
    chances = np.diff(ndtr(edges / stddev), prepend=0.0, append=1.0)
    chances[-1] = 1 - chances[:-1].sum()
    return float(stats.chisquare(counts, chances * draws.size).pvalue)


def variance_p(draws: NDArray[np.int64], stddev: float) -> float:
    """Two-sided p-value of the sum of squares; rounding adds 1/12 to the variance."""
    statistic = float(np.square(draws.astype(np.float64)).sum()) / (stddev**2 + 1 / 12)
    return float(2 * min(stats.chi2.sf(statistic, draws.size), stats.chi2.cdf(statistic, draws.size)))


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("p_value", [kolmogorov_p, chi_square_p, variance_p])
def test_the_scale_is_the_stated_one(variance: int, p_value: object) -> None:
    assert callable(p_value)
    draws, stddev = draw(OsBitSource(), variance, b"law"), variance**0.5
    assert p_value(draws, stddev) > ACCEPT
    for wrong in (0.7, 1.3):
        assert p_value(draws, wrong * stddev) < REJECT


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("scale", [0.7, 1.3])
def test_noise_drawn_at_a_wrong_scale_is_noticed(variance: int, scale: float) -> None:
    wrong = max(round(variance * scale**2), rounded_gaussian.MIN_NOISE_VARIANCE)
    stated = wrong / scale**2
    draws = draw(OsBitSource(), wrong, b"mutant")
    for p_value in (kolmogorov_p, chi_square_p, variance_p):
        assert p_value(draws, stated**0.5) < REJECT


@pytest.mark.parametrize("variance", VARIANCES)
def test_a_scale_that_is_five_per_cent_off_is_noticed(variance: int) -> None:
    draws = draw(OsBitSource(), variance, b"law")
    for wrong in (0.95, 1.05):
        assert variance_p(draws, wrong * variance**0.5) < REJECT


def test_signs_are_fair_and_independent_of_size() -> None:
    draws = draw(OsBitSource(), 10**8, b"signs")
    large = draws[np.abs(draws) > 6745]
    for part in (draws[draws != 0], large):
        assert stats.binomtest(int((part > 0).sum()), part.size).pvalue > ACCEPT


def correlation_p(left: NDArray[np.int64], right: NDArray[np.int64]) -> float:
    return float(stats.pearsonr(left.astype(np.float64), right.astype(np.float64)).pvalue)


def test_contexts_keys_and_neighbours_are_independent() -> None:
    source, other = OsBitSource(), OsBitSource()
    base = draw(source, 10**8, b"train", b"1")
    for unrelated in (
        draw(source, 10**8, b"train", b"2"),
        draw(source, 10**8, b"train1", b""),
        draw(other, 10**8, b"train", b"1"),
        np.roll(base, 1),
    ):
        assert correlation_p(base, unrelated) > ACCEPT
        assert correlation_p(np.abs(base), np.abs(unrelated)) > ACCEPT
    leaked = base + 3 * draw(source, 10**8, b"train", b"2")
    assert correlation_p(base, leaked) < REJECT


def test_shares_add_up_to_the_sum_of_their_variances() -> None:
    shares = sum((draw(OsBitSource(), 10**6, b"share") for _ in range(5)), start=np.zeros(N, dtype=np.int64))
    assert kolmogorov_p(shares, (5 * 10**6) ** 0.5) > ACCEPT
    assert variance_p(shares, (5 * 10**6 + 4 / 12) ** 0.5) > ACCEPT
    assert kolmogorov_p(shares, (4 * 10**6) ** 0.5) < REJECT


def test_the_same_context_gives_the_same_noise() -> None:
    source = OsBitSource()
    np.testing.assert_array_equal(draw(source, 10**8, b"round 3"), draw(source, 10**8, b"round 3"))
