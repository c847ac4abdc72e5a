"""The sampler against an all-exact twin: random words, words next to thresholds, and the extremes."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from fedcredit.errors import PrivacyError
from fedcredit.privacy import rounded_gaussian as rg

ctx = mpmath.MPContext()
ctx.prec = 420

SIGN = 2**127
VARIANCES = [64**2, 64**2 + 1, 1024**2 * 24 * 279, 10**12 + 7, 2**60 - 1, 2**80]


def draw_words(noise_variance: int, words: list[int]) -> list[int]:
    bits = b"".join(word.to_bytes(16, "little") for word in words)
    return [int(value) for value in rg.draw(noise_variance, len(words), bits)]


def tail(noise_variance: int, k: int) -> mpmath.mpf:
    """P(|N(0, v)| ≥ k − ½)."""
    return ctx.erfc((2 * k - 1) / ctx.sqrt(8 * ctx.mpf(noise_variance)))


def last_word_reaching(noise_variance: int, k: int) -> int:
    """Greatest M with (M + ½)/2^127 ≤ P(|N(0, v)| ≥ k − ½); −1 where there is none."""
    return int(ctx.floor(tail(noise_variance, k) * 2**127 - ctx.mpf(0.5)))


def assert_exact(noise_variance: int, word: int, value: int) -> None:
    magnitude, p = abs(value), (ctx.mpf(word % SIGN) + 0.5) / 2**127
    assert tail(noise_variance, magnitude + 1) < p
    assert magnitude == 0 or p <= tail(noise_variance, magnitude)
    assert value == 0 or (value < 0) == (word >= SIGN)


@pytest.mark.parametrize("noise_variance", VARIANCES)
def test_random_words_agree_with_the_exact_law(noise_variance: int) -> None:
    raw = np.random.default_rng(noise_variance % 2**32).bytes(16 * 120)
    words = [int.from_bytes(raw[i : i + 16], "little") for i in range(0, len(raw), 16)]
    # Uniform words hardly ever reach the tail: shift some of them there.
    words += [(word % SIGN) >> (i % 125) for i, word in enumerate(words)]
    for word, value in zip(words, draw_words(noise_variance, words), strict=True):
        assert_exact(noise_variance, word, value)


@pytest.mark.parametrize("noise_variance", VARIANCES[:4])
def test_inverting_the_cdf_in_high_precision_gives_the_same_integers(noise_variance: int) -> None:
    words = [3 << 100, 2**126 - 12345, 2**125 + 1, 7**45, 5**54, SIGN - 2**90]
    expected = [
        int(ctx.nint(ctx.sqrt(2 * noise_variance) * ctx.erfinv(1 - (ctx.mpf(w) + 0.5) / 2**127))) for w in words
    ]
    assert draw_words(noise_variance, words) == expected


@pytest.mark.parametrize("noise_variance", VARIANCES)
def test_words_right_at_a_threshold_fall_on_its_right_side(noise_variance: int) -> None:
    stddev = math.isqrt(noise_variance)
    ks = sorted(
        {
            1,
            2,
            3,
            *(int(stddev * z) for z in (0.1, 0.5, 0.6745, 1, 1.103, 2, 3.7, 5, 5.66, 6, 8, 10, 12, 12.9)),
        }
    )
    for k in ks:
        last = last_word_reaching(noise_variance, k)
        words = [word for word in range(last - 2, last + 3) if 0 <= word < SIGN]
        for word, value in zip(words, draw_words(noise_variance, words), strict=True):
            assert (value >= k) == (word <= last), (k, word - last)
        assert draw_words(noise_variance, [word + SIGN for word in words]) == [
            -value for value in draw_words(noise_variance, words)
        ]


def test_words_at_a_threshold_are_left_to_the_exact_path() -> None:
    words = [last_word_reaching(64**2, k) + step for k in range(1, 400, 13) for step in (0, 1)]
    _, doubtful = rg._filter(64.0, *halves(words))
    np.testing.assert_array_equal(doubtful, np.arange(len(words)))


def test_hardly_any_draw_is_left_to_the_exact_path() -> None:
    raw = np.frombuffer(np.random.default_rng(2).bytes(16 * 400_000), dtype=np.uint64).reshape(-1, 2)
    for stddev in (64.0, 2.0**28):
        _, doubtful = rg._filter(stddev, raw[:, 0], (raw[:, 1] >> np.uint64(1)).astype(np.int64))
        assert len(doubtful) <= 8 + 2 * len(raw) * 2.0**-39 * stddev  # what `custodian.guard` counts on


def halves(words: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper halves as `_filter` takes them."""
    low = np.array([word % 2**64 for word in words], dtype=np.uint64)
    return low, np.array([word % SIGN >> 64 for word in words], dtype=np.int64)


