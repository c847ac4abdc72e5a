"""Sites put together in a hurry: policies, ledgers, files and rows that do not fit one another."""

import os
from dataclasses import replace

import pytest

from fedcredit.custodian import policy as policy_module
from fedcredit.custodian.custodian import Custodian
from fedcredit.custodian.policy import load_policy
from fedcredit.custodian.site import NotPrivate
from fedcredit.custodian.site_file import load_site_file
from fedcredit.data.rows import single
from fedcredit.errors import ConfigError, DataError, PrivacyError
from fedcredit.plan import PrivacyUnit
from fedcredit.privacy.accounting import GaussianAccountant, NoAccountant
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_entries import Account
from fedcredit.wire.envelope import SigningKey
from fedcredit.wire.messages import (
    JoinReply,
    JoinRequest,
    Receipt,
    ReleaseRequest,
)
from simulations.federation import custodian_of
from tests import tiny
from tests.privacy_checks import ask, changed, refused, restarted


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"purposes": ("another purpose",)}, "purpose"),
        ({"max_epsilon_per_job": 1.0}, "epsilon"),
        ({"refused_classes": ("private",)}, "class"),
    ],
)
def test_a_policy_that_was_tightened_holds_for_jobs_that_are_open(consortium, bank, preflight, changes, code):
    stricter = restarted(bank, policy=bank._site.policy.model_copy(update=changes))
    refused(ask(consortium, stricter, preflight), code)
    assert isinstance(ask(consortium, stricter, ReleaseRequest(consortium.plan.digest(), b"{}")), Receipt)


def test_a_smaller_epsilon_in_the_policy_binds_an_older_ledger(consortium):
    bank = custodian_of(consortium, consortium.institutions[0], tiny.spec(), None)
    policy = bank._site.policy.model_copy(update={"epsilon": 3.9})
    refused(ask(consortium, restarted(bank, policy=policy), JoinRequest(consortium.plan.to_bytes())), "budget")
    larger = bank._site.policy.model_copy(update={"epsilon": 100.0, "max_epsilon_per_job": 100.0})
    generous = restarted(bank, policy=larger)
    assert isinstance(ask(consortium, generous, JoinRequest(consortium.plan.to_bytes())), JoinReply)
    second = changed(consortium.plan, job="second")
    refused(ask(consortium, generous, JoinRequest(second.to_bytes())), "budget")


def test_a_budget_at_a_delta_that_protects_nobody_is_not_spent(consortium, bank):
    """The plan's own delta is sound; the one that the policy's epsilon is promised at is not."""
    careless = restarted(bank, policy=bank._site.policy.model_copy(update={"delta": 0.01}))
    refused(ask(consortium, careless, JoinRequest(consortium.plan.to_bytes())), "delta")


def ledger_of(consortium, unit, accountant):
    return Ledger.create(None, consortium.keys["bank-1"], Account("bank-1", unit, accountant))


def test_a_policy_needs_a_private_ledger_of_its_own_unit(consortium, bank):
    for unit, accountant in (("record", NoAccountant()), ("person", GaussianAccountant.for_target(4.0, 1e-5))):
        with pytest.raises(PrivacyError, match="ledger"):
            Custodian(bank._site, ledger_of(consortium, unit, accountant))
    per_person = bank._site.policy.model_copy(update={"unit": PrivacyUnit.PERSON})
    with pytest.raises(PrivacyError, match="counts in records"):
        restarted(bank, policy=per_person)


def test_without_a_policy_nothing_starts(bank):
    with pytest.raises(PrivacyError, match="neither a policy"):
        restarted(bank, policy=None)


def test_a_public_custodian_keeps_private_jobs_out_of_a_public_ledger_and_the_reverse(consortium):
    one, none = consortium.institutions[0], tiny.federation(tiny.spec(tiny.NONE)).plan
    site = replace(custodian_of(consortium, one, tiny.spec(), None)._site, policy=NotPrivate("public"))
    public = Custodian(site, ledger_of(consortium, "record", NoAccountant()))
    assert ask(consortium, public, JoinRequest(consortium.plan.to_bytes())).code == "ledger"
    stripped = changed(
        none, roster=consortium.plan.roster.model_dump(), coordinator_key=consortium.plan.coordinator_key
    )
    private = Custodian(site, ledger_of(consortium, "record", GaussianAccountant.for_target(4.0, 1e-5)))
    refused(ask(consortium, private, JoinRequest(stripped.to_bytes())), "accounting")


