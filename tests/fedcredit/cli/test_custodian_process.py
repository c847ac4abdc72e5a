"""The served custodian as a process: its memory, what it loads, its ports, its log, and what its operator sees."""

import json
import os
import shutil
import signal
import socket as sockets
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from clients.relay import relay
from fedcredit.custodian.site_file import load_site_file
from fedcredit.data import uci
from fedcredit.data.uci import uci_dictionary
from fedcredit.errors import RefusalError
from fedcredit.wire.envelope import SigningKey, open_envelope
from fedcredit.wire.messages import IdentifyReply, IdentifyRequest, Refusal
from tests.fedcredit.cli.test_ledger import join_and_answer_once

ROOT = Path(__file__).resolve().parents[3]
WAIT_S = 60
MOST_MIB = 150


@pytest.fixture
def ports():
    """Two ports that nobody listens on."""
    listeners = [sockets.create_server(("127.0.0.1", 0)) for _ in range(2)]
    found = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return found


@pytest.fixture
def open_site(cli, site, ports):
    """A site with every door that SITE.yaml can open, and a ledger; the token."""
    assert cli("custodian", "token", site.folder / "keys" / "relay.token").code == 0
    site.change("SITE.yaml", relay_token="keys/relay.token", loopback_port=ports[0], metrics_port=ports[1])
    assert cli("ledger", "open", site.file).code == 0
    return (site.folder / "keys" / "relay.token").read_text().strip()


