"""What a round costs over Flower: ``python -m benches.roundtrip``.

Three institutions on this machine, over TLS with node authentication. One job's steps are timed, and, through the same
SuperNodes and the same warm site runners, messages that ask for nothing (an empty envelope, which each custodian
refuses at once). Beside them the same job with Flower's default isolation, where each message starts a process at each
institution. Medians; what is compared ran in one go on one machine.
"""

import json
import statistics
import subprocess
import tempfile
import textwrap
import time
from itertools import pairwise
from pathlib import Path

from server.bundle import build_bundle, bundle_hash
from server.coordinator_file import load_coordinator_file
from server.environment import environment, program
from server.job_status import read_status
from simulations.flower_runner import on_loopback
from tests.deployment.live import LiveConsortium, simulated

ROUNDS, EMPTY = 6, 8
ALLOWED = 1.10
_APP = """
import time
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp

app = ServerApp()

@app.main()
def main(grid, context):
    while len(nodes := list(grid.get_node_ids())) < {nodes}:
        time.sleep(0.2)
    for _ in range({exchanges}):
        began, content = time.monotonic(), RecordDict({{"fedcredit": ConfigRecord({{"envelope": b""}})}})
        asked = list(grid.push_messages([Message(content, node, "query") for node in nodes]))
        missing = set(asked)
        while missing:
            missing -= {{reply.metadata.reply_to_message_id for reply in grid.pull_messages(list(missing))}}
            time.sleep(0.2 if missing else 0)
        print(f"exchange {{time.monotonic() - began:.3f}}", flush=True)
"""
_PROJECT = """
[project]
name = "empty"
version = "1"
license = "Apache-2.0"
dependencies = []
[tool.flwr.app]
publisher = "bench"
fab-include = ["empty_app.py"]
[tool.flwr.app.components]
serverapp = "empty_app:app"
clientapp = "empty_app:app"
"""


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="fc-") as name:
        folder = Path(name)
        app = folder / "empty"
        app.mkdir()
        (app / "pyproject.toml").write_text(textwrap.dedent(_PROJECT))
        (app / "empty_app.py").write_text(_APP.format(nodes=3, exchanges=EMPTY))
        live = LiveConsortium(folder, banks=2, hospitals=1, also_reviewed=(bundle_hash(build_bundle(app)),))
        with live:
            plan = live.submit("bench", rounds=ROUNDS)
            began = time.monotonic()
            live.finish(plan)
            whole = time.monotonic() - began
            status = read_status(live.job_folder(plan.job))
            empty = empty_exchanges(live, app)
            own = list(status.seconds) if status else []
    ratio = statistics.median(own) / statistics.median(empty)
    print(f"3 institutions, {ROUNDS} rounds; seconds per exchange (median, least, most)")
    say("ours", own)
    say("empty message", empty)
    print(f"ours / empty {ratio:.2f} (bar {ALLOWED}); the whole job: {len(own)} exchanges in {whole:.0f} s", flush=True)
    say("default isolation", default_isolation())


def say(what: str, seconds: list[float]) -> None:
    """One line of the table."""
    middle, least, most = statistics.median(seconds), min(seconds), max(seconds)
    print(f"  {what:18} {middle:6.2f} {least:6.2f} {most:6.2f}   n={len(seconds)}", flush=True)


def empty_exchanges(live: LiveConsortium, app: Path) -> list[float]:
    """Seconds of each empty exchange, by Flower's own commands."""
    file = load_coordinator_file(live.coordinator)
    home = live.folder / "flwr-bench"
    home.mkdir()
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:{file.api_port}"\n'
        f"root-certificates = {json.dumps(str(file.state / 'loopback' / 'ca.pem'))}\n"
    )
    done = subprocess.run(
        [program("flwr"), "run", str(app), "--stream"],
        cwd=home,
        env=environment(home),
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    return [float(line.split()[-1]) for line in done.stdout.splitlines() if "exchange " in line]


def default_isolation() -> list[float]:
    """Seconds of each step of such a job where each message starts a process; nodes without keys of their own."""
    times: list[float] = []

    def decided(*_: object) -> None:
        times.append(time.monotonic())

    federation, spec = simulated(2, 1)
    with tempfile.TemporaryDirectory(prefix="fc-") as name:
        on_loopback(federation, spec, Path(name), decided)
    return [later - earlier for earlier, later in pairwise(times)]


if __name__ == "__main__":
    main()
