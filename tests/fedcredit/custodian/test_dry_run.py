"""A dry run: the real custodian's own path, and nothing of it that could leave or be used."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from fedcredit.custodian import custodian as custodian_module
from fedcredit.custodian import dry_run as dry_run_module
from fedcredit.custodian import open_jobs
from fedcredit.custodian.approvals import Approvals, Decision
from fedcredit.custodian.custodian import Custodian
from fedcredit.custodian.dry_run import dry_run, ledger_copy, stand_in_sums, would_refuse
from fedcredit.custodian.jobs_folder import JobsFolder
from fedcredit.custodian.jurisdiction import Approval
from fedcredit.custodian.made_up import MadeUp, made_up
from fedcredit.errors import LedgerError, RefusalError
from fedcredit.ownership import owned_coordinates
from fedcredit.privacy.bits import OsBitSource
from fedcredit.privacy.ledger import Ledger
from fedcredit.wire.envelope import SigningKey, open_envelope
from fedcredit.wire.messages import Contribution, JoinRequest, Refusal, Role
from simulations.federation import custodian_of
from tests import privacy_checks as checks
from tests import step_traces, tiny


@pytest.fixture(scope="module")
def consortium():
    return tiny.federation()


@pytest.fixture
def bank(consortium):
    return tiny.custodians(consortium, tiny.spec())["bank-1"]


def rehearsed(custodian: Custodian, plan):
    return list(dry_run(custodian._site, custodian.ledger.account, plan))


def contributions(messages) -> list[Contribution]:
    return [one.message for one in messages if isinstance(one.message, Contribution)]


def first_vector(site, ledger: Ledger, plan) -> bytes:
    """The preflight's; later phases are not gone through."""
    found = (one.message for one in dry_run(site, ledger.account, plan))
    return next(message.vector for message in found if isinstance(message, Contribution))


# --- the same path as in a job


@pytest.mark.parametrize(
    "job",
    [
        tiny.spec(),
        tiny.spec(tiny.SHARED),
        tiny.with_privacy(tiny.spec(), masks=False),
        tiny.spec(tiny.NONE),
        step_traces.job(rounds=2),
    ],
    ids=["local", "distributed", "unmasked", "not private", "local steps"],
)
def test_every_message_of_a_job_is_rehearsed_at_its_true_length(job):
    consortium = tiny.federation(job)
    members, driver = tiny.custodians(consortium, job), tiny.coordinator(consortium)
    bank, sent = members["bank-1"], []
    while (step := driver.next_step()) is not None:
        replies = {name: members[name].handle(request) for name, request in step.requests.items()}
        sent.append((step.phase, replies["bank-1"]))
        driver.receive(replies)
    found = rehearsed(bank, consortium.plan)
    assert [one.phase for one in found] == [phase for phase, _ in sent]
    true = [open_envelope(reply).verify(consortium.keys["bank-1"].public) for _, reply in sent]
    assert [type(one.message) for one in found] == [type(message) for message in true]
    fixed = [index for index, one in enumerate(found) if one.phase not in {"keys", "release"}]
    assert [found[index].size for index in fixed] == [len(sent[index][1]) for index in fixed]
    for mine, theirs in zip(contributions(found), (one for one in true if isinstance(one, Contribution)), strict=True):
        assert (mine.role, mine.round, len(mine.vector)) == (theirs.role, theirs.round, len(theirs.vector))


def test_a_vector_is_the_true_sums_under_noise_of_the_plans_size():
    job = tiny.with_privacy(tiny.spec(), masks=False)
    consortium = tiny.federation(job)
    bank, plan = tiny.custodians(consortium, job)["bank-1"], consortium.plan
    variance = plan.phases.preflight.noise_variance["bank"]
    owned = owned_coordinates(plan, consortium.dictionary, Role.PREFLIGHT, "bank")
    exact = checks.exact_sums(bank, plan, Role.PREFLIGHT, b"")
    vectors = [np.frombuffer(first_vector(bank._site, bank.ledger, plan), "<i8") for _ in range(20)]
    noise = np.concatenate([(vector - exact)[owned] for vector in vectors]) / variance**0.5
    assert checks.scale_p(noise, 1.0) > checks.ACCEPT
    # Over six standard errors of the mean square each way; 0.7 and 1.3 of the noise are at 0.49 and 1.69.
    assert 6 * (2 / noise.size) ** 0.5 < 0.25
    assert 0.75 < np.mean(noise**2) < 1.25
    assert not any(vector[~owned].any() for vector in vectors)


def test_masked_vectors_are_uniform_words():
    consortium = tiny.federation(tiny.spec(tiny.SHARED))
    bank = tiny.custodians(consortium, tiny.spec(tiny.SHARED))["bank-1"]
    vectors = [np.frombuffer(one.vector, "<u8") for one in contributions(rehearsed(bank, consortium.plan))]
    words = np.concatenate(vectors) / 2.0**64
    assert stats.kstest(words, "uniform").pvalue > checks.ACCEPT
    assert len(set(words)) == len(words)


