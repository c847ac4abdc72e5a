"""The custodian against a coordinator that does not play by the rules."""

import numpy as np
import pytest

from fedcredit.custodian.custodian import Custodian
from fedcredit.custodian.noise import no_noise
from fedcredit.errors import PrivacyError
from fedcredit.ownership import owned_coordinates
from fedcredit.plan import Plan
from fedcredit.privacy.ledger import Ledger
from fedcredit.wire.canonical import canonical_json, parse_json
from fedcredit.wire.envelope import SigningKey, open_envelope
from fedcredit.wire.messages import (
    NO_TRANSCRIPT,
    Contribution,
    JoinReply,
    JoinRequest,
    Receipt,
    Refusal,
    ReleaseRequest,
    Role,
    RoundRequest,
)
from simulations.federation import custodian_of
from simulations.seeded_bits import SeededBitSource
from tests import tiny
from tests.privacy_checks import addressed, agree, ask, changed, refused, unmasked

MEMBERS = ("bank-1", "bank-2", "hospital-1")


@pytest.fixture
def consortium():
    return tiny.federation()


@pytest.fixture
def bank(consortium):
    return custodian_of(consortium, consortium.institutions[0], tiny.spec(), None)


def join(consortium, custodian, plan: Plan | None = None):
    reply = ask(consortium, custodian, JoinRequest((plan or consortium.plan).to_bytes()))
    if plan is None and isinstance(reply, JoinReply):
        agree(consortium, tiny.spec(), custodian)
    return reply


def preflight(consortium, attempt=1, members=MEMBERS):
    return RoundRequest(consortium.plan.digest(), Role.PREFLIGHT, 1, attempt, members, b"", NO_TRANSCRIPT)


def test_join_then_contribute(consortium, bank):
    assert isinstance(join(consortium, bank), JoinReply)
    reply = ask(consortium, bank, preflight(consortium))
    assert isinstance(reply, Contribution)
    assert len(reply.vector) == 8 * consortium.plan.phases.preflight.vector_length


def test_a_resend_is_the_stored_bytes_and_costs_nothing(consortium, bank):
    join(consortium, bank)
    request = consortium.coordinator_key.seal("coordinator", addressed(bank, preflight(consortium)))
    first = bank.handle(request)
    spent = bank.ledger.job(consortium.plan.digest()).spent
    assert bank.handle(request) == first
    assert bank.ledger.job(consortium.plan.digest()).spent == spent


def test_a_retry_has_fresh_noise_and_is_charged(consortium, bank):
    join(consortium, bank)
    first, second = (ask(consortium, bank, preflight(consortium, attempt)) for attempt in (1, 2))
    assert first.vector != second.vector
    assert len(bank.ledger.charges(consortium.plan.digest())) == 2


def test_retries_end_with_the_reserve(consortium, bank):
    join(consortium, bank)
    replies = [ask(consortium, bank, preflight(consortium, attempt)) for attempt in (1, 2, 3)]
    assert [type(reply) for reply in replies] == [Contribution, Contribution, Refusal]
    refused(replies[2], "budget")


def test_the_same_attempt_for_other_members_is_refused(consortium, bank):
    join(consortium, bank)
    ask(consortium, bank, preflight(consortium))
    refused(ask(consortium, bank, preflight(consortium, members=("bank-1", "bank-2"))), "replay")


def test_a_lower_attempt_after_a_higher_one_is_refused(consortium, bank):
    join(consortium, bank)
    ask(consortium, bank, preflight(consortium, 2))
    refused(ask(consortium, bank, preflight(consortium, 1)), "attempt")


def test_nothing_is_answered_before_join_or_after_release(consortium, bank):
    refused(ask(consortium, bank, preflight(consortium)), "job")
    join(consortium, bank)
    release = ReleaseRequest(consortium.plan.digest(), b"{}")
    receipt = ask(consortium, bank, release)
    assert isinstance(receipt, Receipt)
    assert ask(consortium, bank, release) == receipt
    refused(ask(consortium, bank, preflight(consortium)), "job")
    refused(ask(consortium, bank, ReleaseRequest(consortium.plan.digest(), b"[]")), "replay")


