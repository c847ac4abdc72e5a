"""The scoring service over gRPC: what it answers, whom it hears, what it counts."""

import json
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from contextlib import contextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import generate_latest

from fedcredit.custodian.address import TOKEN_KEY
from fedcredit.errors import ConfigError
from fedcredit.package.storage import write_package
from fedcredit.scoring import scoring_pb2 as pb
from fedcredit.scoring.card import card_of
from fedcredit.scoring.decisions import DecisionLog, subject_hash
from fedcredit.scoring.listening import Listen, Tls, parse_listen
from fedcredit.scoring.metrics import ScoringMetrics
from fedcredit.scoring.service import METHOD, MOST_CUSTOMERS, SERVICE, Decider, ScoringService
from fedcredit.scoring.single import SingleScorer
from tests import packages
from tests.certificates import authority

VALUES = {"age": 17.0, "home": "castle", "bill": "a lot", "late": None, "same": 0.5}
KEY = bytes(range(32))


def request(*customers, **values):
    messages = []
    for number, given in enumerate(customers or (values,)):
        wire = {
            name: pb.Value() if v is None else pb.Value(text=v) if isinstance(v, str) else pb.Value(number=v)
            for name, v in given.items()
        }
        messages.append(pb.Customer(id=f"c{number}", values=wire))
    return pb.ScoreRequest(customers=messages)


@contextmanager
def served(*given):
    with ScoringService(*given) as service, grpc.insecure_channel(f"127.0.0.1:{service.port}") as channel:
        yield channel


def call(channel, message, token=None):
    method = channel.unary_unary(METHOD, pb.ScoreRequest.SerializeToString, pb.ScoreReply.FromString)
    return method(message, timeout=10, metadata=[] if token is None else [(TOKEN_KEY, token)])


@pytest.fixture
def card():
    return card_of(packages.package(), "bank")


@pytest.fixture
def metrics():
    return ScoringMetrics()


@pytest.fixture
def channel(card, metrics):
    with served(Decider(card, 520), Listen(), None, metrics) as open_channel:
        yield open_channel


def test_a_decision_says_all_that_it_is_made_of(channel, card):
    reply = call(channel, request(**VALUES))
    single = SingleScorer(card)
    expected = single.score(VALUES)
    (score,) = reply.scores
    assert (score.id, score.points, score.verdict) == (
        "c0",
        expected.points,
        "decline" if expected.points < 520 else "approve",
    )
    assert score.pd == expected.pd
    assert list(score.flags) == ["range:age", "code:home", "text:bill"]
    reasons = [(one.feature, one.text, one.points_lost) for one in score.reasons]
    assert reasons == [(one.feature, one.text, one.points_lost) for one in single.reasons(expected)]
    package = card.package
    assert (reply.view, reply.package_hash) == ("bank", package.digest)
    assert (reply.model_hash, reply.dictionary_hash) == (package.model_hash, package.head.dictionary)


def test_a_batch_keeps_its_order_and_every_decision_its_id(channel):
    reply = call(channel, request(VALUES, {"age": 30.0, "home": "own"}, VALUES))
    assert [score.id for score in reply.scores] == ["c0", "c1", "c2"]
    assert len({score.decision_id for score in reply.scores}) == 3
    assert "block:bank" in reply.scores[1].flags
    assert reply.scores[0].points == reply.scores[2].points


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (request(paid=1.0), "'paid' is no feature of a bank"),
        (pb.ScoreRequest(), "1 to 1000 customers, got 0"),
        (pb.ScoreRequest(customers=[pb.Customer()] * (MOST_CUSTOMERS + 1)), "got 1001"),
        (pb.ScoreRequest(customers=[pb.Customer(id="x" * 201)]), "200 characters"),
    ],
    ids=["feature", "none", "many", "id"],
)
def test_a_wrong_request_is_refused_with_a_sentence(channel, metrics, message, said):
    with pytest.raises(grpc.RpcError) as refused:
        call(channel, message)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert said in refused.value.details()
    assert metrics.registry.get_sample_value("fedcredit_rejected_calls_total", {"reason": "request"}) == 1


def test_health_is_served_and_reflection_is_not(channel):
    health = health_pb2_grpc.HealthStub(channel)
    assert health.Check(health_pb2.HealthCheckRequest(service=SERVICE)).status == health_pb2.HealthCheckResponse.SERVING
    method = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    with pytest.raises(grpc.RpcError) as refused:
        next(method(iter([b""])))
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_metrics_count_words_and_hold_no_value(channel, metrics):
    call(channel, request(VALUES, {"age": 30.0, "home": "own"}))
    value = metrics.registry.get_sample_value
    assert sum(value("fedcredit_decisions_total", {"verdict": word}) for word in ("approve", "decline")) == 2
    kinds = {kind: value("fedcredit_flags_total", {"kind": kind}) for kind in ("range", "code", "text", "block")}
    assert kinds == {"range": 1, "code": 1, "text": 1, "block": 1}
    shown = generate_latest(metrics.registry).decode()
    assert not [word for word in ("castle", "a lot", "home", "c0") if word in shown]


