"""``fedcredit institution dry-run`` on a site's real files: what it says, and that it leaves nothing behind."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import typer

from fedcredit.cli.dry_run import DISCARDED, LOOK, PADS, STAND_IN, _said, _shown, rehearse_plan
from fedcredit.errors import RefusalError
from fedcredit.outbox.meanings import FIELDS
from fedcredit.wire.messages import Contribution, JoinReply, Refusal
from tests import tiny
from tests.fedcredit.audit.conftest import bank
from tests.fedcredit.cli.conftest import Ran, table

__all__ = ["bank"]


@pytest.fixture(autouse=True)
def wide_console(monkeypatch):
    """A table is cut to the console's width; a test's has room."""
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture
def rehearse(bank, capsys):
    """Run the command on the bank's plan, or another."""
    app = typer.Typer()
    app.command()(rehearse_plan)
    file = bank.site.folder.parent / f"{bank.site.folder.name}-plan.json"
    file.write_bytes(bank.plan.to_bytes())

    def run(*arguments: object, plan: object = file) -> Ran:
        capsys.readouterr()
        code, error = 0, ""
        try:
            app([str(bank.site.file), str(plan), *map(str, arguments)], standalone_mode=False)
        except RefusalError as refusal:
            code, error = 1, str(refusal)
        done = capsys.readouterr()
        return Ran(code, done.out, error + done.err)

    yield run
    file.unlink()


