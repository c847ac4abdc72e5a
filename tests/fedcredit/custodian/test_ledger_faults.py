"""Faults of a ledger as a coordinator meets them: refused with a code, nothing sent, answered once they are over."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from fedcredit.custodian.custodian import Custodian
from fedcredit.data.units import hash_units
from fedcredit.errors import LedgerError
from fedcredit.privacy.ledger import Ledger
from fedcredit.wire.messages import Contribution, JoinReply, JoinRequest, Receipt, ReleaseRequest, Role
from tests import tiny
from tests.privacy_checks import addressed, agree, ask, changed, refused, restarted, round_request

ROOT = Path(__file__).resolve().parents[3]
ENOUGH = 2**30


@pytest.fixture
def bank(consortium, tmp_path) -> Custodian:
    """A custodian whose ledger is a file, and which has joined."""
    custodian = tiny.custodians(consortium, tiny.spec(), tmp_path)["bank-1"]
    ask(consortium, custodian, JoinRequest(consortium.plan.to_bytes()))
    agree(consortium, tiny.spec(), custodian)
    return custodian


def fill_disk(bank: Custodian) -> None:
    """Let the ledger grow no further, and use up what its pages still have room for."""
    connection = bank.ledger._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages}")
    for size in (2000, 200, 20, 0):
        with pytest.raises(LedgerError):
            fill(bank.ledger, size)


def fill(ledger: Ledger, size: int) -> None:
    for _ in range(100):
        ledger.note("filler", {"x": "y" * size})


def free_disk(bank: Custodian) -> None:
    bank.ledger._connection.execute(f"PRAGMA max_page_count={ENOUGH}")


def test_a_full_disk_refuses_a_round_and_the_same_request_is_answered_later(consortium, bank, preflight):
    request = consortium.coordinator_key.seal("coordinator", addressed(bank, preflight))
    fill_disk(bank)
    before = bank.ledger.event_count
    for _ in range(3):
        refusal = ask(consortium, bank, preflight)
        refused(refusal, "ledger")
        assert "disk" in refusal.text
        assert bank.ledger.event_count == before
        assert bank.ledger.job(consortium.plan.digest()).spent == 0
    free_disk(bank)
    sent = bank.handle(request)
    assert bank.handle(request) == sent
    assert len(bank.ledger.charges(consortium.plan.digest())) == 1
    bank.ledger.verify()


def test_a_full_disk_refuses_a_join_whole(consortium, tmp_path):
    bank = tiny.custodians(consortium, tiny.spec(), tmp_path)["bank-1"]
    fill_disk(bank)
    before = bank.ledger.event_count
    join = JoinRequest(consortium.plan.to_bytes())
    refused(ask(consortium, bank, join), "ledger")
    assert (bank.ledger.event_count, bank.ledger.committed()) == (before, 0)
    free_disk(bank)
    assert isinstance(ask(consortium, bank, join), JoinReply)
    assert len(bank.ledger.open_jobs()) == 1


def test_units_of_an_earlier_epoch_are_refused_at_join(consortium, tmp_path):
    """The custodian's command finds this at its start; whoever builds one otherwise is refused here."""
    own = tiny.custodians(consortium, tiny.spec(), tmp_path)["bank-1"]
    old, new = (hash_units(ids, bytes(32)) for ids in ([b"1", b"2"], [b"3"]))
    bank = restarted(own, data=with_units(own, old))
    join = JoinRequest(consortium.plan.to_bytes())
    assert isinstance(ask(consortium, bank, join), JoinReply)
    bank.ledger.abandon(consortium.plan.digest())
    assert bank.ledger.open_epoch(new) == 2
    other = JoinRequest(changed(consortium.plan, job="second").to_bytes())
    refused(ask(consortium, restarted(own, data=with_units(own, old)), other), "ledger")
    assert isinstance(ask(consortium, restarted(own, data=with_units(own, new)), other), JoinReply)


def with_units(custodian: Custodian, units):
    return replace(custodian._site.data, units=units)


def test_a_clock_that_is_set_back_gives_no_budget_back(consortium, bank, preflight):
    """Rosters expire by the machine's clock; what was charged stands whatever it says."""
    sent = ask(consortium, bank, preflight)
    assert isinstance(sent, Contribution)
    committed, charged = bank.ledger.committed(), len(bank.ledger.charges(consortium.plan.digest()))
    for days in (-20_000, -1, 1):
        then = datetime.now(UTC) + timedelta(days=days)
        bank._site = bank._jobs._site = at(bank, then)
        assert ask(consortium, bank, preflight) == sent
        assert bank.ledger.committed() == committed
        assert len(bank.ledger.charges(consortium.plan.digest())) == charged
    assert isinstance(ask(consortium, bank, round_request(consortium, Role.PREFLIGHT, b"", attempt=2)), Contribution)
    assert len(bank.ledger.charges(consortium.plan.digest())) == charged + 1
    bank.ledger.verify()


def at(custodian: Custodian, moment: datetime):
    return replace(custodian._site, now=lambda: moment)


def test_a_receipt_says_the_epoch(consortium, bank, preflight):
    ask(consortium, bank, preflight)
    receipt = ask(consortium, bank, ReleaseRequest(consortium.plan.digest(), b""))
    assert isinstance(receipt, Receipt)
    assert b'"epoch":1' in receipt.statement


FORKED = """
import os, sys
import numpy as np
from fedcredit.wire.envelope import open_envelope
from fedcredit.wire.messages import Role
from tests import privacy_checks as checks, tiny

consortium = tiny.federation()
bank = checks.joined(consortium, tiny.spec(checks.tiny.LOCAL))


def child(attempt):
    read, write = os.pipe()
    if os.fork() == 0:
        request = checks.round_request(consortium, Role.PREFLIGHT, b"", attempt)
        reply = checks.reply_to(consortium, bank, request)
        sent = open_envelope(reply).verify(consortium.keys["bank-1"].public)
        noised = checks.unmasked(bank, consortium.plan, sent)
        exact = checks.exact_sums(bank, consortium.plan, Role.PREFLIGHT, b"")
        with os.fdopen(write, "wb") as out:
            out.write(len(reply).to_bytes(4, "big") + reply + (noised - exact).astype("<i8").tobytes())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as back:
        data = back.read()
    os.wait()
    size = int.from_bytes(data[:4], "big")
    return data[4 : 4 + size], np.frombuffer(data[4 + size :], dtype="<i8")


(first, noise), (same, _), (_, other) = child(1), child(1), child(2)
variance = consortium.plan.phases.preflight.noise_variance["bank"]
print(first == same, len(noise), np.var(noise) / variance, np.var(other) / variance, np.mean(noise * other) / variance)
"""


def test_forks_of_one_process_send_equal_bytes_or_independent_noise():
    """Real forks: what a snapshot of a machine that is restored twice would do."""
    done = subprocess.run(
        [sys.executable, "-c", FORKED],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    equal, n, *numbers = done.stdout.split()
    first, second, correlation = map(float, numbers)
    assert equal == "True"
    # Six standard errors; the same noise twice would have a correlation of 1.
    slack = 6 / np.sqrt(int(n))
    assert slack < 0.9
    assert abs(correlation) < slack
    assert first > 0.1
    assert second > 0.1
