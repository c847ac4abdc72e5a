"""Flower's Runtime API, as the site runner uses it: the client side's every private name of Flower's stands here.

A SuperNode with ``--isolation process`` hands tasks to whoever asks on its loopback port and shows its secret. Flower's
own programs start a process for each, which unpacks and runs the coordinator's code; they also end their process when
the SuperNode tells them that a task is over. A runner that stays cannot use those parts, so this module makes the same
calls one by one. ``tests/clients/test_flower_runtime_contract.py`` holds each name to what is assumed of it.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Self

import httpx
from flwr.app import Context, Message, RecordDict
from flwr.common.constant import SubStatus
from flwr.common.serde import message_from_proto
from flwr.proto.message_pb2 import ObjectTree
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    PullAppMessagesRequest,
    PullTaskInputRequest,
    SendTaskHeartbeatRequest,
)
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
from flwr.supercore.protobuf.client import ProtobufClientInterceptor
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode.runtime.run_clientapp import push_message, push_task_output

from fedcredit.errors import JobError

TASK_TYPE = "flwr-clientapp"
ACQUIRE = "/flwr.proto.Runtime/AcquireTask"
# A message is taken apart only if its tree is as small as ours are: a dictionary, a record and a few chunks.
MAX_OBJECTS = 64
# How long the content of a message is waited for before a look at whether it still comes.
LOOK_S = 2.0

_COMPONENT = "SuperExec"
_PASSING_STATUS = {502, 503, 504}
_LOG = logging.getLogger(__name__)


class SuperNodeRuntime:
    """A SuperNode's Runtime API on this machine.

    Parameters
    ----------
    port
        Port of 127.0.0.1.
    secret
        What the SuperNode was started with as ``--superexec-auth-secret-file``; None if with nothing.
    """

    def __init__(self, port: int, secret: bytes | None) -> None:
        self._address = f"127.0.0.1:{port}"
        proof = (
            [] if secret is None else [SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods={ACQUIRE})]
        )
        self._client = self._connect(*proof)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def acquire(self) -> str | None:
        """Claim the oldest waiting task of our one type; its token, or None if none waits.

        Raises
        ------
        JobError
            If the SuperNode does not answer, or refuses to hand out tasks.
        """
        with _reported("hands out no task"):
            found = self._client.AcquireTask(AcquireTaskRequest(supported_task_types=[TASK_TYPE]))
        return str(found.token) if found.HasField("task") and found.token else None

    @contextmanager
    def task(self, token: str) -> Iterator["Task"]:
        """Work on a claimed task: the SuperNode is told regularly that it is being worked on.

        Raises
        ------
        JobError
            If the SuperNode has forgotten the task, or is gone.
        """
        client = self._connect(RuntimeTokenHttpInterceptor(token))
        heartbeat = HeartbeatSender(lambda: _beat(client))
        heartbeat.start()
        try:
            with _reported("has dropped the task"):
                yield _pull(client)
        finally:
            if heartbeat.is_running:
                heartbeat.stop()
            client.close()

    def _connect(self, *interceptors: ProtobufClientInterceptor) -> RuntimeHttpClient:
        # Without Flower's retries: at a 401, as after a SuperNode's restart, they end the process.
        return RuntimeHttpClient.from_server_address(
            server_address=self._address,
            insecure=True,
            root_certificates=None,
            interceptors=[RuntimeVersionHttpInterceptor(component_name=_COMPONENT), *interceptors],
            retry_invoker=None,
        )


@dataclass(frozen=True, slots=True)
class Task:
    """A claimed task, of whose message nothing but the envelope has been read.

    Attributes
    ----------
    bundle_hash
        SHA-256 of the bytes of the app bundle that came with it; the bytes are not kept.
    message
        The message without its content.
    """

    bundle_hash: str
    message: Message
    _client: RuntimeHttpClient
    _tree: ObjectTree
    _context: Context

    def read(self, superseded: Callable[[], bool]) -> Message:
        """Fetch the message with its content, as soon as all of it is there.

        Parameters
        ----------
        superseded
            Asked between two looks: whether the SuperNode has handed out another task. It fetches one message after
            the other, so what is still missing of this one then never comes: its run ended in the middle.

        Raises
        ------
        ValueError
            If it is of more objects than any message of ours.
        JobError
            If the SuperNode is gone, or has another task while content is missing.
        """
        names = [one.object_id for one in islice(iterate_object_tree(self._tree), MAX_OBJECTS + 1)]
        if len(names) > MAX_OBJECTS:
            raise ValueError(f"the message is of more than {MAX_OBJECTS} objects")
        contents = self._arrived(names, self._puller(), superseded)
        self._confirmer()(self._tree.object_id)
        message = inflate_object_from_contents(self._tree.object_id, contents, keep_object_contents=False)
        if not isinstance(message, Message):
            raise ValueError("what was sent is no message")  # noqa: TRY004  (it is the sender's fault, not a type of ours)
        _name(message, self._tree)
        return message

    def drop(self, superseded: Callable[[], bool]) -> None:
        """Have the SuperNode drop the message's content, without a look at it.

        The task is there before the content, and Flower loses its way if a message is answered while it still arrives.

        Raises
        ------
        JobError
            As `read`.
        """
        pull = self._puller()
        with suppress(ObjectPullError):  # it has been fetched and dropped
            names = [one.object_id for one in iterate_object_tree(self._tree)]
            self._arrived(names, lambda name: pull(name)[:0], superseded)
        self._confirmer()(self._tree.object_id)

    def _arrived(
        self, names: list[str], pull: Callable[[str], bytes], superseded: Callable[[], bool]
    ) -> dict[str, bytes]:
        """Wait for the message's objects."""
        while (contents := _look(names, pull)) is None:
            if superseded():
                # Finished, it is not answered for us: the SuperNode would take that for the answer to the other task.
                push_task_output(self._client, None, SubStatus.FAILED, "")
                raise JobError("the run of a message ended while it arrived; it is left unanswered.")
        return contents

    def reply(self, message: Message) -> None:
        """Hand the reply to the SuperNode, and the task back.

        Raises
        ------
        JobError
            If the SuperNode is gone, or no longer wants it.
        """
        push_message(self._client, message, self._context)
        push_task_output(self._client, None, SubStatus.COMPLETED, "")

    def _puller(self) -> Callable[[str], bytes]:
        return make_pull_object_fn_protobuf(self._client.PullObject, self._node, self._context.run_id)

    def _confirmer(self) -> Callable[[str], None]:
        return make_confirm_message_received_fn_protobuf(
            self._client.ConfirmMessageReceived, self._node, self._context.run_id
        )

    @property
    def _node(self) -> Node:
        return Node(node_id=self._context.node_id)


