"""The site runner: takes the coordinator's messages from the SuperNode and has the custodian answer them.

It is installed at the institution and stays warm. Flower ships an app bundle with each run; the runner hashes the
bundle's bytes, compares the hash with NODE.yaml and drops them. No bundle is unpacked, imported or written anywhere,
neither a reviewed one nor any other: the hash says only whether the coordinator runs what the institution has read.
Nothing of a message with a foreign bundle, or of another type than ours, is looked at. What goes wrong leaves as a
number of `clients.app.FAULTS`.
"""

import gc
import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from flwr.app import Message, MessageType

from clients.app import reply_to, request_in
from clients.flower_runtime import SuperNodeRuntime, Task
from clients.node_state import runtime_secret
from clients.relay import relay
from fedcredit.custodian.policy import require_unshared
from fedcredit.custodian.relay_token import load_relay_token
from fedcredit.errors import ConfigError, JobError, RefusalError
from fedcredit.node_file import NodeFile, load_node_file

_LOG = logging.getLogger(__name__)
_LONGEST_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Gate:
    """What is let through to the custodian, and how it is reached.

    Attributes
    ----------
    node
        The institution's NODE.yaml.
    token
        The relay token, if the custodian demands one.
    """

    node: NodeFile
    token: str | None

    def answer(self, task: Task, superseded: Callable[[], bool]) -> bytes:
        """Relay a task's bytes to the custodian.

        Parameters
        ----------
        superseded
            Whether the SuperNode has handed out another task.

        Raises
        ------
        RefusalError
            If its bundle was not reviewed, it is no message of ours, or the custodian does not answer.
        """
        if task.bundle_hash not in self.node.bundles:
            raise RefusalError(
                "bundle-unknown",
                f"app bundle {task.bundle_hash} is not in NODE.yaml; review it, then add its hash and send SIGHUP.",
            )
        kind = task.message.metadata.message_type
        if kind != MessageType.QUERY:
            raise RefusalError("message-unknown", f"messages of type {kind!r} are not ours; none is answered.")
        request = request_in(_read(task, superseded))
        limits = self.node.timeouts
        return relay(
            self.node.custodian,
            request,
            None,
            timeout_s=min(task.message.metadata.ttl, limits.answer_s),
            token=self.token,
            connect_s=limits.custodian_connect_s,
        )


def load_gate(path: Path) -> Gate:
    """Read NODE.yaml and the relay token.

    Raises
    ------
    ConfigError
        If either is unusable, or another account could have written NODE.yaml: it holds the list of bundles.
    """
    node = load_node_file(path)
    require_unshared(path, "node file")
    return Gate(node, None if node.relay_token is None else load_relay_token(node.relay_token))


class SiteRunner:
    """Works on the SuperNode's tasks, one after the other.

    Parameters
    ----------
    path
        NODE.yaml. Read at the start and at each `reload`, and at no other time: what is let through never changes
        while somebody edits the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._gate = load_gate(path)
        self._stopping = self._stale = False
        self._told = ""  # the last fault, which is logged once
        self._next: str | None = None  # token of a task that was claimed while another one was at hand

    def stop(self) -> None:
        """End after the task at hand."""
        self._stopping = True

    def reload(self) -> None:
        """Read NODE.yaml again after the task at hand, for its bundles, token and time limits."""
        self._stale = True

    def run(self) -> None:
        """Ask for tasks until told to stop; a SuperNode that is gone is asked again with growing pauses."""
        node = self._gate.node
        _LOG.info("waiting for tasks on 127.0.0.1:%d; %d bundles are reviewed", node.runtime_port, len(node.bundles))
        with SuperNodeRuntime(node.runtime_port, runtime_secret(node.state)) as runtime:
            pause_s = 0.0
            while not self._stopping:
                if self._stale:
                    self._read_again()
                pause_s = self._turn(runtime, pause_s)
                if not pause_s:
                    gc.collect()  # messages refer to themselves, and may be large
                time.sleep(pause_s)

    def _turn(self, runtime: SuperNodeRuntime, last_pause_s: float) -> float:
        """Ask for a task and work on it; the seconds to wait before the next."""
        poll_s = self._gate.node.timeouts.poll_s
        try:
            worked = self._work(runtime)
        except JobError as error:
            if str(error) != self._told:
                _LOG.warning("%s", error)
            self._told = str(error)
            return max(poll_s, min(2 * last_pause_s, _LONGEST_PAUSE_S))
        self._told = ""
        return 0.0 if worked else poll_s

    def _read_again(self) -> None:
        self._stale = False
        try:
            gate = load_gate(self._path)
        except ConfigError as error:
            _LOG.error("NODE.yaml is not taken over, the one read before holds: %s", error)
            return
        if gate.node.runtime_port != self._gate.node.runtime_port:
            _LOG.warning("the new runtime_port holds from the next start on")
        self._gate = gate
        _LOG.info("NODE.yaml read again; %d bundles are reviewed", len(gate.node.bundles))

    def _work(self, runtime: SuperNodeRuntime) -> bool:
        """Work on one task, if one waits."""
        token = self._next or runtime.acquire()
        self._next = None
        if token is None:
            return False
        with runtime.task(token) as task:
            superseded = partial(self._another, runtime)
            reply = reply_to(task.message, lambda: self._gate.answer(task, superseded))
            if reply.has_error():
                task.drop(superseded)
            task.reply(reply)
        _LOG.info("run %d: %s", reply.metadata.run_id, _verdict(reply))
        return True

    def _another(self, runtime: SuperNodeRuntime) -> bool:
        """Claim a further task, to be worked on next."""
        self._next = self._next or runtime.acquire()
        return self._next is not None


def run(path: Path) -> None:
    """Run the site runner of a NODE.yaml until SIGTERM or SIGINT; SIGHUP has it read the file again."""
    # It talks to this machine only; a proxy that the environment names is for the SuperNode.
    os.environ.update(NO_PROXY="*", no_proxy="*")
    runner = SiteRunner(path)
    signal.signal(signal.SIGTERM, lambda *_: runner.stop())
    signal.signal(signal.SIGINT, lambda *_: runner.stop())
    signal.signal(signal.SIGHUP, lambda *_: runner.reload())
    runner.run()


def _read(task: Task, superseded: Callable[[], bool]) -> Message:
    try:
        return task.read(superseded)
    except ValueError as error:
        raise RefusalError("request-malformed", f"{error}.") from error


def _verdict(reply: Message) -> str:
    return f"refused with {reply.error.code}" if reply.has_error() else "answered"
