"""A sampled plan needs a ledger that was opened for such plans; another one refuses at join and says what to do."""

import sqlite3
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from fedcredit.custodian.custodian import Custodian
from fedcredit.errors import LedgerError
from fedcredit.models.mlp_spec import MlpSpec
from fedcredit.planning import mixed_accountant
from fedcredit.privacy.accounting import Accountant, GaussianAccountant, Mechanism
from fedcredit.privacy.events import Charge, Slot, decode_body, encode_body
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_audit import audit
from fedcredit.privacy.ledger_entries import Account
from fedcredit.wire.envelope import SigningKey
from fedcredit.wire.messages import JoinReply, JoinRequest, Role
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


def test_a_mixed_ledger_counts_plain_noise_by_its_order_from_the_first_event() -> None:
    """The order stands in the opening event; what would be exact in a gaussian ledger costs more here."""
    accountant, key = mixed_accountant(4.0, 1e-5), SigningKey.generate()
    plain = Mechanism(sensitivity_squared=1000, noise_variance=100_000)
    with Ledger.create(None, key, Account("loans", "record", accountant)) as ledger:
        assert next(ledger.events())["accountant"] == {**accountant.to_json(), "mode": "mixed"}
        ledger.reserve(bytes(32), b"plan", accountant.budget, Fraction(0), {})
        slot = Slot(bytes(32), Role.TRAIN, 1, 1)
        ledger.commit(Charge(slot, plain, *[bytes(32)] * 4, ("a", "b", "c"), 1, 100_000), lambda *_: b"")
        spent = ledger.job(bytes(32)).spent
    assert float(spent) == pytest.approx(accountant.order / 2 / 100, rel=1e-8)
    exact = GaussianAccountant(Fraction(1))
    assert accountant.epsilon(spent, 1e-5) > exact.epsilon(exact.cost(plain), 1e-5)


def test_a_plan_of_plain_noise_that_uses_its_epsilon_up_is_too_dear_for_a_mixed_ledger() -> None:
    plain = tiny.federation()
    bank = tiny.custodians(plain, tiny.spec())["bank-1"]
    account = Account("bank-1", "record", mixed_accountant(8.0, 1e-5))
    custodian = Custodian(bank._site, Ledger.create(None, plain.keys["bank-1"], account))
    refused(ask(plain, custodian, JoinRequest(plain.plan.to_bytes())), "epsilon")
    assert custodian.ledger.committed() == 0


@pytest.mark.parametrize("mode", ["gaussian", "mixed"])
def test_no_ledger_changes_its_mode(tmp_path: Path, mode: str) -> None:
    """Another accountant in the opening event breaks the chain, and a second opening is never read."""
    key = SigningKey.generate()
    both = {"gaussian": GaussianAccountant.for_target(4.0, 1e-5), "mixed": mixed_accountant(4.0, 1e-5)}
    (other,) = (accountant for name, accountant in both.items() if name != mode)
    path = tmp_path / "ledger.sqlite"
    with Ledger.create(path, key, Account("loans", "record", both[mode])) as ledger:
        ledger.note("open", {"accountant": other.to_json()})
        assert ledger.account.accountant == both[mode]
        with pytest.raises(LedgerError, match="second opening"):
            audit(ledger.rows(), key.public)
    with pytest.raises(LedgerError, match=r"exists already"):
        Ledger.create(path, key, Account("loans", "record", other))
    connection = sqlite3.connect(path)
    (body,) = connection.execute("SELECT body FROM event WHERE seq = 1").fetchone()
    changed = encode_body({**decode_body(body), "accountant": other.to_json()})
    connection.execute("UPDATE event SET body = ? WHERE seq = 1", (changed,))
    connection.commit()
    connection.close()
    with pytest.raises(LedgerError, match="event 1 does not hold"):
        Ledger.open(path, key)
