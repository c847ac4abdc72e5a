"""Shares drawn by the real sampler sum to the noise that was promised, and wrong shares are noticed."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fedcredit.privacy import rounded_gaussian
from fedcredit.privacy.bits import OsBitSource, noise_context
from fedcredit.privacy.shares import share_variance
from tests.privacy_checks import REJECT, check_noise_scale, scale_p

pytestmark = pytest.mark.statistical

N = 20_000
MEMBERS = 5
VARIANCES = [4 * 64**2, 1024**2 * 24 * 279 + 1]


def shares(variance: int) -> NDArray[np.int64]:
    """One vector of each member, shape (MEMBERS, N)."""
    size = rounded_gaussian.bytes_needed(N)
    return np.stack(
        [
            rounded_gaussian.draw(variance, N, OsBitSource().stream(noise_context(bytes([member])), size))
            for member in range(MEMBERS)
        ]
    )


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("colluders", [0, 1, 3])
def test_all_shares_and_the_honest_ones_have_their_noise(variance: int, colluders: int) -> None:
    share = share_variance(variance * MEMBERS, MEMBERS, colluders)
    drawn = shares(share)
    check_noise_scale(drawn.sum(axis=0) / (MEMBERS * share) ** 0.5)
    check_noise_scale(drawn[colluders:].sum(axis=0) / (variance * MEMBERS) ** 0.5)


@pytest.mark.parametrize("variance", VARIANCES)
def test_shares_of_the_wrong_number_of_members_are_noticed(variance: int) -> None:
    """The classic mistake: σ²/n instead of σ²/(n − t), here t = 2."""
    planned, colluders = variance * MEMBERS, 2
    honest = shares(-(-planned // MEMBERS))[colluders:].sum(axis=0)
    assert scale_p(honest / planned**0.5, 1.0) < REJECT


@pytest.mark.parametrize("scale", [0.7, 1.3])
def test_shares_at_a_wrong_scale_are_noticed(scale: float) -> None:
    planned = 2**30
    drawn = shares(round(share_variance(planned, MEMBERS, 1) * scale**2))[1:].sum(axis=0)
    assert scale_p(drawn / planned**0.5, 1.0) < REJECT
