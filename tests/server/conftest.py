"""Flower's Grid in this process: nodes are functions, time is a number that a test moves."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

# A node answers with bytes, an error code, a whole record, or (None) not at all.
Node = Callable[[bytes], bytes | int | RecordDict | None]
LOST_NODE_SENDER = 1


@dataclass
class Clock:
    """Seconds that pass only when somebody sleeps."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class NodesHere(Grid):
    """A Grid over functions; a reply is there `delay_s` after the question."""

    clock: Clock
    nodes: dict[int, Node] = field(default_factory=dict)
    delay_s: float = 1.0
    pushed: list[Message] = field(default_factory=list)
    refuse: set[int] = field(default_factory=set)
    keys: dict[int, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._ready: dict[str, tuple[float, Message]] = {}

    def set_run(self, run: Run) -> None:
        raise NotImplementedError

    @property
    def run(self) -> Run:
        raise NotImplementedError

    def create_message(self, *_: object, **__: object) -> Message:
        raise NotImplementedError

    def send_and_receive(self, *_: object, **__: object) -> Iterable[Message]:
        raise NotImplementedError

    def get_node_ids(self) -> Iterable[int]:
        return list(self.nodes)

    def get_nodes(self) -> Iterable[NodeInfo]:
        return [NodeInfo(node_id=node, public_key=self.keys.get(node, b"")) for node in self.nodes]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        accepted = []
        for message in messages:
            message_id = f"message-{len(self.pushed)}"
            message.metadata.__dict__["_message_id"] = message_id
            self.pushed.append(message)
            if message.metadata.dst_node_id in self.refuse:
                continue
            accepted.append(message_id)
            if (reply := self._reply(message)) is not None:
                self._ready[message_id] = (self.clock.now + self.delay_s, reply)
        return accepted

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        due = [name for name in message_ids if name in self._ready and self._ready[name][0] <= self.clock.now]
        return [self._ready.pop(name)[1] for name in due]

    def _reply(self, message: Message) -> Message | None:
        node = self.nodes.get(message.metadata.dst_node_id, lambda _: 5)
        answer = node(message.content.config_records["fedcredit"]["envelope"])
        match answer:
            case None:
                return None
            case int():
                reply = Message(Error(answer), reply_to=message)
                # As Flower does for a node that it lost.
                reply.metadata.__dict__["_src_node_id"] = LOST_NODE_SENDER
                return reply
            case bytes():
                return Message(RecordDict({"fedcredit": ConfigRecord({"envelope": answer})}), reply_to=message)
            case _:
                return Message(answer, reply_to=message)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def grid(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> NodesHere:
    """An empty Grid; a Flower message can only be made inside a Flower task."""
    for name in ("_run_id", "_node_id", "_task_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)
    return NodesHere(clock)
