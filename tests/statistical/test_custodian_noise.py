"""The noise that leaves a real custodian with a policy: operating-system key, every phase, several jobs.

What is tested is message minus exact sums, so whatever stands between the sampler and the wire is in it. With more
than 30,000 coordinates the planned scale is accepted, and 0.7 or 1.3 of it is rejected at p < 1e-20.
"""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from fedcredit.custodian.custodian import Custodian
from fedcredit.plan import EvaluationTerms
from fedcredit.privacy.bits import OsBitSource
from fedcredit.wire.messages import JoinRequest, Role
from simulations.federation import custodian_of
from tests import privacy_checks as checks
from tests import tiny

pytestmark = pytest.mark.statistical

JOBS = 8


@pytest.fixture(scope="module")
def noises():
    """Per message, in the order sent: its role and its noise in planned standard deviations."""
    gathered = []
    for number in range(JOBS):
        job = replace(tiny.spec(name=f"job-{number}"), evaluation=EvaluationTerms(score_bins=1000))
        consortium = tiny.federation(job)
        model_of = checks.models(consortium, job)
        for place in range(len(consortium.institutions)):
            custodian = checks.joined(consortium, job, place=place)
            assert custodian._agreements._new_noise_key is OsBitSource
            for role, round_ in planned(consortium.plan):
                request = checks.round_request(consortium, role, model_of[role], round_=round_)
                sent = checks.ask(consortium, custodian, request)
                gathered.append((role, checks.noise_of(custodian, consortium.plan, model_of[role], sent)))
    return gathered


def planned(plan):
    return [(role, round_) for role in Role for round_ in range(1, plan.phases.of(role).rounds + 1)]


def test_every_coordinate_carries_the_planned_noise(noises):
    checks.check_noise_scale(np.concatenate([noise for _, noise in noises]))


@pytest.mark.parametrize("role", list(Role))
def test_every_phase_carries_its_own_noise(noises, role):
    pooled = np.concatenate([noise for one, noise in noises if one is role])
    assert checks.scale_p(pooled, 1.0) > checks.ACCEPT
    squares = float(np.square(pooled).sum())
    two_sided = 2 * min(stats.chi2.sf(squares, pooled.size), stats.chi2.cdf(squares, pooled.size))
    assert two_sided > checks.ACCEPT
    assert stats.chi2.sf(squares / 0.7**2, pooled.size) < checks.REJECT
    assert stats.chi2.cdf(squares / 1.3**2, pooled.size) < checks.REJECT


def test_no_two_messages_share_their_noise(noises):
    for role in Role:
        checks.check_independent([noise for one, noise in noises if one is role])


def test_retries_restarts_and_other_jobs_draw_anew():
    """One vector, asked for again under every name that a coordinator can give it."""
    job = tiny.spec()
    consortium = tiny.federation(job)
    bank = checks.joined(consortium, job)
    plan, gathered = consortium.plan, []
    for attempt in (1, 2):
        sent = checks.ask(consortium, bank, checks.round_request(consortium, Role.PREFLIGHT, b"", attempt))
        gathered.append(checks.noise_of(bank, plan, b"", sent))
    afresh = custodian_of(consortium, consortium.institutions[0], job, None)
    for custodian in (afresh, Custodian(afresh._site, checks.joined(consortium, job).ledger)):
        checks.ask(consortium, custodian, JoinRequest(plan.to_bytes()))
        checks.agree(consortium, job, custodian)
        sent = checks.ask(consortium, custodian, checks.round_request(consortium, Role.PREFLIGHT, b""))
        gathered.append(checks.noise_of(custodian, plan, b"", sent))
    checks.check_independent(gathered)
