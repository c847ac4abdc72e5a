"""One child process that is kept running: started, waited for, started again after a growing pause."""

import asyncio
import logging
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedcredit.growing_log import put_aside_if_long
from fedcredit.node_file import Timeouts

_LOG = logging.getLogger(__name__)
_TAIL_BYTES = 20_000
_LOOK_AT_LOG_S = 5.0
# What a SuperNode or runner says as it ends, and what that means for the operator; the first that is found counts.
REASONS = {
    "address already in use": "another process has its port; choose another runtime_port in NODE.yaml",
    "SSL/TLS handshake error": (
        "the SuperLink's certificate was not accepted; compare root_certificates with the consortium's CA, or with the "
        "proxy's if that inspects TLS, and check this machine's clock"
    ),
    "Exit Code: 305": (
        "the SuperLink did not take this node: a coordinator that has just started admits the roster's nodes one by "
        "one, and for up to 60 s it counts a killed node as online; both pass. Else the roster does not have "
        "node_key's public half, this machine's clock is off, or the SuperLink cannot be reached (superlink, proxy, "
        "firewall)"
    ),
    "Exit Code: 606": "SuperNode and site runner are of different Flower versions; install one version",
}


@dataclass(frozen=True, slots=True)
class Child:
    """A process to be kept.

    Attributes
    ----------
    name
        Names it on the console.
    command, environment, cwd
        How it is started; the environment is its whole one.
    log
        File to which its output is added.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: Path
    log: Path


class Keeper:
    """Keeps one child running.

    Parameters
    ----------
    child
        What to keep.
    timeouts
        First and longest pause before it is started again.
    """

    def __init__(self, child: Child, timeouts: Timeouts) -> None:
        self._child, self._timeouts = child, timeouts
        self._process: asyncio.subprocess.Process | None = None

    async def keep(self) -> None:
        """Start the child, again and again, until cancelled; one that ran for long is soon started again."""
        clock, longest_s = asyncio.get_running_loop().time, self._timeouts.restart_longest_s
        pause_s = self._timeouts.restart_first_s
        while True:
            began, said_before = clock(), _size(self._child.log)
            ending = await self._run_once()
            if clock() - began > longest_s:
                pause_s = self._timeouts.restart_first_s
            reason = reason_in(_read_from(self._child.log, said_before)) or f"see {self._child.log}"
            _LOG.warning("%s ended (%s): %s; next start in %g s", self._child.name, ending, reason, pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, longest_s)

    def send(self, number: signal.Signals) -> None:
        """Send the child a signal, if it runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def stop(self, grace_s: float) -> None:
        """Ask the child to end, and kill it if it does not within a while."""
        if self._process is None:
            return
        self.send(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), grace_s)
        except TimeoutError:
            _LOG.warning("%s did not end within %g s and is killed", self._child.name, grace_s)
            self.send(signal.SIGKILL)
            await self._process.wait()
        _LOG.info("%s is stopped", self._child.name)

    async def _run_once(self) -> str:
        """Run the child once; how it ended."""
        try:
            with self._child.log.open("ab") as log:
                # In a session of its own: Ctrl-C is for the supervisor, which stops its children in order.
                self._process = await asyncio.create_subprocess_exec(
                    *self._child.command,
                    env=self._child.environment,
                    cwd=self._child.cwd,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError as error:
            return f"it could not be started, {error.strerror}"
        _LOG.info("%s is started as process %d", self._child.name, self._process.pid)
        code = await self._wait(self._process)
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name

    async def _wait(self, process: asyncio.subprocess.Process) -> int:
        """Wait until it ends, and look after its log meanwhile; its exit code."""
        ended = asyncio.ensure_future(process.wait())
        try:
            while not (await asyncio.wait([ended], timeout=_LOOK_AT_LOG_S))[0]:
                put_aside_if_long(self._child.log, process.pid)
            return await ended
        finally:
            ended.cancel()


def reason_in(said: str) -> str | None:
    """What the end of a child's log means for the operator; None if nothing that is known here."""
    known = [meaning for sign, meaning in REASONS.items() if sign in said]
    if known:
        return known[0]
    own = [line for line in said.splitlines() if line.startswith("error: ")]
    # Flower logs what the SuperLink says, so a line may hold a terminal's control characters.
    return "".join(letter for letter in own[-1] if letter.isprintable()) if own else None


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def _read_from(log: Path, start: int) -> str:
    if not log.exists():
        return ""
    size = _size(log)
    with log.open("rb") as file:
        # Shorter than before: it was put aside meanwhile, so all of it is new.
        file.seek(max(start if start <= size else 0, size - _TAIL_BYTES))
        return file.read().decode("utf-8", "replace")
