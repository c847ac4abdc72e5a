"""What left, in the order in which it left: the audit trail says when and to whom, the ledger has the exact bytes.

The ledger keeps contributions and receipts byte for byte, and the trail's line about each names them by hash, so what
is decoded here is what left. Of joins, keys, identifications, stops and refusals the trail keeps a line with time,
destination and hash of the reply; they hold nothing of a record and their bytes are not kept.

A message can be charged and never leave (a crash, a full disk); it is listed, since it was paid for, and says so.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from fedcredit.audit.lines import Line
from fedcredit.audit.reading import charged
from fedcredit.errors import LedgerError
from fedcredit.outbox.stored import StoredMessage
from fedcredit.wire import fedcredit_pb2 as pb
from fedcredit.wire.messages import Contribution

_REPLIES = {
    "identify_request": "identify_reply",
    "join_request": "join_reply",
    "keys_request": "keys_reply",
    "round_request": "contribution",
    "release_request": "receipt",
    "stop_request": "stop_reply",
}
_KEPT_AS_BYTES = frozenset({"contribution", "receipt"})


class State(StrEnum):
    """Whether a message left."""

    SENT = "sent"
    AGAIN = "sent again"
    KEPT_BACK = "charged, not sent"
    UNKNOWN = "charged, the trail has no line of it"
    COUNTED = "sent, counted without lines of their own"


@dataclass(frozen=True, slots=True)
class Sent:
    """One message that left, or several that are only counted.

    Attributes
    ----------
    number
        From 1, in the order of this list.
    at
        Time (UTC) of the line that was written before it left; None where there is none.
    to
        Whose request it answers; None where nobody's is known.
    proved
        Whether that request was signed by whom it names.
    kind
        The message's name on the wire.
    code
        Of a refusal.
    plan_hash, role, round, attempt
        Its place in a job, where it has one.
    count
        How many messages this entry stands for.
    stored
        The message itself, where the ledger keeps its bytes.
    charged
        Whether its cost is that of this entry; an earlier one with the same bytes has paid otherwise.
    """

    number: int
    state: State
    kind: str
    at: str | None = None
    to: str | None = None
    proved: bool = True
    code: str | None = None
    plan_hash: str | None = None
    role: str | None = None
    round: int | None = None
    attempt: int | None = None
    count: int = 1
    stored: StoredMessage | None = None
    charged: bool = False

    @property
    def left(self) -> bool:
        """Whether it is known to have left."""
        return self.state in {State.SENT, State.AGAIN, State.COUNTED}


def sent_messages(stored: Sequence[StoredMessage], lines: Iterable[Line]) -> list[Sent]:
    """Every message, oldest first.

    Parameters
    ----------
    stored
        What the ledger keeps, read after the trail: a custodian may serve meanwhile.
    lines
        The whole trail, its hashes and signatures checked.

    Raises
    ------
    LedgerError
        If the trail says that other bytes left than those that the ledger keeps.
    """
    entries = _Outbox(stored).entries(list(lines))
    return [replace(one, number=number) for number, one in enumerate(entries, 1)]


class _Outbox:
    """Stored messages, and which of them are listed, and have left, already."""

    def __init__(self, stored: Sequence[StoredMessage]) -> None:
        self._by_hash = {one.reply_hash: one for one in stored}
        self._by_event = {one.event: one for one in stored}
        self._listed: set[int] = set()
        self._left: set[int] = set()

    def entries(self, lines: Sequence[Line]) -> Iterator[Sent]:
        before = lines[0].values["ledger"]["events"] if lines else 0
        yield from self._without_line((event for event in self._by_event if event <= before), State.UNKNOWN)
        for line in lines:
            match line.values["event"]:
                case "request":
                    yield self._reply(line.values)
                case "counted":
                    yield from (_counted(line.values["at"], one) for one in line.values["requests"])
            # In a line that is not about a reply with these bytes: a crash or a full disk kept them back.
            yield from self._without_line((event["number"] for event in charged(line)), State.KEPT_BACK)
        yield from self._without_line(self._by_event, State.UNKNOWN)

    def _without_line(self, events: Iterable[int], state: State) -> Iterator[Sent]:
        for event in events:
            if event in self._by_event and event not in self._listed:
                self._listed.add(event)
                yield _of_stored(self._by_event[event], state)

    def _reply(self, values: Mapping[str, Any]) -> Sent:
        # Of a line that came too late the reply was withheld, and a refusal left in its place.
        code = "audit" if values.get("withheld") else values["code"]
        if code is not None:
            return replace(_of_line(values, State.SENT, "refusal"), code=code)
        kind = _REPLIES.get(values["kind"], values["kind"])
        if kind in _KEPT_AS_BYTES:
            return self._kept(values, kind)
        return _of_line(values, State.AGAIN if values["decision"] == "resent" else State.SENT, kind)

    def _kept(self, values: Mapping[str, Any], kind: str) -> Sent:
        stored = self._by_hash.get(values["reply_hash"])
        if stored is None:
            raise LedgerError(
                f"audit trail, line {values['number']}: the {kind} that left is not the one that the ledger keeps; "
                "keep both files for whoever looks into it."
            )
        state = State.AGAIN if stored.event in self._left else State.SENT
        charged_here = stored.event not in self._listed
        self._left.add(stored.event)
        self._listed.add(stored.event)
        return replace(_of_line(values, state, kind), stored=stored, charged=charged_here)


def _of_line(values: Mapping[str, Any], state: State, kind: str) -> Sent:
    return Sent(
        number=0,
        state=state,
        kind=kind,
        at=values["at"],
        to=values["sender"],
        proved=values["proved"],
        plan_hash=values.get("plan_hash"),
        role=values.get("role"),
        round=values.get("round"),
        attempt=values.get("attempt"),
    )


def _of_stored(stored: StoredMessage, state: State) -> Sent:
    message = stored.message
    entry = Sent(
        number=0,
        state=state,
        kind=pb.Kind.Name(message.kind).lower(),
        plan_hash=stored.plan.digest().hex(),
        stored=stored,
        charged=True,
    )
    if not isinstance(message, Contribution):
        return entry
    return replace(entry, role=message.role.name.lower(), round=message.round, attempt=message.attempt)


def _counted(at: str, values: Mapping[str, Any]) -> Sent:
    """Requests that cost nothing and got no line of their own; the trail says how many of which kind."""
    if "kind" not in values:
        kind = "messages of many kinds" if "others" in values else "refusal"
    else:
        kind = "refusal" if values["code"] is not None else _REPLIES.get(values["kind"], values["kind"])
    return Sent(
        number=0,
        state=State.COUNTED,
        kind=kind,
        at=at,
        to=values.get("sender"),
        proved=bool(values.get("proved")),
        code=values.get("code"),
        count=values["count"],
    )
