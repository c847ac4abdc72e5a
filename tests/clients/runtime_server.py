"""Flower's own Runtime API, as a SuperNode serves it, without a SuperLink behind it: a test puts the messages in."""

import hashlib
import logging
import threading
import time
from dataclasses import dataclass
from typing import Any, Self

import uvicorn
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree, no_object_id_recompute
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode.main import create_app
from flwr.supernode.nodestate import NodeStateFactory

NODE, RUN, SECRET = 5, 77, b"between us"
BUNDLE = b"PK the reviewed bundle"
BUNDLE_HASH = hashlib.sha256(BUNDLE).hexdigest()


@dataclass(frozen=True, slots=True)
class Put:
    """A message that was put in, and the task made for it."""

    message_id: str
    task_id: int


class RuntimeServer:
    """Serves on a loopback port until the context ends; starting it again is a SuperNode that lost its memory."""

    def __init__(self, port: int) -> None:
        factory = NodeStateFactory(objectstore_factory=ObjectStoreFactory())
        self.state: Any = factory.state()
        self.state.set_node_id(NODE)
        for name in ("task_id", "run_id", "node_id"):
            setattr(TaskIdentity, name, RUN)
        app = create_app(state_factory=factory, superexec_auth_secret=SECRET)
        config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", lifespan="off", ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)

    def __enter__(self) -> Self:
        logging.getLogger("flwr").setLevel(logging.INFO)
        self._thread.start()
        wait_until(lambda: self._server.started)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join()

    def put(
        self,
        content: RecordDict | None = None,
        *,
        kind: str = "query",
        bundle: bytes = BUNDLE,
        task_type: str = "flwr-clientapp",
        run_id: int = RUN,
        arrives_with: threading.Event | None = None,
        arrives: bool = True,
    ) -> Put:
        """Store a message as a SuperNode does: its task first, its content as it arrives, or at an event, or never."""
        fab = Fab(hashlib.sha256(bundle).hexdigest(), bundle, {})
        run = Run.create_empty(run_id)
        run.fab_hash, run.series_id = fab.hash_str, run_id
        self.state.store_run(run)
        self.state.store_fab(fab)
        self.state.set_run_series_context(run_id, Context(run_id, NODE, {}, RecordDict(), {}))
        TaskIdentity.run_id = run_id
        message = Message(envelope(b"question") if content is None else content, NODE, kind, ttl=60.0)
        message.metadata.__dict__["_src_node_id"] = 1
        store = self.state.object_store
        with no_object_id_recompute():
            message.metadata.__dict__["_message_id"] = message.object_id
            tree, items = get_object_tree(message), get_all_nested_objects(message)
            parts = {object_id: item.deflate() for object_id, item in items.items()}
        task = self.state.create_task(task_type=task_type, run_id=run_id, fab_hash=fab.hash_str)
        store.preregister(run_id, tree)
        self.state.store_message(remove_content_from_message(message))
        if arrives_with is not None:
            wait_until(lambda: self.state.get_tasks(task_ids=[task])[0].status.status == "running")
            arrives_with.wait()
        for object_id, part in parts.items() if arrives else ():
            store.put(object_id, part)
        return Put(message.metadata.message_id, task)

    def reply(self, put: Put, timeout_s: float = 10.0) -> Message:
        """Wait for the reply to a message, as the SuperNode does."""
        found: list[Message] = []

        def arrived() -> bool:
            found.extend(self.state.get_messages_legacy(is_reply=True))
            return any(one.metadata.reply_to_message_id == put.message_id for one in found)

        wait_until(arrived, timeout_s)
        return next(one for one in found if one.metadata.reply_to_message_id == put.message_id)

    def answer_in(self, reply: Message) -> bytes:
        """Bytes of the objects of a reply, all together."""
        tree = self.state.object_store.get_object_tree(reply.metadata.message_id)
        waiting, out = [tree], b""
        while waiting:
            one = waiting.pop()
            waiting += one.children
            wait_until(lambda key=one.object_id: self.state.object_store.get(key))
            out += self.state.object_store.get(one.object_id)
        return out

    def status(self, put: Put) -> str:
        """How far the task is."""
        (task,) = self.state.get_tasks(task_ids=[put.task_id])
        return str(task.status.status)


def envelope(value: bytes) -> RecordDict:
    """What the coordinator's messages hold."""
    return RecordDict({"fedcredit": ConfigRecord({"envelope": value})})


def wait_until(condition: Any, timeout_s: float = 10.0) -> None:
    """Wait for what another thread or process brings about."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)
