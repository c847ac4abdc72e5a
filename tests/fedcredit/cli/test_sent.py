"""``fedcredit sent``: what left, as an operator and a machine read it, while the custodian serves."""

import json

import numpy as np
import pytest

from fedcredit.outbox.meanings import FIELDS
from fedcredit.privacy.printed import at_most, at_most_digits
from fedcredit.wire.envelope import open_envelope
from fedcredit.wire.messages import Contribution
from tests.fedcredit.audit.conftest import bank

__all__ = ["bank"]


@pytest.fixture(autouse=True)
def wide_console(monkeypatch):
    """A table is cut to the console's width; a test's has room."""
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture
def serving(bank):
    """A custodian that goes on serving, and has answered a join, a round, the same again, and one too many."""
    custodian = bank.start()
    bank.ask(custodian, bank.join)
    request = bank.sealed(bank.preflight())
    reply = custodian.handle(request)
    custodian.handle(request)
    bank.ask(custodian, bank.preflight(99))
    message = open_envelope(reply).verify(bank.site.key().public)
    assert isinstance(message, Contribution)
    return custodian, reply, message


def rows_of(out: str) -> list[str]:
    return [line for line in out.splitlines() if line.strip()[:1].isdigit()]


def test_the_list_says_when_to_whom_what_and_at_what_cost(cli, bank, serving):
    custodian, reply, _ = serving
    ran = cli("sent", bank.site.file)
    assert (ran.code, ran.err) == (0, "")
    join, contribution, again, refusal = rows_of(ran.out)
    assert "coordinator" in join
    assert "join reply" in join
    assert "hash only" in join
    job = custodian.ledger.job(bank.plan.digest())
    epsilon = custodian.ledger.account.accountant.epsilon(job.spent, bank.plan.privacy.delta)
    for words in ("contribution", "preflight 1 1", str(len(reply)), at_most_digits(float(job.spent)), at_most(epsilon)):
        assert words in contribution
    assert "contribution (sent again)" in again
    assert at_most(epsilon) not in again
    assert "refusal attempt" in refusal
    assert ran.out.splitlines()[-1] == (
        f"in all 4 messages: {2 * len(reply)} bytes in those that the ledger keeps byte for byte, 2 kept as a line and "
        f"a hash only; epsilon {at_most(epsilon)} spent at delta 1e-05"
    )


def test_fields_of_one_message_with_their_meaning(cli, bank, serving):
    _, _, message = serving
    out = cli("sent", bank.site.file, "--message", "2").out
    assert "contribution" in out
    for name, meaning in FIELDS["Contribution"].items():
        assert f"  {name}: " in out
        assert meaning in out or name == "vector"
    terms, own = bank.plan.phases.preflight, bank.plan.phases.preflight.noise_variance["bank"]
    assert f"vector: {terms.vector_length} integers, {8 * terms.vector_length} bytes" in out
    assert f"with noise of standard deviation {own**0.5 / terms.scale:.4g} records from this institution" in out
    assert "not masked: the coordinator reads them as they are" in out
    assert message.plan_hash.hex() in out
    assert "epsilon" in out
    assert "join reply" not in out


def test_fields_of_all_say_what_is_kept_as_a_hash_only(cli, bank, serving):
    out = cli("sent", bank.site.file, "--fields").out
    assert out.count("  vector: ") == 2
    assert "says that this institution accepted the plan and set its whole cost aside; kept as a line and a hash" in out


def test_noised_numbers_are_shown_on_demand_and_few(cli, bank, serving):
    _, _, message = serving
    words = np.frombuffer(message.vector, "<i8").tolist()
    for arguments in ((), ("--fields",), ("--json", "--fields")):
        out = cli("sent", bank.site.file, *arguments).out.replace(" ", "")
        assert f"{words[0]},{words[1]}" not in out
    out = cli("sent", bank.site.file, "--values").out
    assert f"first numbers as they left: {', '.join(map(str, words[:8]))}, …" in out
    assert json.loads(cli("sent", bank.site.file, "--values", "--json").out)["messages"][1]["first_values"] == words[:8]


def test_json_has_exact_costs_and_every_field(cli, bank, serving):
    custodian, reply, _ = serving
    document = json.loads(cli("sent", bank.site.file, "--json", "--fields").out)
    (charge,) = custodian.ledger.charges(bank.plan.digest())
    one = document["messages"][1]
    assert one["cost"] == charge["cost"] == document["totals"]["cost"]
    assert (one["bytes"], one["state"], one["to"], one["job"]) == (len(reply), "sent", "coordinator", "first")
    assert {field["name"] for field in one["fields"]} >= set(FIELDS["Contribution"])
    assert document["messages"][0]["bytes"] is None
    assert (document["messages"][2]["state"], document["messages"][2]["charged_here"]) == ("sent again", False)
    assert document["totals"]["messages"] == 4
    assert document["totals"]["hash_only"] == 2


def test_one_job_by_name_or_hash(cli, bank, serving):
    by_name, by_hash = (cli("sent", bank.site.file, name).out for name in ("first", bank.plan.digest().hex()[:12]))
    assert by_name == by_hash
    assert len(rows_of(by_name)) == 4
    for name in ("second", bank.plan.digest().hex()[:7]):
        ran = cli("sent", bank.site.file, name)
        assert ran.code == 1
        assert f"no message of job '{name}'" in ran.err


def test_a_number_that_is_not_in_the_list(cli, bank, serving):
    ran = cli("sent", bank.site.file, "--message", "5")
    assert (ran.code, ran.out) == (1, "")
    assert "message 5 is not in the list; there are 4" in ran.err


def test_before_anything_was_sent(cli, bank):
    ran = cli("sent", bank.site.file)
    assert ran.code == 0
    assert "there is no audit trail here" in ran.out
    assert "in all 0 messages" in ran.out


def test_a_trail_that_does_not_hold_is_not_shown(cli, bank, serving):
    bank.trail.write_bytes(bank.trail.read_bytes().replace(b"answered", b"refused!", 1))
    ran = cli("sent", bank.site.file)
    assert (ran.code, ran.out) == (1, "")
    assert "does not hold" in ran.err


def test_no_secret_is_shown(cli, bank, serving):
    custodian, _, _ = serving
    keys = bank.site.folder / "keys"
    secrets = [(keys / "data.key").read_text().strip(), (keys / "identity.pem").read_text().splitlines()[1]]
    secrets.append(custodian._agreements._secrets[bank.plan.digest()].noise._key.hex())
    for arguments in (("--fields", "--values"), ("--json", "--fields", "--values")):
        out = cli("sent", bank.site.file, *arguments).out
        assert not [secret for secret in secrets if secret in out]
