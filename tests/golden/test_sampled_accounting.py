"""Published ε of sampled Gaussian releases, and ε that another library found for mixtures of releases.

The table is N = 5000, batch 250, 20 epochs: 400 Poisson steps at rate 1/20, δ = 1e-5. The second set was computed with
dp-accounting 0.6.0: privacy loss distributions, connect-the-dots, pessimistic, grid 1e-4, both directions.
"""

import pytest

from fedcredit.privacy import pld, rdp
from fedcredit.privacy.rdp import Releases

pytestmark = pytest.mark.neural

TABLE = [(0.6, 21.644, 24.159), (1.0, 6.700, 7.420), (2.0, 2.247, 2.461)]
PLAIN = Releases(1.0, 10.0, 2)
OTHER_LIBRARY = [
    (Releases(0.05, 1.0, 40), 3.036902),
    (Releases(0.05, 4.0, 1), 0.577768),
    (Releases(0.25, 4.0, 40), 1.989582),
    (Releases(0.9, 1.0, 1), 4.815085),
]


@pytest.mark.parametrize(("sigma", "joint", "renyi"), TABLE)
def test_the_published_table(sigma: float, joint: float, renyi: float) -> None:
    steps = [Releases(0.05, sigma, 400)]
    found = pld.epsilon_of_releases(steps, 1e-5)
    assert joint - 5e-4 <= found <= joint + 0.01
    assert found < renyi - 5e-4 <= rdp.epsilon_of_releases(steps, 1e-5)


@pytest.mark.parametrize(("sigma", "joint", "renyi"), TABLE)
def test_the_published_renyi_numbers_are_those_of_fractional_orders(sigma: float, joint: float, renyi: float) -> None:
    """Ours are of whole orders, which a ledger needs one of, and so a little larger."""
    from opacus.accountants.analysis import rdp as fractional

    orders = [1 + x / 10 for x in range(1, 100)] + list(range(12, 64))
    divergences = fractional.compute_rdp(q=0.05, noise_multiplier=sigma, steps=400, orders=orders)
    assert fractional.get_privacy_spent(orders=orders, rdp=divergences, delta=1e-5)[0] == pytest.approx(renyi, abs=1e-3)
    assert joint < renyi


@pytest.mark.parametrize(("sampled", "epsilon"), OTHER_LIBRARY)
def test_another_library_finds_the_same(sampled: Releases, epsilon: float) -> None:
    """δ = 1e-6, with two unsampled releases of noise multiplier 10 besides."""
    found = pld.epsilon_of_releases([sampled, PLAIN], 1e-6)
    assert epsilon < found < 1.0015 * epsilon + 1e-6
