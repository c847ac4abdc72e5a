"""Where a process is: a line per passage of a named function, and a kill -9 at the one that a test has chosen.

Runs in the forked processes only. The product's functions are wrapped from outside; none of them knows. A line is one
write to a file that is opened for appending, so a killed process leaves no half of one.
"""

import functools
import hashlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import clients.relay
import fedcredit.cli.custodian
import fedcredit.custodian.custodian
import fedcredit.custodian.service
from fedcredit.audit.trail import Trail
from fedcredit.audit.trail_file import TrailFile
from fedcredit.custodian.custodian import Custodian
from fedcredit.custodian.open_jobs import OpenJobs
from fedcredit.custodian.service import CustodianService
from fedcredit.job.store import JobStore
from fedcredit.privacy.events import Slot
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_counter import EventCounter
from fedcredit.privacy.ledger_file import Transaction
from fedcredit.privacy.ledger_write import LedgerWriter
from fedcredit.wire.envelope import SigningKey
from server.coordinator import Coordinator

DEAF_WITHIN_S = 3.0
# How long a stopped custodian's request goes on after that.
HELD_S = 0.0

Note = Callable[[tuple[Any, ...], Any], dict[str, Any]]


@dataclass
class Tracer:
    """Writes passages, and ends the process at the `passage`-th one of `place`; place None ends it never.

    By SIGKILL; where `stops` is a custodian's socket by SIGTERM, and then it goes on once nobody can connect any more.
    """

    path: Path
    place: str | None = None
    passage: int = 1
    stops: str | None = None
    _passed: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._file = os.open(self.path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)

    def write(self, **values: Any) -> None:
        os.write(self._file, json.dumps(values).encode() + b"\n")

    def passes(self, place: str, **values: Any) -> None:
        self._passed[place] += 1
        last = place == self.place and self._passed[place] == self.passage
        self.write(at=place, **values, **({"signalled": True} if last else {}))
        if last and self.stops is None:
            os.kill(os.getpid(), signal.SIGKILL)
        elif last:
            os.kill(os.getpid(), signal.SIGTERM)
            _wait_until_deaf(self.stops)

    def around(self, owner: Any, name: str, place: str, note: Note = lambda _arguments, _result: {}) -> None:
        """Wrap one function or method: the places ``before PLACE`` and ``after PLACE``."""
        original = getattr(owner, name)

        @functools.wraps(original)
        def traced(*arguments: Any, **named: Any) -> Any:
            self.passes(f"before {place}", **note(arguments, None))
            result = original(*arguments, **named)
            self.passes(f"after {place}", **note(arguments, result))
            return result

        setattr(owner, name, traced)


def trace_custodian(tracer: Tracer) -> None:
    """The start; guard, rehearse, contribute, noise, mask, sign, commit, send; what a join and a release write."""
    module = fedcredit.custodian.custodian
    tracer.around(LedgerWriter, "_check", "open")
    tracer.around(CustodianService, "start", "serve")
    tracer.around(OpenJobs, "join", "join")
    tracer.around(OpenJobs, "guard_request", "guard")
    tracer.around(module, "rehearse", "rehearse")
    tracer.around(module, "contribute", "contribute")
    tracer.around(module, "_masked", "mask")
    tracer.around(SigningKey, "seal", "sign")
    tracer.around(Custodian, "_contribute", "computation", lambda given, _: {"slot": _slot(given[2])})
    tracer.around(Custodian, "handle", "answer")
    for name in ("reserve", "note", "finish"):
        tracer.around(Ledger, name, name)
    tracer.around(Ledger, "commit", "commit", lambda given, _: {"slot": _slot(given[1].slot)})
    tracer.around(LedgerWriter, "_append", "append")
    tracer.around(Transaction, "__exit__", "COMMIT")
    tracer.around(EventCounter, "_write", "counter")
    tracer.around(Trail, "record", "trail")
    tracer.around(TrailFile, "append", "line")
    _trace_replace(tracer)
    _trace_noise(tracer)
    _trace_send(tracer)


def trace_coordinator(tracer: Tracer) -> None:
    """Each packet on its way, and each decision on its way to the disk."""
    tracer.around(clients.relay, "relay", "send", lambda given, _: {"institution": Path(given[0]).stem})
    tracer.around(Coordinator, "take", "take")
    tracer.around(JobStore, "_begin", "open store")
    tracer.around(JobStore, "keep", "keep", lambda given, _: {"kept": [list(given[1:4]), sorted(given[4])]})
    tracer.around(JobStore, "record", "record")
    tracer.around(Transaction, "__exit__", "COMMIT")


def _trace_replace(tracer: Tracer) -> None:
    """The counter's new file is whole and durable, and has the old one's name not yet."""
    original = Path.replace

    def traced(path: Path, target: Path) -> Path:
        tracer.passes("before replace")
        return original(path, target)

    Path.replace = traced


def _trace_noise(tracer: Tracer) -> None:
    """A digest of every noise vector that is drawn."""
    original = fedcredit.cli.custodian.rounded_gaussian_noise

    def traced(*arguments: Any) -> Any:
        tracer.passes("before noise")
        noise = original(*arguments)
        tracer.passes("after noise", noise=hashlib.sha256(noise.astype("<i8").tobytes()).hexdigest())
        return noise

    # The custodian checks that it was given this function and no other.
    for module in (fedcredit.cli.custodian, fedcredit.custodian.custodian):
        module.rounded_gaussian_noise = traced


def _trace_send(tracer: Tracer) -> None:
    """gRPC calls back once an answer is on its way, or never will be."""
    original = CustodianService._handle

    def traced(service: CustodianService, request: bytes, context: Any) -> bytes:
        context.add_callback(lambda: tracer.passes("after send"))
        return original(service, request, context)

    CustodianService._handle = traced


def _wait_until_deaf(socket: str) -> None:
    deadline = time.monotonic() + DEAF_WITHIN_S
    while fedcredit.custodian.door.answers(Path(socket)) and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(HELD_S)


def _slot(slot: Slot) -> str:
    return f"{slot.plan_hash.hex()} {slot.role.name.lower()} {slot.round} {slot.attempt}"
