"""What `clients.flower_runtime` assumes of Flower's private names; run it against another version before the pin moves.

``pip install 'flwr==NEXT'`` into an environment of its own, then
``pytest tests/clients/test_flower_runtime_contract.py tests/clients/test_site_runner.py``: this file says which name
changed, the other one drives the same names over HTTP.
"""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from flwr.app import Context, Error, Message, MessageType
from flwr.common.constant import SubStatus
from flwr.common.serde import message_from_proto
from flwr.proto import message_pb2, node_pb2, runtime_pb2
from flwr.supercore.heartbeat import HeartbeatSender
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.inflatable.inflatable_protobuf_utils import (
    make_confirm_message_received_fn_protobuf,
    make_pull_object_fn_protobuf,
)
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    ObjectUnavailableError,
    inflate_object_from_contents,
    pull_objects,
)
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.superexec import run_superexec
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode.cli.flower_supernode import _parse_args_run_supernode
from flwr.supernode.runtime.run_clientapp import push_message, push_task_output

from clients.flower_runtime import ACQUIRE, TASK_TYPE

CALLS: list[tuple[Callable[..., Any], list[str]]] = [
    (push_message, ["client", "message", "context"]),
    (push_task_output, ["client", "context", "sub_status", "details"]),
    (message_from_proto, ["message_proto"]),
    (make_pull_object_fn_protobuf, ["pull_object_protobuf", "node", "run_id"]),
    (make_confirm_message_received_fn_protobuf, ["confirm_message_received_protobuf", "node", "run_id"]),
    (HeartbeatSender.__init__, ["self", "heartbeat_fn"]),
    (HeartbeatSender.start, ["self"]),
    (HeartbeatSender.stop, ["self"]),
    (RuntimeTokenHttpInterceptor.__init__, ["self", "token"]),
    (RuntimeVersionHttpInterceptor.__init__, ["self", "component_name"]),
    (SuperExecAuthHttpInterceptor.__init__, ["self", "master_secret", "protected_methods"]),
    (RuntimeHttpClient.close, ["self"]),
    *[
        (getattr(RuntimeHttpClient, name), ["self", "request"])
        for name in (
            "AcquireTask",
            "PullTaskInput",
            "PullMessages",
            "PullObject",
            "ConfirmMessageReceived",
            "SendTaskHeartbeat",
        )
    ],
]
FIELDS = [
    (runtime_pb2.AcquireTaskRequest, {"supported_task_types"}),
    (runtime_pb2.AcquireTaskResponse, {"task", "token"}),
    (runtime_pb2.PullTaskInputResponse, {"context", "run", "fab", "task_id"}),
    (runtime_pb2.PullAppMessagesResponse, {"messages_list", "message_object_trees"}),
    (runtime_pb2.SendTaskHeartbeatResponse, {"success"}),
    (message_pb2.ConfirmMessageReceivedRequest, {"node", "run_id", "message_object_id"}),
    (message_pb2.ObjectTree, {"object_id", "children"}),
    (node_pb2.Node, {"node_id"}),
]


@pytest.mark.parametrize(("call", "parameters"), CALLS, ids=lambda value: getattr(value, "__qualname__", ""))
def test_a_call_takes_what_we_give_it(call, parameters):
    assert list(inspect.signature(call).parameters) == parameters


@pytest.mark.parametrize(("message", "fields"), FIELDS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_message_has_the_fields_that_we_use(message, fields):
    assert fields <= set(message.DESCRIPTOR.fields_by_name)


def test_a_client_is_made_without_flower_s_retries():
    """They end the process at a 401."""
    parameters = inspect.signature(RuntimeHttpClient.from_server_address).parameters
    assert {"server_address", "insecure", "root_certificates", "interceptors", "retry_invoker"} <= set(parameters)
    assert parameters["retry_invoker"].default is None


def test_a_message_is_fetched_by_its_tree():
    parameters = inspect.signature(inflate_object_from_contents).parameters
    assert list(parameters)[:2] == ["object_id", "object_contents"]
    assert "keep_object_contents" in parameters
    parameters = inspect.signature(pull_objects).parameters
    assert list(parameters)[:2] == ["object_ids", "pull_object_fn"]
    assert "max_time" in parameters
    assert list(inspect.signature(iterate_object_tree).parameters) == ["tree"]
    assert all(issubclass(error, Exception) for error in (ObjectPullError, ObjectUnavailableError))


def test_only_the_claim_of_a_task_is_signed_with_the_secret():
    assert {ACQUIRE} == run_superexec._SUPEREXEC_AUTH_METHODS


def test_words_that_we_send():
    assert (SubStatus.COMPLETED, MessageType.QUERY, TASK_TYPE) == ("completed", "query", "flwr-clientapp")
    assert list(inspect.signature(Context.__init__).parameters)[1:6] == [
        *("run_id", "node_id", "node_config", "state", "run_config")
    ]
    assert Error(1007).reason is None


def test_an_error_reply_needs_no_content_of_the_message(monkeypatch):
    """A foreign bundle's message is answered without having been fetched."""
    for name in ("_run_id", "_node_id", "_task_id"):
        monkeypatch.setattr(TaskIdentity, name, 7)
    asked = message_pb2.Message()
    asked.metadata.run_id, asked.metadata.src_node_id, asked.metadata.dst_node_id = 7, 1, 7
    asked.metadata.message_type, asked.metadata.ttl = "query", 60.0
    asked.content.SetInParent()
    message = message_from_proto(asked)
    message.metadata.__dict__["_message_id"] = "ab"
    reply = Message(Error(1007), reply_to=message)
    assert (reply.metadata.reply_to_message_id, reply.error.code) == ("ab", 1007)


def test_the_supernode_takes_the_supervisor_s_options():
    given = (
        "--isolation process --superlink a.example:9443 --root-certificates ca.pem --auth-supernode-private-key key "
        "--host 127.0.0.1 --port 9094 --superexec-auth-secret-file secret"
    )
    args = _parse_args_run_supernode().parse_args(given.split())
    assert (args.isolation, args.port, args.superexec_auth_secret_file) == ("process", 9094, "secret")
