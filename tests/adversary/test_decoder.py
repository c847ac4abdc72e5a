"""The decoder itself: what it holds in an honest run, and that its checks can fail."""

from dataclasses import replace

import numpy as np
import pytest

from fedcredit.plan import Placement
from fedcredit.wire.messages import Role
from tests.adversary.decoder import NOISE_P, UNIFORM_P, findings, leaks, safe, sums, uniform_p, variance_p
from tests.adversary.players import Attacker, consortium, scorecard


@pytest.fixture(scope="module")
def run():
    attacker = Attacker(consortium(), ["bank-4"]).start()
    attacker.ask_all()
    return attacker


def test_an_honest_run_shows_one_sum(run):
    (only,) = safe(run)
    assert only.content == {"bank-1": 1, "bank-2": 1, "bank-3": 1}
    assert only.parts_of_sigma == pytest.approx(1, rel=0.05)


def test_the_attacker_strips_its_own_masks_and_no_others(run):
    packets = run.view.packets
    kept = run.view.agreement_keys.copy()
    run.view.agreement_keys.clear()
    assert not sums(findings(run))
    run.view.agreement_keys.update(kept)
    assert len(packets) == 3


@pytest.mark.parametrize("scale", [0.7, 1.3])
def test_noise_at_a_wrong_scale_is_a_leak(run, scale):
    (only,) = sums(findings(run))
    assert variance_p(only.noise.astype(float) ** 2 / np.mean(only.noise.astype(float) ** 2)) > NOISE_P
    wrong = np.rint(only.noise * scale).astype(np.int64).view(np.uint64)
    residual = sum(only.exact) + wrong
    assert leaks([replace(only, stripped=(residual, *map(np.zeros_like, only.exact[1:])))])


def test_words_that_are_not_uniform_are_seen():
    generator = np.random.default_rng(5)
    words = generator.integers(0, 2**64, 100_000, dtype=np.uint64)
    assert uniform_p(words) > UNIFORM_P
    assert uniform_p(words & np.uint64(~(1 << 63) & (2**64 - 1))) < UNIFORM_P
    assert uniform_p(words | np.uint64(1)) < UNIFORM_P
    assert uniform_p(np.repeat(words[:50_000], 2)) < UNIFORM_P
    with pytest.raises(ValueError, match="too few"):
        uniform_p(words[:-1])


def test_every_phase_and_placement_is_covered():
    for placement in (Placement.LOCAL, Placement.DISTRIBUTED):
        attacker = Attacker(consortium(3, placement=placement), ["bank-3"]).start()
        attacker.ask_all()
        attacker.ask_all(Role.TRAIN, round=4, model=scorecard())
        assert len(safe(attacker)) == 1
