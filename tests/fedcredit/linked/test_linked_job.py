"""The whole path as operators run it: base job, offers, linked job, and everybody's way back; real custodians."""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import yaml

from fedcredit.custodian.custodian import Custodian
from fedcredit.custodian.noise import rounded_gaussian_noise
from fedcredit.custodian.site_file import load_site, load_site_file
from fedcredit.job.store import JobStore
from fedcredit.models.joint_release import JointView, read_joint_view
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.statement import planned_cost
from fedcredit.provisioning.check_site import SiteCheck
from fedcredit.provisioning.checks import Verdict
from fedcredit.roster import Member, Roster
from fedcredit.roster_file import SignedRoster, load_roster, sign_roster
from fedcredit.verify.run_files import find_run
from fedcredit.verify.verification import holds, verify_run
from fedcredit.wire.envelope import SigningKey
from server.coordinator import Coordinator
from server.coordinator_file import load_coordinator_file
from server.new_job import NewJob, compose
from server.plan_file import load_plan_file
from server.results import release_files, write_files
from tests.fedcredit.linked.conftest import PURPOSE, TOKEN, Party, make_party

BANKS, HOSPITAL = ("bank-1", "bank-2", "bank-3"), "hospital-1"
CUSTOMERS, LINKED = 500, 400
WHOLE = 16.0
# Of the first bank's bills: by the month, and by the year elsewhere.
UNIT = 1 / 12


@dataclass(frozen=True)
class Consortium:
    """Folders of three banks and a hospital, and the coordinator's."""

    parties: Mapping[str, Party]
    coordinator: Path

    @property
    def folder(self) -> Path:
        return self.coordinator.parent

    def sites(self, names: tuple[str, ...], file: str = "SITE.yaml") -> dict[str, Path]:
        return {name: self.parties[name].folder / file for name in names}


def rows_of(bank: int) -> tuple[list[str], list[str]]:
    """A bank's customers and their lines at the hospital: who pays little there is a bad risk at the bank."""
    generator = np.random.default_rng(bank)
    late, paid = generator.integers(0, 6, CUSTOMERS), generator.integers(0, 6, CUSTOMERS)
    bad = generator.random(CUSTOMERS) < 1 / (1 + np.exp(1.5 - 0.5 * (late - 2.5) + 1.0 * (paid - 2.5)))
    names = [f"person-{bank}-{number}" for number in range(CUSTOMERS)]
    bills = np.round(generator.lognormal(7.0, 0.8, CUSTOMERS) * (UNIT if bank == 0 else 1), 2)
    known = [f"{late[i]},{bills[i]}" if i % 5 else "," for i in range(CUSTOMERS)]
    own = [f"{name},40,{known[i]},{int(bad[i])},{TOKEN}" for i, name in enumerate(names)]
    unpaid = generator.random(CUSTOMERS) < 1 / (1 + np.exp(1.5 + 1.0 * (paid - 2.5)))
    patients = [f"{name},40,{10 ** paid[i]},{int(unpaid[i])},{TOKEN}" for i, name in enumerate(names)]
    return own, patients[:LINKED]


@pytest.fixture
def consortium(folder: Path, cli: Callable) -> Consortium:
    keys = {name: SigningKey.generate() for name in (*BANKS, HOSPITAL)}
    members = tuple(
        Member(id=name, kind=name.partition("-")[0], public_size=CUSTOMERS, public_key=key.public.hex())
        for name, key in keys.items()
    )
    roster = Roster(version=1, previous=None, expires=date.max, members=members)
    signed = SignedRoster(roster, {name: sign_roster(roster, key) for name, key in keys.items()})
    parties = {name: make_party(folder / name, name, key, signed) for name, key in keys.items()}
    coordinator = make_party(folder / "coordinator", "coordinator", SigningKey.generate(), signed)
    for party in parties.values():
        _trust(party, coordinator.key)
    patients = []
    for number, name in enumerate(BANKS):
        own, known = rows_of(number)
        parties[name].rows("id,age,status,bill,bad,consent", *own)
        patients += known
    parties[HOSPITAL].rows("id,age,paid,bad,consent", *patients)
    for party in parties.values():
        assert cli("ledger", "open", party.site).code == 0
    names = {"name": "coordinator", "key": "identity.pem", "dictionary": "dictionary.yaml", "roster": "roster.yaml"}
    unused = {"certificate": "tls.pem", "certificate_key": "tls.key", "ca": "ca.pem", "state": "state"}
    (coordinator.folder / "COORDINATOR.yaml").write_text(yaml.safe_dump({**names, **unused}))
    return Consortium(parties, coordinator.folder)


