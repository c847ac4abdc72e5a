"""The noise of a real message, draw by draw: the exact sampler's for its key, place and vector, or it is wrong.

A slow twin of the custodian's noise step. Statistics cannot tell a double-precision generator, or a noise that does not
depend on the vector, from the law that is proved; integers can.
"""

from dataclasses import replace

import numpy as np
import pytest

from fedcredit.data.rows import single
from fedcredit.models.family import family_of
from fedcredit.privacy import rounded_gaussian
from fedcredit.privacy.bits import noise_context
from fedcredit.wire.canonical import digest
from fedcredit.wire.messages import Role
from simulations.federation import found
from tests import privacy_checks as checks
from tests import step_traces, tiny

NAMES = ("bank-1", "bank-2", "bank-3", "bank-4")


@pytest.fixture(scope="module", params=[tiny.LOCAL, tiny.SHARED], ids=["local", "distributed"])
def job(request):
    return tiny.spec(request.param)


@pytest.fixture(scope="module")
def consortium(job):
    members = tuple(tiny.institution(name, "bank", 200, n) for n, name in enumerate(NAMES))
    return found(tiny.dictionary(), members, job)


def planned_variance(plan, members):
    """Of one institution's noise in a preflight, from the plan's own words."""
    variance = plan.phases.preflight.noise_variance["bank"]
    if plan.privacy.placement.value == "local":
        return variance
    return -(-variance // (members - plan.privacy.colluders))


def expected_noise(bank, plan, request, exact):
    """The draws that this message must carry."""
    context = noise_context(
        plan.job.encode(),
        plan.digest(),
        b"PREFLIGHT",
        (1).to_bytes(8, "big"),
        request.attempt.to_bytes(8, "big"),
        plan.roster.attempt_digest(request.members),
        digest("model", b""),
    )
    bound = noise_context(b"noise", context, digest("vector", exact.astype("<i8").tobytes()))
    bits = bank._agreements._secrets[plan.digest()].noise.stream(bound, 16 * exact.size)
    return rounded_gaussian.draw(planned_variance(plan, len(request.members)), exact.size, bits)


@pytest.mark.parametrize("members", [NAMES, NAMES[:3]], ids=["all", "one left out"])
def test_every_draw_is_the_exact_samplers_for_this_message(consortium, job, members):
    plan, bank = consortium.plan, checks.joined(consortium, job)
    request = replace(checks.round_request(consortium, Role.PREFLIGHT, b"", attempt=2), members=members)
    sent = checks.ask(consortium, bank, request)
    exact = checks.exact_sums(bank, plan, Role.PREFLIGHT, b"")
    owned = checks.owned_coordinates(plan, bank._site.dictionary, Role.PREFLIGHT, "bank")
    noise = checks.unmasked(bank, replace_members(plan, members), sent) - exact
    np.testing.assert_array_equal(noise[owned], expected_noise(bank, plan, request, exact)[owned])


def replace_members(plan, members):
    """A plan as `checks.unmasked` reads it: only its members, who mask, and its job."""
    return type("Asked", (), {"members": members, "job": plan.job})()


def test_a_true_number_of_records_moves_no_noised_step(monkeypatch):
    """Two banks of one public size with other true sizes: from the same noised sums they take the same way."""
    job = step_traces.job(rounds=1)
    consortium = tiny.federation(job)
    driver = tiny.coordinator(consortium)
    tiny.run(driver, tiny.custodians(consortium, job), until="train")
    model = family_of("mlp").broadcast(driver.progress.state)
    data = consortium.institutions[0].data
    fewer = replace(data, train=single(data.train.cells[:40], data.train.bad[:40]), fingerprint=bytes(32))
    way = []

    def same_sums(site, plan, role, model, *_):
        way.append(model)
        return np.full(plan.phases.of(role).vector_length, 2**22, dtype=np.int64)

    def no_noise(role, noise_variance, size, bits, context):
        return np.zeros(size, dtype=np.int64)

    monkeypatch.setattr("fedcredit.custodian.custodian.contribute", same_sums)
    for rows in (data, fewer):
        bank = checks.joined(consortium, job, rows)
        bank._noise_law = no_noise
        checks.ask(consortium, bank, checks.round_request(consortium, Role.TRAIN, model))
    assert len(set(way)) == len(way) / 2 == 3
    assert way[:3] == way[3:]
