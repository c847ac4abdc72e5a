"""`fedcredit verify`: an honest run holds, and each way of tampering with one is named, with its place."""

import json
import re
import shutil
from pathlib import Path

import pytest

from fedcredit.custodian.site_file import SiteFile
from fedcredit.errors import ConfigError
from fedcredit.roster_file import SignedRoster, sign_roster, write_roster_file
from fedcredit.verify.checks import Result
from fedcredit.verify.run_files import find_run
from fedcredit.verify.verification import Beside, holds, verify_run
from tests import tiny, verified_runs
from tests.fedcredit.verify.tampering import TAMPERINGS, Run

NEEDS_STORE = {"rounds", "joins", "keys", "contributions", "models", "sums", "ledger heads", "released model", "job"}
PAGE = Path(__file__).resolve().parents[3] / "docs" / "verify.md"


@pytest.fixture(scope="module")
def honest(tmp_path_factory) -> Run:
    """Distributed noise and masks, nobody left out."""
    job = tiny.spec(tiny.SHARED)
    consortium, folder = verified_runs.consortium_of(job), tmp_path_factory.mktemp("honest") / "run"
    verified_runs.run_job(folder, consortium, job)
    return Run(folder, consortium)


@pytest.fixture
def run(honest, tmp_path) -> Run:
    """A copy that a test may spoil."""
    return Run(Path(shutil.copytree(honest.folder, tmp_path / "copy")), honest.consortium)


def checked(run: Run, **beside: object) -> list:
    return verify_run(find_run(run.folder, None), Beside(**beside))


def found(checks: list, result: Result = Result.FAILED) -> list[tuple[str, str]]:
    return [(check.name, check.where) for check in checks if check.result is result]


def test_an_honest_run_holds(honest):
    checks = checked(honest)
    assert holds(checks)
    assert found(checks, Result.OPEN) == []
    assert {check.name for check in checks} >= NEEDS_STORE | {"plan", "roster", "receipts", "messages", "epsilons"}
    assert "16 messages" in next(check.detail for check in checks if check.name == "contributions")


def test_nothing_is_written(honest):
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in honest.folder.rglob("*")}
    checked(honest)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in honest.folder.rglob("*")} == before


@pytest.mark.parametrize(
    ("job", "names", "silent", "until"),
    [
        (tiny.spec(tiny.NONE), ("bank-1", "hospital-1"), "", ""),
        (tiny.spec(), ("bank-1", "bank-2", "hospital-1"), "", ""),
        (tiny.spec(tiny.SHARED), verified_runs.FOUR_BANKS, "bank-3", "preflight"),
        (tiny.spec(tiny.SHARED), verified_runs.FOUR_BANKS, "bank-3", "train"),
    ],
    ids=["no privacy", "local noise", "a retry without a member", "training ended early"],
)
def test_other_honest_runs_hold(tmp_path, job, names, silent, until):
    consortium = verified_runs.consortium_of(job, names)
    verified_runs.run_job(tmp_path / "run", consortium, job, silent, until)
    checks = checked(Run(tmp_path / "run", consortium))
    assert found(checks) == []
    assert found(checks, Result.OPEN) == ([("receipts", silent)] if silent else [])


@pytest.mark.parametrize("deed", TAMPERINGS)
def test_tampering_is_named_with_its_place(run, deed):
    spoil, name, where = TAMPERINGS[deed]
    spoil(run)
    named = found(checked(run))
    assert any(name == check and where in place for check, place in named), named


@pytest.mark.parametrize(
    "deed",
    ["a recorded sum is changed", "job.json lies about who was left out", "the released accuracy is improved"],
)
def test_one_lie_is_named_once(run, deed):
    spoil, name, _ = TAMPERINGS[deed]
    spoil(run)
    assert {check for check, _ in found(checked(run))} == {name}


