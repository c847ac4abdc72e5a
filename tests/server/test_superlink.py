"""What is assumed of the private parts of Flower that serve its paths."""

import inspect
from base64 import b64encode
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, EllipticCurvePrivateKey, derive_private_key
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.app import ConfigRecord, RecordDict
from flwr.common.constant import SUPERLINK_NODE_ID, TIMESTAMP_HEADER
from flwr.proto.fleet_pb2 import PushMessagesRequest
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.proto.message_pb2 import Metadata, ObjectTree
from flwr.proto.node_pb2 import Node
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER
from flwr.supercore.date import now
from flwr.supercore.inflatable.inflatable_object import get_object_tree, iterate_object_tree
from flwr.supercore.primitives.asymmetric import sign_message
from flwr.superlink.cli.flower_superlink import _parse_superlink_lifespan_config
from flwr.superlink.main import create_app

from server.fleet_guard import Scope, is_fleet_request
from server.fleet_limits import Limits
from server.loopback_tls import HOST, LoopbackTls
from server.superlink import is_replies, listeners, node_of
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
    inside, outside = listeners(("0.0.0.0", 9123, str(certificate), str(key)), arguments, Limits())
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


def pushed(tree: ObjectTree | None = None, **fields: object) -> bytes:
    """One message of node 7, a reply to the coordinator unless `fields` say otherwise, of one object or of a tree."""
    metadata = {
        "message_id": "reply",
        "src_node_id": 7,
        "dst_node_id": SUPERLINK_NODE_ID,
        "reply_to_message_id": "asked",
    } | fields
    message, trees = ProtoMessage(metadata=Metadata(**metadata)), [tree or ObjectTree(object_id="reply")]
    request = PushMessagesRequest(node=Node(node_id=7), messages_list=[message], message_object_trees=trees)
    return request.SerializeToString()


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
    for part in ("messages_list", "message_object_trees"):
        getattr(both, part).extend(getattr(PushMessagesRequest.FromString(pushed(**fields)), part))
    assert not is_replies(both.SerializeToString())


def tree_of(objects: int) -> ObjectTree:
    """A reply's tree of so many objects, one in the other."""
    tree = ObjectTree(object_id="0" if objects > 1 else "reply")
    for left in reversed(range(objects - 1)):
        tree = ObjectTree(object_id=str(left) if left else "reply", children=[tree])
    return tree


def test_a_node_announces_the_objects_of_one_reply_and_no_more() -> None:
    """Each of them could be as long as the longest message, and Flower keeps them."""
    reply = RecordDict({"fedcredit": ConfigRecord({"envelope": b"reply"})})
    # And the message around it.
    objects = 1 + len(list(iterate_object_tree(get_object_tree(reply))))
    assert is_replies(pushed(tree_of(objects)))
    assert not is_replies(pushed(tree_of(5)))
    assert not is_replies(pushed(tree_of(60)))


def test_a_node_announces_nothing_under_another_name_or_none() -> None:
    """Else it could send one reply again and again, with other objects each time."""
    assert not is_replies(pushed(ObjectTree(object_id="another")))
    for trees in ([], [ObjectTree(object_id="reply")] * 2):
        request = PushMessagesRequest.FromString(pushed())
        del request.message_object_trees[:]
        request.message_object_trees.extend(trees)
        assert not is_replies(request.SerializeToString())


def test_bytes_that_are_no_push_are_none() -> None:
    assert not is_replies(b"\xff\xff")


KEY = derive_private_key(5, SECP384R1())
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

SIGNS_NOTHING = (
    X25519PrivateKey.from_private_bytes(bytes(32))
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
)


def signed(at: datetime, key: EllipticCurvePrivateKey = KEY, public: bytes = PUBLIC) -> Scope:
    """A request with the headers that a SuperNode sends."""
    values = {
        FLEET_HTTP_PUBLIC_KEY_HEADER: b64encode(public),
        FLEET_HTTP_SIGNATURE_HEADER: b64encode(sign_message(key, at.isoformat().encode())),
        TIMESTAMP_HEADER: at.isoformat().encode(),
    }
    return {"type": "http", "headers": [(name.encode(), value) for name, value in values.items()]}


def superlink(*registered: bytes) -> Any:
    """An application whose nodes have these keys."""
    nodes = {key: number for number, key in enumerate(registered, 1)}
    state = SimpleNamespace(get_node_id_by_public_key=nodes.get)
    return SimpleNamespace(state=SimpleNamespace(linkstate_factory=SimpleNamespace(state=lambda: state)))


def test_a_node_that_is_registered_proves_itself_by_its_headers() -> None:
    scope = {**signed(now()), "state": {}}
    assert node_of(superlink(b"another", PUBLIC), scope) == "2"
    assert scope["state"] == {}


HEADERS_OF_NOBODY = {
    "nothing": lambda: {"type": "http", "headers": []},
    "another key": lambda: signed(now(), derive_private_key(6, SECP384R1())),
    "an old signature": lambda: signed(now() - timedelta(hours=1)),
    "no key": lambda: signed(now(), public=b"no key"),
    "a key that signs nothing": lambda: signed(now(), public=SIGNS_NOTHING),
    "no base64": lambda: {"type": "http", "headers": [(FLEET_HTTP_PUBLIC_KEY_HEADER.encode(), b"%%%")]},
}


@pytest.mark.parametrize("name", HEADERS_OF_NOBODY)
def test_nobody_else_does(name: str) -> None:
    assert node_of(superlink(PUBLIC), HEADERS_OF_NOBODY[name]()) is None


def test_a_key_that_is_not_registered_is_nobodys() -> None:
    assert node_of(superlink(b"another"), signed(now())) is None