def slow_draw(noise_variance: int, words: list[int]) -> list[int]:
    """The twin without a table: `ndtri` of every tail, the exact path within 2^-40 standard deviations of a half."""
    low, high = halves(words)
    stddev = math.sqrt(noise_variance)
    tails = (high.astype(np.float64) * 2.0**64 + low.astype(np.float64) + 0.5) * 2.0**-128
    shifted = stddev * -ndtri(tails) + 0.5
    certain = np.abs(shifted - np.rint(shifted)) > 2.0**-40 * stddev
    values = []
    for word, guess, sure in zip(words, np.floor(shifted).astype(np.int64).tolist(), certain, strict=True):
        magnitude = guess if sure else rg._exact_magnitude(noise_variance, word % SIGN, guess)
        values.append(-magnitude if word >= SIGN else magnitude)
    return values


@pytest.mark.parametrize("noise_variance", [64**2, 10**12 + 7, 2**60 - 1])
def test_the_table_draws_what_the_slow_twin_draws(noise_variance: int) -> None:
    raw = np.random.default_rng(1).bytes(16 * 200_000)
    words = [int.from_bytes(raw[i : i + 16], "little") for i in range(0, len(raw), 16)]
    assert draw_words(noise_variance, words) == slow_draw(noise_variance, words)


# Words at the ends of octaves and cells, where the table's polynomials meet and where it ends.
edges = st.builds(
    lambda octave, cell, step: min(((2**10 + cell) << (octave - 10)) + step, SIGN - 1),
    st.integers(105, 126),
    st.integers(0, 2**10),
    st.integers(-(2**66), 2**66),
)
magnitudes = st.integers(0, SIGN - 1) | st.integers(0, 127).map(lambda b: (SIGN - 1) >> b) | edges


@given(st.lists(st.tuples(magnitudes, st.booleans()), max_size=40), st.sampled_from([*VARIANCES[:5], 2**72]))
@settings(deadline=None, max_examples=200)
def test_chosen_words_draw_what_the_slow_twin_draws(chosen: list[tuple[int, bool]], noise_variance: int) -> None:
    words = [magnitude + SIGN * negative for magnitude, negative in chosen]
    assert draw_words(noise_variance, words) == slow_draw(noise_variance, words)


def test_the_exact_path_corrects_a_guess_that_is_off_either_way() -> None:
    word = last_word_reaching(64**2, 100)
    for guess in (98, 99, 100, 101):
        assert rg._exact_magnitude(64**2, word, guess) == 100
        assert rg._exact_magnitude(64**2, word + 1, guess) == 99
    assert rg._exact_magnitude(64**2, SIGN - 1, 0) == 0
    assert rg._exact_magnitude(2**80, last_word_reaching(2**80, 10**12), 10**12 - 2) == 10**12


@pytest.mark.parametrize(("noise_variance", "guess"), [(64**2, 97), (64**2, 103), (64**2, 0), (2**80, 10**12)])
def test_a_quantile_beyond_its_error_bound_is_an_error_not_a_search(noise_variance: int, guess: int) -> None:
    with pytest.raises(PrivacyError, match="reinstall SciPy"):
        rg._exact_magnitude(noise_variance, last_word_reaching(64**2, 100), guess)


def test_the_double_precision_quantile_keeps_its_share_of_the_margin() -> None:
    """The one measured term of the error bound: each branch of ndtri, densely, against 200 bits."""
    small = mpmath.MPContext()
    small.prec = 200
    tails = [2.0**-x for x in np.linspace(1, 129, 900)]  # the far branches in z, to the last reachable word
    tails += [float(x) for x in np.linspace(0.1, 0.5, 400)]  # the central branch and its edge at exp(-2)
    worst = 0.0
    for q in tails:
        z = small.mpf(-float(ndtri(q)))
        error = (small.ncdf(-z) - small.mpf(q)) / small.npdf(z)  # one Newton step away from the truth
        worst = max(worst, abs(float(error)))
    assert 0 < worst < 2.0**-46.5


