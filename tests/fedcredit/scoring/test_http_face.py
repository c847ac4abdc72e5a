"""The HTTP face: the gRPC service's answers, and nobody heard whom the service would not hear."""

import http.client
import json
import logging
import threading

import pytest

from fedcredit.custodian.address import TOKEN_KEY
from fedcredit.errors import ConfigError
from fedcredit.scoring import http_face as face
from fedcredit.scoring.card import card_of
from fedcredit.scoring.decisions import DecisionLog
from fedcredit.scoring.metrics import ScoringMetrics
from fedcredit.scoring.service import Decider
from fedcredit.scoring.single import SingleScorer
from tests import packages

VALUES = {"age": 17, "home": "castle", "bill": "a lot", "late": None, "same": 0.5}
TOKEN = "ab" * 32


@pytest.fixture(scope="module")
def card():
    return card_of(packages.package(), "bank")


@pytest.fixture
def metrics():
    return ScoringMetrics()


@pytest.fixture
def port(card, metrics):
    with face.http_face(Decider(card, 520), 0, TOKEN, metrics) as number:
        yield number


def call(port, body, page="/v1/score", method="POST", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    given = {"Content-Type": "application/json", TOKEN_KEY: TOKEN} | {
        k.replace("_", "-"): v for k, v in headers.items()
    }
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, page, content, {name: value for name, value in given.items() if value is not None})
    reply = connection.getresponse()
    said = json.loads(reply.read())
    connection.close()
    return reply, said


def asked(**values):
    return {"customers": [{"id": "c0", "values": values}]}


def test_a_decision_is_the_grpc_service_s(port, card, metrics):
    reply, said = call(port, asked(**VALUES))
    assert reply.status == 200
    expected = SingleScorer(card).score(VALUES)
    (score,) = said["scores"]
    assert (score["id"], score["pd"], score["points"]) == ("c0", expected.pd, expected.points)
    assert score["verdict"] == ("decline" if expected.points < 520 else "approve")
    assert score["flags"] == ["range:age", "code:home", "text:bill"]
    assert [one["points_lost"] for one in score["reasons"]] == [
        one.points_lost for one in SingleScorer(card).reasons(expected)
    ]
    assert said["package_hash"] == card.package.digest
    assert "Python" not in (reply.getheader("Server") or "")
    assert reply.getheader("Access-Control-Allow-Origin") is None
    assert metrics.registry.get_sample_value("fedcredit_decisions_total", {"verdict": score["verdict"]}) == 1


def test_health_needs_no_token(port):
    assert call(port, b"", "/health", "GET", **{TOKEN_KEY: None})[1] == {"status": "serving"}
    assert call(port, b"", "/", "GET")[0].status == 404


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (401, {TOKEN_KEY: "cd" * 32}),
        (401, {TOKEN_KEY: None}),
        (401, {TOKEN_KEY: "é"}),
        (404, {"page": "/score"}),
        (403, {"Host": "evil.example:80"}),
        (415, {"Content_Type": "text/plain"}),
        (411, {"Content_Length": "-1"}),
        (413, {"Content_Length": "4194305"}),
    ],
    ids=["token", "no token", "odd token", "page", "host", "type", "length", "long"],
)
def test_a_caller_that_is_not_heard_is_told_why(port, metrics, status, headers):
    reply, said = call(port, asked(**VALUES), **headers)
    assert reply.status == status
    assert set(said) == {"error"}
    word = "token" if status == 401 else "request"
    assert metrics.registry.get_sample_value("fedcredit_rejected_calls_total", {"reason": word}) == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "correct it"),
        (b'{"customers": [], "customers": []}', "correct it"),
        (b'{"customers": [{"id": "x", "values": {"age": NaN}}]}', "correct it"),
        ([], "correct it"),
        (asked(age=True), "correct it"),
        ({"customers": [{"id": None, "values": {}}]}, "correct it"),
        (asked(age=[1]), "correct it"),
        (asked(age=10**400), "correct it"),
        ({"customers": []}, "1 to 1000 customers"),
        ({"customers": [{"values": {}}] * 1001}, "got 1001"),
        ({"customers": [{"id": "x" * 201, "values": {}}]}, "200 characters"),
        (asked(paid=1), "'paid' is no feature of a bank"),
    ],
    ids=range(12),
)
def test_a_wrong_body_is_a_sentence(port, body, said):
    reply, answer = call(port, body)
    assert reply.status == 400
    assert said in answer["error"]


def test_a_page_in_a_browser_gets_no_leave_to_ask(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("OPTIONS", "/v1/score", headers={"Origin": "https://evil.example"})
    reply = connection.getresponse()
    assert reply.status == 501
    assert reply.getheader("Access-Control-Allow-Origin") is None
    connection.close()


def test_nothing_is_decided_that_cannot_be_logged(card, metrics, tmp_path):
    log = DecisionLog(tmp_path / "d.sqlite")
    with face.http_face(Decider(card, 520, log, bytes(32)), 0, None, metrics) as port:
        assert call(port, asked(**VALUES), **{TOKEN_KEY: None})[0].status == 200
        log.close()
        reply, said = call(port, asked(**VALUES))
    assert reply.status == 503
    assert str(tmp_path) not in said["error"]


def test_a_defect_of_ours_sends_no_text(port, monkeypatch, caplog):
    def fail(self, values):
        raise ZeroDivisionError("castle")

    monkeypatch.setattr(SingleScorer, "score", fail)
    with caplog.at_level(logging.WARNING):
        reply, said = call(port, asked(**VALUES))
    assert reply.status == 500
    assert "castle" not in said["error"]


def test_connections_are_bounded_and_a_caller_s_end_is_no_traceback(port, card, monkeypatch):
    monkeypatch.setattr(face, "_MOST_CONNECTIONS", 1)
    with face.http_face(Decider(card), 0, None, ScoringMetrics()) as narrow:
        first = http.client.HTTPConnection("127.0.0.1", narrow, timeout=10)
        first.request("GET", "/health")
        assert first.getresponse().read()
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            call(narrow, b"", "/health", "GET")
        first.close()
    with (
        pytest.raises(ConfigError, match="cannot be opened"),
        face.http_face(Decider(card), port, None, ScoringMetrics()),
    ):
        pass
    assert not [one for one in threading.enumerate() if one.name == "http-face" and not one.is_alive()]
