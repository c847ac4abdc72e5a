"""The first day of a consortium, typed as the documents say: an operator and three banks, each in a folder of its own.

Files pass between people by being copied, as by mail. Every command, what it printed and how long it took goes into a
transcript, which is written where ``FEDCREDIT_TRANSCRIPT`` names a file.
"""

import os
import shlex
import socket
import subprocess
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from fedcredit.data.uci import load_uci
from fedcredit.process_id import ProcessId, descendants
from simulations.processes import free_port
from tests.deployment.live import STOP_S, until

BANKS = ("bank-a", "bank-b", "bank-c")
TABLES = {"bank-a": "customers.parquet", "bank-b": "customers.parquet", "bank-c": "customers.csv"}
JOB, ROUNDS = "scorecard-1", 2
VERIFY = f"fedcredit verify {JOB} --own site/SITE.yaml --roster site/roster.yaml"
COMMAND_S, START_S, JOB_S = 300.0, 240.0, 600.0
# Nothing of the environment that the tests run in: what the programs need they bring along.
BARE = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "NO_COLOR": "1", "COLUMNS": "120"}


@dataclass(frozen=True, slots=True)
class Programs:
    """What the words ``fedcredit`` and ``python`` run for one person, and in which environment."""

    words: Mapping[str, tuple[str, ...]]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Installed:
    """Where both sides' programs are.

    Attributes
    ----------
    kit
        The folder that holds ``clients/``.
    """

    operator: Programs
    institution: Programs
    kit: Path


@dataclass(slots=True)
class Transcript:
    """What was typed by whom, what it said and how long it took."""

    folder: Path
    lines: list[str] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def heading(self, text: str) -> None:
        """Begin a part."""
        self.lines += ["", f"## {text}", ""]

    def typed(self, who: str, line: str, output: str, seconds: float) -> None:
        """Add a command."""
        self.seconds[who].append(seconds)
        said = [text.rstrip() for text in output.replace(f"{self.folder}/", "…/").splitlines()]
        if line.endswith("--json"):
            said = [f"({len(output)} bytes of JSON)"]  # a person reads the tables
        self.lines += [f"{who}$ {line.replace(f'{self.folder}/', '…/')}    [{seconds:.1f} s]", *said, ""]

    def ended(self) -> None:
        """Add everybody's time, and write it all down if a file is named."""
        self.heading("Time at the keyboard")
        for who, each in self.seconds.items():
            self.lines.append(f"{who}: {len(each)} commands, {sum(each):.0f} s")
        if path := os.environ.get("FEDCREDIT_TRANSCRIPT"):
            with Path(path).open("a", encoding="utf-8") as file:
                file.write("\n".join([*self.lines, "", ""]))


