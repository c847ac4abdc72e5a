"""Metrics: what is counted, what a scrape says of the ledger, and that no caller can make the series grow."""

import ast
import socket as sockets
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from fedcredit.custodian import metrics as module
from fedcredit.custodian.metrics import ANSWERED, CODES, KINDS, Metrics, Source
from fedcredit.custodian.metrics_port import served
from fedcredit.custodian.own_figures import own_figures
from fedcredit.custodian.policy import Policy
from fedcredit.errors import ConfigError, LedgerError
from fedcredit.privacy.ledger_balance import balance
from fedcredit.wire import fedcredit_pb2 as pb
from fedcredit.wire.envelope import SigningKey
from fedcredit.wire.messages import IdentifyRequest, Refusal, Role
from tests import privacy_checks as checks
from tests import tiny

LIBRARY = Path(module.__file__).resolve().parents[1]
# What runs inside a custodian, and may refuse.
FOLDERS = ("audit", "custodian", "data", "evaluation", "models", "privacy", "secure_aggregation", "wire")
POLICY = Policy(epsilon=4.0, delta=1e-6, max_epsilon_per_job=4.0, unit="record", purposes=("any",), min_institutions=2)


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((name, tuple(sorted(labels.items()))))


def refusal(code: str) -> bytes:
    return SigningKey.generate().seal("bank-1", Refusal(bytes(32), code, "no"))


@pytest.fixture
def job():
    """A consortium with a bank in the middle of a job: preflight and a first training round are answered."""
    spec = tiny.spec()
    consortium = tiny.federation(spec)
    return consortium, tiny.coordinator(consortium), tiny.custodians(consortium, spec)


def step(driver, members, metrics=None):
    asked = driver.next_step()
    answers = {name: members[name].handle(request) for name, request in asked.requests.items()}
    for name, request in asked.requests.items():
        if metrics is not None and name == "bank-1":
            metrics.handled(request, answers[name], 0.02)
    driver.receive(answers)
    return asked


def test_a_job_is_followed(job):
    consortium, driver, members = job
    ledger = members["bank-1"].ledger
    metrics = Metrics({"bank-1": Source(ledger, "bank", POLICY)})
    short = consortium.plan.digest().hex()[:16]
    assert value(metrics, "fedcredit_ledger_epsilon", institution="bank-1", state="spent") == 0
    assert value(metrics, "fedcredit_ledger_readable", institution="bank-1") == 1
    while step(driver, members, metrics).phase != "train":
        pass
    assert value(metrics, "fedcredit_job_last_answered_round", institution="bank-1", job=short, phase="train") == 1
    labels = {"institution": "bank-1", "job": short, "against": "outsider"}
    spent = value(metrics, "fedcredit_job_epsilon", **labels, state="spent")
    reserved = value(metrics, "fedcredit_job_epsilon", **labels, state="reserved")
    assert 0 < spent < reserved
    assert value(metrics, "fedcredit_requests_total", kind="round", verdict=ANSWERED) >= 2
    assert value(metrics, "fedcredit_requests_total", kind="join", verdict=ANSWERED) == 1
    assert value(metrics, "fedcredit_handling_seconds_bucket", kind="join", le="0.03") == 1
    assert value(metrics, "fedcredit_handling_seconds_bucket", kind="join", le="0.01") == 0
    assert value(metrics, "process_resident_memory_bytes") > 2**20
    totals = balance(ledger.account, ledger.committed(), 4.0, 1e-6)
    assert value(metrics, "fedcredit_ledger_epsilon", institution="bank-1", state="left") == totals.epsilon_left
    committed = value(metrics, "fedcredit_ledger_epsilon", institution="bank-1", state="committed")
    assert committed == totals.epsilon_committed
    assert value(metrics, "fedcredit_ledger_epsilon", institution="bank-1", state="spent") < committed
    while driver.next_step() is not None:
        step(driver, members)
    assert not any(name == "fedcredit_job_epsilon" for name, _ in samples(metrics))  # it is over


