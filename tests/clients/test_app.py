"""The ClientApp: what leaves a site is the custodian's bytes or a number, and the site alone names its custodian."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from clients.app import FAULTS, app
from clients.relay import simulation_socket
from fedcredit.errors import RefusalError

Serve = Callable[..., str]
RUN = 77


@pytest.fixture(autouse=True)
def task(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Flower message can only be made inside a Flower task."""
    for name in ("_run_id", "_node_id", "_task_id"):
        monkeypatch.setattr(TaskIdentity, name, RUN)
    return


def asked(content: RecordDict, node_config: dict[str, Any], ttl_s: float = 5.0) -> Message:
    message = Message(content, 1, "query", ttl=ttl_s)
    context = Context(
        run_id=RUN, node_id=1, node_config=node_config, state=RecordDict(), run_config={"custodian": "/evil"}
    )
    return app(message, context)


def carrying(value: bytes | str) -> RecordDict:
    return RecordDict({"fedcredit": ConfigRecord({"envelope": value})})


def test_the_custodian_s_bytes_return(serve: Serve) -> None:
    socket = serve(lambda request, _: request + b" answered")
    reply = asked(carrying(b"question"), {"custodian": socket})
    assert reply.content.config_records["fedcredit"]["envelope"] == b"question answered"
    assert list(reply.content) == ["fedcredit"]


@pytest.mark.parametrize(
    "content",
    [
        RecordDict(),
        carrying("text"),
        RecordDict({"fedcredit": ConfigRecord({"other": b"x"})}),
        RecordDict({"fedcredit": ArrayRecord()}),
        RecordDict({"other": ConfigRecord({"envelope": b"x"})}),
    ],
)
def test_a_message_of_another_shape_is_refused(serve: Serve, content: RecordDict) -> None:
    reply = asked(content, {"custodian": serve(lambda request, _: request)})
    assert (reply.error.code, reply.error.reason) == (FAULTS["request-malformed"], None)


@pytest.mark.parametrize(
    "node_config",
    [
        {},
        {"custodian": ""},
        {"custodian": 7},
        {"partition-id": 0},
        {"partition-id": 0, "num-partitions": 2, "region": "north"},
    ],
)
def test_a_site_that_names_no_custodian_answers_nothing(node_config: dict[str, Any]) -> None:
    reply = asked(carrying(b"x"), node_config)
    assert (reply.error.code, reply.error.reason) == (FAULTS["custodian-unnamed"], None)


def test_a_simulated_node_finds_its_own_custodian(serve: Serve, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(_: bytes, context: grpc.ServicerContext) -> bytes:
        return str(dict(context.invocation_metadata())["institution"]).encode()

    monkeypatch.setenv("FLWR_HOME", str(folder))
    serve(handler, simulation_socket(RUN).name)
    reply = asked(carrying(b"x"), {"partition-id": 4, "num-partitions": 6})
    assert reply.content.config_records["fedcredit"]["envelope"] == b"4"


def test_a_custodian_s_failure_leaves_as_a_number(serve: Serve, capfd: pytest.CaptureFixture[str]) -> None:
    def handler(_: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.INTERNAL, "customer 4711")

    reply = asked(carrying(b"x"), {"custodian": serve(handler)})
    assert (reply.error.code, reply.error.reason) == (FAULTS["custodian-failed"], None)


@pytest.mark.parametrize(
    ("error", "fault"),
    [(ValueError("customer 4711"), "internal"), (RefusalError("new-code", "customer 4711"), "internal")],
)
def test_no_exception_and_no_text_leaves(error: Exception, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> bytes:
        raise error

    monkeypatch.setattr("clients.app.relay", fail)
    reply = asked(carrying(b"x"), {"custodian": "/somewhere.sock"})
    assert (reply.error.code, reply.error.reason) == (FAULTS[fault], None)


def test_the_wait_ends_with_the_question_s_life(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []

    def note(_socket: str, _request: bytes, _institution: str | None, timeout_s: float) -> bytes:
        waits.append(timeout_s)
        return b""

    monkeypatch.setattr("clients.app.relay", note)
    for ttl_s in (30.0, 43200.0):
        asked(carrying(b"x"), {"custodian": "/somewhere.sock"}, ttl_s)
    assert waits == [30.0, 3600.0]


def test_faults_are_numbers_of_our_own() -> None:
    """Flower's own error codes stay below 1000."""
    assert len(set(FAULTS.values())) == len(FAULTS)
    assert min(FAULTS.values()) >= 1000
