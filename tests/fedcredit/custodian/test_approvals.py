"""Approval by a person: what waits, what a decision is worth, and who tries to get around it."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fedcredit.custodian import jobs_folder
from fedcredit.custodian.approvals import Approvals, Decision
from fedcredit.custodian.custodian import Custodian
from fedcredit.custodian.jobs_folder import JobsFolder, jobs_folder_of
from fedcredit.custodian.jurisdiction import Approval
from fedcredit.custodian.policy import Policy
from fedcredit.errors import ConfigError, JobError, RefusalError
from fedcredit.plan import MAX_PLAN_BYTES, parse_plan
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_entries import Account
from fedcredit.wire.envelope import SigningKey
from fedcredit.wire.messages import Contribution, JoinReply, JoinRequest, Receipt, ReleaseRequest, Role
from simulations.federation import custodian_of
from tests import tiny
from tests.privacy_checks import agree, ask, changed, refused, restarted, round_request


@pytest.fixture
def folder(tmp_path):
    return JobsFolder(jobs_folder_of(tmp_path / "ledger.sqlite"))


@pytest.fixture
def bank(consortium, folder):
    """A custodian whose operator decides."""
    plain = custodian_of(consortium, consortium.institutions[0], tiny.spec(), None)
    policy = plain._site.policy.model_copy(update={"approval": Approval.MANUAL})
    return restarted(plain, policy=policy, jobs_folder=folder.path)


@pytest.fixture
def approvals(consortium, folder):
    return approvals_of(consortium, folder)


def approvals_of(consortium, folder, population="bank-1"):
    return Approvals(folder, "bank-1", population, consortium.keys["bank-1"].public)


def decision(plan, **changes):
    fields = {
        "institution": "bank-1",
        "population": "bank-1",
        "plan_hash": plan.digest().hex(),
        "job": plan.job,
        "purpose": plan.purpose,
        "coordinator": plan.coordinator,
        "approved": True,
        "by": "officer",
        "at": "2026-11-22T09:00:00+00:00",
    }
    return Decision(**{**fields, **changes})


def join(plan):
    return JoinRequest(plan.to_bytes())


def numbered(plan, number):
    return changed(plan, job=f"job-{number}")


# From the request to the decision.


def test_a_plan_waits_until_it_is_approved(consortium, bank, approvals):
    plan = consortium.plan
    refused(ask(consortium, bank, join(plan)), "approval")
    assert approvals.waiting() == [plan.digest()]
    assert parse_plan(approvals.plan(plan.digest())) == plan
    assert bank.ledger.event_count == 1
    approvals.decide(decision(plan), consortium.keys["bank-1"])
    assert approvals.waiting() == []
    assert isinstance(ask(consortium, bank, join(plan)), JoinReply)
    terms = bank.ledger.job(plan.digest()).terms
    assert (terms["approved_by"], terms["approved_at"]) == ("officer", "2026-11-22T09:00:00+00:00")
    assert approvals.folder.hashes("plan") == []


def test_a_coordinator_stops_for_the_operator_and_goes_on_when_resumed(consortium, bank, approvals):
    members = {**tiny.custodians(consortium, tiny.spec()), "bank-1": bank}
    driver = tiny.coordinator(consortium)
    with pytest.raises(JobError, match="approval"):
        tiny.run(driver, members)
    approvals.decide(decision(consortium.plan), consortium.keys["bank-1"])
    tiny.run(driver, members)
    assert driver.done
    assert {charge["attempt"] for charge in bank.ledger.charges(consortium.plan.digest())} == {1}


def test_a_denied_plan_stays_denied(consortium, bank, approvals):
    plan, key = consortium.plan, consortium.keys["bank-1"]
    ask(consortium, bank, join(plan))
    approvals.decide(decision(plan, approved=False, reason="no contract"), key)
    refused(reply := ask(consortium, bank, join(plan)), "approval")
    assert "no contract" not in reply.text
    with pytest.raises(ConfigError, match="denied, which is final"):
        approvals.decide(decision(plan), key)
    # Nor does an approval that is put beside it count.
    approvals.folder.write(plan.digest(), "approve", decision(plan).signed(key))
    refused(ask(consortium, bank, join(plan)), "approval")
    refused(ask(consortium, restarted(bank), join(plan)), "approval")
    assert approvals.folder.hashes("plan") == []


def test_a_denial_takes_an_approval_back(consortium, bank, approvals):
    plan, key = consortium.plan, consortium.keys["bank-1"]
    approvals.decide(decision(plan), key)
    assert isinstance(ask(consortium, bank, join(plan)), JoinReply)
    agree(consortium, tiny.spec(), bank)
    approvals.decide(decision(plan, approved=False), key)
    refused(ask(consortium, bank, round_request(consortium, Role.PREFLIGHT, b"")), "approval")
    assert not bank.ledger.charges(plan.digest())
    assert isinstance(ask(consortium, bank, ReleaseRequest(plan.digest(), b"{}")), Receipt)


def test_an_approved_job_goes_on_after_a_restart(consortium, bank, approvals):
    approvals.decide(decision(consortium.plan), consortium.keys["bank-1"])
    ask(consortium, bank, join(consortium.plan))
    afresh = restarted(bank)
    assert isinstance(ask(consortium, afresh, join(consortium.plan)), JoinReply)
    agree(consortium, tiny.spec(), afresh)
    assert isinstance(ask(consortium, afresh, round_request(consortium, Role.PREFLIGHT, b"")), Contribution)


def test_what_would_be_refused_anyway_never_waits(consortium, bank, approvals):
    plan = consortium.plan
    other_purpose = changed(plan, purpose="another purpose")
    refused(ask(consortium, bank, join(other_purpose)), "purpose")
    poor = restarted(bank, policy=bank._site.policy.model_copy(update={"epsilon": 0.5}))
    refused(ask(consortium, poor, join(plan)), "budget")
    hours = {"working_hours": [{"days": ["mon"], "from": "08:00", "to": "09:00"}], "timezone": "UTC"}
    shut = Policy.model_validate({**bank._site.policy.model_dump(by_alias=True), **hours})
    sunday = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)
    refused(ask(consortium, restarted(bank, policy=shut, now=lambda: sunday), join(plan)), "hours")
    assert approvals.waiting() == []
    assert not approvals.folder.path.exists()


def test_without_the_rule_no_folder_is_made(consortium, bank, approvals):
    policy = bank._site.policy.model_copy(update={"approval": Approval.AUTOMATIC})
    assert isinstance(ask(consortium, restarted(bank, policy=policy), join(consortium.plan)), JoinReply)
    assert not approvals.folder.path.exists()
    assert "approved_by" not in bank.ledger.job(consortium.plan.digest()).terms


def test_a_rule_without_a_folder_does_not_start(bank):
    with pytest.raises(ConfigError, match="no folder"):
        restarted(bank, jobs_folder=None)


# Attacks.


def test_a_coordinator_that_floods_fills_no_disk(consortium, bank, approvals, monkeypatch):
    monkeypatch.setattr(jobs_folder, "MOST_WAITING", 5)
    for number in range(12):
        refused(ask(consortium, bank, join(numbered(consortium.plan, number))), "approval")
    assert len(approvals.waiting()) == 5
    assert len(list(approvals.folder.path.iterdir())) == 5
    # A plan that waits may be asked for again; a decision makes room for the next.
    refused(ask(consortium, bank, join(numbered(consortium.plan, 0))), "approval")
    approvals.decide(decision(numbered(consortium.plan, 0), approved=False), consortium.keys["bank-1"])
    refused(ask(consortium, bank, join(numbered(consortium.plan, 7))), "approval")
    assert numbered(consortium.plan, 7).digest() in approvals.waiting()
    assert len(approvals.waiting()) == 5
    # What was denied comes back as nothing.
    refused(ask(consortium, bank, join(numbered(consortium.plan, 0))), "approval")
    assert len(approvals.waiting()) == 5


def test_the_bytes_that_wait_are_bounded_too(folder, monkeypatch):
    assert jobs_folder.MOST_WAITING_BYTES == 4 * MAX_PLAN_BYTES
    monkeypatch.setattr(jobs_folder, "MOST_WAITING_BYTES", 1000)
    folder.keep_waiting(bytes(32), b"x" * 600)
    with pytest.raises(Exception, match="too many plans wait"):
        folder.keep_waiting(bytes([1]) * 32, b"x" * 401)
    folder.keep_waiting(bytes([2]) * 32, b"x" * 400)
    assert len(folder.hashes("plan")) == 2


def test_a_plan_that_was_changed_by_a_byte_is_another_plan(consortium, bank, approvals):
    approvals.decide(decision(consortium.plan), consortium.keys["bank-1"])
    altered = changed(consortium.plan, evaluation={"score_bins": 11, "groupings": ["type"]})
    same_job = changed(consortium.plan, coordinator_region="XX")
    assert len(consortium.plan.to_bytes()) != 0
    for other in (altered, same_job):
        assert ask(consortium, bank, join(other)).code in {"approval", "terms", "route"}
        assert bank.ledger.job(other.digest()) is None
    data = consortium.plan.to_bytes()
    flipped = data.replace(b'"tiny"', b'"tinz"', 1)
    assert len(flipped) == len(data) != 0
    refused(ask(consortium, bank, JoinRequest(flipped)), "approval")


def test_a_kept_plan_that_was_changed_on_disk_is_not_shown_as_the_one_of_its_name(consortium, bank, approvals):
    ask(consortium, bank, join(consortium.plan))
    path = approvals.folder.path / f"{consortium.plan.digest().hex()}.plan"
    path.write_bytes(path.read_bytes().replace(b'"tiny"', b'"tinz"', 1))
    with pytest.raises(ConfigError, match="is another one"):
        approvals.plan(consortium.plan.digest())


def forged(consortium, plan):
    """Approval files that no owner of this ledger's key wrote for this plan."""
    key, right = consortium.keys["bank-1"], decision(plan)
    honest = right.signed(key)
    yield "another key", right.signed(SigningKey.generate())
    yield "another member", right.signed(consortium.keys["bank-2"])
    yield "another plan", decision(numbered(plan, 1)).signed(key)
    yield "another ledger", decision(plan, population="bank-1-loans").signed(key)
    yield "another institution", decision(plan, institution="bank-2").signed(key)
    yield "a denial by name of approval", decision(plan, approved=False).signed(key)
    yield "another's words", honest.replace(b"officer", b"nobody!")
    yield "torn", honest[: len(honest) // 2]
    yield "empty", b""
    yield "twice", honest.replace(b'{"decision"', b'{"decision":1,"decision"', 1)


@pytest.mark.parametrize("number", range(10))
def test_a_decision_of_anybody_else_lets_nothing_in(consortium, bank, approvals, number):
    plan = consortium.plan
    name, data = list(forged(consortium, plan))[number]
    approvals.folder.write(plan.digest(), "approve", data)
    refused(ask(consortium, bank, join(plan)), "approval")
    assert bank.ledger.event_count == 1, name
    with pytest.raises(ConfigError, match=r"remove it and decide again"):
        approvals.decision(plan.digest())
    approvals.folder.write(plan.digest(), "approve", decision(plan).signed(consortium.keys["bank-1"]))
    assert isinstance(ask(consortium, bank, join(plan)), JoinReply)


def test_the_list_of_forgeries_is_whole(consortium):
    assert len(list(forged(consortium, consortium.plan))) == 10


def test_an_approval_for_one_ledger_is_none_for_another(consortium, bank, approvals, folder):
    """One institution, one key, one folder copied from its other population's."""
    approvals.decide(decision(consortium.plan), consortium.keys["bank-1"])
    account = bank.ledger.account
    other = Ledger.create(None, consortium.keys["bank-1"], Account("bank-1-loans", account.unit, account.accountant))
    loans = Custodian(bank._site, other)
    refused(ask(consortium, loans, join(consortium.plan)), "approval")
    assert isinstance(ask(consortium, bank, join(consortium.plan)), JoinReply)


def test_a_denial_holds_under_a_policy_that_asks_nobody(consortium, bank, approvals):
    plan, lenient = consortium.plan, bank._site.policy.model_copy(update={"approval": Approval.AUTOMATIC})
    approvals.decide(decision(plan, approved=False), consortium.keys["bank-1"])
    refused(ask(consortium, restarted(bank, policy=lenient), join(plan)), "approval")
    assert isinstance(ask(consortium, restarted(bank, policy=lenient), join(numbered(plan, 2))), JoinReply)


class DeniedMeanwhile(JobsFolder):
    """A folder in which somebody denies a plan right after the custodian has looked for a denial."""

    denial = b""

    def read(self, plan_hash, what):
        found = super().read(plan_hash, what)
        if what == "deny":
            self.write(plan_hash, "deny", self.denial)
        return found


def test_a_denial_that_comes_while_the_custodian_looks_is_no_approval(consortium, folder):
    plan, key = consortium.plan, consortium.keys["bank-1"]
    approvals_of(consortium, folder).decide(decision(plan), key)
    DeniedMeanwhile.denial = decision(plan, approved=False).signed(key)
    racing = approvals_of(consortium, DeniedMeanwhile(folder.path))
    assert racing.require(plan.digest(), plan.to_bytes()).approved
    with pytest.raises(RefusalError, match="denied"):
        racing.require(plan.digest(), plan.to_bytes())


def test_console_and_custodian_do_not_write_into_each_others_files(folder):
    def write(what, data):
        for number in range(30):
            folder.write(bytes([number]) * 32, what, data)

    kinds = {"plan": b"p" * 2**21, "deny": b"d" * 500}
    with ThreadPoolExecutor(2) as pool:
        for written in [pool.submit(write, *one) for one in kinds.items()]:
            written.result()
    for what, data in kinds.items():
        assert [folder.read(plan_hash, what) for plan_hash in folder.hashes(what)] == [data] * 30


def test_links_in_the_folder_lead_nowhere(consortium, bank, approvals, tmp_path):
    plan = consortium.plan
    ask(consortium, bank, join(plan))
    approval, secret = tmp_path / "approval", tmp_path / "secret"
    approval.write_bytes(decision(plan).signed(consortium.keys["bank-1"]))
    secret.write_bytes(b"as it was")
    path = approvals.folder.path
    (path / f"{plan.digest().hex()}.approve").symlink_to(approval)
    refused(ask(consortium, bank, join(plan)), "approval")
    with pytest.raises(ConfigError, match="cannot be read"):
        approvals.decision(plan.digest())
    # Nor is anything written through one.
    (path / ".new").symlink_to(secret)
    second = numbered(plan, 2)
    refused(ask(consortium, bank, join(second)), "approval")
    assert secret.read_bytes() == b"as it was"
    assert second.digest() not in approvals.waiting()


def test_a_pipe_or_a_folder_in_a_files_place_holds_nobody_up(consortium, bank, approvals):
    plan = consortium.plan
    ask(consortium, bank, join(plan))
    pipe = approvals.folder.path / f"{plan.digest().hex()}.deny"
    os.mkfifo(pipe)
    refused(ask(consortium, bank, join(plan)), "approval")
    pipe.unlink()
    pipe.mkdir()
    refused(ask(consortium, bank, join(plan)), "approval")


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o777])
def test_a_folder_that_others_can_look_into_is_not_used(consortium, bank, approvals, mode):
    ask(consortium, bank, join(consortium.plan))
    assert approvals.folder.path.stat().st_mode & 0o777 == 0o700
    approvals.decide(decision(consortium.plan), consortium.keys["bank-1"])
    approvals.folder.path.chmod(mode)
    refused(ask(consortium, bank, join(consortium.plan)), "approval")
    with pytest.raises(ConfigError, match="chmod 700"):
        approvals.waiting()


def test_a_folder_that_is_a_link_is_not_used(consortium, bank, approvals, tmp_path):
    elsewhere = JobsFolder(tmp_path / "elsewhere")
    replace(approvals, folder=elsewhere).decide(decision(consortium.plan), consortium.keys["bank-1"])
    approvals.folder.path.symlink_to(elsewhere.path)
    refused(ask(consortium, bank, join(consortium.plan)), "approval")
    with pytest.raises(ConfigError, match="no folder that this account can open"):
        approvals.waiting()


def test_a_file_too_long_to_be_a_plan_is_not_read_whole(folder, monkeypatch):
    folder.write(bytes(32), "plan", b"x" * 11)
    monkeypatch.setattr(jobs_folder, "MAX_PLAN_BYTES", 10)
    with pytest.raises(ConfigError, match="longer than any plan"):
        folder.read(bytes(32), "plan")


def test_other_files_in_the_folder_are_nobodys_plan(folder):
    folder.write(bytes(32), "plan", b"x")
    for name in ("notes.txt", "0" * 63 + ".plan", "0" * 64 + ".planned", "0" * 64 + ".plan\n", "G" * 64 + ".plan"):
        (folder.path / name).write_text("x")
    assert folder.hashes("plan") == [bytes(32)]
