"""The client's Flower face: takes bytes from a message, has the custodian answer them, sends the answer back.

This code may have been shipped by the coordinator, so it holds nothing worth stealing and decides nothing. A deployed
institution does not run it from there: its site runner answers messages with the functions below, installed at the
site. What goes wrong leaves as a number from a closed table, never as text: Flower sends the text of an exception
to the coordinator. The site alone names its custodian: in NODE.yaml, or without a site runner in the SuperNode's node
config: ``flower-supernode … --node-config 'custodian="/path/of/custodian.sock"'``.
"""

import logging
from collections.abc import Callable, Mapping

from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from clients.relay import relay, simulation_socket
from fedcredit.errors import JobError, RefusalError

RECORD, FIELD = "fedcredit", "envelope"
CUSTODIAN_KEY = "custodian"
# Exactly what Flower's simulation runtime gives a node; a node that is given anything else is a site's.
SIMULATED_NODE_KEYS = {"partition-id", "num-partitions"}
MAX_WAIT_S = 3600.0
FAULTS = {
    "internal": 1000,
    "request-malformed": 1001,
    "custodian-unnamed": 1002,
    "custodian-unreachable": 1003,
    "custodian-timeout": 1004,
    "institution-unknown": 1005,
    "custodian-failed": 1006,
    "bundle-unknown": 1007,
    "message-unknown": 1008,
    "custodian-token": 1009,
}

_LOG = logging.getLogger(__name__)

app = ClientApp()


@app.query()
def query(message: Message, context: Context) -> Message:
    """Answer one message: the custodian's bytes, or the number of a fault."""
    return reply_to(message, lambda: answer(message, context))


def reply_to(message: Message, answering: Callable[[], bytes]) -> Message:
    """Make the reply to a message from the bytes of an answer, or from the number of what went wrong.

    Parameters
    ----------
    message
        What is replied to.
    answering
        Gets the answer; what it raises is logged here and leaves as a number.
    """
    try:
        record = ConfigRecord({FIELD: answering()})
    except JobError:
        raise  # whoever brought the message is gone, or wants no reply
    except RefusalError as error:
        _LOG.warning("%s: %s", error.code, error)
        return Message(Error(FAULTS.get(error.code, FAULTS["internal"])), reply_to=message)
    except Exception:  # noqa: BLE001  Flower would send its text to the coordinator
        _LOG.exception("the relay failed")
        return Message(Error(FAULTS["internal"]), reply_to=message)
    return Message(RecordDict({RECORD: record}), reply_to=message)


def answer(message: Message, context: Context) -> bytes:
    """Relay a message's bytes to this node's custodian.

    Raises
    ------
    RefusalError
        If the message holds no bytes, the node names no custodian, or the custodian does not answer.
    """
    request = request_in(message)
    socket, institution = custodian_of(context.node_config, context.run_id)
    return relay(socket, request, institution, timeout_s=min(message.metadata.ttl, MAX_WAIT_S))


def request_in(message: Message) -> bytes:
    """Take the bytes for the custodian out of a message.

    Raises
    ------
    RefusalError
        If it holds none.
    """
    request = message.content.config_records.get(RECORD, ConfigRecord()).get(FIELD)
    if not isinstance(request, bytes):
        raise RefusalError("request-malformed", f"the message has no bytes under {RECORD}.{FIELD}.")
    return request


def custodian_of(node_config: Mapping[str, object], run_id: int) -> tuple[str, str | None]:
    """Name the socket of this node's custodian and, in a simulation, which of those behind it.

    Raises
    ------
    RefusalError
        If the site's node config does not name a custodian.
    """
    socket = node_config.get(CUSTODIAN_KEY)
    if isinstance(socket, str) and socket:
        return socket, None
    if set(node_config) == SIMULATED_NODE_KEYS:
        return str(simulation_socket(run_id)), str(node_config["partition-id"])
    raise RefusalError(
        "custodian-unnamed",
        "this SuperNode's node config names no custodian; start it with "
        f"--node-config '{CUSTODIAN_KEY}=\"/path/of/custodian.sock\"'.",
    )
