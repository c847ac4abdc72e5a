r"""The noise of every release: a Gaussian rounded to the integers, ⌊N(0, v)⌉, sampled exactly to 128 bits.

Why this law: rounding is post-processing of a Gaussian added to an integer vector, hence exactly μ-GDP with
μ² = Δ²/v. The discrete Gaussian is not.

How: inverse CDF. A draw takes one 128-bit word: a sign and 127 bits M that stand for the two-sided tail
probability p = (M + ½)/2^127. With thresholds t_k = P(|N(0, v)| ≥ k − ½) = erfc((2k − 1)/√(8v)), the
magnitude is the number of k ≥ 1 with p ≤ t_k. Each t_k is hit to within 2^-128, which :func:`sampler_delta`
turns into a share of δ.

*Fast and exact.* Double precision finds x = σ·z, z = |Φ⁻¹(q)| with q = p/2, and accepts the nearest integer when x
lies further than 2^-40·σ from every half-integer. Otherwise p ≤ t_k is decided in at least 256-bit arithmetic. The
accepted integers are right provided that x is off by less than the margin 2^-40·σ.

A table gives z: each octave of q from 2^-17 to ½ has 2^10 cells, and q = 2^e·(c + f) with the cell's middle c in
[1, 2) and |f| ≤ 2^-11. With z₀ at the middle and s = 2^e/φ(z₀), Taylor's formula reads

    z = z₀ − s·f + z₀s²·f²/2 − (1 + 2z₀²)s³·f³/6 + remainder.

Let m = Q(z)/φ(z) be the Mills ratio, at most 1.26 and at most 1/z. The error, in units of σ, is at most the sum of

1. the remainder, (7z + 6z³)(2^e/φ(z))⁴·f⁴/24 somewhere in the cell. As 2^e ≤ Q(z), it is below (7m³ + 6m)·f⁴/24 <
   f⁴ ≤ 2^-44;
2. forming q from the upper 63 of M's bits: what the others hold is below 2^-64, which dz/dq = 1/φ(z) ≤ 2^15 turns
   into 2^-49; the conversion is a relative error ≤ 2^-53, which dz/d(ln q) = m turns into < 2^-52: ≤ 2^-48;
3. ``ndtri`` (Cephes) at the middles: relative error ≤ 2^-50.3 by its author's tests, times z ≤ 4.4, ≤ 2^-48. This term
   is measured, not derived: the tests sweep each of its three branches against 200-bit arithmetic and find 2^-48 up to
   z = 13.11. A branch is a rational function of degree ≤ 9, so its approximation error is smooth with a few extrema
   that the sweep cannot miss by much, and the rest is the rounding of some thirty operations;
4. rounding: of s and what follows from it, with a relative error ≤ 2^-44 and a factor f ≤ 2^-11; of the last sum, a
   number ≤ 4.4; of σ = √v and the product, ≤ 13.2: ≤ 2^-48.

Together < 2^-43.5, an 11th of the margin. Tails below 2^-17 have no cell; there z is ``ndtri`` of the whole word:
relative error 2^-51 of q (times 1.26), 2^-46.5 for ``ndtri`` at z ≤ 13.11 as in 3, 2^-48 as in 4; together < 2^-45.

A draw needs the exact path with a chance of 2^-39·σ, and that path takes about a millisecond: 100,000 draws take tens
of milliseconds up to σ ≈ 2^28 and get slower, not wrong, beyond. The time depends on the noise only through how many
draws fell near a threshold or beyond the table, and through which of the table's cells were in the cache.

References
----------
Dong, Roth, Su, "Gaussian Differential Privacy", arXiv 1905.02383 (post-processing).
Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy", arXiv 2004.00010 (not used).
Moshier, Cephes Mathematical Library, ``ndtri.c``.
"""

import math
from functools import lru_cache

import numpy as np
from mpmath import libmp
from numpy.typing import NDArray
from scipy.special import ndtri

from fedcredit.errors import PrivacyError
from fedcredit.privacy.gdp import check_epsilon

MIN_SHARE_STDDEV = 64
MIN_NOISE_VARIANCE = MIN_SHARE_STDDEV**2
MAX_NOISE_VARIANCE = 2**80
WORD_BITS = 128