def test_only_callers_with_the_token_are_heard(card):
    with served(Decider(card), Listen(), "ab" * 32) as channel:
        assert call(channel, request(**VALUES), "ab" * 32).scores[0].verdict == ""
        with pytest.raises(grpc.RpcError) as refused:
            call(channel, request(**VALUES))
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_callers_certificates_are_asked_for(card, tmp_path):
    ours, foreign = authority(), authority()
    certificate, key = ours.issue(tmp_path / "server")
    root = ours.write(tmp_path / "ca.pem")
    tls = Tls(certificate, key, root)
    with ScoringService(Decider(card), Listen(tls=tls)) as service:
        for issuer in (ours, foreign):
            own_certificate, own_key = issuer.issue(tmp_path / f"client-{issuer is ours}")
            credentials = grpc.ssl_channel_credentials(
                root.read_bytes(), own_key.read_bytes(), own_certificate.read_bytes()
            )
            with grpc.secure_channel(f"localhost:{service.port}", credentials) as channel:
                if issuer is ours:
                    assert call(channel, request(**VALUES)).scores
                else:
                    with pytest.raises(grpc.RpcError):
                        call(channel, request(**VALUES))


def test_files_that_are_no_certificates_are_named_before_anybody_could_ask(card, tmp_path):
    ours = authority()
    certificate, key = ours.issue(tmp_path / "server")
    _, foreign_key = ours.issue(tmp_path / "other")
    root, empty = ours.write(tmp_path / "ca.pem"), tmp_path / "empty.pem"
    empty.write_bytes(b"")
    for tls, said in (
        (Tls(certificate, key, empty), r"empty\.pem holds no certificate in PEM"),
        (Tls(empty, key, root), r"empty\.pem holds no certificate in PEM"),
        (Tls(certificate, empty, root), "key is no PEM key"),
        (Tls(certificate, foreign_key, root), "the key is not the certificate's"),
    ):
        with pytest.raises(ConfigError, match=said):
            ScoringService(Decider(card), Listen(tls=tls)).__enter__()


def test_strangers_are_not_let_in(card, tmp_path):
    tls = Tls(tmp_path / "c.pem", tmp_path / "k.pem")
    with pytest.raises(ConfigError, match="reached from other machines; give --tls-certificate"):
        ScoringService(Decider(card), Listen("0.0.0.0"))
    with pytest.raises(ConfigError, match="give --tls-clients"):
        ScoringService(Decider(card), Listen("192.0.2.7", tls=tls))
    with pytest.raises(ConfigError, match=r"c\.pem|k\.pem"):
        ScoringService(Decider(card), Listen(tls=tls)).__enter__()
    for text in ("8571", "host:", "host:70000", ":1"):
        with pytest.raises(ConfigError, match="no address to listen on"):
            parse_listen(text, None)
    assert parse_listen("[::1]:5", None) == Listen("::1", 5)


def test_a_taken_port_is_said(card):
    with ScoringService(Decider(card), Listen()) as service, pytest.raises(ConfigError, match="cannot be listened on"):
        ScoringService(Decider(card), Listen(port=service.port)).__enter__()


def test_nothing_is_decided_that_cannot_be_logged(card, tmp_path):
    log = DecisionLog(tmp_path / "d.sqlite")
    with served(Decider(card, 520, log, KEY), Listen()) as channel:
        reply = call(channel, request(**VALUES))
        log.close()
        with pytest.raises(grpc.RpcError) as refused:
            call(channel, request(**VALUES))
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert str(tmp_path) not in refused.value.details()
    connection = sqlite3.connect(tmp_path / "d.sqlite")
    connection.row_factory = sqlite3.Row
    (row,) = connection.execute("SELECT * FROM decision").fetchall()
    connection.close()
    assert row["decision_id"] == reply.scores[0].decision_id
    assert row["subject_hash"] == subject_hash(KEY, b"c0")
    assert [one["feature"] for one in json.loads(row["reasons"])] == [one.feature for one in reply.scores[0].reasons]


def test_a_defect_of_ours_sends_no_text(card, monkeypatch, caplog):
    def fail(self, values):
        raise ZeroDivisionError("castle")

    monkeypatch.setattr(SingleScorer, "score", fail)
    with served(Decider(card), Listen()) as channel, pytest.raises(grpc.RpcError) as refused:
        call(channel, request(**VALUES))
    assert refused.value.code() is grpc.StatusCode.INTERNAL
    assert "castle" not in refused.value.details()
    assert [record.message for record in caplog.records] == ["a call failed"]


def test_the_command_serves_until_it_is_told_to_stop(tmp_path):
    write_package(packages.files(), tmp_path / "p.zip")
    command = [sys.executable, "-c", "from fedcredit.cli import main; main()", "serve", str(tmp_path / "p.zip")]
    options = ["--view", "bank", "--listen", "127.0.0.1:0", "--http-port", "0", "--log-format", "json"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        line = json.loads(process.stdout.readline())
        assert line["event"] == "serving"
        with grpc.insecure_channel(line["address"]) as channel:
            assert call(channel, request(**VALUES)).package_hash == line["package"]
        with urllib.request.urlopen(f"http://{line['http']}/health", timeout=10) as reply:
            assert json.load(reply) == {"status": "serving"}
        process.send_signal(signal.SIGTERM)
        assert json.loads(process.stdout.readline())["event"] == "stopped"
        assert process.wait(20) == 0
