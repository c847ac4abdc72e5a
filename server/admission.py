"""Who may speak in a job: the plan's roster, each member under its pinned key."""

from fedcredit.errors import RefusalError
from fedcredit.plan import Plan
from fedcredit.wire.envelope import open_envelope
from fedcredit.wire.messages import IdentifyReply, IdentifyRequest, Message, decode_message


def authenticated(plan: Plan, institution: str, packet: bytes) -> Message:
    """Open a packet that claims to come from `institution`.

    Raises
    ------
    RefusalError
        If another institution signed it, or the roster does not know the sender.
    WireError
        If the bytes are truncated or foreign.
    """
    envelope = open_envelope(packet)
    member = plan.roster.member(institution)
    if member is None or envelope.sender != institution:
        raise RefusalError("sender", f"a packet for {institution!r} was signed as {envelope.sender!r}.")
    return envelope.verify(bytes.fromhex(member.public_key))


def identity(plan: Plan, request: bytes, reply: bytes) -> str:
    """The institution that answered an identify request, proved by its pinned key.

    Raises
    ------
    RefusalError
        If the reply is not an answer to this request, or its sender is not in the roster.
    WireError
        If the bytes are truncated or foreign.
    """
    asked = decode_message(IdentifyRequest.kind, open_envelope(request).payload)
    name = open_envelope(reply).sender
    message = authenticated(plan, name, reply)
    if not isinstance(message, IdentifyReply) or not isinstance(asked, IdentifyRequest) or message.nonce != asked.nonce:
        raise RefusalError("identity", f"{name} did not answer this question; its reply is stale or foreign.")
    return name