def _pull(client: RuntimeHttpClient) -> Task:
    """Start a task; the bundle's bytes are hashed and dropped."""
    given = client.PullTaskInput(PullTaskInputRequest())
    TaskIdentity.task_id = given.task_id
    TaskIdentity.run_id = given.run.run_id
    TaskIdentity.node_id = given.context.node_id
    pulled = client.PullMessages(PullAppMessagesRequest())
    if not pulled.messages_list:
        raise JobError("the SuperNode has a task without a message; it is left to run out.")
    message, tree = message_from_proto(pulled.messages_list[0]), pulled.message_object_trees[0]
    _name(message, tree)
    return Task(
        bundle_hash=hashlib.sha256(given.fab.content).hexdigest(),
        message=message,
        _client=client,
        _tree=tree,
        _context=Context(given.run.run_id, given.context.node_id, {}, RecordDict(), {}),
    )


def _look(names: list[str], pull: Callable[[str], bytes]) -> dict[str, bytes] | None:
    """The objects of a message, or None if some are not there yet."""
    late = False

    def one(name: str) -> bytes:
        nonlocal late
        try:
            return pull(name)
        except ObjectUnavailableError:
            late = True
            raise

    try:
        return pull_objects(names, one, max_time=LOOK_S)
    except ObjectPullError:
        if late:
            return None
        raise


def _name(message: Message, tree: ObjectTree) -> None:
    """A message's id is the hash of its content, which is not there yet; replies refer to it."""
    message.metadata.__dict__["_message_id"] = tree.object_id


def _beat(client: RuntimeHttpClient) -> bool:
    """Tell the SuperNode that the task is being worked on; False if that should be tried again soon."""
    try:
        if not client.SendTaskHeartbeat(SendTaskHeartbeatRequest()).success:
            _LOG.warning("the SuperNode no longer waits for this task; its answer will be dropped")
    except httpx.TransportError:
        return False
    except httpx.HTTPStatusError as error:
        return error.response.status_code not in _PASSING_STATUS
    return True


@contextmanager
def _reported(what: str) -> Iterator[None]:
    """Turn a failed call into our own error; the SuperNode's text is not repeated."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise JobError(f"the SuperNode {what} (HTTP {error.response.status_code}); see its log.") from error
    except httpx.HTTPError as error:
        raise JobError(f"the SuperNode cannot be reached ({type(error).__name__}); see its log.") from error
