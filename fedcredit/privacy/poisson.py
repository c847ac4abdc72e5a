"""Poisson subsampling: every row takes part with the same probability, independently of all the others.

The amplification that :mod:`fedcredit.privacy.rdp` accounts for holds for this sampler only, not for
shuffled or fixed-size batches. The rate is a rational constant of the plan, and the batch may be empty. A
row is in when its 64-bit word is below ⌊q·2^64⌋, so the true rate never exceeds q and the account stays an
upper bound.

References
----------
Chua et al., "How Private are DP-SGD Implementations?", arXiv 2403.17673 (shuffling is not Poisson sampling).
"""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import PrivacyError

_WORD_BYTES = 8
_WORDS = 2**64


def bytes_needed(size: int) -> int:
    """Return how many random bytes it takes to sample from `size` rows: 8 each."""
    if size < 0:
        raise PrivacyError(f"size must be at least 0, got size={size}.")
    return size * _WORD_BYTES


def sample(rate: Fraction, size: int, bits: bytes) -> NDArray[np.bool_]:
    """Choose the rows of one step.

    Parameters
    ----------
    rate
        Inclusion probability, an exact fraction in [2^-64, 1].
    size
        Number of rows.
    bits
        Exactly ``bytes_needed(size)`` bytes of a :class:`~fedcredit.privacy.bits.BitSource`, used only here.

    Returns
    -------
    ndarray of bool, shape (size,)
        True where the row takes part.
    """
    words_in = rate.numerator * _WORDS // rate.denominator
    if words_in < 1 or rate.numerator > rate.denominator:
        raise PrivacyError(f"rate must lie in [2^-64, 1], got rate={rate}; state it as in Fraction(1, 20).")
    if len(bits) != bytes_needed(size):
        raise PrivacyError(f"sampling from {size} rows takes {bytes_needed(size)} random bytes, got {len(bits)}.")
    words = np.frombuffer(bits, dtype="<u8")
    # Compared with the last word that is in, because at rate 1 the threshold 2^64 does not fit a uint64.
    return words <= np.uint64(words_in - 1)
