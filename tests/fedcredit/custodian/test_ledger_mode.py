"""A sampled plan needs a ledger that was opened for such plans; another one refuses at join and says what to do."""

from dataclasses import replace

import pytest

from fedcredit.custodian.custodian import Custodian
from fedcredit.models.mlp_spec import MlpSpec
from fedcredit.planning import mixed_accountant
from fedcredit.privacy.accounting import Accountant, GaussianAccountant
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_entries import Account
from fedcredit.wire.messages import JoinReply, JoinRequest
from simulations.federation import Federation
from tests import tiny
from tests.privacy_checks import ask, refused

pytestmark = pytest.mark.neural


@pytest.fixture(scope="module")
def consortium() -> Federation:
    return tiny.federation(replace(tiny.spec(), model=MlpSpec(rounds=2, hidden_sizes=(3,), sampling_rate=0.25)))


def custodian_with(consortium: Federation, accountant: Accountant) -> Custodian:
    job = replace(tiny.spec(), model=consortium.plan.model)
    own = tiny.custodians(consortium, job)["bank-1"]
    ledger = Ledger.create(None, consortium.keys["bank-1"], Account("bank-1", "record", accountant))
    return Custodian(own._site, ledger)


def test_a_gaussian_ledger_refuses_and_names_the_remedy(consortium: Federation) -> None:
    custodian = custodian_with(consortium, GaussianAccountant.for_target(4.0, 1e-5))
    reply = ask(consortium, custodian, JoinRequest(consortium.plan.to_bytes()))
    refused(reply, "accounting")
    assert "sampling rate 0.25" in reply.text
    assert "`fedcredit ledger open --mode mixed`" in reply.text
    assert custodian.ledger.committed() == 0


def test_a_mixed_ledger_joins_the_same_plan(consortium: Federation) -> None:
    custodian = custodian_with(consortium, mixed_accountant(4.0, 1e-5))
    assert isinstance(ask(consortium, custodian, JoinRequest(consortium.plan.to_bytes())), JoinReply)
    assert custodian.ledger.committed() > 0
