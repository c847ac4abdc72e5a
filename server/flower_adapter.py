"""Bytes in Flower messages, and messages on a Grid: every shape of Flower's that the coordinator relies on.

Only public names of flwr 1.41; ``tests/server/test_flower_adapter.py`` holds them to what is assumed here.
Replies are told apart by the id of the message that they answer: an error reply for a lost node does not
name it.
"""

from collections.abc import Collection, Iterable

from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp import Grid

from fedcredit.wire.node_keys import node_key_of_pem
from server.faults import NO_ENVELOPE, Fault, fault_of_code

RECORD, FIELD = "fedcredit", "envelope"

__all__ = ["Grid", "Message", "envelope_of", "fault_of", "nodes", "pull", "push", "request"]


def request(node: int, envelope: bytes, ttl_s: float, group: str) -> Message:
    """Make a message that carries an envelope to a node.

    Parameters
    ----------
    node
        Flower's number of the node.
    envelope
        Signed bytes, opaque to Flower.
    ttl_s
        Seconds after which Flower may drop message and reply; > 0.
    group
        Label in Flower's records.
    """
    content = RecordDict({RECORD: ConfigRecord({FIELD: envelope})})
    return Message(content, node, MessageType.QUERY, ttl=ttl_s, group_id=group)


def push(grid: Grid, messages: Iterable[Message]) -> dict[str, int]:
    """Send messages; node by message id, without those that Flower did not accept."""
    outgoing = list(messages)
    if not outgoing:
        return {}
    accepted = set(grid.push_messages(outgoing))
    sent = {message.metadata.message_id: message.metadata.dst_node_id for message in outgoing}
    return {message_id: node for message_id, node in sent.items() if message_id in accepted}


def pull(grid: Grid, message_ids: Collection[str]) -> dict[str, Message]:
    """Take the replies that have arrived, by the id of the message that each answers."""
    if not message_ids:
        return {}
    replies = grid.pull_messages(list(message_ids))
    return {reply.metadata.reply_to_message_id: reply for reply in replies}


def envelope_of(reply: Message) -> bytes | None:
    """Read the envelope in a reply; None if the reply is an error or holds something else."""
    if not reply.has_content():
        return None
    value = reply.content.config_records.get(RECORD, ConfigRecord()).get(FIELD)
    return value if isinstance(value, bytes) else None


def fault_of(reply: Message) -> Fault:
    """Why a reply has no envelope; the number is Flower's or the node's."""
    return fault_of_code(reply.error.code) if reply.has_error() else NO_ENVELOPE


def nodes(grid: Grid) -> dict[int, str | None]:
    """Nodes that Flower holds to be online, each with its key as a roster pins it.

    Returns
    -------
    dict
        OpenSSH text by Flower's number of the node; None where the Grid gives no key: in this process and in a
        simulation.
    """
    return {node.node_id: node_key_of_pem(node.public_key) for node in grid.get_nodes()}