class Person:
    """Somebody at a terminal, in a folder of their own."""

    def __init__(self, name: str, folder: Path, programs: Programs, transcript: Transcript) -> None:
        self.name, self.folder, self._programs, self._transcript = name, folder, programs, transcript
        self.running: list[subprocess.Popen[bytes]] = []
        folder.mkdir(parents=True, exist_ok=True)

    def types(self, line: str, *, code: int = 0, timeout_s: float = COMMAND_S) -> str:
        """Run a command to its end; what it prints.

        Raises
        ------
        RuntimeError
            If it ends with another exit code.
        """
        began = time.monotonic()
        done = subprocess.run(
            self._command(line),
            cwd=self.folder,
            env=self._programs.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        self._transcript.typed(self.name, line, done.stdout, time.monotonic() - began)
        if done.returncode != code:
            raise RuntimeError(f"{self.name}$ {line}\n{done.stdout}\nexit code {done.returncode}, not {code}")
        return done.stdout

    def starts(self, line: str, log: str) -> None:
        """Start a program that serves; its output goes into a file."""
        with (self.folder / log).open("wb") as output:
            self.running.append(
                subprocess.Popen(
                    self._command(line),
                    cwd=self.folder,
                    env=self._programs.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )
        self._transcript.typed(self.name, f"{line} > {log} &", "", 0.0)

    def says(self, log: str, words: str) -> bool:
        """Whether a program that serves has said something."""
        return words in (self.folder / log).read_text(encoding="utf-8", errors="replace")

    def _command(self, line: str) -> Sequence[str]:
        first, *rest = shlex.split(line)
        return [*self._programs.words.get(first, (first,)), *rest]


class FirstDay:
    """The path from nothing to a joint model; each part is a method, in this order."""

    def __init__(self, folder: Path, installed: Installed, transcript: Transcript) -> None:
        self.folder, self.transcript, self._kit = folder, transcript, installed.kit
        self.operator = Person("operator", folder / "operator", installed.operator, transcript)
        self.banks = {name: Person(name, folder / name, installed.institution, transcript) for name in BANKS}
        self.port, self.left_over = free_port(), list[ProcessId]()
        self.said: dict[str, str] = {}

    def walk(self) -> None:
        """Type everything."""
        deal_records(self.folder)
        for part in (
            self.found,
            self.join,
            self.sign,
            self.check_alone,
            self.serve,
            self.rehearse,
            self.run,
            self.look,
        ):
            self.transcript.heading((part.__doc__ or "").splitlines()[0])
            try:
                part()
            except (RuntimeError, TimeoutError, subprocess.TimeoutExpired) as error:
                error.add_note(self.logs())
                raise

    def found(self) -> None:
        """The operator founds the consortium."""
        bundle = self.operator.types("python -m server bundle").split()[-1]
        self.operator.types(
            f"fedcredit consortium init coordinator --host localhost --port {self.port} --region DE --example uci "
            f"--bundle {bundle}"
        )
        self.operator.types(f"sed -i 's/^api_port: 8000/api_port: {free_port()}/' coordinator/COORDINATOR.yaml")
        self.operator.types(f"sed -i 's/^  rounds: 18/  rounds: {ROUNDS}/' coordinator/PLAN.yaml")

    def join(self) -> None:
        """Each bank makes its keys and files from the invitation, and sends its application."""
        for name, bank in self.banks.items():
            bank.types("cp -r ../operator/coordinator/invitation invitation")
            bank.types(
                f"fedcredit institution init site --id {name} --kind bank --region DE --size 10000 "
                f"--invitation invitation --kit {self._kit} --data {bank.folder}/{TABLES[name]}"
            )
            # Three banks on one machine; one bank on its own leaves the port as it is.
            bank.types(f"sed -i 's/^runtime_port: 9094/runtime_port: {free_port()}/' site/NODE.yaml")
            look = "fedcredit dictionary check site/dictionary.yaml"
            if name == "bank-b":
                self.said["own name"] = bank.types(f"{look} {TABLES[name]} --kind bank", code=1)
                bank.types("""sed -i 's/column: "limit_bal"/column: credit_line/' site/mapping.yaml""")
            bank.types(f"{look} {TABLES[name]} --kind bank --mapping site/mapping.yaml")
            bank.types(f"cp site/{name}.application.yaml ../operator")

    def sign(self) -> None:
        """The roster goes round; each bank signs it and takes it over."""
        applications = " ".join(f"{name}.application.yaml" for name in BANKS)
        self.operator.types(f"fedcredit consortium enroll coordinator/roster.yaml {applications}")
        sender = "operator/coordinator"
        for name, bank in self.banks.items():
            bank.types(f"cp ../{sender}/roster.yaml roster.yaml")
            bank.types("fedcredit institution approve site/SITE.yaml roster.yaml --yes")
            sender = name
        for bank in list(self.banks.values())[:-1]:
            bank.types(f"cp ../{sender}/roster.yaml roster.yaml")
            bank.types("fedcredit institution adopt site/SITE.yaml roster.yaml")
        self.operator.types(f"cp ../{sender}/roster.yaml signed-roster.yaml")
        self.operator.types("fedcredit consortium adopt coordinator/roster.yaml signed-roster.yaml")

    def check_alone(self) -> None:
        """Each bank opens its ledger; a check says what is not there yet."""
        for bank in self.banks.values():
            bank.types("fedcredit ledger open site/SITE.yaml")
        first = self.banks[BANKS[0]]
        self.said["check alone"] = first.types("fedcredit institution check site/SITE.yaml site/NODE.yaml", code=1)

    def serve(self) -> None:
        """Coordinator, custodians and nodes start, and every check passes."""
        self.operator.types("python -m server check coordinator/COORDINATOR.yaml")
        self.operator.starts("python -m server serve coordinator/COORDINATOR.yaml", "serve.log")
        until(self._reachable, START_S, "the coordinator")
        for bank in self.banks.values():
            bank.starts("fedcredit custodian serve site/SITE.yaml", "custodian.log")
            bank.starts("python -m clients serve site/NODE.yaml", "node.log")
        for name, bank in self.banks.items():
            until(lambda bank=bank: bank.says("custodian.log", "serving"), START_S, f"custodian of {name}")
            bank.types("fedcredit institution check site/SITE.yaml site/NODE.yaml")

    def rehearse(self) -> None:
        """A bank rehearses the plan, and one that asks for more than its policy allows."""
        first = self.banks[BANKS[0]]
        self.operator.types("python -m server plan coordinator/COORDINATOR.yaml coordinator/PLAN.yaml --out plan")
        first.types("cp ../operator/plan/plan.json plan.json")
        self.said["dry run"] = first.types("fedcredit institution dry-run site/SITE.yaml plan.json")
        self.operator.types("cp coordinator/PLAN.yaml GREEDY.yaml")
        self.operator.types("sed -i 's/^  epsilon: 1.0/  epsilon: 1.5/; s/^job: scorecard-1/job: greedy/' GREEDY.yaml")
        self.operator.types("python -m server plan coordinator/COORDINATOR.yaml GREEDY.yaml --out greedy")
        first.types("cp ../operator/greedy/plan.json greedy.json")
        self.said["greedy"] = first.types("fedcredit institution dry-run site/SITE.yaml greedy.json", code=1)
        self.said["ledger before"] = first.types("fedcredit ledger show site/SITE.yaml --json")

    def run(self) -> None:
        """One command starts the job."""
        submitted = self.operator.types("python -m server submit coordinator/COORDINATOR.yaml coordinator/PLAN.yaml")
        self.said["submit"] = submitted
        self.operator.types("python -m server watch coordinator/COORDINATOR.yaml --once")
        watch = f"python -m server watch coordinator/COORDINATOR.yaml {JOB}"
        self.operator.types(watch, timeout_s=JOB_S)
        # The coordinator's process ends a moment after its job.
        until(lambda: '"running"' not in self._status(), START_S, "the end of the job")
        self.said["status"] = self._status()
        self.said["watch"] = self.operator.types(f"{watch} --once")

    def look(self) -> None:
        """Everybody looks at what was sent, spent and released."""
        for name, bank in self.banks.items():
            bank.types(f"cp -r ../operator/coordinator/state/jobs/{JOB} {JOB}")
            self.said[f"sent {name}"] = bank.types("fedcredit sent site/SITE.yaml --json")
            self.said[f"ledger {name}"] = bank.types("fedcredit ledger show site/SITE.yaml --json")
            self.said[f"verify {name}"] = bank.types(f"{VERIFY} --json")
        first = self.banks[BANKS[0]]
        first.types(f"fedcredit sent site/SITE.yaml {JOB}")
        first.types("fedcredit ledger show site/SITE.yaml")
        first.types(VERIFY)
        self.said["view"] = first.types("fedcredit custodian watch site/SITE.yaml --once")

    def stop(self) -> None:
        """Stop what was started; what outlives it is noted, then killed."""
        people = [self.operator, *self.banks.values()]
        running = [process for person in people for process in person.running]
        family = descendants({process.pid for process in running})
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.left_over = [one for one in family if one.alive()]
        for one in self.left_over:
            one.kill()

    def logs(self) -> str:
        """The end of every log, for a failure's message."""
        logs = [*self.folder.glob("*/*.log"), *self.folder.glob("*/*/**/*.log")]
        tails = [(path, path.read_text(encoding="utf-8", errors="replace").splitlines()[-25:]) for path in logs]
        return "\n".join(line for path, tail in tails for line in [f"--- {path.relative_to(self.folder)}", *tail])

    def _status(self) -> str:
        return self.operator.types("python -m server status coordinator/COORDINATOR.yaml --json")

    def _reachable(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1.0)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def deal_records(folder: Path) -> None:
    """Give each bank every third record of the packaged table: one under a column name of its own, one as CSV."""
    table = load_uci()
    for number, (name, file) in enumerate(TABLES.items()):
        own = table.take(list(range(number, table.num_rows, len(TABLES))))
        if name == "bank-b":
            own = own.rename_columns(["credit_line" if one == "limit_bal" else one for one in own.column_names])
        write_table(own, folder / name / file)


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table in the form that its name says."""
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