def test_the_receipt_states_the_jobs_own_numbers_only(consortium, bank):
    join(consortium, bank)
    ask(consortium, bank, preflight(consortium))
    statement = parse_json(ask(consortium, bank, ReleaseRequest(consortium.plan.digest(), b"{}")).statement)
    assert statement["messages"] == 1
    assert 0 < statement["epsilon_spent"] < statement["epsilon_planned"] <= 4.0
    assert not {"budget", "remaining", "rows"} & statement.keys()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"coordinator": "stranger"}, "coordinator"),
        ({"coordinator_key": SigningKey.generate().public.hex()}, "coordinator"),
        ({"dictionary": "00" * 32}, "dictionary"),
        ({"purpose": "marketing"}, "purpose"),
        ({"evaluation_percent": 21}, None),
    ],
)
def test_a_plan_of_another_consortium_is_refused(consortium, bank, changes, code):
    reply = join(consortium, bank, changed(consortium.plan, **changes))
    if code is None:
        assert isinstance(reply, JoinReply)
    else:
        refused(reply, code)


def test_a_changed_roster_is_refused(consortium, bank):
    roster = consortium.plan.roster.model_dump()
    roster["members"][1]["public_size"] += 1
    refused(join(consortium, bank, changed(consortium.plan, roster=roster)), "roster")


