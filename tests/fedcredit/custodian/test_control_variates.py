"""Control variates (SCAFFOLD) at a real custodian, and what they are for: local steps that stay at the optimum."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from fedcredit.errors import WireError
from fedcredit.models import descent
from fedcredit.models.descent_spec import DescentSpec
from fedcredit.models.family import family_of
from fedcredit.ownership import owned_coordinates
from fedcredit.planning import BudgetShares
from fedcredit.wire.messages import Contribution, JoinRequest, Role
from tests import privacy_checks as checks
from tests import step_traces, tiny
from tests.privacy_checks import ask, refused, restarted, round_request
from tests.step_traces import traced

SHARES = BudgetShares(train=40)  # a reserve of 45 %, enough for a retry of a whole message
JOB = replace(step_traces.job(tiny.LOCAL, control_variates=True, rounds=3, sampling_rate=1.0), shares=SHARES)
FAMILY = family_of("mlp")


class World:
    """A consortium under a plan with control variates, and a first model with a made-up common variate."""

    def __init__(self, job=JOB):
        self.job, self.consortium = job, tiny.federation(job)
        self.plan, self.spec = self.consortium.plan, job.model
        driver = tiny.coordinator(self.consortium)
        tiny.run(driver, tiny.custodians(self.consortium, job), until="train")
        self.length = self.plan.phases.train.vector_length
        self.body, _ = descent.split_control(self.spec, self.length, FAMILY.broadcast(driver.progress.state))
        units = np.random.default_rng(1).integers(-(2**18), 2**18, self.length)
        self.common = units / 2**20
        self.model = self.body + units.astype("<i4").tobytes()

    def request(self, round_=1, attempt=1):
        return round_request(self.consortium, Role.TRAIN, self.model, attempt, round_)


@pytest.fixture(scope="module")
def world():
    return World()


def message(world, bank, patch, round_=1, attempt=1):
    """What a custodian sends, without its masks, and the noised sums of its steps."""
    with patch.context() as inner:
        trace = traced(inner)
        sent = ask(world.consortium, bank, world.request(round_, attempt))
    assert isinstance(sent, Contribution), sent
    return checks.unmasked(bank, world.plan, sent).tolist(), [one.tolist() for one in trace.noised]


def slow(world, noised, correction=None):
    records = world.plan.training_records("bank-1")
    return step_traces.slow_message(world.spec, step_traces.units(world.spec, world.body), noised, records, correction)


def mean(world, noised):
    """An institution's own control variate: its mean noised gradient over the steps of a message."""
    divisor = world.spec.gradient_scale * world.spec.sampling_rate * world.plan.training_records("bank-1")
    return np.sum(noised, axis=0) / divisor / len(noised)


def correction(world, noised):
    owned = owned_coordinates(world.plan, world.consortium.dictionary, Role.TRAIN, "bank")
    return np.where(owned, world.common - mean(world, noised), 0.0).tolist()


def test_the_first_message_is_not_corrected_and_later_ones_by_the_last(world, monkeypatch):
    bank = checks.joined(world.consortium, JOB)
    first, noised = message(world, bank, monkeypatch)
    assert first == slow(world, noised)
    for round_ in (2, 3):
        before = noised
        sent, noised = message(world, bank, monkeypatch, round_)
        assert sent == slow(world, noised, correction(world, before))
        assert sent != slow(world, noised)


def test_nothing_is_sent_where_the_type_owns_nothing(world, monkeypatch):
    bank = checks.joined(world.consortium, JOB)
    message(world, bank, monkeypatch)
    sent, _ = message(world, bank, monkeypatch, round_=2)
    owned = owned_coordinates(world.plan, world.consortium.dictionary, Role.TRAIN, "bank")
    assert not np.array(sent)[~owned].any()
    assert world.common[~owned].any()


def test_a_retry_starts_from_the_round_before(world, monkeypatch):
    bank = checks.joined(world.consortium, JOB)
    _, first = message(world, bank, monkeypatch)
    message(world, bank, monkeypatch, round_=2)
    again, noised = message(world, bank, monkeypatch, round_=2, attempt=2)
    assert again == slow(world, noised, correction(world, first))
    after, last = message(world, bank, monkeypatch, round_=3)
    assert after == slow(world, last, correction(world, noised))