_WORD_BYTES = WORD_BITS // 8
_MAGNITUDE_MASK = np.int64(2**63 - 1)
# The table reaches tails of at least 2^-17, that is upper halves of a word of 2^47 to 2^63.
_OCTAVES = 16
_CELL_BITS = 10
_REST_BITS = 52 - _CELL_BITS  # of a double's fraction: where in its cell a number lies
_REST_MASK = np.int64(2**_REST_BITS - 1)
_BITS_OF_ONE = np.int64(1023 << 52)
_FIRST_CELL = np.int64((1023 + 63 - _OCTAVES) << _CELL_BITS)
_MARGIN = 2.0**-40
_FIRST_PROOF_BITS = 256


def check_noise_variance(noise_variance: int) -> None:
    """Refuse a variance that is not a whole number in [64², 2^80] squared lattice units."""
    if type(noise_variance) is not int:
        raise PrivacyError(f"noise_variance must be a whole number, got noise_variance={noise_variance!r}.")
    if not MIN_NOISE_VARIANCE <= noise_variance <= MAX_NOISE_VARIANCE:
        raise PrivacyError(
            f"noise_variance must lie between {MIN_SHARE_STDDEV}^2 and 2^80 squared lattice units, got "
            f"noise_variance={noise_variance}; change the scale of the release."
        )


def bytes_needed(size: int) -> int:
    """Return how many random bytes `size` draws take: 16 each."""
    if size < 0:
        raise PrivacyError(f"size must be at least 0, got size={size}.")
    return size * _WORD_BYTES


def draw(noise_variance: int, size: int, bits: bytes) -> NDArray[np.int64]:
    """Turn random bytes into `size` independent draws of ⌊N(0, noise_variance)⌉.

    Parameters
    ----------
    noise_variance
        Variance before rounding, squared lattice units, 64² to 2^80.
    size
        Number of draws.
    bits
        Exactly ``bytes_needed(size)`` bytes of a :class:`~fedcredit.privacy.bits.BitSource`, used only here.

    Returns
    -------
    ndarray of int64, shape (size,)
        Lattice units, never beyond 13.2 standard deviations (below 2^44).
    """
    check_noise_variance(noise_variance)
    if len(bits) != bytes_needed(size):
        raise PrivacyError(f"{size} draws take {bytes_needed(size)} random bytes, got {len(bits)}.")
    words = np.frombuffer(bits, dtype="<i8").astype(np.int64, copy=False).reshape(size, 2)
    low, high = words[:, 0].view(np.uint64), words[:, 1] & _MAGNITUDE_MASK
    magnitude, doubtful = _filter(math.sqrt(noise_variance), low, high)
    for i in doubtful:
        word = (int(high[i]) << 64) | int(low[i])
        magnitude[i] = _exact_magnitude(noise_variance, word, int(magnitude[i]))
    # A double's sign is its highest bit, as a word's is; magnitudes are whole and far below 2^53.
    np.copysign(magnitude, words[:, 1].view(np.float64), out=magnitude)
    return magnitude.astype(np.int64)


def sampler_delta(epsilon: float, draws: int, noise_variance: int) -> float:
    """Return the δ to subtract because words are finite: (1 + e^ε) · draws · K · 2^-129, rounded up.

    Each of the K two-sided thresholds of one draw is hit to within 2^-129 in probability, so the drawn law is
    within K·2^-129 of the ideal one in total variation. A law within τ of an (ε, δ)-DP one is
    (ε, δ + (1 + e^ε)τ)-DP.

    Parameters
    ----------
    epsilon
        The ε at which δ is claimed.
    draws
        Number of coordinates noised over everything that the claim covers.
    noise_variance
        Largest variance among them: it has the most thresholds.

    Returns
    -------
    float
        In [0, 1].
    """
    check_epsilon(epsilon)
    check_noise_variance(noise_variance)
    if draws < 0:
        raise PrivacyError(f"draws must be at least 0, got draws={draws}.")
    if draws == 0:
        return 0.0
    log_delta = float(np.logaddexp(0.0, epsilon)) + math.log(draws * n_thresholds(noise_variance))
    # 1e-12 covers the rounding of the logarithms, which are below 1e3 wherever the result is below 1.
    return math.exp(min(0.0, log_delta - (WORD_BITS + 1) * math.log(2) + 1e-12))


