"""What is assumed of the private parts of Flower that serve its paths."""

import inspect
from pathlib import Path

import pytest
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.proto.fleet_pb2 import PushMessagesRequest
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.proto.message_pb2 import Metadata
from flwr.proto.node_pb2 import Node
from flwr.superlink.cli.flower_superlink import _parse_superlink_lifespan_config
from flwr.superlink.main import create_app

from server.fleet_guard import is_fleet_request
from server.loopback_tls import HOST, LoopbackTls
from server.superlink import is_replies, listeners
from tests.certificates import authority


def test_the_parser_reads_the_command_line_and_the_app_takes_its_result() -> None:
    assert list(inspect.signature(_parse_superlink_lifespan_config).parameters) == []
    assert list(inspect.signature(create_app).parameters) == ["config", "superlink_lifespan_class"]


def test_two_listeners_one_application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["x"])
    tls = LoopbackTls(tmp_path / "loopback")
    certificate, key = authority().issue(tmp_path)
    arguments = ["--host", HOST, "--port", "8123", "--isolation", "process", "--enable-supernode-auth"]
    arguments += ["--ssl-certfile", str(tls.certificate), "--ssl-keyfile", str(tls.key)]
    arguments += ["--ssl-ca-certfile", str(tls.authority)]
    inside, outside = listeners(("0.0.0.0", 9123, str(certificate), str(key)), arguments)
    assert (inside.config.host, inside.config.port) == (HOST, 8123)
    assert (outside.config.host, outside.config.port) == ("0.0.0.0", 9123)
    assert outside.config.ssl_certfile == str(certificate)
    application = inside.config.app
    assert application.state.enable_supernode_auth is True
    assert outside.config.app is not application

    paths: dict[str, dict[str, object]] = application.openapi()["paths"]
    passed = {
        path
        for path, methods in paths.items()
        for method in methods
        if is_fleet_request({"type": "http", "method": method.upper(), "raw_path": path.encode()})
    }
    assert passed == {path for path in paths if path.startswith("/v1/fleet/")} | {"/health"}
    assert len(passed) > 5
    assert {path for path in paths if path.startswith("/v1/control/")}
    assert {path for path in paths if path.startswith("/v1/runtime/")}


def pushed(**fields: object) -> bytes:
    """One message of node 7, a reply to the coordinator unless `fields` say otherwise."""
    metadata = {"src_node_id": 7, "dst_node_id": SUPERLINK_NODE_ID, "reply_to_message_id": "asked"} | fields
    message = ProtoMessage(metadata=Metadata(**metadata))
    return PushMessagesRequest(node=Node(node_id=7), messages_list=[message]).SerializeToString()


def test_a_node_pushes_replies_to_the_coordinator() -> None:
    assert is_replies(pushed())
    assert is_replies(PushMessagesRequest(node=Node(node_id=7)).SerializeToString())


@pytest.mark.parametrize(
    "fields",
    [{"reply_to_message_id": ""}, {"src_node_id": SUPERLINK_NODE_ID}, {"src_node_id": 8}, {"dst_node_id": 8}],
    ids=["no reply", "in the coordinator's name", "in another node's name", "to another node"],
)
def test_a_node_pushes_nothing_else(fields: dict[str, object]) -> None:
    """Flower would hand it to the other node as an instruction of the coordinator's."""
    assert not is_replies(pushed(**fields))
    both = PushMessagesRequest.FromString(pushed())
    both.messages_list.extend(PushMessagesRequest.FromString(pushed(**fields)).messages_list)
    assert not is_replies(both.SerializeToString())


def test_bytes_that_are_no_push_are_none() -> None:
    assert not is_replies(b"\xff\xff")
