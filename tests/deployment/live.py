"""A consortium as it is deployed, on this machine: each process its own, TLS, node authentication, own files each.

Everything is started with the commands that operators type. What a test kills is found by its command line below the
process that supervises it, and comes back by that supervisor; custodians, which an operating system's service manager
would start again, are started again by the test.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from itertools import accumulate
from pathlib import Path
from typing import Any, Self

import yaml

from fedcredit.job.progress import Progress, advance, start
from fedcredit.job.store import JobStore
from fedcredit.models.family import family_of
from fedcredit.plan import Plan, parse_plan
from fedcredit.privacy.ledger import Ledger
from fedcredit.process_id import ProcessId, descendants
from fedcredit.provisioning.certificates import make_authority, make_server_certificate
from fedcredit.provisioning.institution import make_node_key
from fedcredit.roster import Roster
from fedcredit.roster_file import SignedRoster, sign_roster, write_roster_file
from fedcredit.wire.canonical import canonical_json
from server.queue import Queue
from simulations.dataset import load
from simulations.federation import COORDINATOR, PURPOSE, Federation, JobSpec, run_in_process
from simulations.job_files import write_site
from simulations.processes import free_port, grpc_healthy
from simulations.run import prepare
from simulations.settings import data_spec, read_settings
from simulations.simulation import compose_config

ROOT = Path(__file__).resolve().parents[2]
START_S, JOB_S, LOOK_S, STOP_S = 240.0, 420.0, 0.1, 30.0
KINDS = ("superlink", "serverapp", "supernode", "runner", "custodian")
# What the command line of a supervised process holds.
_MARKS = {
    "superlink": "-m server.superlink",
    "serverapp": "flwr-serverapp",
    "supernode": "flower-supernode",
    "runner": "clients run",
}
_QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}


@dataclass(frozen=True, slots=True)
class Place:
    """One institution's folder and ports."""

    site: Path
    node: Path
    socket: Path
    ledger: Path


