"""Finished runs on disk, as a coordinator leaves them, for the tests of `fedcredit verify`."""

from pathlib import Path

from fedcredit.custodian.custodian import Custodian
from fedcredit.roster_file import SignedRoster, sign_roster, write_roster_file
from server.results import release_files, write_files
from simulations.federation import Federation, found
from tests import tiny

FOUR_BANKS = ("bank-1", "bank-2", "bank-3", "bank-4")


def consortium_of(job, names=FOUR_BANKS) -> Federation:
    members = tuple(tiny.institution(name, name.split("-")[0], 200 + 50 * n, n) for n, name in enumerate(names))
    return found(tiny.dictionary(), members, job)


def run_job(
    folder: Path, consortium: Federation, job, silent: str = "", until: str = "preflight"
) -> dict[str, Custodian]:
    """Run a job into a folder; `silent` answers nothing from a phase on."""
    (folder / "ledgers").mkdir(parents=True)
    members = tiny.custodians(consortium, job, folder / "ledgers")
    driver = tiny.coordinator(consortium, folder / "job.sqlite", quorum=len(members) - bool(silent))
    answering = True
    while (step := driver.next_step()) is not None:
        answering = answering and step.phase != until
        quiet = set() if answering else {silent}
        asked = {name: request for name, request in step.requests.items() if name not in quiet}
        replies = {name: members[name].handle(request) for name, request in asked.items()}
        driver.receive(replies)
    write_files(folder / "released", release_files(driver))
    signatures = {name: sign_roster(consortium.plan.roster, key) for name, key in consortium.keys.items()}
    write_roster_file(folder / "released" / "roster.yaml", SignedRoster(consortium.plan.roster, signatures))
    driver._store.close()
    return members