def test_rows_that_are_not_the_dictionarys_do_not_start(consortium, bank):
    rows = bank._site.data.train
    beyond = rows.cells.copy()
    beyond[0, 0] = 999
    for wrong in (single(beyond, rows.bad), single(rows.cells[:, :2], rows.bad), single(rows.cells, rows.bad + 2)):
        with pytest.raises(DataError):
            restarted(bank, data=replace(bank._site.data, train=wrong))


def test_another_plan_in_the_ledger_is_not_used(consortium, bank, preflight):
    """A plan with half the noise, put under the name of the one that was joined."""
    phases = consortium.plan.phases.model_dump()
    phases["preflight"]["noise_variance"]["bank"] //= 2
    forged = changed(consortium.plan, phases=phases).to_bytes()
    bank.ledger._connection.execute("UPDATE event SET message = ? WHERE kind = 'join'", (forged,))
    refused(ask(consortium, restarted(bank), preflight), "ledger")


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_policy_or_a_site_file_that_others_can_write_is_refused(tmp_path, mode):
    for name, load in (("policy.yaml", load_policy), ("SITE.yaml", load_site_file)):
        path = tmp_path / name
        path.write_text(SITE if name == "SITE.yaml" else "epsilon: 1\n")
        path.chmod(mode)
        with pytest.raises(ConfigError, match="chmod go-w"):
            load(path)


def test_a_policy_of_another_account_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "policy.yaml"
    path.write_text("epsilon: 1\n")
    path.chmod(0o600)
    owner = path.stat().st_uid
    monkeypatch.setattr(policy_module.os, "geteuid", lambda: owner + 1)
    if owner == 0:  # the system's own files are trusted
        os.chown(path, 4711, -1)
    with pytest.raises(ConfigError, match="another account"):
        load_policy(path)


SITE = f"""
institution: bank-1
kind: bank
population: loans
dictionary: d.yaml
roster: r.yaml
identity_key: i.pem
data_key: d.key
data: {{kind: csv, path: t.csv}}
coordinators: {{coordinator: "{SigningKey.generate().public.hex()}"}}
policy: policy.yaml
ledger: l.sqlite
socket: s.sock
"""


def under(consortium, roster):
    """The plan of another job under another roster."""
    return changed(consortium.plan, job="second", roster=roster.model_dump(mode="json"))


def on_roster(bank, roster):
    larger = bank._site.policy.model_copy(update={"epsilon": 100.0, "max_epsilon_per_job": 100.0})
    return restarted(bank, roster=roster, policy=larger)


def test_the_next_roster_follows_the_one_that_was_agreed_to(consortium, bank):
    roster = consortium.plan.roster
    following = roster.model_copy(update={"version": 2, "previous": roster.digest().hex()})
    reply = ask(consortium, on_roster(bank, following), JoinRequest(under(consortium, following).to_bytes()))
    refused(reply, "budget")  # the roster is accepted; the ledger holds one job only
    stranger = roster.model_copy(update={"version": 2, "previous": "00" * 32})
    reply = ask(consortium, on_roster(bank, stranger), JoinRequest(under(consortium, stranger).to_bytes()))
    refused(reply, "roster")


def test_an_older_roster_and_another_of_the_same_version_are_refused(consortium, bank):
    roster = consortium.plan.roster
    later = roster.model_copy(update={"version": 3, "previous": "00" * 32})
    ahead = on_roster(bank, later)
    plan = under(consortium, later)
    ahead.ledger.note("join", {"terms": {"roster_version": 4, "roster_hash": "11" * 32}}, plan_hash=bytes(32))
    refused(ask(consortium, ahead, JoinRequest(plan.to_bytes())), "roster")
    moved = roster.model_copy(update={"expires": roster.expires.replace(year=2030)})
    other = on_roster(bank, moved)
    refused(ask(consortium, other, JoinRequest(under(consortium, moved).to_bytes())), "roster")
