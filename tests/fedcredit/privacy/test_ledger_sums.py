"""A ledger's sum over very many jobs: never below the exact one, and short enough to go on adding to."""

from fractions import Fraction
from itertools import count, islice

import numpy as np

from fedcredit.privacy.ledger_entries import kept_short


def primes():
    return (n for n in count(1009, 2) if all(n % divisor for divisor in range(3, int(n**0.5) + 1, 2)))


def test_a_sum_of_very_many_costs_is_never_below_the_exact_one():
    """Denominators without a common divisor, as jobs with different noise have."""
    costs = [Fraction(1, prime**3) for prime in islice(primes(), 1500)]
    kept = Fraction(0)
    for cost in costs:
        kept = kept_short(kept + cost)
        assert kept.denominator.bit_length() <= 4096
    exact = sum(costs)
    assert exact < kept < exact + Fraction(1, 2**2000)


def test_a_cost_that_would_vanish_in_a_double_is_still_counted():
    """100,000 jobs beside one that spent nearly everything; as doubles they would add up to nothing."""
    large, small = Fraction(1), Fraction(1, 3**40)
    kept = large
    for _ in range(100_000):
        kept = kept_short(kept + small)
    assert kept == large + 100_000 * small
    assert float(np.float64(1.0) + np.float64(float(small))) == 1.0
