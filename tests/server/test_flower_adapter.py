"""What is assumed of flwr 1.41: on the Grid of Flower's own simulation runtime, and on its message types."""

import ast
import inspect
from importlib.metadata import version
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.app import ArrayRecord, ConfigRecord, Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.proto.node_pb2 import NodeInfo
from flwr.server.superlink.linkstate.in_memory_linkstate import InMemoryLinkState
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from flwr.supercore.object_store.in_memory_object_store import InMemoryObjectStore
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.superlink.federation.noop_federation_manager import NoOpFederationManager

from server.faults import FAULTS
from server.flower_adapter import envelope_of, fault_of, nodes, pull, push, request

ROOT = Path(__file__).resolve().parents[2]


def flower_modules(tree: ast.AST) -> set[str]:
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {name for name in names if name.split(".")[0] == "flwr"}


def replies(question: Message, content: RecordDict | Error) -> Message:
    return Message(content, reply_to=question)


def test_flower_is_the_pinned_one() -> None:
    assert version("flwr").startswith("1.41.")


# What Flower does not offer in public: the SuperLink's paths, and a node's tasks; each has contract tests of its own.
RUNTIMES = {"server/superlink.py", "clients/flower_runtime.py"}


def test_only_the_faces_import_flower_and_only_its_public_modules() -> None:
    code = [
        path for folder in ("fedcredit", "server", "clients", "simulations") for path in (ROOT / folder).rglob("*.py")
    ]
    imported = {path.relative_to(ROOT).as_posix(): flower_modules(ast.parse(path.read_text())) for path in code}
    faces = {
        "server/app.py",
        "server/strategy.py",
        "server/flower_adapter.py",
        "clients/app.py",
        "clients/site_runner.py",
    }
    assert {path for path, names in imported.items() if names} - RUNTIMES == faces
    assert set().union(*(names for path, names in imported.items() if path in faces)) == {
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
    assert "4711" not in fault_of(reply).words()
    assert (fault_of(reply).name == "custodian-unreachable") == isinstance(content, Error)


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


def superlink_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A node's key as Flower's own SuperNode registers it."""
    return public_key_to_bytes(key.public_key())


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_the_superlink_s_nodes_and_their_keys(grid: Grid, curve: ec.EllipticCurve) -> None:
    """What a roster pins is what `ssh-keygen` and Flower's registration make of the same key."""
    key = ec.generate_private_key(curve)
    node = register(superlink_key(key))
    grid.nodes, grid.keys = {node.node_id: lambda _: b""}, {node.node_id: node.public_key}
    text = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    assert nodes(grid) == {node.node_id: text}


def test_a_key_that_no_roster_can_pin_is_nobody_s(grid: Grid) -> None:
    """Flower admits curves that OpenSSH does not know."""
    grid.nodes, grid.keys = {1: lambda _: b""}, {1: superlink_key(ec.generate_private_key(ec.SECP224R1()))}
    assert nodes(grid) == {1: "a key of another kind"}


def test_a_grid_without_keys_gives_none(grid: Grid) -> None:
    """Of its own nodes in this process, and of Flower's simulation runtime, whose keys are random bytes."""
    grid.nodes, grid.keys = {1: lambda _: b"", 2: lambda _: b""}, {2: register(bytes(range(32))).public_key}
    assert nodes(grid) == {1: None, 2: None}


def register(public_key: bytes) -> NodeInfo:
    """Flower's own record of a node."""
    state = InMemoryLinkState(NoOpFederationManager(), InMemoryObjectStore())
    return state.get_node_info(node_ids=[state.create_node("", "", public_key, 30.0)])[0]


def test_the_numbers_of_flower_s_own_faults() -> None:
    flowers = {value: name for name, value in vars(ErrorCode).items() if name.isupper()}
    assert {code for code in FAULTS if code < 1000} == set(flowers)
    passing = {flowers[code] for code in flowers if FAULTS[code].passing}
    assert passing == {
        "UNKNOWN",
        "MESSAGE_UNAVAILABLE",
        "REPLY_MESSAGE_UNAVAILABLE",
        "NODE_UNAVAILABLE",
        "CLIENT_APP_CRASHED",
    }


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
