import numpy as np

from fedcredit.models.round_sums import agree, ridge_gradient, step_length, used_slots
from fedcredit.models.scorecard_layout import layout

MAX_BINS = 4


def drawn(dictionary, seed: int):
    """True sums of two types' residuals over the bins that are in use, and those bins."""
    rng, plan = np.random.default_rng(seed), layout(MAX_BINS, dictionary)
    used = used_slots(plan, tuple(np.zeros((slots.stop - slots.start - 1, 2)) for slots in plan.slots))
    totals = rng.normal(size=len(plan.owned)) * 50
    sums = np.zeros(plan.length)
    for slots, owners in zip(used, plan.owners, strict=True):
        shares = rng.dirichlet(np.ones(slots.stop - slots.start))
        sums[slots] = shares * sum(totals[kind] for kind in owners)
    sums[plan.first_intercept :] = totals
    return plan, used, sums


def test_sums_that_agree_stay(dictionary):
    plan, used, sums = drawn(dictionary, 0)
    for noise in (0.0, 3.0):
        np.testing.assert_allclose(agree(plan, used, np.full(plan.length, noise), sums), sums, atol=1e-12)


def test_noisy_sums_agree_afterwards_and_are_better(dictionary):
    before, after = [], []
    for seed in range(300):
        plan, used, sums = drawn(dictionary, seed)
        noisy = sums + 5.0 * np.random.default_rng(seed).normal(size=plan.length)
        better = agree(plan, used, np.full(plan.length, 5.0), noisy)
        totals = better[plan.first_intercept :]
        for slots, owners in zip(used, plan.owners, strict=True):
            np.testing.assert_allclose(better[slots].sum(), sum(totals[kind] for kind in owners), atol=1e-9)
        before.append((noisy - sums)[plan.first_intercept :] ** 2)
        after.append((better - sums)[plan.first_intercept :] ** 2)
    # One more sighting each, of 3 or more bins: the variance falls to 3/4 or (more bins, more noise) above.
    assert 0.6 < np.mean(after) / np.mean(before) < 0.9


def test_nobody_s_coordinates_do_not_vote(dictionary):
    """A type without institutions adds nothing anywhere, without noise; the others' totals are not pulled to it."""
    plan, used, sums = drawn(dictionary, 1)
    bank = dictionary.kinds.index("bank")
    noise = np.where(plan.owned_coordinates(bank), 2.0, 0.0)
    found = agree(plan, used, noise, np.where(noise > 0, sums, 0.0))
    assert found[plan.first_intercept + 1 - bank] == 0
    assert found[plan.first_intercept + bank] == np.float64(sums[plan.first_intercept + bank])


def test_the_ridge_pulls_to_the_mean_of_each_feature(dictionary):
    plan, used, weights = drawn(dictionary, 2)
    found = ridge_gradient(used, weights, 0.5)
    for slots in used:
        np.testing.assert_allclose(found[slots], 4 * (weights[slots] - weights[slots].mean()))
    assert not found[plan.first_intercept :].any()


def test_steps_shorten_with_the_features_that_move_at_once(dictionary):
    assert step_length(layout(MAX_BINS, dictionary)) == 0.5
