"""What carries a simulated job's messages: function calls, Flower's simulation runtime, or a deployment on loopback.

The same coordinator and the same custodians run in all three; without noise the released model is the same, byte for
byte.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fedcredit.custodian.service import CustodianService
from fedcredit.errors import ConfigError
from fedcredit.job.progress import Progress, advance, start
from fedcredit.job.store import Decided, JobStore
from fedcredit.plan import Placement
from fedcredit.privacy.ledger import Ledger
from simulations.federation import Federation, JobOutcome, JobSpec, custodian_of, statement_of
from simulations.flower import LoopbackDeployment, custodian_of_site, run_in_flower_simulation
from simulations.job_files import store_path, write_job, write_site
from simulations.run import Runner, in_process

# The strategy says so after the step is in the store.
STEP_TOLD = ", attempt "

OnDecided = Callable[[Decided, Progress], None] | None


def runner_of(runtime: str) -> Runner:
    """The runner that a configuration names: ``in_process``, ``flower`` or ``loopback``."""
    return {"in_process": in_process, "flower": in_flower_simulation, "loopback": on_loopback}[runtime]


def in_flower_simulation(
    federation: Federation, spec: JobSpec, folder: Path | None, on_decided: OnDecided
) -> JobOutcome:
    """Run a job in Flower's simulation runtime; all custodians are served from this process."""
    with _places(folder) as (kept, scratch):
        with hosted(federation, spec, kept, scratch / "custodians.sock") as socket:
            job = write_job(federation, scratch, kept)
            config = {"job": str(job), "simulation": {"custodians": str(socket)}}
            follower = Follower(federation, kept, on_decided)
            run_in_flower_simulation(config, nodes=len(federation.institutions), on_line=follower.hear)
        return outcome(follower)


def on_loopback(federation: Federation, spec: JobSpec, folder: Path | None, on_decided: OnDecided) -> JobOutcome:
    """Run a job on real Flower on this machine; each custodian is a process of its own, served from files.

    Raises
    ------
    ConfigError
        If the job needs noise that a served custodian refuses.
    """
    if spec.noise_seed is not None or spec.privacy.placement is Placement.CENTRAL:
        raise ConfigError(
            "runtime=loopback serves custodians as institutions do, which draw their own noise from the operating "
            "system; use noise.seed=null and privacy.placement=local, or runtime=flower."
        )
    with _places(folder) as (kept, scratch):
        custodians = []
        for one in federation.institutions:
            socket = scratch / f"{one.id}.sock"
            site = write_site(federation, one, scratch / one.id, ledger_path(kept, one.id), socket)
            custodians.append(custodian_of_site(one.id, site, socket, "--accept-not-private"))
        job = write_job(federation, scratch, kept)
        follower = Follower(federation, kept, on_decided)
        with LoopbackDeployment(custodians) as deployment:
            deployment.run({"job": str(job)}, on_line=follower.hear)
        return outcome(follower)


@contextmanager
def hosted(federation: Federation, spec: JobSpec, kept: Path, socket: Path) -> Iterator[Path]:
    """Serve all custodians of a federation from this process, each under its number; the socket."""
    with ExitStack() as stack:
        custodians = {}
        for number, one in enumerate(federation.institutions):
            custodian = custodian_of(federation, one, spec, ledger_path(kept, one.id))
            stack.callback(custodian.ledger.close)
            custodians[str(number)] = custodian
        stack.enter_context(CustodianService(custodians, socket))
        yield socket


class Follower:
    """Follows a job that another process coordinates, step by step, in that job's store.

    Parameters
    ----------
    federation
        Whose job it is.
    kept
        Folder with the job's store and the institutions' ledgers.
    on_decided
        Told each decided step and the state after it.
    """

    def __init__(self, federation: Federation, kept: Path, on_decided: OnDecided) -> None:
        self.federation, self.kept, self._on_decided = federation, kept, on_decided
        self.progress = start(federation.plan)
        self._n_seen = 0

    def hear(self, line: str) -> None:
        """Look for new steps when the coordinator's log tells of one."""
        if STEP_TOLD in line:
            self.look()

    def look(self) -> None:
        """Fold the steps that were decided since the last look."""
        plan = self.federation.plan
        with JobStore(store_path(self.kept), plan.to_bytes()) as store:
            new = store.steps()[self._n_seen :]
        for decided in new:
            self.progress = advance(plan, self.federation.dictionary, self.progress, decided)
            if self._on_decided is not None:
                self._on_decided(decided, self.progress)
        self._n_seen += len(new)


def outcome(follower: Follower) -> JobOutcome:
    """Read a finished job from the coordinator's store and the institutions' ledgers."""
    follower.look()
    plan, statements = follower.federation.plan, {}
    for one in follower.federation.institutions:
        with Ledger.open(ledger_path(follower.kept, one.id), follower.federation.keys[one.id]) as ledger:
            statements[one.id] = statement_of(plan, one.kind, ledger)
    return JobOutcome(plan, follower.progress, statements)


def ledger_path(kept: Path, institution: str) -> Path:
    """Where a simulated institution's ledger lies."""
    (kept / "ledgers").mkdir(parents=True, exist_ok=True)
    return kept / "ledgers" / f"{institution}.sqlite"


@contextmanager
def _places(folder: Path | None) -> Iterator[tuple[Path, Path]]:
    """Where ledgers and store go, and a short-named private folder for keys and sockets."""
    with tempfile.TemporaryDirectory(prefix="fedcredit-") as scratch:
        yield folder or Path(scratch), Path(scratch)