# --- what would be refused


def refusal_of(bank: Custodian, plan, **site) -> str | None:
    found = would_refuse(replace(bank._site, **site), Ledger.rehearsal(bank.ledger), plan.to_bytes())
    return None if found is None else found.code


def test_a_plan_that_a_custodian_joins_is_not_refused(consortium, bank):
    assert refusal_of(bank, consortium.plan) is None
    # Joined or not, the copy is what was asked: the ledger's own job is none.
    assert bank.ledger.job(consortium.plan.digest()) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"coordinator": "stranger"},
        {"dictionary": "00" * 32},
        {"purpose": "marketing"},
        {"coordinator_key": SigningKey.generate().public.hex()},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_code_is_the_custodians_own(consortium, bank, changes):
    plan = checks.changed(consortium.plan, **changes)
    request = consortium.coordinator_key.seal("coordinator", JoinRequest(plan.to_bytes()))
    reply = open_envelope(bank.handle(request)).verify(consortium.keys["bank-1"].public)
    assert isinstance(reply, Refusal)
    assert refusal_of(bank, plan) == reply.code


def test_what_the_ledger_cannot_pay_is_refused(consortium, bank):
    checks.ask(consortium, bank, JoinRequest(consortium.plan.to_bytes()))
    assert refusal_of(bank, consortium.plan) is None
    assert refusal_of(bank, checks.changed(consortium.plan, job="second")) == "budget"


def test_a_denial_counts_and_an_approval_that_is_wanted_does_not(consortium, bank, tmp_path):
    folder = tmp_path / "jobs"
    manual = bank._site.policy.model_copy(update={"approval": Approval.MANUAL})
    assert refusal_of(bank, consortium.plan, policy=manual, jobs_folder=folder) is None
    assert not folder.exists()
    decision = Decision(
        institution="bank-1",
        population=bank.ledger.account.population,
        plan_hash=consortium.plan.digest().hex(),
        job="tiny",
        purpose="",
        coordinator="coordinator",
        approved=False,
        by="me",
        at="now",
    )
    approvals = Approvals(JobsFolder(folder), "bank-1", bank.ledger.account.population, bank._site.key.public)
    approvals.decide(decision, bank._site.key)
    assert refusal_of(bank, consortium.plan, policy=manual, jobs_folder=folder) == "approval"


def test_a_plan_that_waits_for_its_operator_goes_on_waiting(consortium, bank, tmp_path):
    folder = JobsFolder(tmp_path / "jobs")
    folder.keep_waiting(consortium.plan.digest(), consortium.plan.to_bytes())
    manual = bank._site.policy.model_copy(update={"approval": Approval.MANUAL})
    assert refusal_of(bank, consortium.plan, policy=manual, jobs_folder=folder.path) is None
    assert folder.read(consortium.plan.digest(), "plan") == consortium.plan.to_bytes()


def test_a_refusal_of_a_phase_is_the_last_message(consortium, bank, monkeypatch):
    def refuse(*_):
        raise RefusalError("hours", "not now")

    monkeypatch.setattr(open_jobs, "guard_round", refuse)
    found = rehearsed(bank, consortium.plan)
    assert [one.phase for one in found] == ["join", "keys", "preflight"]
    assert isinstance(found[-1].message, Refusal)
    assert found[-1].message.code == "hours"


# --- nothing that could leave, or be used


class Unwilling(SigningKey):
    """The true identity key: its public half is read, and it signs nothing."""

    def sign(self, _: bytes) -> bytes:
        raise AssertionError("the identity key was asked to sign")


def test_the_identity_key_signs_nothing_and_the_true_ledger_stays(consortium, bank):
    key = Unwilling(bank._site.key._private_key)
    site, before = replace(bank._site, key=key), bank.ledger.event_count
    assert would_refuse(site, Ledger.rehearsal(bank.ledger), consortium.plan.to_bytes()) is None
    found = list(dry_run(site, bank.ledger.account, consortium.plan))
    assert len(contributions(found)) == 4
    assert bank.ledger.event_count == before


def test_nothing_of_it_is_of_the_true_consortium(consortium, bank):
    for one in rehearsed(bank, consortium.plan):
        with pytest.raises(RefusalError, match="does not match"):
            one.envelope.verify(consortium.keys["bank-1"].public)
        assert getattr(one.message, "plan_hash", b"") != consortium.plan.digest()


def test_no_key_outlives_the_run_and_no_two_runs_share_one(consortium, bank):
    first, second = (made_up(bank._site, consortium.plan) for _ in range(2))
    true = {member.public_key for member in consortium.plan.roster.members} | {consortium.plan.coordinator_key}
    keys = [
        {one.plan.coordinator_key, *(member.public_key for member in one.plan.roster.members)}
        for one in (first, second)
    ]
    assert len(keys[0] | keys[1] | true) == 12
    assert first.site.audit_trail is None
    assert first.site.jobs_folder is None
    same = {"roster", "coordinator_key"}
    assert first.plan.model_dump(exclude=same) == consortium.plan.model_dump(exclude=same)