def test_the_table_keeps_its_share_of_the_margin() -> None:
    """Where Taylor's remainder is greatest: at both ends of cells, and where the table hands over to `ndtri`."""
    small = mpmath.MPContext()
    small.prec = 200
    starts = [(2**10 + cell) << (octave - 10) for octave in range(111, 127) for cell in (0, 1, 511, 1022, 1023)]
    words = [start + step for start in starts for step in (0, 2 ** (start.bit_length() - 11) - 2**63)]
    words += [2**111 - 1, 2**111 - 2**64, SIGN - 1, 2**90, 0]
    worst = 0.0
    for word, quantile in zip(words, rg._quantiles(*halves(words)), strict=True):
        z = small.mpf(float(quantile))
        tail = small.mpf(2 * word + 1) / 2**129
        worst = max(worst, abs(float((small.ncdf(-z) - tail) / small.npdf(z))))
    assert 0 < worst < 2.0**-43.5


def test_the_extreme_words() -> None:
    far, middle, negative_far, negative_middle = draw_words(64**2, [0, SIGN - 1, SIGN, 2 * SIGN - 1])
    assert middle == negative_middle == 0
    assert far == -negative_far == 839  # 13.1086 standard deviations
    assert far < rg.n_thresholds(64**2) // 2
    assert draw_words(2**80, [0])[0] < 13.2 * 2**40 < 2**44


@given(st.integers(0, SIGN - 1), st.integers(0, SIGN - 1), st.sampled_from(VARIANCES[:4]))
@settings(deadline=None)
def test_magnitudes_fall_as_words_rise(left: int, right: int, noise_variance: int) -> None:
    low, high = draw_words(noise_variance, sorted((left, right)))
    assert low >= high >= 0


def test_sampler_delta_bounds_the_true_distance_to_the_ideal_law() -> None:
    noise_variance = 64**2
    reach = rg.n_thresholds(noise_variance) // 2
    exact = [tail(noise_variance, k) for k in range(1, reach + 2)]
    words = [ctx.mpf(max(-1, last_word_reaching(noise_variance, k)) + 1) / 2**127 for k in range(1, reach + 2)]
    assert words[reach - 1] == 0  # no word reaches the last threshold that K counts
    difference = [a - b for a, b in zip(exact, words, strict=True)]
    distance = sum(abs(a - b) for a, b in zip(difference, [*difference[1:], 0], strict=True)) / 2
    epsilon = 1e-9  # 1 + e^ε = 2
    assert 0 < 2 * distance <= rg.sampler_delta(epsilon, 1, noise_variance) <= 8 * distance


def test_sampler_delta_follows_its_formula() -> None:
    variance = 10**10
    expected = (1 + math.exp(1.5)) * 4000 * rg.n_thresholds(variance) * 2.0**-129
    assert rg.sampler_delta(1.5, 4000, variance) == pytest.approx(expected, rel=1e-10)
    assert rg.sampler_delta(1.5, 4000, variance) >= expected
    assert rg.sampler_delta(1.5, 0, variance) == 0.0
    assert rg.sampler_delta(8.0, 10**9, 2**80) < 1e-9 / 1000  # far beyond any plan, at δ = 1e-9
    assert rg.sampler_delta(5000.0, 1, variance) == 1.0


def test_draws_are_int64_and_a_function_of_the_bytes() -> None:
    bits = np.random.default_rng(0).bytes(rg.bytes_needed(50))
    first = rg.draw(10**9, 50, bits)
    assert first.dtype == np.int64
    assert first.shape == (50,)
    np.testing.assert_array_equal(first, rg.draw(10**9, 50, bits))
    assert rg.draw(10**9, 0, b"").shape == (0,)


@pytest.mark.parametrize("noise_variance", [0, -1, 64**2 - 1, 2**80 + 1, 1e6, True, math.nan])
def test_unsafe_variances_are_refused(noise_variance: int) -> None:
    with pytest.raises(PrivacyError, match="noise_variance must"):
        rg.draw(noise_variance, 1, bytes(16))
    with pytest.raises(PrivacyError, match="noise_variance must"):
        rg.sampler_delta(1.0, 1, noise_variance)


@pytest.mark.parametrize("length", [0, 16, 47, 49, 64])
def test_bytes_are_neither_recycled_nor_left_over(length: int) -> None:
    with pytest.raises(PrivacyError, match="3 draws take 48 random bytes"):
        rg.draw(10**6, 3, bytes(length))


def test_negative_counts_are_refused() -> None:
    with pytest.raises(PrivacyError, match="size"):
        rg.bytes_needed(-1)
    with pytest.raises(PrivacyError, match="draws"):
        rg.sampler_delta(1.0, -1, 10**6)
