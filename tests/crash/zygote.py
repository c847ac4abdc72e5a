"""A process that has loaded everything and forks the others: each starts in milliseconds, and is a process of its own.

Orders come on standard input, one JSON value a line; each is answered by one line. When the input ends, so do all.
It opens no file, socket, thread or gRPC object itself, so a fork takes nothing along but loaded code.
"""

import contextlib
import faulthandler
import json
import os
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import fedcredit.cli
from tests.crash import coordinator_process, faults
from tests.crash.passages import Tracer, trace_coordinator, trace_custodian


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # who is aborted leaves its stacks in its log, and no core
    running: set[int] = set()
    for line in sys.stdin:
        order = json.loads(line)
        if "reap" in order:
            _, status = os.waitpid(order["reap"], 0)
            running.discard(order["reap"])
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            become(order)
        running.add(pid)
        print(pid, flush=True)
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def become(order: dict[str, Any]) -> None:
    """Be the custodian or the coordinator of an order; never returns."""
    code = 1
    try:
        log = os.open(order["log"], os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        faulthandler.enable()  # for `Crew.whereabouts`
        tracer = Tracer(Path(order["trace"]), order["place"], order["passage"], order["stops"])
        tracer.write(start=os.getpid())
        if order["fault"] is not None:
            faults.FAULTS[order["fault"]]()
        if "job" in order:
            trace_coordinator(tracer)
            coordinator_process.lead(Path(order["job"]), tracer)
        else:
            trace_custodian(tracer)
            sys.argv = ["fedcredit", *order["argv"]]
            fedcredit.cli.main()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except Exception:  # noqa: BLE001  (the end of a process: its log gets the traceback)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