@pytest.mark.parametrize("field", ["sensitivity_squared", "vector_length", "scale"])
@pytest.mark.parametrize("role", ["preflight", "train", "evaluate"])
def test_understated_terms_are_refused(consortium, bank, role, field):
    phases = consortium.plan.phases.model_dump()
    value = phases[role][field]
    phases[role][field] = (
        {kind: number // 4 for kind, number in value.items()} if isinstance(value, dict) else value // 2
    )
    refused(join(consortium, bank, changed(consortium.plan, phases=phases)), "terms")


@pytest.mark.parametrize("role", ["preflight", "train", "evaluate"])
def test_too_little_noise_for_the_stated_epsilon_is_refused(consortium, bank, role):
    phases = consortium.plan.phases.model_dump()
    phases[role]["noise_variance"]["bank"] //= 2
    refused(join(consortium, bank, changed(consortium.plan, phases=phases)), "epsilon")


def test_no_noise_at_all_is_refused(consortium, bank):
    plan = tiny.federation(tiny.spec(tiny.NONE.model_copy(update={"masks": True}))).plan
    stripped = changed(
        plan, roster=consortium.plan.roster.model_dump(), coordinator_key=consortium.plan.coordinator_key
    )
    refused(join(consortium, bank, stripped), "placement")
    phases = consortium.plan.phases.model_dump()
    phases["train"]["noise_variance"]["bank"] = 0
    refused(join(consortium, bank, changed(consortium.plan, phases=phases)), "noise")


def test_a_larger_epsilon_than_the_policy_is_refused(consortium, bank):
    privacy = consortium.plan.privacy.model_copy(update={"epsilon": 8.0})
    refused(join(consortium, bank, changed(consortium.plan, privacy=privacy.model_dump())), "epsilon")


def test_a_delta_of_one_in_n_is_refused(consortium, bank):
    privacy = consortium.plan.privacy.model_copy(update={"delta": 1 / 1500})
    refused(join(consortium, bank, changed(consortium.plan, privacy=privacy.model_dump())), "delta")


def test_a_second_job_beyond_the_budget_is_refused(consortium, bank):
    assert isinstance(join(consortium, bank), JoinReply)
    refused(join(consortium, bank, changed(consortium.plan, job="second")), "budget")


def test_rounds_beyond_the_plan_are_refused(consortium, bank):
    join(consortium, bank)
    beyond = RoundRequest(consortium.plan.digest(), Role.PREFLIGHT, 2, 1, MEMBERS, b"", NO_TRANSCRIPT)
    refused(ask(consortium, bank, beyond), "round")


@pytest.mark.parametrize(
    "members", [("bank-2", "hospital-1"), ("bank-2", "bank-1"), ("bank-1", "bank-9"), ("bank-1", "bank-1")]
)
def test_a_roster_that_is_not_ours_is_refused(consortium, bank, members):
    join(consortium, bank)
    refused(ask(consortium, bank, preflight(consortium, members=members)), "roster")


def test_a_retry_on_another_model_is_refused(consortium):
    job = tiny.spec()
    members = tiny.custodians(consortium, job)
    driver = tiny.coordinator(consortium)
    tiny.run(driver, members, until="train")
    step = driver.next_step()
    bank = members["bank-1"]
    message = open_envelope(step.requests["bank-1"]).verify(consortium.coordinator_key.public)
    assert isinstance(ask(consortium, bank, message), Contribution)
    other = bytearray(message.model)
    other[-1] ^= 1
    retry = RoundRequest(
        message.plan_hash, message.role, message.round, 2, message.members, bytes(other), message.transcript_hash
    )
    refused(ask(consortium, bank, retry), "model")


def test_a_stranger_gets_no_answer(consortium, bank):
    refused(ask(consortium, bank, JoinRequest(consortium.plan.to_bytes()), key=SigningKey.generate()), "signature")
    refused(ask(consortium, bank, JoinRequest(consortium.plan.to_bytes()), sender="stranger"), "coordinator")
    refused(ask(consortium, bank, JoinRequest(b"{}")), "plan")
    envelope = open_envelope(bank.handle(b"\xff\xfe"))
    refused(envelope.verify(consortium.keys["bank-1"].public), "wire")


def test_bytes_that_are_not_canonical_are_no_plan(consortium, bank):
    spaced = consortium.plan.to_bytes().replace(b",", b", ", 1)
    refused(ask(consortium, bank, JoinRequest(spaced)), "plan")
    extended = canonical_json({**parse_json(consortium.plan.to_bytes()), "extra": 1})
    refused(ask(consortium, bank, JoinRequest(extended)), "plan")


def test_a_reply_to_a_coordinator_is_never_taken_as_a_request(consortium, bank):
    refused(ask(consortium, bank, Refusal(bytes(32), "x", "y")), "kind")


def test_a_policy_refuses_any_other_noise(consortium, bank):
    site, ledger = bank._site, Ledger.create(None, consortium.keys["bank-1"], bank.ledger.account)
    with pytest.raises(PrivacyError, match="operating system"):
        Custodian(site, ledger, noise_law=no_noise)
    with pytest.raises(PrivacyError, match="operating system"):
        Custodian(site, ledger, new_noise_key=lambda: SeededBitSource(1, "bank-1"))


def test_a_restart_keeps_the_outbox_raises_the_epoch_and_refunds_nothing(consortium, tmp_path):
    job, one = tiny.spec(), consortium.institutions[0]
    bank = custodian_of(consortium, one, job, tmp_path / "ledger.sqlite")
    first = join(consortium, bank)
    request = consortium.coordinator_key.seal("coordinator", addressed(bank, preflight(consortium)))
    sent = bank.handle(request)
    spent = bank.ledger.job(consortium.plan.digest()).spent
    bank.ledger.close()
    again = Custodian(bank._site, Ledger.open(tmp_path / "ledger.sqlite", consortium.keys["bank-1"]))
    assert again.handle(request) == sent
    assert again.ledger.job(consortium.plan.digest()).spent == spent
    refused(ask(consortium, again, preflight(consortium, 2)), "keys-missing")
    second = join(consortium, again)
    assert (first.key_epoch, second.key_epoch) == (1, 2)
    assert first.agreement_key != second.agreement_key
    assert isinstance(ask(consortium, again, preflight(consortium, 2)), Contribution)


def test_noise_is_added_wherever_the_type_owns_a_coordinate_and_masks_everywhere(consortium, bank):
    """An unnoised count would be exact; what the institution does not own is an exact zero under its masks."""
    join(consortium, bank)
    sent = ask(consortium, bank, preflight(consortium))
    owned = owned_coordinates(consortium.plan, consortium.dictionary, Role.PREFLIGHT, "bank")
    scale = consortium.plan.phases.preflight.scale
    vector = unmasked(bank, consortium.plan, sent)
    assert np.mean(vector[owned] % scale == 0) < 0.05
    assert not vector[~owned].any()
    assert np.all(np.abs(vector) < 2**40)
    masked = np.frombuffer(sent.vector, dtype="<i8")
    assert np.mean(np.abs(masked.astype(np.float64)) > 2**50) > 0.95


def test_a_share_of_distributed_noise_is_added_everywhere():
    job = tiny.spec(tiny.SHARED)
    consortium = tiny.federation(job)
    bank = custodian_of(consortium, consortium.institutions[0], job, None)
    ask(consortium, bank, JoinRequest(consortium.plan.to_bytes()))
    agree(consortium, job, bank)
    vector = unmasked(bank, consortium.plan, ask(consortium, bank, preflight(consortium)))
    assert np.mean(vector % consortium.plan.phases.preflight.scale == 0) < 0.05


def test_who_owns_less_adds_less_noise_for_the_same_epsilon(consortium):
    members = tiny.custodians(consortium, tiny.spec())
    for one in members.values():
        join(consortium, one)
    reserved = {name: one.ledger.job(consortium.plan.digest()).reserved for name, one in members.items()}
    assert reserved["bank-1"] == reserved["bank-2"]
    assert reserved["hospital-1"] == pytest.approx(reserved["bank-1"], rel=1e-6)
    for role in (Role.PREFLIGHT, Role.TRAIN):
        noise = consortium.plan.phases.of(role).noise_variance
        assert noise["hospital"] < noise["bank"]
