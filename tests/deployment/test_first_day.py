"""From nothing to a joint model with the documented commands: three banks, real policies, epsilon 1, masks on.

Here with the programs of these tests; with ``--long`` also from a copy of the clone and an installed wheel, each in an
environment of its own.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedcredit.job.store import JobStore
from tests.deployment.first_day import BANKS, BARE, JOB, ROUNDS, FirstDay, Installed, Person, Programs, Transcript
from tests.deployment.live import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3000)]

INSTALL_S = 1500.0
CLI = "from fedcredit.cli import main; main()"


@pytest.fixture(scope="module", params=["here", pytest.param("afresh", marks=pytest.mark.long)])
def day(request: pytest.FixtureRequest) -> Iterator[FirstDay]:
    with tempfile.TemporaryDirectory(prefix="fd-") as name:
        folder = Path(name)
        transcript = Transcript(folder)
        transcript.heading(f"The first day, installed {request.param}")
        installed = here(folder) if request.param == "here" else afresh(folder, transcript)
        walked = FirstDay(folder, installed, transcript)
        try:
            walked.walk()
            yield walked
        finally:
            walked.stop()
            transcript.ended()
    assert walked.left_over == []


def here(folder: Path) -> Installed:
    """The environment that these tests run in, whether or not the package is installed in it."""
    shutil.copytree(ROOT / "clients", folder / "kit" / "clients", ignore=shutil.ignore_patterns("__pycache__"))
    words = {"python": (sys.executable,), "fedcredit": (sys.executable, "-c", CLI)}
    both = Programs(words, {**BARE, "PYTHONPATH": str(ROOT)})
    return Installed(both, both, folder / "kit")


def afresh(folder: Path, transcript: Transcript) -> Installed:
    """A copy of the clone with its environment, and a wheel in another; nothing of the tree is left on a path."""
    clone, kit = folder / "clone", folder / "kit"
    copy_clone(clone)
    words = {"python3": (sys.executable,)}
    quiet = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    installer = Person("operator", clone, Programs(words, quiet), transcript)
    pip = "-m pip --disable-pip-version-check --quiet"
    for line in (
        "python3 -m venv .venv",
        f".venv/bin/python {pip} install --constraint deploy/constraints.txt --editable .[flower]",
        f".venv/bin/python {pip} wheel --no-deps --wheel-dir {kit} .",
        f"cp -r clients deploy/constraints.txt {kit}",
    ):
        installer.types(line, timeout_s=INSTALL_S)
    wheel = next(kit.glob("*.whl")).name
    bank = Person("banks", kit, Programs(words, quiet), transcript)
    bank.types("python3 -m venv venv", timeout_s=INSTALL_S)
    bank.types(f"venv/bin/python {pip} install --constraint constraints.txt {wheel} flwr==1.41.*", timeout_s=INSTALL_S)
    # As install.sh does for the node's environment.
    packages = next((kit / "venv" / "lib").glob("python3*/site-packages"))
    (packages / "fedcredit-clients.pth").write_text(f"{kit}\n", encoding="utf-8")
    return Installed(of_environment(clone / ".venv"), of_environment(kit / "venv"), kit)


def of_environment(venv: Path) -> Programs:
    """An environment's own programs."""
    return Programs({word: (str(venv / "bin" / word),) for word in ("python", "fedcredit")}, BARE)