def test_the_page_lists_every_tampering():
    rows = re.findall(r"^\| ([^|]+) \| `([^`|]+)` \| ([^|]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {(deed, check) for deed, check, _ in rows} == {(deed, check) for deed, (_, check, _) in TAMPERINGS.items()}


def test_without_the_store_it_says_what_could_not_be_checked(run):
    (run.folder / "job.sqlite").unlink()
    checks = checked(run)
    assert holds(checks)
    assert {name for name, _ in found(checks, Result.OPEN)} == NEEDS_STORE | {"store", "counts", "evaluation"}
    assert {"receipts", "messages", "epsilons"} <= {check.name for check in checks if check.result is Result.OK}


def test_without_the_store_a_swapped_model_is_still_noticed(run):
    (run.folder / "job.sqlite").unlink()
    TAMPERINGS["the released model is swapped"][0](run)
    assert ("receipts", "bank-1") in found(checked(run))


def test_the_store_may_lie_elsewhere(run, tmp_path):
    (run.folder / "job.sqlite").rename(tmp_path / "elsewhere.sqlite")
    assert find_run(run.released, None).store is None
    checks = verify_run(find_run(run.released, tmp_path / "elsewhere.sqlite"))
    assert found(checks) == found(checks, Result.OPEN) == []


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(ConfigError, match=r"no plan\.json"):
        find_run(tmp_path, None)


def test_the_expected_plan(run):
    digest = run.consortium.plan.digest().hex()
    assert holds(checked(run, plan_hash=digest[:12]))
    assert found(checked(run, plan_hash="00" * 6)) == [("plan", "plan.json")]


def test_receipts_that_members_gave_out(run, tmp_path):
    folder = tmp_path / "receipts"
    folder.mkdir()
    for name in ("bank-1", "bank-2"):
        (folder / f"from-{name}").write_bytes(run.packet("release", 0, name))
    assert holds(checked(run, receipts=folder))
    TAMPERINGS["a receipt states a smaller epsilon"][0](run)
    assert ("members' receipts", "bank-2") in found(checked(run, receipts=folder))


def test_a_folder_of_something_else(run, tmp_path):
    (tmp_path / "receipts").mkdir()
    (tmp_path / "receipts" / "x").write_text("hello")
    with pytest.raises(ConfigError, match="is no receipt"):
        checked(run, receipts=tmp_path / "receipts")


# --- against one's own ledger


@pytest.fixture
def own(run, tmp_path) -> SiteFile:
    """bank-2's site over the ledger of the run."""
    roster, key = run.consortium.plan.roster, run.consortium.keys["bank-2"]
    key.save(tmp_path / "identity.pem")
    signatures = {name: sign_roster(roster, one) for name, one in run.consortium.keys.items()}
    write_roster_file(tmp_path / "roster.yaml", SignedRoster(roster, signatures))
    return SiteFile.model_validate(
        {
            "institution": "bank-2",
            "kind": "bank",
            "population": "bank-2",
            "dictionary": run.released / "dictionary.yaml",
            "roster": tmp_path / "roster.yaml",
            "identity_key": tmp_path / "identity.pem",
            "data_key": tmp_path / "data.key",
            "data": {"kind": "csv", "path": "rows.csv"},
            "coordinators": {"coordinator": run.consortium.coordinator_key.public.hex()},
            "policy": tmp_path / "policy.yaml",
            "ledger": run.folder / "ledgers" / "bank-2.sqlite",
            "socket": tmp_path / "c.sock",
        }
    )


def test_the_own_ledger_knows_every_message(run, own):
    checks = checked(run, own=own)
    assert holds(checks)
    assert "own ledger" in {check.name for check in checks}


def test_a_message_that_the_ledger_never_paid_for(run, own):
    run.sign("train", 2, "bank-2", vector=run.message("train", 2, "bank-2").vector[::-1])
    assert ("own ledger", "train 2, attempt 1") in found(checked(run, own=own))


def test_a_message_that_the_run_hides(run, own):
    TAMPERINGS["a round is removed"][0](run)
    assert ("own ledger", "train 2, attempt 1") in found(checked(run, own=own))


def test_another_receipt_than_was_given(run, own):
    TAMPERINGS["a receipt states a smaller epsilon"][0](run)
    assert ("own ledger", "receipt") in found(checked(run, own=own))


def test_a_plan_that_was_never_joined(run, own):
    run.replan(purpose="another purpose")
    assert ("own ledger", "plan") in found(checked(run, own=own))


# --- the command


def test_the_command_prints_a_table_and_fails_where_a_run_does(run, cli):
    ran = cli("verify", run.folder)
    assert (ran.code, ran.err) == (0, "")
    assert "nothing failed, 0 could not be made" in ran.out
    TAMPERINGS["a recorded sum is changed"][0](run)
    ran = cli("verify", run.folder)
    assert ran.code == 1
    assert "1 checks failed" in ran.out


def test_the_command_as_json(run, cli):
    TAMPERINGS["a recorded sum is changed"][0](run)
    ran = cli("verify", run.folder, "--json")
    assert ran.code == 1
    document = json.loads(ran.out)
    assert document["holds"] is False
    assert [(one["check"], one["where"]) for one in document["checks"] if one["result"] == "failed"] == [
        ("sums", "train 2, attempt 1")
    ]