@pytest.fixture
def serving():
    """Start `fedcredit custodian serve`; it is gone when the test ends."""
    started = []

    def start(*arguments, options=(), stderr=subprocess.PIPE):
        command = [sys.executable, *options, "-c", "from fedcredit.cli import main; main()", "custodian", "serve"]
        process = subprocess.Popen(
            [*command, *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            text=True,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
        started.append(process)
        return process, process.stdout.readline()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def identify(site, address, token):
    nonce = os.urandom(32)
    request = site.coordinator.seal("coordinator", IdentifyRequest(nonce))
    reply = open_envelope(relay(address, request, None, WAIT_S, token)).verify(site.key().public)
    assert reply == IdentifyReply(nonce)


def scraped(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WAIT_S) as page:
        families = text_string_to_metric_families(page.read().decode())
        return {(one.name, *sorted(one.labels.values())): one.value for family in families for one in family.samples}


def stopped(process):
    process.terminate()
    out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, err
    return out, err


def resident_mib(pid):
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024


def with_uci(site):
    """The packaged 30,000 rows with all 23 features."""
    package = Path(uci.__file__).parent
    shutil.copy(package / "uci_credit.parquet", site.folder / "rows.parquet")
    document = uci_dictionary(flat=True).model_dump(mode="json")
    (site.folder / "dictionary.yaml").write_text(yaml.safe_dump(document))
    site.change("SITE.yaml", data={"kind": "parquet", "path": "rows.parquet"})


def test_an_idle_custodian_is_small_and_loads_no_framework(site, open_site, ports, serving, tmp_path):
    with_uci(site)
    with (tmp_path / "imports").open("w+") as imports:
        process, said = serving(site.file, options=("-X", "importtime"), stderr=imports)
        assert said == f"serving bank-1 on {site.socket} and 127.0.0.1:{ports[0]}\n"
        identify(site, f"127.0.0.1:{ports[0]}", open_site)
        identify(site, str(site.socket), open_site)
        found = scraped(ports[1])
        idle = resident_mib(process.pid)
        stopped(process)
        imports.seek(0)
        loaded = {line.rsplit("|", 1)[-1].strip() for line in imports if line.startswith("import time:")}
    assert idle <= MOST_MIB, f"{idle:.0f} MiB"
    assert found["fedcredit_requests_total", "answered", "identify"] == 2
    assert found["fedcredit_ledger_epsilon", "bank-1", "left"] == pytest.approx(4.0, rel=1e-3)
    assert abs(found[("process_resident_memory_bytes",)] / 2**20 - idle) < 20
    assert {"fedcredit.custodian.custodian", "grpc", "numpy"} <= loaded
    unwanted = {"flwr", "hydra", "torch", "scipy.optimize", "scipy.linalg", "pyarrow", "sklearn", "matplotlib"}
    assert not loaded & unwanted


def test_without_the_token_nothing_is_heard_and_the_log_holds_no_secret(site, open_site, ports, serving):
    process, said = serving(site.file, "--log-format", "json")
    assert (json.loads(said)["event"], json.loads(said)["institutions"]) == ("serving", ["bank-1"])
    for address in (str(site.socket), f"127.0.0.1:{ports[0]}"):
        for token in (None, "0" * 64):
            with pytest.raises(RefusalError) as caught:
                relay(address, b"anything", None, WAIT_S, token)
            assert caught.value.code == "custodian-token"
    found = scraped(ports[1])
    assert found["fedcredit_rejected_calls_total", "token"] == 4
    assert not any(name == "fedcredit_requests_total" for name, *_ in found)
    stranger = SigningKey.generate().seal("coordinator", IdentifyRequest(bytes(32)))
    reply = relay(str(site.socket), stranger, None, WAIT_S, open_site)
    assert open_envelope(reply).kind == Refusal.kind
    out, err = stopped(process)
    assert json.loads(out)["event"] == "stopped"
    (line,) = [json.loads(line) for line in err.splitlines()]
    assert (line["event"], line["code"], line["level"]) == ("request-refused", "signature", "warning")
    for secret in (open_site, (site.folder / "keys" / "data.key").read_text().strip()):
        assert secret not in out + err


def test_the_operator_sees_and_stops_beside_the_custodian(cli, site, open_site, serving, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    plan = join_and_answer_once(site)
    _, _ = serving(site.file)
    stranger = SigningKey.generate().seal("coordinator", IdentifyRequest(bytes(32)))
    relay(str(site.socket), stranger, None, WAIT_S, open_site)
    ran = cli("custodian", "watch", site.file, "--once")
    assert (ran.code, ran.err) == (0, "")
    flat = " ".join(ran.out.split())
    for words in ("bank-1 (bank)", "first", plan.digest().hex()[:16], "preflight 1", "bytes sent in all", "4.000"):
        assert words in flat, ran.out
    assert "identify request coordinator, not proved signature" in flat
    assert "nothing yet" not in flat
    # The console shows the token, too.
    assert cli("roster", "stop", site.file, site.folder / "stop").code == 0
    ran = cli("roster", "deliver", site.file, site.folder / "stop")
    assert (ran.code, ran.err) == (0, "")
    assert "stopped: no job under roster" in ran.out


def test_watch_of_a_custodian_that_was_never_served(cli, site):
    assert cli("ledger", "open", site.file).code == 0
    ran = cli("custodian", "watch", site.file, "--once")
    assert (ran.code, ran.err) == (0, "")
    assert "no job is open" in ran.out
    assert "no refusal" in ran.out


@pytest.mark.timeout(WAIT_S)
def test_without_a_terminal_each_change_is_a_frame_below_the_last(cli, site):
    assert cli("ledger", "open", site.file).code == 0
    # Whoever runs the tests in the background may have switched the interrupt off for all that they start.
    program = "from signal import *; signal(SIGINT, default_int_handler); from fedcredit.cli import main; main()"
    command = [sys.executable, "-c", program, "custodian", "watch"]
    options = {"env": os.environ | {"PYTHONPATH": str(ROOT)}, "text": True, "stdout": subprocess.PIPE}
    with subprocess.Popen([*command, str(site.file), "--every", "0.2"], **options) as process:
        try:
            _frame(process.stdout)
            os.utime(load_site_file(site.file).ledger)
            _frame(process.stdout)
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
        finally:
            process.kill()


def _frame(lines):
    """Read up to a frame's last line."""
    while "no refusal" not in next(lines):
        continue


@pytest.mark.timeout(WAIT_S)
@pytest.mark.parametrize("which", [0, 1], ids=["loopback", "metrics"])
def test_a_taken_port_is_one_sentence(cli, site, open_site, ports, which):
    with sockets.create_server(("127.0.0.1", ports[which])):
        ran = cli("custodian", "serve", site.file)
    assert ran.code == 1
    (line,) = [line for line in ran.err.splitlines() if line.startswith("error: ")]
    assert f"port {ports[which]} on 127.0.0.1" in line
    assert "ss -ltnp" in line
    assert not site.socket.exists()


@pytest.mark.long
def test_records_on_disk_have_no_name_there(site, open_site, serving):
    before = sorted(site.folder.rglob("*"))
    site.change("SITE.yaml", cells_on_disk=True)
    process, said = serving(site.file)
    assert said.startswith("reading bank-1: a part at a time, the cells to disk")
    assert process.stdout.readline().startswith("serving bank-1 on ")
    maps = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
    cells = [line.split() for line in maps if f" {site.folder}/" in line and line.endswith("(deleted)")]
    assert [access for _, access, *_ in cells] == ["r--s", "r--s"]
    new = {path.name for path in {*site.folder.rglob("*")} - {*before}}
    assert all(name == "c.sock" or name.startswith("ledger.sqlite") for name in new), new
    stopped(process)
