"""Every check of the privacy promise fails on code that breaks it: a check that cannot fail proves nothing.

Each test first runs the check on the code as it is, then breaks one thing and expects the same check to notice.
"""

from dataclasses import replace

import numpy as np
import pytest

from fedcredit.custodian import custodian as custodian_module
from fedcredit.custodian.contribute import contribute
from fedcredit.custodian.custodian import Custodian
from fedcredit.plan import EvaluationTerms
from fedcredit.privacy import rounded_gaussian
from fedcredit.privacy.ledger import Ledger
from fedcredit.wire.messages import Contribution, Role
from tests import privacy_checks as checks
from tests import tiny


@pytest.fixture(scope="module")
def job():
    return replace(tiny.spec(), evaluation=EvaluationTerms(score_bins=1000))


@pytest.fixture(scope="module")
def consortium(job):
    return tiny.federation(job)


@pytest.fixture(scope="module")
def model_of(consortium, job):
    return checks.models(consortium, job)


def answers(consortium, job, model_of, role=Role.EVALUATE, attempts=(1,)):
    """A fresh custodian's messages of one phase, behind that of the last training round."""
    bank = checks.joined(consortium, job)
    requests = [checks.round_request(consortium, role, model_of[role], attempt) for attempt in attempts]
    if role is Role.EVALUATE:
        rounds = consortium.plan.phases.train.rounds
        requests.insert(0, checks.round_request(consortium, Role.TRAIN, model_of[Role.TRAIN], round_=rounds))
    return bank, [checks.ask(consortium, bank, request) for request in requests]


def noises(consortium, job, model_of, role, attempts):
    bank, sent = answers(consortium, job, model_of, role, attempts)
    sent = [one for one in sent if one.role is role]
    return [checks.noise_of(bank, consortium.plan, model_of[role], one) for one in sent]


def pooled_noise(consortium, job, model_of):
    """Enough coordinates to tell a wrong scale apart."""
    own = [noises(consortium, job, model_of, Role.EVALUATE, (1,)) for _ in range(6)]
    return np.concatenate([noise for one in own for noise in one])


def test_halved_noise_is_noticed(consortium, job, model_of, monkeypatch):
    checks.check_noise_scale(pooled_noise(consortium, job, model_of))
    draw = rounded_gaussian.draw
    monkeypatch.setattr(rounded_gaussian, "draw", lambda *arguments: draw(*arguments) // 2)
    with pytest.raises(AssertionError):
        checks.check_noise_scale(pooled_noise(consortium, job, model_of))


def test_a_skipped_charge_is_noticed(consortium, job, model_of, monkeypatch):
    bank, sent = answers(consortium, job, model_of)
    checks.check_charged(bank.ledger, consortium.plan, "bank", sent)
    monkeypatch.setattr(Ledger, "commit", lambda ledger, _, seal: seal(ledger.event_count, bytes(32)))
    bank, sent = answers(consortium, job, model_of)
    assert isinstance(sent[0], Contribution)
    with pytest.raises(AssertionError):
        checks.check_charged(bank.ledger, consortium.plan, "bank", sent)


def test_a_charge_at_half_the_cost_is_noticed(consortium, job, model_of, monkeypatch):
    mechanism = custodian_module.mechanism

    def cheaper(*arguments):
        whole = mechanism(*arguments)
        return replace(whole, noise_variance=2 * whole.noise_variance)

    monkeypatch.setattr(custodian_module, "mechanism", cheaper)
    bank, sent = answers(consortium, job, model_of)
    with pytest.raises(AssertionError):
        checks.check_charged(bank.ledger, consortium.plan, "bank", sent)


def test_one_noise_for_all_messages_is_noticed(consortium, job, model_of, monkeypatch):
    checks.check_independent(noises(consortium, job, model_of, Role.PREFLIGHT, (1, 2)))
    monkeypatch.setattr(custodian_module, "vector_context", lambda *_: b"always the same")
    with pytest.raises(AssertionError):
        checks.check_independent(noises(consortium, job, model_of, Role.PREFLIGHT, (1, 2)))


@pytest.mark.parametrize("role", [Role.PREFLIGHT, Role.EVALUATE])
def test_a_true_count_as_divisor_is_noticed(consortium, job, model_of, role, monkeypatch):
    """Means scaled back to the public size: one record moves every coordinate."""
    public = consortium.plan.roster.members[0].public_size

    def mean(site, *arguments):
        rows = site.data.evaluate if role is Role.EVALUATE else site.data.train
        return contribute(site, *arguments) * public // max(rows.n_rows, 1)

    def pair():
        data = consortium.institutions[0].data
        banks = [checks.joined(consortium, job, one) for one in (data, checks.without(data, role, [0]))]
        return tuple(checks.exact_sums(bank, consortium.plan, role, model_of[role]) for bank in banks)

    squared = consortium.plan.phases.of(role).sensitivity_squared["bank"]
    checks.check_neighbours(pair(), squared)
    monkeypatch.setattr(custodian_module, "contribute", mean)
    with pytest.raises(AssertionError):
        checks.check_neighbours(pair(), squared)


def test_a_size_that_depends_on_the_rows_is_noticed(consortium, job, model_of, monkeypatch):
    data = consortium.institutions[0].data
    request = checks.round_request(consortium, Role.PREFLIGHT, b"")

    def replies():
        banks = [checks.joined(consortium, job, one) for one in (data, checks.without(data, Role.PREFLIGHT, [0]))]
        return [checks.reply_to(consortium, bank, request) for bank in banks]

    checks.check_same_outside(*replies())
    seal = Custodian._seal

    def padded(custodian, message):
        if isinstance(message, Contribution):
            extra = bytes(8 * (custodian._site.data.train.n_rows % 7))
            message = replace(message, vector=message.vector + extra)
        return seal(custodian, message)

    monkeypatch.setattr(Custodian, "_seal", padded)
    with pytest.raises(AssertionError):
        checks.check_same_outside(*replies())
