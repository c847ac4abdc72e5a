"""Each check of local steps and of persons fails on code that breaks the promise.

As in `test_mutants.py`: first the check on the code as it is, then one thing is broken and the check must notice.
"""

from dataclasses import replace

import numpy as np
import pytest

from fedcredit.custodian import contribute as contribute_module
from fedcredit.custodian import custodian as custodian_module
from fedcredit.custodian import local_steps as local_steps_module
from fedcredit.custodian.contribute import contribute
from fedcredit.data.rows import Rows, single
from fedcredit.models.family import family_of
from fedcredit.privacy import poisson, rounded_gaussian
from fedcredit.privacy.bits import OsBitSource
from fedcredit.wire.messages import Role
from tests import privacy_checks as checks
from tests import step_traces, tiny

CAP = 4


@pytest.fixture(scope="module")
def job():
    return step_traces.job(local_steps=12, hidden_sizes=(96,), rounds=1)


@pytest.fixture(scope="module")
def consortium(job):
    return tiny.federation(job)


@pytest.fixture(scope="module")
def model(consortium, job):
    driver = tiny.coordinator(consortium)
    tiny.run(driver, tiny.custodians(consortium, job), until="train")
    return family_of("mlp").broadcast(driver.progress.state)


@pytest.fixture
def answer(consortium, job, model, monkeypatch):
    """A fresh bank's message of local steps, and what went on at each of them."""

    def answered(data=None):
        bank = checks.joined(consortium, job, data)
        with monkeypatch.context() as patch:
            trace = step_traces.traced(patch)
            sent = checks.ask(consortium, bank, checks.round_request(consortium, Role.TRAIN, model))
        return bank, sent, trace

    return answered


def check_steps(bank, plan, trace):
    """Noise at every step, each with its own."""
    noises = trace.noise(bank, plan)
    assert len(noises) == plan.phases.train.local_steps
    for noise in noises:
        assert checks.scale_p(noise, 1.0) > checks.ACCEPT
    checks.check_independent(noises)


def test_many_steps_charged_as_one_are_noticed(answer, consortium, monkeypatch):
    bank, sent, _ = answer()
    checks.check_charged(bank.ledger, consortium.plan, "bank", [sent])
    mechanism = custodian_module.mechanism
    monkeypatch.setattr(custodian_module, "mechanism", lambda *given: replace(mechanism(*given), steps=1))
    bank, sent, _ = answer()
    with pytest.raises(AssertionError):
        checks.check_charged(bank.ledger, consortium.plan, "bank", [sent])


def test_one_noise_for_all_steps_is_noticed(answer, consortium, monkeypatch):
    """Where the exact sums do not change, the step's number alone keeps the noises apart."""
    data = consortium.institutions[0].data
    nobody = replace(data, train=single(data.train.cells[:0], data.train.bad[:0]), fingerprint=bytes(32))
    bank, _, trace = answer(nobody)
    check_steps(bank, consortium.plan, trace)
    monkeypatch.setattr(local_steps_module, "step_context", lambda message, _: message)
    bank, _, trace = answer(nobody)
    with pytest.raises(AssertionError):
        check_steps(bank, consortium.plan, trace)


def test_one_sample_for_all_steps_is_noticed(answer, monkeypatch):
    def samples():
        return [sample.astype(float) for sample in answer()[2].samples]

    checks.check_independent(samples())
    monkeypatch.setattr(local_steps_module, "step_context", lambda message, _: message)
    with pytest.raises(AssertionError):
        checks.check_independent(samples())


def test_noise_on_the_last_step_alone_is_noticed(answer, consortium, monkeypatch):
    bank, _, trace = answer()
    check_steps(bank, consortium.plan, trace)
    draw, drawn = rounded_gaussian.draw, []

    def late(noise_variance, size, bits):
        drawn.append(noise_variance)
        return draw(noise_variance, size, bits) * (len(drawn) % 12 == 0)

    monkeypatch.setattr(rounded_gaussian, "draw", late)
    bank, _, trace = answer()
    assert np.abs(trace.noise(bank, consortium.plan)[-1]).max() > 1
    with pytest.raises(AssertionError):
        check_steps(bank, consortium.plan, trace)


def test_a_message_of_sums_without_noise_is_noticed(answer, consortium, monkeypatch):
    take_steps = custodian_module.take_steps

    def exposed(site, plan, request, context, _):
        key = OsBitSource()
        return take_steps(
            site,
            plan,
            request,
            context,
            lambda model, step: custodian_module.contribute(site, plan, request.role, model, key, step),
        )

    bank, _, trace = answer()
    check_steps(bank, consortium.plan, trace)
    monkeypatch.setattr(custodian_module, "take_steps", exposed)
    bank, _, trace = answer()
    with pytest.raises(AssertionError):
        check_steps(bank, consortium.plan, trace)


def persons(rows: Rows) -> Rows:
    """The same rows, `CAP` to a person."""
    return single(rows.cells, rows.bad, np.arange(rows.n_rows) // CAP)


@pytest.fixture
def site(consortium):
    one = consortium.institutions[0]
    return tiny.custodian_of(
        consortium, replace(one, data=replace(one.data, train=persons(one.data.train))), tiny.spec(), None
    )._site


def test_records_that_are_sampled_one_by_one_are_noticed(site, consortium, model, monkeypatch):
    rows = site.data.train

    def check():
        with monkeypatch.context() as patch:
            trace, taken = step_traces.traced(patch), []
            sample = contribute_module._sample
            patch.setattr(contribute_module, "_sample", lambda *given: taken.append(sample(*given)) or taken[-1])
            contribute(site, consortium.plan, Role.TRAIN, model, OsBitSource(), b"")
        assert set(np.bincount(taken[0].persons)) == {CAP}
        assert trace.samples[0].size == rows.n_rows // CAP

    def by_record(rows, rate, sampling, context):
        mask = poisson.sample(contribute_module.Fraction(rate), rows.n_rows, sampling.stream(context, 8 * rows.n_rows))
        return single(rows.cells[mask], rows.bad[mask], np.unique(rows.persons[mask], return_inverse=True)[1])

    check()
    monkeypatch.setattr(contribute_module, "_sample", by_record)
    with pytest.raises(AssertionError):
        check()


def test_a_radius_for_each_record_of_a_person_is_noticed(consortium, model, monkeypatch):
    family, spec = family_of("mlp"), consortium.plan.model.model_copy(update={"clip_l2_norm": 0.25})
    rows = consortium.institutions[0].data.train

    def pair():
        """A person of `CAP` equal records, and nobody."""
        alike = single(np.tile(rows.cells[:1], (CAP, 1)), np.ones(CAP, dtype=np.uint8), np.zeros(CAP, dtype=np.int64))
        return tuple(
            family.contribute(spec, tiny.dictionary(), "bank", model, some)[0]
            for some in (alike, alike.of_units(np.array([False])))
        )

    checks.check_neighbours(pair(), spec.clip_radius**2)
    monkeypatch.setattr(Rows, "records_of_unit", lambda one: np.ones(one.n_rows, dtype=np.int64))
    with pytest.raises(AssertionError):
        checks.check_neighbours(pair(), spec.clip_radius**2)
