"""The rival that protects whole institutions: what it clips, what it charges, and what it is called."""

import json
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.data.rows import Dataset
from fedcredit.errors import ConfigError, PrivacyError
from fedcredit.models.additive_spec import AdditiveSpec
from fedcredit.models.family import family_of
from fedcredit.plan import Placement
from fedcredit.planning import accountant_for
from fedcredit.privacy.statement import mechanism
from fedcredit.wire.messages import Role
from simulations import client_level
from simulations.client_level import _server, clipped, plan_of_institutions, run_client_level
from simulations.dataset import load
from simulations.federation import Institution, JobSpec, found
from simulations.results import ClientLevelResult, RunResult
from simulations.run import execute, prepare
from simulations.runners import runner_for
from simulations.settings import data_spec, read_settings
from simulations.simulation import compose_config
from simulations.tables import client_level_words, view_rows
from tests import tiny

SIZES = (40, 300, 1, 90)
EMPTY = Dataset("bank", tiny.rows("bank", 0, 1), tiny.rows("bank", 0, 1), bytes(32))
NO_CLIP = dict.fromkeys(Role, Fraction(1000))


def institutions(*sizes: int) -> tuple[Institution, ...]:
    kinds = ("bank", "hospital")
    return tuple(
        tiny.institution(f"{kinds[number % 2]}-{number}", kinds[number % 2], size, number)
        for number, size in enumerate(sizes, start=1)
    )


def job(**changes) -> JobSpec:
    return replace(tiny.spec(tiny.LOCAL.model_copy(update={"masks": False}), rounds=3), noise_seed=7, **changes)


@given(
    rows=st.lists(st.lists(st.integers(-(2**44), 2**44), min_size=3, max_size=3), min_size=1, max_size=5),
    norm_squared=st.integers(1, 2**92),
)
def test_no_vector_is_longer_than_the_norm_and_short_ones_stay(rows, norm_squared):
    vectors = np.array(rows, dtype=np.int64)
    for before, after in zip(rows, clipped(vectors, norm_squared).tolist(), strict=True):
        assert sum(value * value for value in after) <= norm_squared
        assert all(abs(new) <= abs(old) and new * old >= 0 for old, new in zip(before, after, strict=True))
        if sum(value * value for value in before) <= norm_squared * 0.999:
            assert after == before


def test_what_is_clipped_keeps_nearly_the_whole_norm():
    assert math.hypot(*clipped(np.array([[3 * 2**30, -4 * 2**30]]), 25 * 2**20)[0]) > 5 * 2**10 - 2


@pytest.mark.parametrize("role", [Role.PREFLIGHT, Role.TRAIN], ids=lambda role: role.name)
def test_an_institution_that_is_zeroed_moves_a_sum_by_no_more_than_is_charged(role, monkeypatch):
    """The norms are so small that everybody is clipped: it moves the sum by all but the whole norm."""
    monkeypatch.setattr(client_level, "rounded_gaussian_noise", lambda *law: np.zeros(law[2], dtype=np.int64))
    spec = job(privacy=tiny.LOCAL.model_copy(update={"placement": Placement.CENTRAL, "masks": False}))
    everybody = found(tiny.dictionary(), institutions(*SIZES), spec)
    plan = plan_of_institutions(everybody.plan, spec, dict.fromkeys(Role, Fraction(1, 50)))
    model = b"" if role is Role.PREFLIGHT else broadcast()
    zeroed = replace(everybody.institutions[1], data=EMPTY)
    others = replace(everybody, institutions=(everybody.institutions[0], zeroed, *everybody.institutions[2:]))
    sums, without = (_server(plan, one, spec).released(role, 1, model) for one in (everybody, others))
    moved = sum(int(value) ** 2 for value in sums - without)
    charged = plan.phases.of(role).sensitivity_squared["bank"]
    assert 0.99 * charged < moved <= charged