def n_thresholds(noise_variance: int) -> int:
    """Return K, an upper bound on the thresholds of both signs up to the first that no word reaches.

    The smallest tail probability, 2^-128, lies 13.109 standard deviations out.
    """
    stddev = math.isqrt(noise_variance) + 1
    return 2 * (132 * stddev // 10 + 2)


def _filter(
    noise_stddev: float, low: NDArray[np.uint64], high: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return magnitudes by double precision, shape (size,), and the indices of those that are not certain."""
    distance = _quantiles(low, high)
    distance *= noise_stddev
    magnitude = np.rint(distance)
    distance -= magnitude
    np.abs(distance, out=distance)
    return magnitude, np.flatnonzero(distance >= 0.5 - _MARGIN * noise_stddev)


def _quantiles(low: NDArray[np.uint64], high: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the standard deviations at which each word's tail begins, to within 2^-43.5; shape (size,)."""
    tail = high.astype(np.float64)
    pattern = tail.view(np.int64)
    cells = pattern >> _REST_BITS
    cells -= _FIRST_CELL
    pattern &= _REST_MASK
    pattern |= _BITS_OF_ONE
    tail -= 1 + 2.0 ** -(_CELL_BITS + 1)  # the tail's distance from the middle of its cell
    cubic, *others = _taylor_table()
    quantiles = cubic.take(cells, mode="clip")  # NumPy's fastest mode
    for coefficients in others:
        quantiles *= tail
        quantiles += coefficients.take(cells, mode="clip")
    far = np.flatnonzero(cells < 0)
    if len(far):
        quantiles[far] = -ndtri((high[far] * 2.0**64 + low[far] + 0.5) * 2.0**-WORD_BITS)
    return quantiles


@lru_cache(maxsize=1)
def _taylor_table() -> tuple[NDArray[np.float64], ...]:
    """Coefficients of f³, f², f and 1 at the middle of each cell; shape (cells,) each.

    The last cell is that of the tail ½, to which the greatest words are rounded.
    """
    cells = np.arange((_OCTAVES << _CELL_BITS) + 1)
    exponents = (cells >> _CELL_BITS) - (_OCTAVES + 1)
    middles = 1 + ((cells & (2**_CELL_BITS - 1)) + 0.5) / 2**_CELL_BITS
    start = -ndtri(np.ldexp(middles, exponents))
    slope = np.ldexp(math.sqrt(2 * math.pi) * np.exp(start**2 / 2), exponents)
    return -(1 + 2 * start**2) * slope**3 / 6, start * slope**2 / 2, -slope, start


def _exact_magnitude(noise_variance: int, word: int, guess: int) -> int:
    """Return the number of thresholds at or above the word's tail probability, which must be near `guess`."""
    doubt = 1 + math.ceil(_MARGIN * math.sqrt(noise_variance))
    magnitude = max(guess, 0)
    while magnitude <= guess + doubt and _reaches(noise_variance, word, magnitude + 1):
        magnitude += 1
    while magnitude >= max(guess - doubt, 1) and not _reaches(noise_variance, word, magnitude):
        magnitude -= 1
    if abs(magnitude - guess) > doubt:
        raise PrivacyError(
            "this machine's scipy.special.ndtri is less accurate than the noise sampler relies on; "
            "reinstall SciPy from the published wheel."
        )
    return magnitude


def _reaches(noise_variance: int, word: int, k: int) -> bool:
    """Decide (2·word + 1)/2^128 ≤ erfc((2k − 1)/√(8v)), raising the precision until the answer is certain.

    libmp's erfc is good to a few units in the last place; it amplifies its argument's error by at most 2^8.
    """
    bits = _FIRST_PROOF_BITS
    while True:
        root = libmp.mpf_sqrt(libmp.from_int(8 * noise_variance), bits)
        threshold = libmp.mpf_erfc(libmp.mpf_div(libmp.from_int(2 * k - 1), root, bits), bits)
        gap = libmp.mpf_sub(libmp.mpf_shift(threshold, WORD_BITS), libmp.from_int(2 * word + 1))
        doubt = libmp.mpf_shift(threshold, WORD_BITS + 16 - bits)
        if libmp.mpf_gt(libmp.mpf_abs(gap), doubt):
            return bool(libmp.mpf_sign(gap) > 0)
        bits *= 2