def _trust(party: Party, coordinator: SigningKey) -> None:
    site = yaml.safe_load(party.site.read_text())
    party.site.write_text(yaml.safe_dump({**site, "coordinators": {"coordinator": coordinator.public.hex()}}))
    policy = yaml.safe_load((party.folder / "policy.yaml").read_text())
    policy |= {"epsilon": WHOLE, "max_epsilon_per_job": WHOLE}
    (party.folder / "policy.yaml").write_text(yaml.safe_dump(policy))


def run_job(job: NewJob, coordinator: Path, sites: Mapping[str, Path], out: Path) -> None:
    """What a coordinator's ServerApp and the institutions' services do, over function calls."""
    out.mkdir()
    key = SigningKey.load(coordinator / "identity.pem")
    with ExitStack() as stack:
        custodians = {}
        for name, path in sites.items():
            file = load_site_file(path)
            site = load_site(file)
            ledger = stack.enter_context(Ledger.open(file.ledger, site.key, file.ledger_counter))
            custodians[name] = Custodian(site, ledger, noise_law=rounded_gaussian_noise)
            stack.callback(custodians[name].stopped)
        store = stack.enter_context(JobStore(out / "job.sqlite", job.plan.to_bytes()))
        driver = Coordinator(job.plan.to_bytes(), job.dictionary, key, store)
        while (step := driver.next_step()) is not None:
            driver.receive({name: custodians[name].handle(request) for name, request in step.requests.items()})
        write_files(out / "released", release_files(driver))


def base_plan(folder: Path, epsilon: float) -> Path:
    fields = {
        "job": "base",
        "purpose": PURPOSE,
        "model": {"family": "scorecard", "rounds": 2},
        "privacy": {"placement": "local", "epsilon": epsilon, "delta": 1e-5, "min_owners": 1},
        "evaluation": {"score_bins": 10},
    }
    (folder / "PLAN.yaml").write_text(yaml.safe_dump(fields))
    return folder / "PLAN.yaml"


@pytest.fixture
def done(cli: Callable) -> Callable[..., str]:
    """A command that has to succeed; what it said."""

    def run(*arguments: object) -> str:
        ran = cli(*arguments)
        assert ran.code == 0, (arguments, ran.err)
        return ran.out

    return run


def link(made: Consortium, done: Callable[..., str], model: Path) -> None:
    """Offers of the hospital to each bank, and the tables that the banks make of them."""
    hospital = made.parties[HOSPITAL]
    for name in BANKS:
        key, offer, bank = made.folder / f"{name}.key", made.folder / f"{name}.offer.parquet", made.parties[name]
        done("linked", "key", key)
        terms = ("--purpose", PURPOSE, "--pair-key", key, "--expires", "9999-12-31", "--out", offer)
        done("linked", "offer", hospital.site, model, "--to", name, *terms)
        terms = ("--purpose", PURPOSE, "--pair-key", f"{HOSPITAL}={key}", "--out", bank.folder / "linked.parquet")
        said = done("linked", "table", bank.site, model, offer, *terms)
        assert f"{LINKED} linked rows" in said
        base = bank.folder / "dictionary.yaml"
        kinds = ("--kind", "bank", "--other", "hospital")
        done("linked", "dictionary", base, model, *kinds, "--out", bank.folder / "linked.yaml")
        files = ("--dictionary", "linked.yaml", "--data", "linked.parquet")
        done("linked", "site", bank.site, *files, "--out", bank.folder / "LINKED.yaml")


def adopt(made: Consortium, done: Callable[..., str], roster: Path, names: tuple[str, ...], *more: object) -> None:
    """Every member signs in turn, and then all but the last take it over; the last has already."""
    for name in names:
        done("institution", "approve", made.parties[name].site, roster, "--yes", *more)
    for name in names[:-1]:
        done("institution", "adopt", made.parties[name].site, roster, *more)


