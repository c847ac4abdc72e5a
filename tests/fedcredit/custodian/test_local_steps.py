"""Local steps at a real custodian: each step is one noised release, all of them are charged, and no more leaves."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from fedcredit.custodian import custodian as custodian_module
from fedcredit.custodian import local_steps as local_steps_module
from fedcredit.custodian.noise import (
    message_context,
    rounded_gaussian_noise,
    sampling_context,
    step_context,
    vector_context,
)
from fedcredit.errors import PrivacyError
from fedcredit.models.descent_spec import DescentSpec
from fedcredit.models.family import family_of
from fedcredit.ownership import owned_coordinates
from fedcredit.plan import Plan
from fedcredit.planning import accountant_for
from fedcredit.privacy.accounting import GaussianAccountant, Mechanism, MixedAccountant
from fedcredit.privacy.statement import planned_cost, statement
from fedcredit.wire.canonical import canonical_json, digest, parse_json
from fedcredit.wire.messages import Contribution, JoinRequest, Refusal, Role
from simulations.federation import custodian_of
from tests import privacy_checks as checks
from tests import step_traces, tiny
from tests.privacy_checks import ask, refused, restarted, round_request
from tests.step_traces import traced

STEPS = 3


class World:
    """A consortium whose institutions take steps of their own, and the model of its first training round."""

    def __init__(self, privacy=tiny.LOCAL, **model):
        self.job = step_traces.job(privacy, **model)
        self.consortium = tiny.federation(self.job)
        self.plan = self.consortium.plan
        driver = tiny.coordinator(self.consortium)
        tiny.run(driver, tiny.custodians(self.consortium, self.job), until="train")
        self.model = family_of("mlp").broadcast(driver.progress.state)
        self.request = round_request(self.consortium, Role.TRAIN, self.model)

    def bank(self, data=None):
        return checks.joined(self.consortium, self.job, data)


@pytest.fixture(scope="module", params=[1.0, 0.25], ids=["gaussian", "mixed"])
def world(request):
    return World(sampling_rate=request.param)


@pytest.fixture(scope="module")
def sampled():
    return World()


def test_a_message_is_the_way_that_its_noised_sums_lead(world, monkeypatch):
    bank, trace = world.bank(), traced(monkeypatch)
    sent = ask(world.consortium, bank, world.request)
    start, records = step_traces.units(world.job.model, world.model), world.plan.training_records("bank-1")
    assert len(trace.noised) == len(trace.exact) == STEPS
    slow = step_traces.slow_message(world.job.model, start, [one.tolist() for one in trace.noised], records)
    assert checks.unmasked(bank, world.plan, sent).tolist() == slow
    owned = owned_coordinates(world.plan, world.consortium.dictionary, Role.TRAIN, "bank")
    assert not np.array(slow)[~owned].any()
    assert np.array(slow)[owned].all()


def test_without_masks_the_same_is_sent(monkeypatch):
    world = World(tiny.LOCAL.model_copy(update={"masks": False}))
    bank, trace = world.bank(), traced(monkeypatch)
    sent = ask(world.consortium, bank, world.request)
    slow = step_traces.slow_message(
        world.job.model,
        step_traces.units(world.job.model, world.model),
        [one.tolist() for one in trace.noised],
        world.plan.training_records("bank-1"),
    )
    assert np.frombuffer(sent.vector, dtype="<i8").tolist() == slow


def test_neighbours_differ_by_the_radius_at_each_step_given_the_sums_before(world, monkeypatch):
    """The last row goes, so that the sampler takes the same of the others."""
    data = world.consortium.institutions[0].data
    bank, other = world.bank(data), world.bank(checks.without(data, Role.TRAIN, [data.train.n_rows - 1]))
    trace, moved = traced(monkeypatch), []
    ask(world.consortium, bank, world.request)
    for model, key, context, exact in list(zip(trace.models, trace.keys, trace.contexts, trace.exact, strict=True)):
        less = custodian_module.contribute(other._site, world.plan, Role.TRAIN, model, key, context)
        checks.check_neighbours((exact, less), world.job.model.clip_radius**2)
        moved.append(bool(np.any(exact != less)))
    assert len(set(trace.models)) == STEPS
    taken = [bool(sample[-1]) for sample in trace.samples[:STEPS]] or [True] * STEPS
    assert moved == taken


def test_each_step_carries_the_planned_noise_and_no_other_steps(monkeypatch):
    world = World(local_steps=40, hidden_sizes=(96,), rounds=1)
    bank, trace = world.bank(), traced(monkeypatch)
    ask(world.consortium, bank, world.request)
    noises = trace.noise(bank, world.plan)
    assert len(noises) == 40
    checks.check_noise_scale(np.concatenate(noises))
    assert min(checks.scale_p(noise, 1.0) for noise in noises) > checks.ACCEPT
    checks.check_independent(noises)
    assert len({sample.tobytes() for sample in trace.samples}) == 40


def test_an_institution_without_rows_draws_noise_for_each_step(monkeypatch):
    """The exact sums are the same at each step: only the context tells their noises apart."""
    world = World(hidden_sizes=(96,))
    rows = tiny.rows("bank", 0, 1)
    data = replace(world.consortium.institutions[0].data, train=rows)
    bank, trace = world.bank(data), traced(monkeypatch)
    assert isinstance(ask(world.consortium, bank, world.request), Contribution)
    assert not any(one.any() for one in trace.exact)
    checks.check_independent(trace.noise(bank, world.plan))


def test_all_steps_are_charged_in_one_event(world):
    bank = world.bank()
    sent = ask(world.consortium, bank, world.request)
    checks.check_charged(bank.ledger, world.plan, "bank", [sent])
    (event,) = bank.ledger.charges(world.plan.digest())
    assert event["mechanism"]["steps"] == STEPS
    accountant, train = bank.ledger.account.accountant, world.plan.phases.train
    assert isinstance(accountant, GaussianAccountant if train.sampling_rate == 1 else MixedAccountant)
    single = accountant.cost(
        Mechanism(train.sensitivity_squared["bank"], train.noise_variance["bank"], train.sampling_rate)
    )
    cost = STEPS * single
    assert event["cost"] == f"{cost.numerator}/{cost.denominator}"
    assert bank.ledger.job(world.plan.digest()).spent == cost


def test_the_whole_plan_costs_what_is_asked_for_and_no_more(world):
    accountant = accountant_for(world.plan.privacy, world.plan.phases.train.sampling_rate)
    target = accountant.target(4.0, 1e-5)
    cost = planned_cost(world.plan, "bank", accountant)
    assert float(target) * 0.999 < float(cost) <= float(target)


def test_a_retry_is_charged_for_all_steps_or_refused(world):
    """Two rounds of three steps: one more message is beyond the reserve of a tenth."""
    bank = world.bank()
    for round_ in (1, 2):
        asked = round_request(world.consortium, Role.TRAIN, world.model, round_=round_)
        assert isinstance(ask(world.consortium, bank, asked), Contribution)
    again = round_request(world.consortium, Role.TRAIN, world.model, attempt=2, round_=2)
    refused(ask(world.consortium, bank, again), "budget")
    assert len(bank.ledger.charges(world.plan.digest())) == 2


def test_the_same_request_again_is_the_same_bytes(sampled, monkeypatch):
    bank, trace = sampled.bank(), traced(monkeypatch)
    first, second = (checks.reply_to(sampled.consortium, bank, sampled.request) for _ in range(2))
    assert first == second
    assert len(trace.exact) == STEPS
    assert len(bank.ledger.charges(sampled.plan.digest())) == 1


@pytest.mark.parametrize("dies_at", range(STEPS))
def test_a_custodian_that_dies_between_steps_has_sent_and_charged_nothing(sampled, dies_at, monkeypatch):
    bank, contribute, calls = sampled.bank(), custodian_module.contribute, []

    def killed(*arguments):
        calls.append(arguments)
        if len(calls) > dies_at:
            raise KeyboardInterrupt
        return contribute(*arguments)

    before = bank.ledger.event_count
    with monkeypatch.context() as patch:
        patch.setattr(custodian_module, "contribute", killed)
        with pytest.raises(KeyboardInterrupt):
            ask(sampled.consortium, bank, sampled.request)
    assert (bank.ledger.event_count, bank.ledger.charges(sampled.plan.digest())) == (before, [])
    afresh = restarted(bank)
    ask(sampled.consortium, afresh, JoinRequest(sampled.plan.to_bytes()))
    checks.agree(sampled.consortium, sampled.job, afresh)
    trace = traced(monkeypatch)
    sent = ask(sampled.consortium, afresh, sampled.request)
    checks.check_charged(afresh.ledger, sampled.plan, "bank", [sent])
    assert len(trace.exact) == STEPS


@pytest.mark.parametrize("broken", ["local_step", "local_message"])
def test_a_fault_on_noised_sums_is_one_bit_and_no_more(sampled, broken, monkeypatch):
    """What fails on the noised sums of a step tells something of them, and they are not charged."""
    bank, family = sampled.bank(), family_of("mlp")

    def fails(*_):
        raise ValueError("a value of a sum")

    monkeypatch.setattr(type(family), broken, fails)
    reply = ask(sampled.consortium, bank, sampled.request)
    refused(reply, "internal")
    assert "sum" not in reply.text
    refused(ask(sampled.consortium, bank, sampled.request), "stopped")
    assert not bank.ledger.charges(sampled.plan.digest())


def test_one_step_is_the_plain_message():
    world = World(local_steps=1)
    bank, plan = world.bank(), world.plan
    sent = ask(world.consortium, bank, world.request)
    key = bank._agreements.of(plan.digest(), plan).noise
    context = message_context(
        plan.job, world.request, plan.roster.attempt_digest(plan.members), digest("model", world.model)
    )
    exact = custodian_module.contribute(bank._site, plan, Role.TRAIN, world.model, key, sampling_context(context))
    train = plan.phases.train
    noise = rounded_gaussian_noise(
        Role.TRAIN, train.noise_variance["bank"], train.vector_length, key, vector_context(context, exact)
    )
    owned = owned_coordinates(plan, world.consortium.dictionary, Role.TRAIN, "bank")
    np.testing.assert_array_equal(checks.unmasked(bank, plan, sent), np.where(owned, exact + noise, 0))


def test_no_context_of_a_message_is_that_of_a_step():
    contexts = [b"message", *(step_context(b"message", step) for step in range(4))]
    nested = [step_context(context, 0) for context in contexts]
    everything = {*contexts, *nested}
    assert len(everything) == len(contexts) + len(nested) - 1  # step 0 of the message itself is in both lists
    exact = np.zeros(3, dtype=np.int64)
    used = [use(context) for context in everything for use in (sampling_context, lambda c: vector_context(c, exact))]
    assert len({*used, *everything}) == len(used) + len(everything)


def shared_noise(world: World) -> dict:
    plan = parse_json(world.plan.to_bytes())
    plan["privacy"]["placement"] = "distributed"
    return plan


def test_shared_noise_allows_no_steps_of_ones_own(sampled):
    with pytest.raises(PrivacyError, match="local_steps=3 needs noise of each institution's own"):
        tiny.federation(step_traces.job(tiny.SHARED))
    with pytest.raises(ValidationError, match="local_steps=3 under distributed noise"):
        Plan.model_validate(shared_noise(sampled))
    bank = custodian_of(sampled.consortium, sampled.consortium.institutions[0], sampled.job, None)
    reply = ask(sampled.consortium, bank, JoinRequest(canonical_json(shared_noise(sampled))))
    refused(reply, "plan")
    assert "local_steps=3" in reply.text


@pytest.mark.parametrize(("phase", "steps"), [("train", 1), ("train", 5), ("preflight", 2), ("evaluate", 2)])
def test_a_plan_with_other_steps_than_its_model_is_refused(sampled, phase, steps):
    plan = parse_json(sampled.plan.to_bytes())
    plan["phases"][phase]["local_steps"] = steps
    bank = custodian_of(sampled.consortium, sampled.consortium.institutions[0], sampled.job, None)
    reply = ask(sampled.consortium, bank, JoinRequest(canonical_json(plan)))
    assert isinstance(reply, Refusal)
    refused(reply, "terms")


def test_a_scorecard_takes_no_local_steps(sampled, monkeypatch):
    monkeypatch.setattr(local_steps_module, "family_of", lambda _: family_of("scorecard"))
    site = sampled.bank()._site
    with pytest.raises(PrivacyError, match="takes no local steps; its plan states 3"):
        local_steps_module.take_steps(
            site, sampled.plan, sampled.request, b"", lambda *_: np.zeros(1, dtype=np.int64), {}
        )


def test_a_rate_that_the_sampler_cannot_draw_is_no_plan(sampled):
    """A custodian that met it among its rows would stop for good."""
    with pytest.raises(ValidationError, match="sampling_rate"):
        DescentSpec(sampling_rate=2.0**-65)
    plan = parse_json(sampled.plan.to_bytes())
    plan["model"]["sampling_rate"] = plan["phases"]["train"]["sampling_rate"] = 1e-30
    bank = custodian_of(sampled.consortium, sampled.consortium.institutions[0], sampled.job, None)
    refused(ask(sampled.consortium, bank, JoinRequest(canonical_json(plan))), "plan")


def test_what_others_add_to_the_sum_is_not_counted_for_steps_of_ones_own():
    """Each step acts on the noise of its own institution; the sum's larger noise comes after all of them."""

    def outsider(**model):
        plan = World(**model).plan
        accountant = accountant_for(plan.privacy, plan.phases.train.sampling_rate)
        cost = planned_cost(plan, "bank", accountant)
        return statement(plan, "bank", accountant, cost, cost)

    one, several = outsider(local_steps=1), outsider()
    assert one.epsilon_outsider < one.epsilon_t
    assert several.epsilon_outsider is None
    assert several.epsilon_t == several.epsilon_all_others == several.epsilon_planned
