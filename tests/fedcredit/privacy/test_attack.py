"""Attack bounds against each other, against δ(0), and against known powers."""

import math

import numpy as np
import pytest

from fedcredit.errors import PrivacyError
from fedcredit.privacy import attack, gdp


def test_no_release_means_blind_guessing() -> None:
    assert attack.attack_advantage(0.0) == 0.0
    assert attack.attack_tpr(0.01, 0.0) == pytest.approx(0.01, rel=1e-12)


@pytest.mark.parametrize("mu", [1e-6, 0.0325, 0.268, 1.666, 7.0])
def test_advantage_is_the_best_point_of_the_attack_curve_and_delta_at_zero(mu: float) -> None:
    rates = np.linspace(1e-4, 0.9999, 2001)
    gaps = [attack.attack_tpr(float(rate), mu) - rate for rate in rates]
    assert attack.attack_advantage(mu) == pytest.approx(max(gaps), abs=1e-3)
    assert attack.attack_advantage(mu) == pytest.approx(gdp.delta_of(0.0, mu), rel=1e-12)


def test_known_power_of_the_likelihood_ratio_test() -> None:
    assert attack.attack_tpr(0.05, 1.0) == pytest.approx(0.2595, abs=5e-5)
    assert attack.attack_tpr(0.01, 0.268) == pytest.approx(0.0198, abs=5e-5)
    assert attack.attack_advantage(1.0) == pytest.approx(0.3829, abs=5e-5)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, math.nan])
def test_impossible_rates_are_refused(rate: float) -> None:
    with pytest.raises(PrivacyError, match="false_positive_rate"):
        attack.attack_tpr(rate, 1.0)


@pytest.mark.parametrize("mu", [-1.0, math.nan, math.inf])
def test_impossible_mu_is_refused(mu: float) -> None:
    with pytest.raises(PrivacyError, match="mu must be"):
        attack.attack_advantage(mu)