def linked_plan(made: Consortium, done: Callable[..., str], run: Path, epsilon: float) -> NewJob:
    """The coordinator's side: rosters, signed by whom they list, and the plan."""
    base, linked = made.coordinator / "roster.yaml", made.folder / "linked-roster.yaml"
    sizes = [part for name in BANKS for part in ("--rows", f"{name}={LINKED}")]
    said = done("linked", "roster", base, *sizes, "--out", linked, "--after", made.folder / "after.yaml")
    assert "hospital-1 leaves" in said
    adopt(made, done, linked, BANKS)
    dictionary, plan = made.parties["bank-1"].folder / "linked.yaml", made.coordinator / "LINKED-PLAN.yaml"
    given = ("--dictionary", dictionary, "--job", "linked", "--epsilon", epsilon, "--out", plan)
    said = done("linked", "plan", run, *given)
    assert f"both jobs together: epsilon {WHOLE:g} at delta 1e-05" in said
    file = yaml.safe_load((made.coordinator / "COORDINATOR.yaml").read_text())
    file |= {"dictionary": str(dictionary), "roster": str(linked)}
    (made.coordinator / "LINKED-COORDINATOR.yaml").write_text(yaml.safe_dump(file))
    return compose(load_coordinator_file(made.coordinator / "LINKED-COORDINATOR.yaml"), load_plan_file(plan))


def test_the_whole_path_from_a_base_job_to_a_package_with_a_joint_view(consortium, done, cli):
    said = done("linked", "budget", "--epsilon", WHOLE, "--delta", 1e-5, "--percent", 50)
    epsilons = [float(number) for number in re.findall(r"job: epsilon ([\d.]+)", said)]
    file = load_coordinator_file(consortium.coordinator / "COORDINATOR.yaml")
    base = compose(file, load_plan_file(base_plan(consortium.coordinator, epsilons[0])))
    run, linked_run = consortium.folder / "base", consortium.folder / "linked"
    run_job(base, consortium.coordinator, consortium.sites((*BANKS, HOSPITAL)), run)

    link(consortium, done, run / "released" / "model.json")
    linked = linked_plan(consortium, done, run, epsilons[1])
    assert [(one.id, one.public_size) for one in linked.plan.roster.members] == [(name, LINKED) for name in BANKS]
    run_job(linked, consortium.coordinator, consortium.sites(BANKS, "LINKED.yaml"), linked_run)

    view = read_joint_view(json.loads((linked_run / "released" / "model.json").read_bytes()))
    assert view.files["thick"].weight > 2 * 1024 * view.files["thick"].weight_stddev > 0
    assert holds(verify_run(find_run(linked_run, None)))
    charged_to_one_ledger(consortium, base, linked)
    a_unit_slip_is_seen_beside_the_release(consortium, run)
    packed(consortium, done, run, view)
    everybody_comes_back(consortium, done, cli)


def charged_to_one_ledger(made: Consortium, base: NewJob, linked: NewJob) -> None:
    for name, jobs in (("bank-1", (base, linked)), (HOSPITAL, (base,))):
        party = made.parties[name]
        with Ledger.read(party.ledger, party.key.public) as ledger:
            held, accountant = ledger.jobs(), ledger.account.accountant
            kind = name.partition("-")[0]
            assert set(held) == {one.plan.digest() for one in jobs}
            assert sum(planned_cost(one.plan, kind, accountant) for one in jobs) <= accountant.budget


def a_unit_slip_is_seen_beside_the_release(made: Consortium, run: Path) -> None:
    """It fits the declared range, so no check of the table alone could name it."""
    for name, said in (("bank-1", "bill: unlike the consortium's"), ("bank-2", "no column looks as if")):
        file = load_site_file(made.parties[name].site)
        rows = {row.check: row for row in SiteCheck(file, None, date(2026, 1, 1), run).rows()}
        assert rows["units"].text.startswith(said)
        assert rows["data"].verdict is Verdict.OK


def packed(made: Consortium, done: Callable[..., str], run: Path, view: JointView) -> None:
    weight = view.files["thick"].weight / 1024
    given = ("--joint-weight", weight, "--joint-source", "job linked, thick files")
    done("model", "pack", run, made.folder / "package", *given)
    assert "job linked, thick files" in done("model", "show", made.folder / "package")


def everybody_comes_back(made: Consortium, done: Callable[..., str], cli: Callable) -> None:
    """The hospital was in no linked job; it is shown the version that it was not in, and takes over the next."""
    linked, after = made.folder / "linked-roster.yaml", made.folder / "after.yaml"
    hospital = made.parties[HOSPITAL]
    assert "replaces roster" in cli("institution", "approve", hospital.site, after, "--yes").err
    for name in BANKS:
        done("institution", "approve", made.parties[name].site, after, "--yes")
    said = done("institution", "approve", hospital.site, after, "--yes", "--through", linked)
    assert "it changes nothing" in said
    assert load_roster(hospital.folder / "roster.yaml").version == 3
    assert "replaces roster" in cli("consortium", "adopt", made.coordinator / "roster.yaml", after).err
    done("consortium", "adopt", made.coordinator / "roster.yaml", after, "--through", linked)