def broadcast() -> bytes:
    """A model of a first round."""
    outcome = run_client_level(tiny.dictionary(), institutions(*SIZES), job()).outcome
    return family_of("scorecard").broadcast(outcome.progress.state)


def test_without_clipping_and_noise_the_sums_are_those_of_all_records(monkeypatch):
    monkeypatch.setattr(client_level, "rounded_gaussian_noise", lambda *law: np.zeros(law[2], dtype=np.int64))
    outcome = run_client_level(tiny.dictionary(), institutions(*SIZES), job(), NO_CLIP).outcome
    assert outcome.progress.preflight.counts[0].sum() == sum(SIZES)


@pytest.mark.parametrize("model", [tiny.spec().model, AdditiveSpec(rounds=2)], ids=["scorecard", "additive"])
def test_the_same_accountant_counts_institutions(model):
    spec = job(model=model)
    rival = run_client_level(tiny.dictionary(), institutions(*SIZES), spec)
    plan, terms = rival.outcome.plan, spec.privacy
    accountant = accountant_for(plan.privacy, 1.0)
    mean = Fraction(plan.roster.total_size, len(SIZES))
    clip = client_level.CLIP_SHARES[Role.PREFLIGHT] * mean * Fraction(80, 100)
    assert plan.phases.preflight.sensitivity_squared["bank"] == math.ceil(clip**2 * 1024**2 * 3)
    charged = sum(accountant.cost(mechanism(plan, "bank", role)) * plan.phases.of(role).rounds for role in Role)
    budget = accountant.target(terms.epsilon, terms.delta)
    assert 0.899 * budget < charged <= 0.9 * budget
    assert (rival.privacy.unit, rival.privacy.delta) == ("institution", terms.delta)
    assert 0.999 * terms.epsilon < rival.privacy.epsilon_outsider <= terms.epsilon
    assert rival.privacy.epsilon_t is None  # the server sees everything


def test_seeded_noise_can_be_repeated():
    def final(seed: int) -> bytes:
        rival = run_client_level(tiny.dictionary(), institutions(*SIZES), replace(job(), noise_seed=seed))
        return family_of("scorecard").final(rival.outcome.progress.state)

    assert final(7) == final(7) != final(8)


def test_a_delta_that_gives_an_institution_away_is_refused():
    spec = tiny.with_privacy(job(), delta=0.3)
    with pytest.raises(PrivacyError, match="for N=4"):
        run_client_level(tiny.dictionary(), institutions(400, 400, 400, 400), spec)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [(["privacy=none"], "privacy=none has none"), (["model=mlp"], "'mlp' does not; choose one of scorecard, additive")],
    ids=["no-noise", "mlp"],
)
def test_what_it_cannot_be_run_with_is_said_before_anything_runs(overrides, words):
    with pytest.raises(ConfigError, match=words):
        read_settings(compose_config(["client_level=true", *overrides]), 3000)


def test_it_is_labelled_wherever_it_is_shown(run_result: RunResult):
    rival = ClientLevelResult(run_result.pooled, replace(run_result.privacy["bank-1"], unit="institution"))
    with_it = replace(run_result, client_level=rival)
    assert "institutions†" in dict(view_rows(with_it, "bank"))
    (words,) = client_level_words(with_it)
    assert "protects whole institutions, not records" in words
    assert "unit: institution" in words
    assert client_level_words(run_result) == []
    assert RunResult.from_json(with_it.to_json()) == with_it
    assert "client_level" not in json.loads(run_result.to_json())["models"]


def test_a_run_scores_it_beside_the_joint_model():
    overrides = ["experiment=thousand", "federation.banks=20", "data.rows=3000", "model.rounds=2", "kernel=numpy"]
    config = compose_config([*overrides, "client_level=true"])
    dictionary, table = load(data_spec(config))
    prepared = prepare(read_settings(config, table.bad.size), dictionary, table, 0.0)
    result = execute(prepared, None, runner=runner_for(prepared.settings)).result
    assert result.client_level.model.by_view["bank"].n_test == result.joint.by_view["bank"].n_test
