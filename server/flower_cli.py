"""Flower's own command line as the dispatcher uses it: `flwr run`, `ls`, `stop`, and the registration of nodes.

Only documented commands, with their JSON output. They talk to the SuperLink on loopback.
"""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedcredit.errors import JobError
from server.bundle import build_bundle, bundle_hash, stage_app
from server.dispatch import Run
from server.environment import environment, program
from server.pacing import Pacing

_CONNECTION = "coordinator"
_TIMEOUT_S = 120.0


class FlowerCommands:
    """The SuperLink of this coordinator.

    Parameters
    ----------
    home
        Flower home of these commands; holds the staged app.
    address
        HOST:PORT of the SuperLink's control paths.
    root_certificates
        Who vouches for the SuperLink there.
    pacing
        Deadlines, for the ServerApp.
    """

    def __init__(self, home: Path, address: str, root_certificates: Path, pacing: Pacing) -> None:
        self._home, self._pacing = home, pacing
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        (home / "config.toml").write_text(
            f'[superlink]\ndefault = "{_CONNECTION}"\n\n[superlink.{_CONNECTION}]\naddress = "{address}"\n'
            f"root-certificates = {json.dumps(str(root_certificates))}\n",
            encoding="utf-8",
        )
        staged = home / "app"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        self._app = stage_app(staged)
        self._bundle = bundle_hash(build_bundle(self._app))

    @property
    def bundle(self) -> str:
        """SHA-256 of the clone's app bundle."""
        return self._bundle

    def start(self, job: Path) -> str:
        """Submit a run of the job of a JOB.yaml; its number.

        Raises
        ------
        JobError
            If the staged app is no longer the clone's, or the SuperLink does not take it.
        """
        answer = self._flwr("run", str(self._app), "--run-config", str(self._run_config(job)))
        run, beginning = str(answer["run-id"]), str(answer["fab-hash"])
        if not self._bundle.startswith(beginning):
            self.stop(run)
            raise JobError(
                f"{self._app} was changed since it was staged: it gives bundle {beginning}…, not {self._bundle}; "
                "restart 'python -m server serve'."
            )
        return run

    def runs(self) -> Mapping[str, Run]:
        """All runs by number, from Flower's list."""
        return {str(run["run-id"]): Run(run["status"], run["fab-hash"]) for run in self._flwr("ls")["runs"]}

    def stop(self, run: str) -> None:
        """Stop a run; one that has ended already is left alone."""
        try:
            self._flwr("stop", run)
        except JobError:
            found = self.runs().get(run)
            if found is not None and not found.over:
                raise

    def nodes(self) -> set[str]:
        """Numbers of all registered nodes, whether or not they are online."""
        nodes = self._flwr("supernode", "ls")["nodes"]
        return {str(node["node-id"]) for node in nodes if node["status"] != "unregistered"}

    def register(self, key: str) -> str:
        """Admit the node that has a key; the node's number."""
        path = self._home / "node.pub"
        path.write_text(f"{key}\n", encoding="ascii")
        return str(self._flwr("supernode", "register", str(path))["node-id"])

    def unregister(self, node: str) -> None:
        """Admit a node no more."""
        self._flwr("supernode", "unregister", node)

    def _run_config(self, job: Path) -> Path:
        path = self._home / "run-config.toml"
        config = {"job": str(job), "flower": self._pacing.model_dump()}
        # A JSON string is also a TOML string, as long as no character is written as a pair of escapes.
        path.write_text(f"cfg-json = {json.dumps(json.dumps(config), ensure_ascii=False)}\n", encoding="utf-8")
        return path

    def _flwr(self, *arguments: str) -> dict[str, Any]:
        what = f"'flwr {' '.join(arguments[:2] if arguments[0] == 'supernode' else arguments[:1])}'"
        command = [program("flwr"), *arguments, "--format", "json"]
        try:
            done = subprocess.run(  # noqa: S603  Flower's own program
                command,
                cwd=self._home,
                env=environment(self._home),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=_TIMEOUT_S,
            )
            answer = json.loads(done.stdout)
        except subprocess.TimeoutExpired as error:
            raise JobError(f"{what} did not end within {_TIMEOUT_S:g} s; look into the SuperLink's log.") from error
        except json.JSONDecodeError as error:
            raise JobError(f"{what} failed: {_last_lines(done.stderr or done.stdout)}") from error
        if done.returncode or not isinstance(answer, dict) or not answer.get("success"):
            raise JobError(f"{what} failed: {_last_lines(str(answer))}")
        return answer


def _last_lines(text: str) -> str:
    return " ".join(text.split())[-500:] or "it said nothing"