def test_a_retry_that_nobody_paid_for_leaves_nothing_for_the_next_message(monkeypatch):
    poor = World(step_traces.job(tiny.LOCAL, control_variates=True, rounds=3, sampling_rate=1.0))
    bank = checks.joined(poor.consortium, poor.job)
    _, paid = message(poor, bank, monkeypatch)
    with monkeypatch.context() as inner:
        trace = traced(inner)
        refused(ask(poor.consortium, bank, poor.request(attempt=2)), "budget")
    unpaid = [one.tolist() for one in trace.noised]
    after, noised = message(poor, bank, monkeypatch, round_=2)
    assert after == slow(poor, noised, correction(poor, paid))
    assert after != slow(poor, noised, correction(poor, unpaid))


def test_two_rounds_are_kept_and_no_more(world, monkeypatch):
    bank = checks.joined(world.consortium, JOB)
    for round_ in (1, 2, 3):
        message(world, bank, monkeypatch, round_)
    assert sorted(bank._agreements.of(world.plan.digest(), world.plan).controls) == [2, 3]


def test_after_a_restart_one_message_goes_uncorrected(world, monkeypatch):
    bank = checks.joined(world.consortium, JOB)
    message(world, bank, monkeypatch)
    afresh = restarted(bank)
    ask(world.consortium, afresh, JoinRequest(world.plan.to_bytes()))
    checks.agree(world.consortium, JOB, afresh)
    second, noised = message(world, afresh, monkeypatch, round_=2)
    assert second == slow(world, noised)
    third, last = message(world, afresh, monkeypatch, round_=3)
    assert third == slow(world, last, correction(world, noised))


def test_they_cost_nothing(world, monkeypatch):
    plain = tiny.federation(replace(JOB, model=JOB.model.model_copy(update={"control_variates": False}))).plan
    assert plain.phases == world.plan.phases
    bank = checks.joined(world.consortium, JOB)
    message(world, bank, monkeypatch)
    (charge,) = bank.ledger.charges(world.plan.digest())
    assert charge["mechanism"]["steps"] == world.spec.local_steps


def test_a_whole_job_runs_with_them():
    driver, members = tiny.coordinator(consortium := tiny.federation(JOB)), tiny.custodians(consortium, JOB)
    tiny.run(driver, members)
    assert driver.done
    state = driver.progress.state
    assert state.descent.control.any()
    body, common = descent.split_control(JOB.model, len(state.descent.control), FAMILY.broadcast(state))
    np.testing.assert_allclose(common, state.descent.control, rtol=0, atol=2**-20)
    assert FAMILY.final(state)[: len(body) - 4 * len(common)] == body[: len(body) - 4 * len(common)]


@pytest.mark.parametrize("control_variates", [False, True])
def test_steps_of_two_unlike_institutions_stay_at_their_joint_optimum(control_variates):
    """Two parabolas: slope 1 around -1, slope 3 around 1; together they are flat at 0.5."""
    spec = DescentSpec(
        rounds=200, sampling_rate=1.0, local_steps=5, learning_rate=0.05, control_variates=control_variates
    )
    slopes, optima, own = (1.0, 3.0), (-1.0, 1.0), [np.zeros(1), np.zeros(1)]
    state = descent.begin(np.zeros(1), np.full(1, 2000.0))
    for round_ in range(spec.rounds):
        start, messages = descent.on_grid(state.weights), []
        for place in (0, 1):
            here, total = start, np.zeros(1, dtype=np.int64)
            corrected = state.control - own[place] if control_variates and round_ else 0.0
            for _ in range(spec.local_steps):
                gradient = slopes[place] * (here / 2**20 - optima[place])
                sums = np.rint(gradient * spec.gradient_scale * 1000).astype(np.int64)
                total += sums
                here = descent.local_step(spec, start, here, sums, 1000.0, corrected)
            own[place] = descent.mean_gradient(spec, total, 1000.0) / spec.local_steps
            messages.append(descent.local_message(spec, start, here, 1000.0))
        state = descent.descend(spec, state, np.sum(messages, axis=0))
    off = abs(float(state.weights[0]) - 0.5)
    assert off < 1e-3 if control_variates else off > 0.02


def test_constants_and_bytes_that_make_no_sense_are_refused():
    with pytest.raises(ValidationError, match="local_steps above 1"):
        DescentSpec(control_variates=True)
    with pytest.raises(WireError, match="control variates"):
        descent.split_control(DescentSpec(control_variates=True, local_steps=2), 10, bytes(39))


def test_a_control_variate_fits_its_bytes():
    spec = DescentSpec(control_variates=True, local_steps=2)
    state = descent.descend(spec, descent.begin(np.zeros(2), np.ones(2)), np.array([2**60, -(2**60)]))
    data = descent.with_control(spec, state, b"model")
    body, common = descent.split_control(spec, 2, data)
    assert body == b"model"
    np.testing.assert_allclose(common, [2**11, -(2**11)], rtol=1e-8)