class LiveConsortium:
    """Coordinator, custodians and nodes of one consortium; use as a context manager.

    Parameters
    ----------
    folder
        Where all their folders go; short, since sockets have short names.
    banks, hospitals
        How many institutions of each type.
    also_reviewed
        Bundles that the nodes accept beside the clone's.
    """

    def __init__(
        self, folder: Path, *, banks: int = 3, hospitals: int = 2, also_reviewed: tuple[str, ...] = ()
    ) -> None:
        self.folder, self._also_reviewed = folder, also_reviewed
        self.federation, self.spec = simulated(banks, hospitals)
        self.institutions = tuple(one.id for one in self.federation.institutions)
        self.coordinator = folder / "coordinator" / "COORDINATOR.yaml"
        self.fleet_port = free_port()
        self.places: dict[str, Place] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._write()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything and wait for the custodians; nodes appear when they appear."""
        self._spawn("coordinator", "-m", "server", "serve", str(self.coordinator))
        for name in self.institutions:
            self.start_custodian(name)
            self._spawn(f"node-{name}", "-m", "clients", "serve", str(self.places[name].node))
        for name in self.institutions:
            until(grpc_healthy(self.places[name].socket), START_S, f"custodian of {name}")

    def start_custodian(self, name: str) -> None:
        """Start an institution's custodian, as a service manager would."""
        site = str(self.places[name].site)
        cli = "from fedcredit.cli import main; main()"
        self._spawn(f"custodian-{name}", "-c", cli, "custodian", "serve", site, "--accept-not-private")

    def stop(self) -> None:
        """Stop what was started and all that it started in turn; who has to be killed is noted."""
        self.unstopped: list[str] = []
        family = descendants({process.pid for process in self._running.values()})
        for process in self._running.values():
            process.terminate()
        for name, process in self._running.items():
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.unstopped.append(name)
                process.kill()
                process.wait()
        self.left_over = [one for one in family if one.alive()]
        for one in self.left_over:
            one.kill()
        self._running.clear()

    def server(self, *arguments: str, check: bool = True) -> str:
        """Run one of the coordinator's commands; what it prints."""
        command = self._command("coordinator", "-m", "server", *arguments)
        done = subprocess.run(
            command, env=_environment(), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )
        if check and done.returncode:
            raise RuntimeError(f"server {arguments[0]} failed: {done.stdout}{done.stderr}\n{self.logs()}")
        return done.stdout + done.stderr

    def submit(self, job: str, *, rounds: int = 2) -> Plan:
        """Plan and queue a job without noise; its plan."""
        path = self.folder / f"{job}.yaml"
        path.write_text(yaml.safe_dump(_plan(job, rounds)), encoding="utf-8")
        self.server("submit", str(self.coordinator), str(path))
        return parse_plan((self.job_folder(job) / "plan.json").read_bytes())

    def job_folder(self, job: str) -> Path:
        """Where the coordinator keeps a job."""
        return self.coordinator.parent / "state" / "jobs" / job

    def state_of(self, job: str) -> str:
        """What the queue says of a job."""
        with Queue(self.coordinator.parent / "state" / "queue.sqlite") as queue:
            return queue.job(job).state.value

    def reached(self, plan: Plan) -> str:
        """The furthest step that a job has been at, by its store; ``queued`` before there is one."""
        store = self.job_folder(plan.job) / "job.sqlite"
        if not store.exists():
            return "queued"
        with JobStore(store, plan.to_bytes()) as opened:
            steps = opened.steps()
        dictionary, order = self.federation.dictionary, _order(plan)
        states = accumulate(steps, lambda state, step: advance(plan, dictionary, state, step), initial=start(plan))
        return max((_name_of(state) for state in states), key=order.index)

    def wait_for(self, plan: Plan, phase: str) -> None:
        """Wait until a job is in a phase, or past it."""
        order = _order(plan)
        until(lambda: order.index(self.reached(plan)) >= order.index(phase), JOB_S, f"{phase} of {plan.job}", self.logs)

    def finish(self, plan: Plan) -> bytes:
        """Wait until a job is over; the bytes of the model that it released."""
        released = self.job_folder(plan.job) / "released" / "model.json"
        until(lambda: self.state_of(plan.job) == "finished", JOB_S, f"the end of {plan.job}", self.logs)
        return released.read_bytes()

    def expected(self, plan: Plan) -> bytes:
        """The model of the same plan in process."""
        outcome = run_in_process(replace(self.federation, plan=plan), self.spec)
        return canonical_json(family_of(plan.model.family).release(outcome.progress.state))

    def processes(self, kind: str, institution: str | None = None) -> list[ProcessId]:
        """Running processes of a kind; of the institution's supervisor, or the coordinator's."""
        if kind == "custodian":
            process = self._running[f"custodian-{institution}"]
            return [one for one in descendants({os.getpid()}) if one.pid == process.pid]
        above = self._running["coordinator" if institution is None else f"node-{institution}"]
        return [one for one in descendants({above.pid}) if _MARKS[kind] in command_of(one.pid)]

    def supervisor(self) -> list[ProcessId]:
        """The coordinator's supervisor."""
        process = self._running["coordinator"]
        return [one for one in descendants({os.getpid()}) if one.pid == process.pid]

    def kill(self, kind: str, institution: str | None = None) -> None:
        """Kill -9 a process; a custodian is started again at once, the others by their supervisors."""
        until(lambda: bool(self.processes(kind, institution)), START_S, f"a {kind}", self.logs)
        for one in self.processes(kind, institution):
            os.kill(one.pid, signal.SIGKILL)
        if kind == "custodian" and institution is not None:
            self._running.pop(f"custodian-{institution}").wait()
            self.start_custodian(institution)

    def sent(self, institution: str, plan: Plan) -> tuple[list[tuple[str, int, int]], set[bytes]]:
        """What an institution's ledger says of a job: role, round and attempt of each charge, and every message."""
        with Ledger.read(self.places[institution].ledger, self.federation.keys[institution].public) as ledger:
            charges = ledger.charges(plan.digest())
            messages = {message for _, _, message in ledger.messages(plan.digest())}
        return [(str(one["role"]), int(one["round"]), int(one["attempt"])) for one in charges], messages

    def logs(self) -> str:
        """The end of every log, for a failure's message."""
        files = sorted(self.folder.glob("*.log")) + sorted(self.folder.glob("*/*state/**/*.log"))
        files += sorted(self.folder.glob("coordinator/state/**/*.log"))
        tails = [f"--- {path.relative_to(self.folder)}\n{_tail(path)}" for path in dict.fromkeys(files)]
        return "\n".join(tails)

    def _spawn(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                self._command(name, *arguments),
                env=_environment(),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _command(self, _process: str, *arguments: str) -> list[str]:
        """Command line of a process of ``coordinator``, ``custodian-NAME`` or ``node-NAME``."""
        return [sys.executable, *arguments]

    def _write(self) -> None:
        node_keys = {name: make_node_key() for name in self.institutions}
        members = [
            one.model_copy(update={"node_key": node_keys[one.id].public}) for one in self.federation.plan.roster.members
        ]
        roster = Roster(version=1, previous=None, expires=date.max, members=tuple(members))
        plan = self.federation.plan.model_copy(update={"roster": roster})
        self.federation = replace(self.federation, plan=plan)
        self._write_coordinator(roster)
        bundle = self.server("bundle").split()[-1]
        for name in self.institutions:
            self._write_institution(name, node_keys[name].private, node_keys[name].public, bundle)

    def _write_coordinator(self, roster: Roster) -> None:
        home = self.coordinator.parent
        (home / "keys").mkdir(parents=True)
        self.federation.coordinator_key.save(home / "keys" / "coordinator.pem")
        now = datetime.now(UTC)
        server = make_server_certificate(make_authority("test authority", now), ("localhost", "127.0.0.1"), now)
        (home / "tls").mkdir()
        (home / "tls" / "server.pem").write_bytes(server.certificate)
        (home / "tls" / "server.key").touch(mode=0o600)
        (home / "tls" / "server.key").write_bytes(server.key)
        (home / "tls" / "ca.pem").write_bytes(server.ca)
        dictionary = self.federation.dictionary.model_dump(mode="json")
        (home / "dictionary.yaml").write_text(yaml.safe_dump(dictionary, sort_keys=False), encoding="utf-8")
        signatures = {name: sign_roster(roster, key) for name, key in self.federation.keys.items()}
        write_roster_file(home / "roster.yaml", SignedRoster(roster, signatures))
        fields = {
            "name": COORDINATOR,
            "key": "keys/coordinator.pem",
            "dictionary": "dictionary.yaml",
            "roster": "roster.yaml",
            "fleet": {"host": "127.0.0.1", "port": self.fleet_port},
            "certificate": "tls/server.pem",
            "certificate_key": "tls/server.key",
            "ca": "tls/ca.pem",
            "api_port": free_port(),
            "state": "state",
            "pacing": {"institutions_timeout_s": 240, "step_timeout_s": 240, "retry_first_s": 1, "retry_longest_s": 5},
        }
        self.coordinator.write_text(yaml.safe_dump(fields, sort_keys=False), encoding="utf-8")

    def _write_institution(self, name: str, private: bytes, public: str, bundle: str) -> None:
        institution = next(one for one in self.federation.institutions if one.id == name)
        home, ledger = self.folder / name, self.folder / f"{name}.sqlite"
        place = Place(home / "SITE.yaml", home / "NODE.yaml", self.folder / f"{name}.sock", ledger)
        write_site(self.federation, institution, home, ledger, place.socket)
        (home / "node").touch(mode=0o600)
        (home / "node").write_bytes(private)
        (home / "node.pub").write_text(f"{public}\n", encoding="ascii")
        fields = {
            "superlink": f"127.0.0.1:{self.fleet_port}",
            "root_certificates": str(self.coordinator.parent / "tls" / "ca.pem"),
            "node_key": "node",
            "runtime_port": free_port(),
            "custodian": str(place.socket),
            "bundles": [bundle, *self._also_reviewed],
            "state": "node-state",
            # Flower counts a killed SuperNode as online for a minute; after that it shall not wait for long.
            "timeouts": {"restart_longest_s": 5},
        }
        place.node.write_text(yaml.safe_dump(fields, sort_keys=False), encoding="utf-8")
        self.places[name] = place


@contextmanager
def frozen(processes: Sequence[ProcessId]) -> Iterator[None]:
    """Stop processes for a while, as a machine that hangs does."""
    for one in processes:
        os.kill(one.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for one in processes:
            if one.alive():
                os.kill(one.pid, signal.SIGCONT)


def until(ready: Callable[[], bool], timeout_s: float, what: str, logs: Callable[[], str] = str) -> None:
    """Look again and again; fail with the logs when the time is over."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s\n{logs()}")
        time.sleep(LOOK_S)


def command_of(pid: int) -> str:
    """A process's command line; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def simulated(banks: int, hospitals: int) -> tuple[Federation, JobSpec]:
    """A simulated consortium on the packaged data, and a job of two rounds without noise."""
    overrides = [f"federation.banks={banks}", f"federation.hospitals={hospitals}", "privacy=none", "++model.rounds=2"]
    config = compose_config(overrides)
    dictionary, table = load(data_spec(config))
    prepared = prepare(read_settings(config, table.bad.size), dictionary, table, time.monotonic())
    return prepared.federation, prepared.settings.job


def _plan(job: str, rounds: int) -> dict[str, Any]:
    return {
        "job": job,
        "purpose": PURPOSE,
        "model": {"family": "scorecard", "rounds": rounds},
        "privacy": {"placement": "none", "max_drops": 0, "min_owners": 2},
        "evaluation": {"score_bins": 20, "groupings": ["type"]},
    }


def _order(plan: Plan) -> list[str]:
    rounds = [f"train {number + 1}" for number in range(plan.phases.train.rounds)]
    return ["queued", "join", "keys", "preflight", *rounds, "evaluate", "release", "done"]


def _name_of(state: Progress) -> str:
    return f"train {state.next_round}" if state.next_phase == "train" else state.next_phase


def _tail(path: Path, lines: int = 25) -> str:
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def _environment() -> dict[str, str]:
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    scripts = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    joined = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PATH": os.pathsep.join(scripts)}
    return {**os.environ, **_QUIET, **joined}