def test_it_opens_no_file_and_no_socket(consortium, bank):
    plan, site, account = consortium.plan, bank._site, bank.ledger.account
    list(dry_run(site, account, plan))  # whatever is imported on the way is loaded
    seen: list[tuple[str, object]] = []
    watching = [True]

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if watching and (event in {"open", "sqlite3.connect"} or event.startswith(("socket.", "subprocess.", "os."))):
            seen.append((event, arguments[0] if arguments else None))

    sys.addaudithook(hook)
    list(dry_run(site, account, plan))
    watching.clear()
    assert set(seen) == {("sqlite3.connect", ":memory:")}


def words_of(site, ledger, plan, consortium) -> tuple[bytes, bytes]:
    """The preflight's vector in a dry run, and in the true message that follows it."""
    dry = first_vector(site, ledger, plan)
    bank = Custodian(site, ledger)
    checks.ask(consortium, bank, JoinRequest(plan.to_bytes()))
    true = checks.ask(consortium, bank, checks.round_request(consortium, Role.PREFLIGHT, b""))
    assert isinstance(true, Contribution)
    return dry, true.vector


def as_in_truth(consortium):
    """A made-up consortium that is none: the true plan, identity and coordinator."""
    return lambda site, plan: MadeUp(plan, site, consortium.coordinator_key, consortium.keys)


def test_no_vector_of_a_dry_run_is_ever_that_of_a_true_message(monkeypatch):
    """Two keys stand between them, and either is enough; a dry run without both repeats the true message."""
    job = tiny.with_privacy(tiny.spec(), masks=False)
    equal = {}
    for plan_kept in (False, True):
        for key_kept in (False, True):
            consortium = tiny.federation(job)
            bank = tiny.custodians(consortium, job)["bank-1"]
            with monkeypatch.context() as patch:
                if plan_kept:
                    patch.setattr(dry_run_module, "made_up", as_in_truth(consortium))
                if key_kept:
                    patch.setattr(OsBitSource, "__init__", constant_key)
                dry, true = words_of(bank._site, bank.ledger, consortium.plan, consortium)
            equal[plan_kept, key_kept] = dry == true
    assert equal == {(False, False): False, (False, True): False, (True, False): False, (True, True): True}


def constant_key(source: OsBitSource) -> None:
    source._key = bytearray(b"a constant".ljust(32))


# --- the copy of the ledger


def test_a_copy_leaves_no_file_and_a_served_ledger_its_own(tmp_path):
    consortium = tiny.federation()
    path, key = tmp_path / "bank-1.sqlite", consortium.keys["bank-1"].public
    bank = tiny.custodians(consortium, tiny.spec(), tmp_path)["bank-1"]
    names = sorted(one.name for one in tmp_path.iterdir())
    assert "bank-1.sqlite-wal" in names
    with ledger_copy(path, key) as copy:
        assert copy.event_count == bank.ledger.event_count
    assert sorted(one.name for one in tmp_path.iterdir()) == names
    checks.ask(consortium, bank, JoinRequest(consortium.plan.to_bytes()))
    bank.ledger.close()
    before = {one.name: one.read_bytes() for one in tmp_path.glob("bank-1*")}
    assert "bank-1.sqlite-wal" not in before
    with ledger_copy(path, key) as copy:
        assert copy.job(consortium.plan.digest()) is not None
    assert {one.name: one.read_bytes() for one in tmp_path.glob("bank-1*")} == before


def test_a_ledger_that_does_not_hold_is_not_copied(tmp_path):
    with pytest.raises(LedgerError, match="does not exist"):
        ledger_copy(tmp_path / "none.sqlite", bytes(32))


# --- stand-ins


def test_stand_ins_come_from_public_sizes_alone(consortium):
    plan, dictionary = consortium.plan, consortium.dictionary
    sums = stand_in_sums(plan, dictionary, Role.PREFLIGHT)
    assert sums.shape == (plan.phases.preflight.vector_length,)
    ages = dictionary.features[0].n_cells
    everybody = sum(plan.training_records(name) for name in plan.members)
    assert sums[: 2 * ages].sum() == pytest.approx(everybody * plan.phases.preflight.scale, rel=1e-3)
    assert len(set(sums[: 2 * ages].tolist())) == 1
    for role in (Role.TRAIN, Role.EVALUATE):
        assert not stand_in_sums(plan, dictionary, role).any()


def test_models_of_a_dry_run_do_not_depend_on_the_records(consortium, monkeypatch):
    asked: list[list[bytes]] = []
    for seed in (1, 7):
        one = replace(consortium.institutions[0], data=tiny.institution("bank-1", "bank", 350, seed).data)
        bank = custodian_of(consortium, one, tiny.spec(), None)
        models: list[bytes] = []
        with monkeypatch.context() as patch:
            patch.setattr(custodian_module, "rehearse", lambda *given, seen=models: seen.append(given[-1]))
            rehearsed(bank, consortium.plan)
        asked.append(models)
    assert asked[0] == asked[1]
    assert len(asked[0]) == 4