def test_bytes_and_figures_of_a_ledger(job):
    consortium, driver, members = job
    ledger = members["bank-1"].ledger
    while step(driver, members).phase != "train":
        pass
    found = own_figures(ledger, "bank", POLICY)
    sent = sum(len(message) for _, _, message in ledger.sent())
    assert found.bytes_sent == sent > 0
    (only,) = found.jobs
    assert (only.plan_hash, only.phase, only.round, only.bytes_sent) == (
        consortium.plan.digest().hex(),
        "train",
        1,
        sent,
    )
    assert own_figures(ledger, "bank", None).totals.epsilon_left is None


def test_no_caller_makes_the_series_grow(job):
    consortium, _, members = job
    ledger = members["bank-1"].ledger
    metrics = Metrics({"bank-1": Source(ledger, "bank", None)})
    key = SigningKey.generate()
    foreign = pb.Envelope(version=99, kind=1, sender="x" * 60, payload=b"", signature=bytes(64)).SerializeToString()
    own = [key.seal(f"sender-{n}", IdentifyRequest(bytes([n]) * 32)) for n in range(50)]
    requests = [*own, foreign, b"", b"\xff" * 99, refusal("budget")]
    for n, request in enumerate(requests):
        metrics.handled(request, refusal(f"code-{n}"), 0.01)
        metrics.rejected(f"reason-{n}")
        over = checks.round_request(consortium, Role.TRAIN, b"x", round_=99 + n)
        sealed = consortium.coordinator_key.seal("coordinator", over)
        metrics.handled(sealed, members["bank-1"].handle(sealed), 0.01)
    found = samples(metrics)
    assert value(metrics, "fedcredit_requests_total", kind="identify", verdict="other") == 50
    assert value(metrics, "fedcredit_requests_total", kind="other", verdict="other") == 4
    assert value(metrics, "fedcredit_requests_total", kind="round", verdict="job") == len(requests)
    assert value(metrics, "fedcredit_rejected_calls_total", reason="other") == len(requests)
    labels = {text for _, pairs in found for _, text in pairs}
    known = {*KINDS.values(), *CODES, ANSWERED, "other", "token", "institution", "bank-1"}
    assert {text for text in labels - known if not text.replace(".", "").replace("+Inf", "").isdigit()} <= {"", "+Inf"}


def test_every_code_of_a_custodian_has_its_name():
    """A code that this list lacks would be counted as 'other'."""
    raised = {"wire", "budget", "ledger", "internal"}  # what the custodian makes of other errors
    paths = [path for folder in FOLDERS for path in (LIBRARY / folder).rglob("*.py")]
    for text in (path.read_text(encoding="utf-8") for path in paths):
        for call in ast.walk(ast.parse(text)) if "RefusalError(" in text else ():
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "RefusalError":
                raised |= {call.args[0].value} if isinstance(call.args[0], ast.Constant) else set()
    assert raised == CODES


def test_a_ledger_that_cannot_be_read_is_said(job):
    _, _, members = job

    class Broken:
        @property
        def event_count(self):
            raise LedgerError("the ledger is damaged")

    metrics = Metrics(
        {"bank-1": Source(Broken(), "bank", None), "bank-2": Source(members["bank-1"].ledger, "bank", None)}
    )
    assert value(metrics, "fedcredit_ledger_readable", institution="bank-1") == 0
    assert value(metrics, "fedcredit_ledger_readable", institution="bank-2") == 1


def test_they_are_served_on_loopback_only():
    metrics = Metrics({})
    metrics.rejected("token")
    with sockets.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} on 127.0.0.1 cannot be opened"), served(metrics, port):
            pass
    with served(metrics, port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as page:
            assert b'fedcredit_rejected_calls_total{reason="token"} 1.0' in page.read()
        with pytest.raises(OSError, match="refused"):
            sockets.create_connection(("127.0.0.2", port), timeout=20)
    with pytest.raises(OSError, match="refused"):
        sockets.create_connection(("127.0.0.1", port), timeout=20)
