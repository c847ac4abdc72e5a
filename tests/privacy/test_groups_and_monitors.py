"""Counts by group, and of new records under a watched model: noised and charged like every other message."""

from dataclasses import replace

import numpy as np
import pytest

from fedcredit.evaluation.phase import group_sizes
from fedcredit.wire.messages import Contribution, Role
from tests import labelled, tiny
from tests import privacy_checks as checks
from tests.privacy.group_circumstances import watching

# Noise of so few standard deviations on every one of twenty cells has a chance below 1e-9.
_ALIVE, _LOUD = 0.3, 3.0


@pytest.fixture(scope="module")
def counted():
    """A bank's exact evaluation vector and what of the sent one is not it, by grouping."""
    job = labelled.job()
    consortium = labelled.federation(job)
    plan, models = consortium.plan, checks.models(consortium, job)
    bank = checks.ready(consortium, checks.joined(consortium, job), Role.EVALUATE, models)
    sent = checks.ask(consortium, bank, checks.round_request(consortium, Role.EVALUATE, models[Role.EVALUATE]))
    assert isinstance(sent, Contribution)
    noise = checks.unmasked(bank, plan, sent) - checks.exact_sums(bank, plan, Role.EVALUATE, models[Role.EVALUATE])
    cells = 2 * plan.evaluation.score_bins
    ends = np.cumsum([cells * size for size in group_sizes(labelled.dictionary(), plan.evaluation)])
    return plan, dict(zip(plan.evaluation.groupings, np.split(noise, ends[:-1]), strict=True))


@pytest.mark.parametrize("grouping", labelled.GROUPINGS[1:])
def test_every_count_by_group_has_its_own_noise(counted, grouping):
    plan, noise = counted
    stddev = plan.phases.evaluate.noise_variance["bank"] ** 0.5
    of_cells = noise[grouping].reshape(-1, 2 * plan.evaluation.score_bins) / stddev
    for group in of_cells:
        assert _ALIVE < np.sqrt(np.mean(group**2)) < _LOUD
    assert len(np.unique(of_cells)) > 0.9 * of_cells.size


def test_a_hospital_that_holds_no_label_adds_nothing_to_the_counts_by_it():
    job = labelled.job()
    consortium = labelled.federation(job)
    models = checks.models(consortium, job)
    hospital = checks.ready(consortium, checks.joined(consortium, job, place=2), Role.EVALUATE, models)
    sent = checks.ask(consortium, hospital, checks.round_request(consortium, Role.EVALUATE, models[Role.EVALUATE]))
    vector = checks.unmasked(hospital, consortium.plan, sent)
    by_type = 2 * consortium.plan.evaluation.score_bins * 2
    assert vector[:by_type].any()
    assert not vector[by_type:].any()


def test_every_message_of_a_monitoring_job_is_charged():
    """Preflight, the one round and the evaluation, each at its whole cost; beyond the reserve nothing is answered."""
    job, consortium = watching()
    bank = checks.joined(consortium, job)
    model = job.model.model_bytes
    models = {Role.PREFLIGHT: b"", Role.TRAIN: model, Role.EVALUATE: checks.models(consortium, job)[Role.EVALUATE]}
    asked = [checks.round_request(consortium, role, model) for role, model in models.items()]
    sent = [checks.ask(consortium, bank, request) for request in asked]
    assert all(isinstance(one, Contribution) for one in sent)
    checks.check_charged(bank.ledger, consortium.plan, "bank", sent)
    again = [checks.ask(consortium, bank, replace(asked[2], attempt=attempt)) for attempt in (2, 3)]
    checks.refused(again[-1], "budget")


def test_a_monitoring_jobs_noise_is_that_of_one_count():
    job, consortium = watching()
    terms = consortium.plan.phases.train
    trained = tiny.federation(replace(tiny.spec(), evaluation=job.evaluation)).plan.phases.evaluate
    assert terms.sensitivity_squared["bank"] == trained.sensitivity_squared["bank"] == terms.scale**2
