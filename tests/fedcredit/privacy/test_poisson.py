"""The sampler's threshold, exactly, and its law: binomial per row, independent between rows."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from fedcredit.errors import PrivacyError
from fedcredit.privacy import poisson
from fedcredit.privacy.bits import OsBitSource

LAST = 2**64 - 1


def sample_words(rate: Fraction, words: list[int]) -> list[bool]:
    bits = b"".join(word.to_bytes(8, "little") for word in words)
    return [bool(chosen) for chosen in poisson.sample(rate, len(words), bits)]


@pytest.mark.parametrize(
    ("rate", "first_word_out"),
    [
        (Fraction(1, 2), 2**63),
        (Fraction(1, 3), 2**64 // 3),  # rounded down: the account's rate is an upper bound
        (Fraction(1, 20), 2**64 // 20),
        (Fraction(1, 2**64), 1),
        (Fraction(LAST, 2**64), LAST),
    ],
)
def test_a_row_is_in_when_its_word_is_below_the_threshold(rate: Fraction, first_word_out: int) -> None:
    words = [0, first_word_out - 1, first_word_out, LAST]
    assert sample_words(rate, words) == [True, True, False, False]
    assert Fraction(first_word_out, 2**64) <= rate


def test_rate_one_takes_every_row() -> None:
    assert sample_words(Fraction(1), [0, 2**63, LAST]) == [True, True, True]


def test_no_rows_make_an_empty_batch() -> None:
    assert poisson.sample(Fraction(1, 2), 0, b"").shape == (0,)


@pytest.mark.parametrize("rate", [Fraction(0), Fraction(-1, 2), Fraction(3, 2), Fraction(1, 2**65)])
def test_impossible_rates_are_refused(rate: Fraction) -> None:
    with pytest.raises(PrivacyError, match="rate must lie"):
        poisson.sample(rate, 1, bytes(8))


def test_bytes_and_sizes_must_fit() -> None:
    with pytest.raises(PrivacyError, match="takes 24 random bytes, got 16"):
        poisson.sample(Fraction(1, 2), 3, bytes(16))
    with pytest.raises(PrivacyError, match="size"):
        poisson.bytes_needed(-1)


def batches(rate: Fraction, steps: int, rows: int) -> np.ndarray:
    source = OsBitSource()
    return np.stack(
        [poisson.sample(rate, rows, source.stream(b"step %d" % t, poisson.bytes_needed(rows))) for t in range(steps)]
    )


@pytest.mark.statistical
@pytest.mark.parametrize("rate", [Fraction(1, 20), Fraction(1, 3), Fraction(7, 10)])
def test_inclusion_is_binomial_and_a_wrong_rate_is_noticed(rate: Fraction) -> None:
    chosen, q = batches(rate, 400, 500), float(rate)
    total, drawn = int(chosen.sum()), chosen.size
    assert stats.binomtest(total, drawn, q).pvalue > 1e-12
    for scale in (0.7, 1.3):
        assert stats.binomtest(total, drawn, min(q * scale, 0.999)).pvalue < 1e-20
    per_row = ((chosen.sum(axis=0) - 400 * q) ** 2 / (400 * q * (1 - q))).sum()
    assert stats.chi2.sf(per_row, 500) > 1e-12
    assert stats.chi2.cdf(per_row, 500) > 1e-12


def batch_size_p_value(sizes: np.ndarray, rows: int, q: float) -> float:
    """Two-sided p-value of the batch sizes' dispersion: the sum of all covariances between rows."""
    statistic = ((sizes - rows * q) ** 2 / (rows * q * (1 - q))).sum()
    return float(2 * min(stats.chi2.sf(statistic, len(sizes)), stats.chi2.cdf(statistic, len(sizes))))


@pytest.mark.statistical
def test_rows_are_independent_and_fixed_or_clumped_batches_are_noticed() -> None:
    steps, rows, q = 600, 300, 0.05
    chosen = batches(Fraction(1, 20), steps, rows)
    assert batch_size_p_value(chosen.sum(axis=1), rows, q) > 1e-12
    assert batch_size_p_value(np.full(steps, rows * q), rows, q) < 1e-20
    assert batch_size_p_value(2 * chosen[:, ::2].sum(axis=1), rows, q) < 1e-20  # rows drawn in pairs
    centred = (chosen - q) / np.sqrt(q * (1 - q))
    pairs = (centred.T @ centred / np.sqrt(steps))[np.triu_indices(rows, 1)]
    assert abs(pairs.mean()) * np.sqrt(pairs.size) < 8
    assert np.abs(pairs).max() < 16  # skewed at q = .05, hence wider than a normal's 7; a repeated row gives 24