def copy_clone(clone: Path) -> None:
    """What a clone of this working tree would hold."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True, timeout=60).stdout.decode().split("\0")
    for source, target in ((ROOT / name, clone / name) for name in names if name):
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            target.chmod(source.stat().st_mode & 0o777)


def test_a_check_says_what_is_not_there_yet(day: FirstDay) -> None:
    assert "1 of 15 checks failed: network" in day.said["check alone"]
    assert "run: fedcredit custodian serve" in day.said["check alone"]


def test_a_column_of_another_name_is_asked_for(day: FirstDay) -> None:
    assert "limit_bal" in day.said["own name"]


def test_a_rehearsal_accepts_the_plan_or_says_which_rule_refuses_it_and_leaves_no_trace(day: FirstDay) -> None:
    assert "nothing was sent, charged, reserved or kept" in day.said["dry run"]
    assert "this site would refuse the plan, epsilon" in day.said["greedy"]
    before = json.loads(day.said["ledger before"])
    assert (before["jobs"], before["event_count"], before["epsilon_committed"]) == ([], 1, 0.0)


def test_the_job_ends_at_its_first_run(day: FirstDay) -> None:
    (job,) = json.loads(day.said["status"])["jobs"]
    assert (job["job"], job["state"], job["runs"]) == (JOB, "finished", 1)
    assert "all institutions together add the noise, each a share" in day.said["submit"]
    assert "vectors are masked" in day.said["submit"]


@pytest.mark.parametrize("bank", BANKS)
def test_every_message_of_the_job_is_shown_and_nothing_else_was_sent(day: FirstDay, bank: str) -> None:
    shown = json.loads(day.said[f"sent {bank}"])
    steps = [("preflight", 1), *(("train", one + 1) for one in range(ROUNDS)), ("evaluate", 1)]
    contributions = [("contribution", role, number) for role, number in steps]
    places = [(one["kind"], one["role"], one["round"]) for one in shown["messages"]]
    joined = [("join_reply", None, None), ("keys_reply", None, None)]
    assert places == [*joined, *contributions, ("receipt", None, None)]
    assert {(one["to"], one["proved"], one["state"]) for one in shown["messages"]} == {("coordinator", True, "sent")}
    folder = day.folder / bank / JOB
    with JobStore(folder / "job.sqlite", (folder / "plan.json").read_bytes()) as store:
        received = [len(store.packets(*step)[bank]) for step in steps]
    assert [one["bytes"] for one in shown["messages"] if one["kind"] == "contribution"] == received


@pytest.mark.parametrize("bank", BANKS)
def test_no_more_is_spent_than_was_planned(day: FirstDay, bank: str) -> None:
    ledger = json.loads(day.said[f"ledger {bank}"])
    (job,) = ledger["jobs"]
    assert not job["open"]
    assert all(0 < job["spent"][observer] <= planned for observer, planned in job["planned"].items())
    assert job["planned"]["coordinator_and_t"] <= 1.0
    assert ledger["epsilon_committed"] == json.loads(day.said[f"sent {bank}"])["totals"]["epsilon"]


@pytest.mark.parametrize("bank", BANKS)
def test_the_released_run_holds_against_each_ledger(day: FirstDay, bank: str) -> None:
    verdict = json.loads(day.said[f"verify {bank}"])
    assert verdict["holds"]
    assert {one["check"]: one["result"] for one in verdict["checks"] if one["result"] != "ok"} == {}
    assert "own ledger" in {one["check"] for one in verdict["checks"]}


def test_both_views_show_the_job_and_only_the_bank_s_own_its_budget(day: FirstDay) -> None:
    assert f"{5 + ROUNDS} exchanges" in day.said["watch"]
    assert "budget" not in day.said["watch"]
    assert "left for one more job" in day.said["view"]


def test_no_secret_has_left_a_bank_s_folder(day: FirstDay) -> None:
    secrets = [secret for bank in BANKS for secret in secrets_of(day.folder / bank / "site" / "keys")]
    assert len(secrets) == 4 * len(BANKS)
    for path in (one for one in day.operator.folder.rglob("*") if one.is_file()):
        content = path.read_bytes()
        assert not any(secret in content for secret in secrets), path


def secrets_of(keys: Path) -> list[bytes]:
    """A line from within each secret file."""
    lines = [(keys / name).read_bytes().splitlines() for name in ("identity.pem", "node", "data.key", "relay.token")]
    return [each[len(each) // 2] for each in lines]
