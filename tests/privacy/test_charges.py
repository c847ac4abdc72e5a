"""What a custodian writes down: every message at its whole cost, for good, and the receipt says no less."""

from fractions import Fraction

import pytest

from fedcredit.privacy.events import read_fraction
from fedcredit.privacy.statement import mechanism
from fedcredit.wire.canonical import parse_json
from fedcredit.wire.messages import Contribution, JoinRequest, Receipt, ReleaseRequest, Role
from tests import privacy_checks as checks
from tests import tiny


@pytest.fixture(scope="module")
def consortium():
    return tiny.federation()


@pytest.fixture
def bank(consortium):
    return checks.joined(consortium, tiny.spec())


def asked(consortium, bank, attempt):
    sent = checks.ask(consortium, bank, checks.round_request(consortium, Role.PREFLIGHT, b"", attempt))
    assert isinstance(sent, Contribution)
    return sent


def whole_cost(consortium, bank):
    return bank.ledger.account.accountant.cost(mechanism(consortium.plan, "bank", Role.PREFLIGHT))


def test_a_retry_costs_what_the_first_attempt_costs(consortium, bank):
    sent = [asked(consortium, bank, attempt) for attempt in (1, 2)]
    checks.check_charged(bank.ledger, consortium.plan, "bank", sent)
    assert bank.ledger.job(consortium.plan.digest()).spent == 2 * whole_cost(consortium, bank)


def test_a_restart_refunds_nothing_however_often(consortium, bank):
    asked(consortium, bank, 1)
    for _ in range(3):
        bank = checks.restarted(bank)
        checks.ask(consortium, bank, JoinRequest(consortium.plan.to_bytes()))
        assert bank.ledger.job(consortium.plan.digest()).spent == whole_cost(consortium, bank)
    checks.agree(consortium, tiny.spec(), bank)
    asked(consortium, bank, 2)
    assert bank.ledger.job(consortium.plan.digest()).spent == 2 * whole_cost(consortium, bank)


def test_a_receipt_says_what_the_charges_add_up_to(consortium, bank):
    """Summed here from the ledger's own lines."""
    asked(consortium, bank, 1)
    charges = bank.ledger.charges(consortium.plan.digest())
    receipt = checks.ask(consortium, bank, ReleaseRequest(consortium.plan.digest(), b""))
    assert isinstance(receipt, Receipt)
    spent = sum((read_fraction(event["cost"]) for event in charges), Fraction(0))
    epsilon = bank.ledger.account.accountant.epsilon(spent, consortium.plan.privacy.delta)
    assert parse_json(receipt.statement)["epsilon_spent"] == epsilon > 0
