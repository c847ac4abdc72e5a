"""What is assumed of flwr 1.41: on the Grid of Flower's own simulation runtime, and on its message types."""

import ast
import inspect
from importlib.metadata import version
from pathlib import Path

import pytest
from flwr.app import ArrayRecord, ConfigRecord, Error, Message, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from server.flower_adapter import envelope_of, fault_of, pull, push, request

ROOT = Path(__file__).resolve().parents[2]


def flower_modules(tree: ast.AST) -> set[str]:
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {name for name in names if name.split(".")[0] == "flwr"}


def replies(question: Message, content: RecordDict | Error) -> Message:
    return Message(content, reply_to=question)


def test_flower_is_the_pinned_one() -> None:
    assert version("flwr").startswith("1.41.")


def test_only_the_faces_import_flower_and_only_its_public_modules() -> None:
    code = [
        path for folder in ("fedcredit", "server", "clients", "simulations") for path in (ROOT / folder).rglob("*.py")
    ]
    imported = {path.relative_to(ROOT).as_posix(): flower_modules(ast.parse(path.read_text())) for path in code}
    faces = {"server/app.py", "server/strategy.py", "server/flower_adapter.py", "clients/app.py"}
    assert {path for path, names in imported.items() if names} == faces
    assert set().union(*imported.values()) == {
        "flwr.app",
        "flwr.serverapp",
        "flwr.serverapp.strategy",
        "flwr.clientapp",
    }


def test_a_request_carries_the_envelope(grid: Grid) -> None:
    message = request(7, b"\x00signed", 30.0, "train-2")
    assert message.content.config_records["fedcredit"]["envelope"] == b"\x00signed"
    assert list(message.content) == ["fedcredit"]
    metadata = message.metadata
    assert (metadata.dst_node_id, metadata.ttl, metadata.group_id) == (7, 30.0, "train-2")
    assert metadata.message_type == "query"


def test_the_envelope_of_a_reply(grid: Grid) -> None:
    question = request(7, b"question", 30.0, "")
    reply = replies(question, RecordDict({"fedcredit": ConfigRecord({"envelope": b"answer"})}))
    assert envelope_of(reply) == b"answer"


@pytest.mark.parametrize(
    "content",
    [
        Error(1003, "customer 4711"),
        RecordDict(),
        RecordDict({"fedcredit": ConfigRecord({"envelope": "text"})}),
        RecordDict({"fedcredit": ConfigRecord()}),
        RecordDict({"fedcredit": ArrayRecord()}),
    ],
)
def test_anything_else_is_no_envelope(grid: Grid, content: RecordDict | Error) -> None:
    reply = replies(request(7, b"question", 30.0, ""), content)
    assert envelope_of(reply) is None
    assert "4711" not in fault_of(reply)
    assert ("1003" in fault_of(reply)) == isinstance(content, Error)


def test_messages_that_flower_did_not_accept_are_not_waited_for(grid: Grid) -> None:
    grid.nodes = {1: lambda asked: asked, 2: lambda asked: asked}
    grid.refuse = {2}
    sent = push(grid, [request(node, b"x", 30.0, "") for node in (1, 2)])
    assert list(sent.values()) == [1]


def test_a_lost_node_s_error_is_known_by_the_message_that_it_answers(grid: Grid) -> None:
    grid.nodes, grid.delay_s = {1: lambda _: b"here", 2: lambda _: 5}, 0.0
    sent = push(grid, [request(node, b"x", 30.0, "") for node in (1, 2)])
    arrived = pull(grid, sent)
    assert {sent[message_id]: envelope_of(reply) for message_id, reply in arrived.items()} == {1: b"here", 2: None}


def test_nothing_asked_means_no_call(grid: Grid) -> None:
    def fail(*_: object) -> list[str]:
        raise AssertionError

    grid.push_messages = grid.pull_messages = fail
    assert push(grid, []) == {}
    assert pull(grid, {}) == {}


def test_the_grid_and_the_strategy_have_the_shapes_that_we_fill() -> None:
    assert Grid.__abstractmethods__ == {
        "create_message",
        "get_node_ids",
        "pull_messages",
        "push_messages",
        "run",
        "send_and_receive",
        "set_run",
    }
    assert Strategy.__abstractmethods__ == {
        "aggregate_evaluate",
        "aggregate_train",
        "configure_evaluate",
        "configure_train",
        "summary",
    }
    assert list(inspect.signature(Strategy.start).parameters)[:2] == ["self", "grid"]
