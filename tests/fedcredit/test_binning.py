import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.binning import base_rate, bin_counts, choose_bins, evidence, information_value, weight_of_evidence


def cells(masses, rates):
    masses, rates = np.array(masses, float), np.array(rates, float)
    return np.stack([masses * (1 - rates), masses * rates], axis=1)


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 30),
    stddev=st.sampled_from([0.0, 10.0, 1000.0]),
    max_bins=st.integers(1, 12),
    share=st.sampled_from([0.01, 0.1, 0.5]),
)
def test_bins_are_runs_numbered_in_order(seed, n, stddev, max_bins, share):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 500, (n + 1, 2)) + stddev * rng.standard_normal((n + 1, 2))
    bins = choose_bins(counts, stddev, max_bins, share)
    values = bins[:-1]
    assert bins.shape == (n + 1,)
    assert values[0] == 0
    assert set(np.diff(values)) <= {0, 1}
    assert bins[-1] <= values.max() + 1
    assert bins.max() + 1 <= max_bins
    own_missing = bins[-1] > values.max()
    masses = bin_counts(counts, bins).sum(axis=1)[: values.max() + 1]
    assert len(masses) == 1 or masses.min() >= share * counts.sum() - 1e-6 or not own_missing


def test_a_heavy_atom_stays_by_itself():
    counts = cells([300, 2000, 300, 300, 0], [0.1, 0.4, 0.1, 0.1, 0])
    bins = choose_bins(counts, 0.0, 8, 0.05)
    assert bins[1] not in {bins[0], bins[2]}


def test_a_light_cell_joins_the_neighbour_that_it_resembles():
    counts = cells([1000, 20, 1000, 0], [0.1, 0.5, 0.5, 0])
    assert choose_bins(counts, 0.0, 8, 0.05)[:-1].tolist() == [0, 1, 1]


def test_more_noise_makes_fewer_bins():
    rng = np.random.default_rng(0)
    exact = cells([400] * 12 + [0], [0.1 + 0.02 * i for i in range(12)] + [0])
    found = [choose_bins(exact + s * rng.standard_normal(exact.shape), s, 16, 0.01).max() for s in (0, 150, 600)]
    assert found[0] > found[1] > found[2]


def test_missing_values_have_their_own_bin_only_if_heavy():
    heavy = cells([500, 500, 400], [0.1, 0.2, 0.4])
    assert choose_bins(heavy, 0.0, 8, 0.05).tolist() == [0, 1, 2]
    light = cells([500, 600, 3], [0.1, 0.2, 0.4])
    assert choose_bins(light, 0.0, 8, 0.05).tolist() == [0, 1, 1]


@pytest.mark.parametrize("counts", [cells([0, 0, 0], [0, 0, 0]), cells([0, 0, 900], [0, 0, 0.2])])
def test_nothing_but_missing_values_or_nothing_at_all(counts):
    bins = choose_bins(counts, 0.0, 8, 0.01)
    found = evidence(bin_counts(counts, bins), np.bincount(bins), 0.0)
    assert bins[:-1].tolist() == [0, 0]
    assert np.isfinite(found.value).all()
    assert np.all(found.information > 0)


def test_woe_and_iv_are_siddiqi_s():
    counts = np.array([[90.0, 10.0], [60.0, 40.0]])
    good, bad = counts[:, 0] / 150, counts[:, 1] / 50
    np.testing.assert_allclose(weight_of_evidence(counts), np.log(good / bad))
    np.testing.assert_allclose(information_value(counts), (good - bad) * np.log(good / bad))


@given(seed=st.integers(0, 10**6))
def test_noisy_counts_below_zero_give_finite_figures(seed):
    counts = 100 * np.random.default_rng(seed).standard_normal((6, 2))
    found = evidence(counts, np.ones(6, dtype=np.int64), 100.0)
    assert 0 < base_rate(counts) < 1
    assert np.isfinite(found.value).all()
    assert np.isfinite(weight_of_evidence(counts)).all()
    assert np.all(information_value(counts) >= 0)


def test_evidence_variance_covers_its_error():
    """Standardised errors over many releases have about unit variance; x0.7 and x1.3 of the noise do not."""
    rng = np.random.default_rng(5)
    exact = cells([4000, 4000, 4000], [0.2, 0.22, 0.24])
    true = evidence(exact, np.ones(3, dtype=np.int64), 0.0).value

    def spread(factor: float) -> float:
        errors = []
        for _ in range(2000):
            noisy = exact + factor * 100 * rng.standard_normal(exact.shape)
            found = evidence(noisy, np.ones(3, dtype=np.int64), 100.0)
            noise_only = found.variance - 1 / found.information
            errors.append((found.value - true)[0] / noise_only[0] ** 0.5)
        return float(np.std(errors))

    # Below 1, since the base rate moves with the bin: a third of all records is in it.
    expected = spread(1.0)
    assert 0.6 < expected < 1.05
    assert spread(0.7) < 0.8 * expected
    assert spread(1.3) > 1.2 * expected