def everything(folder: Path) -> dict[str, bytes | None]:
    """Every file of a folder with its bytes, but for SQLite's index of a log, which readers may write to."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() or path.name.endswith("-shm") else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


def test_it_says_what_would_leave_and_what_that_would_cost(bank, rehearse):
    ran = rehearse()
    assert (ran.code, ran.err) == (0, "")
    plan, out = bank.plan, ran.out
    assert out.startswith(f"plan {plan.digest().hex()[:16]}: job first of coordinator\n")
    for phase in ("join", "preflight 1", "train 1", "train 2", "evaluate 1", "release"):
        assert re.search(rf"^\s*{phase} ", out, re.MULTILINE), phase
    for kind in ("Envelope", "JoinReply", "Contribution", "Receipt"):
        for name, meaning in FIELDS[kind].items():
            assert f"  {name}: {meaning}" in out or name == "vector"
    for role, unit in (("preflight", "records"), ("train", "in those units"), ("evaluate", "records")):
        terms = getattr(plan.phases, role)
        stddev = terms.noise_variance["bank"] ** 0.5 / terms.scale
        assert f"vector: {terms.vector_length} integers: " in out
        assert f"with noise of standard deviation {stddev:.4g} {unit} from this institution" in out
    assert "not masked: the coordinator reads them as they are" in out
    assert "joining would set aside epsilon 2.000 at delta 1e-05" in out
    assert STAND_IN in out
    assert DISCARDED in out
    assert LOOK not in out


def test_json_has_each_message_and_exact_costs(bank, rehearse):
    document = json.loads(rehearse("--json").out)
    assert document["refused"] is None
    assert [one["phase"] for one in document["messages"]] == [
        "join", "preflight", "train", "train", "evaluate", "release"
    ]  # fmt: skip
    charged = [one["epsilon_so_far"] for one in document["messages"] if one["cost"] != "0/1"]
    assert charged == sorted(charged)
    assert 0 < charged[0] < charged[-1] < document["epsilon_planned"] <= 2.0
    assert "first_values" not in document["messages"][1]


@pytest.mark.parametrize("arguments", [(), ("--values", "--json")], ids=["served", "not served"])
def test_nothing_is_sent_charged_reserved_or_kept(bank, rehearse, arguments):
    custodian = bank.start()
    bank.ask(custodian, bank.join)
    if arguments:
        bank.end()
    before = everything(bank.site.folder)
    assert rehearse(*arguments).code == 0
    assert everything(bank.site.folder) == before
    assert {"ledger.sqlite", "ledger.sqlite.audit.jsonl"} <= set(before)
    if not arguments:
        assert isinstance(bank.ask(custodian, bank.preflight()), Contribution)


def test_before_the_first_job_there_is_no_trail_and_none_is_begun(bank, rehearse):
    before = everything(bank.site.folder)
    assert rehearse().code == 0
    assert everything(bank.site.folder) == before
    assert not bank.trail.exists()


def test_a_message_has_the_length_of_the_true_one(bank, rehearse):
    rehearsed = {one["phase"]: one["bytes"] for one in json.loads(rehearse("--json").out)["messages"]}
    custodian = bank.start()
    sizes = {"join": len(custodian.handle(bank.sealed(bank.join)))}
    sizes["preflight"] = len(custodian.handle(bank.sealed(bank.preflight())))
    assert sizes == {phase: rehearsed[phase] for phase in sizes}


def test_a_plan_that_would_be_refused_says_the_code_and_takes_no_sum(bank, rehearse):
    bank.site.change("policy.yaml", purposes=["something else"])
    ran = rehearse("--json")
    assert ran.code == 1
    assert "this site would refuse the plan, purpose: " in ran.err
    document = json.loads(ran.out)
    assert (document["refused"]["code"], document["messages"], document["epsilon_planned"]) == ("purpose", [], None)
    reply = bank.ask(bank.start(), bank.join)
    assert isinstance(reply, Refusal)
    assert reply.code == "purpose"


def test_a_plan_that_waits_is_named_by_its_hash_and_goes_on_waiting(bank, rehearse):
    bank.site.change("policy.yaml", approval="manual")
    custodian = bank.start()
    assert isinstance(bank.ask(custodian, bank.join), Refusal)
    before = everything(bank.site.folder)
    ran = rehearse(plan=bank.plan.digest().hex()[:12])
    assert ran.code == 0
    assert "a real join would wait for an operator's approval" in ran.out
    assert everything(bank.site.folder) == before


def test_an_open_job_is_named_by_its_hash(bank, rehearse):
    assert isinstance(bank.ask(bank.start(), bank.join), JoinReply)
    assert rehearse(plan=bank.plan.digest().hex()).code == 0


def test_a_plan_that_is_not_there(bank, cli):
    ran = cli("institution", "dry-run", bank.site.file, "abcdef0123")
    assert (ran.code, ran.out) == (1, "")
    assert "'abcdef0123' is no file, and 0 waiting or open plans begin so" in ran.err


def test_what_is_printed_does_not_depend_on_the_records(bank, rehearse):
    """The same site with other customers: another number of them, other columns, other outcomes."""
    first = rehearse().out
    (bank.site.folder / "rows.csv").write_text(table(700).replace(",1\n", ",0\n", 20))
    second = rehearse().out
    assert without_times(first) == without_times(second)


def without_times(out: str) -> str:
    return re.sub(r"\d+\.\d *$", "", out, flags=re.MULTILINE)


def test_noised_numbers_on_demand_are_new_each_time_and_come_with_a_warning(bank, rehearse):
    first = json.loads(rehearse("--json", "--values").out)["messages"][1]["first_values"]
    out = rehearse("--values").out
    assert LOOK in out
    shown = re.search(r"^  preflight 1: (.*), …$", out, re.MULTILINE)
    assert shown is not None
    second = [int(word) for word in shown[1].split(", ")]
    custodian = bank.start()
    bank.ask(custodian, bank.join)
    sent = np.frombuffer(bank.ask(custodian, bank.preflight()).vector, "<i8")[:8].tolist()
    assert {len(first), len(second)} == {8}
    assert first != second
    assert sent not in (first, second)


def test_under_masks_the_numbers_are_called_what_they_are():
    consortium = tiny.federation()
    custodian = tiny.custodians(consortium, tiny.spec())["bank-1"]
    site, account = custodian._site, custodian.ledger.account
    shown = list(_shown(site, account, consortium.plan))
    said = list(_said(site, consortium.plan, account, shown, values=True))
    assert PADS in said
    assert LOOK not in said
    assert sum("hidden by masks shared with 2 others" in line for line in said) == 3
