"""Peers as witnesses: an institution answers only if others have seen no newer ledger of its own than the one it has.

A ledger restored from a backup, or a disk set back to a snapshot, has forgotten charges and would pay the same budget
twice. Its own chain cannot show that; its peers can. Every custodian remembers the newest head (`fedcredit.wire.heads`)
that it was ever shown of each member. When keys are agreed on it signs what it remembers, bound by the transcript's
hash to everybody's fresh nonce; and a custodian that has just joined waits for t + 1 others, one of whom is honest.

A head that our own chain does not hold means that the ledger is an older copy. It is written down and nothing is
answered until an operator has charged for what was lost. A change of identity key does not make peers forget: heads
under an earlier key of ours count, and peers go on showing the newest one that was signed under another key than the
roster pins now. The coordinator carries the heads and can withhold those since
the last agreement on keys; below three members there are no keys and no witnesses.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fedcredit.errors import RefusalError, WireError
from fedcredit.plan import Plan
from fedcredit.privacy.ledger import Ledger
from fedcredit.roster import Roster
from fedcredit.secure_aggregation.transcript import Transcript
from fedcredit.wire.envelope import open_envelope
from fedcredit.wire.heads import Head, newest, read_head
from fedcredit.wire.messages import KeysReply

# A ledger that lost more events than this is none: whoever stole a retired key could name a count beyond which no
# ledger can be recovered.
MOST_LOST = 2**32


def shown(roster: Roster, heads: Iterable[bytes]) -> tuple[Head, ...]:
    """The heads of members that their owners signed; anything else says nothing about anybody and is left out."""
    read = []
    for data in heads:
        try:
            head = read_head(data)
        except WireError:
            continue
        member = roster.member(head.institution)
        if member is not None and head.holds(bytes.fromhex(member.public_key)):
            read.append(head)
    return tuple(read)


def contributed(roster: Roster, heads: Iterable[bytes]) -> tuple[Head, ...]:
    """Those of `shown` that were signed for a masked contribution; a join's would let an older copy outgrow them."""
    keys = {member.id: bytes.fromhex(member.public_key) for member in roster.members}
    return tuple(head for head in shown(roster, heads) if head.witnessed(keys[head.institution]))


def own_heads(institution: str, heads: Iterable[bytes], ledger: Ledger) -> tuple[Head, ...]:
    """The heads that we signed ourselves, under whichever of our ledger's keys."""
    keys, highest, read = ledger.keys, ledger.event_count + MOST_LOST, []
    for data in heads:
        try:
            head = read_head(data)
        except WireError:
            continue
        if head.institution == institution and head.event_count <= highest and any(head.holds(key) for key in keys):
            read.append(head)
    return tuple(read)


def written(heads: Iterable[Head]) -> dict[str, Any]:
    """What a ledger event keeps of heads."""
    return {"heads": [head.encode().hex() for head in heads]}


class HeadBook:
    """The newest heads of each institution that were ever shown here: of its joins, and of its contributions.

    A head of a join never stands in for one of a contribution. An older copy of a ledger that is joined from again and
    again outgrows what was seen of the true one; but it contributes only after its peers have shown what they saw.

    Parameters
    ----------
    ledger
        Where they are kept: in the events of accepted keys and of charges.
    roster
        Pins the members' keys. A head under another key was signed before its owner changed keys; the newest of those
        is kept apart, or whoever stole an old key could hide every newer head by one with a huge count.
    """

    def __init__(self, ledger: Ledger, roster: Roster) -> None:
        joined, contributed = (tuple(_read(ledger.notes(kind))) for kind in ("keys", "charge"))
        self._older = newest(head for head in (*joined, *contributed) if not _current(roster, head))
        self._joined = newest(head for head in joined if _current(roster, head))
        self._contributed = newest(head for head in contributed if _current(roster, head))

    def take_joined(self, heads: Iterable[Head]) -> None:
        """Remember heads in joins, whose signatures hold."""
        self._joined = newest([*self._joined.values(), *heads])

    def take_contributed(self, heads: Iterable[Head]) -> None:
        """Remember heads of contributions, whose signatures hold."""
        self._contributed = newest([*self._contributed.values(), *heads])

    def testimony(self, transcript: Transcript) -> tuple[bytes, ...]:
        """What to sign in a keys reply: the newest heads of each member, in the transcript's order."""
        names = [peer.institution for peer in transcript.peers]
        books = (self._joined, self._contributed, self._older)
        return tuple(book[name].encode() for name in names for book in books if name in book)


def guard_witnesses(
    plan: Plan, institution: str, transcript: Transcript, witnesses: Iterable[bytes], ledger: Ledger
) -> None:
    """Check that enough others have seen no event of ours that our ledger lacks.

    Parameters
    ----------
    transcript
        The accepted joins, our own latest one among them.
    witnesses
        Envelopes of keys replies.

    Raises
    ------
    RefusalError
        With code ``witness`` if fewer than t + 1 others have signed this transcript, or with ``rolled-back`` if one of
        them shows an event that our ledger does not hold.
    """
    replies = _replies(plan.roster, transcript, witnesses)
    own = [reply for name, reply in replies.items() if name != institution]
    wanted = min(plan.privacy.colluders + 1, len(transcript.peers) - 1)
    if len(own) < wanted:
        raise RefusalError(
            "witness", f"{len(own)} other members have signed what they know of this site's ledger; {wanted} must."
        )
    # An honest member shows three of each at most.
    most = 3 * len(plan.roster.members)
    guard_own_heads(institution, (data for reply in own for data in reply.heads[:most]), ledger)


def guard_own_heads(institution: str, heads: Iterable[bytes], ledger: Ledger) -> None:
    """Check that our ledger holds every head of ours that we are shown, and write down that it does not.

    Parameters
    ----------
    heads
        Of anybody, not yet proved.

    Raises
    ------
    RefusalError
        With code ``rolled-back``.
    """
    for head in own_heads(institution, heads, ledger):
        if not ledger.has_been_at(head.event_count, head.event_hash):
            ledger.note("rolled_back", {"event_count": head.event_count, "event_hash": head.event_hash.hex()})
            guard_not_rolled_back(ledger)


def guard_not_rolled_back(ledger: Ledger) -> None:
    """Refuse everything while the ledger is known to be an older copy.

    Raises
    ------
    RefusalError
        With code ``rolled-back``.
    """
    if ledger.rolled_back:
        raise RefusalError(
            "rolled-back", "this site's ledger is an older copy than its peers have seen; its operator must recover it."
        )


def _current(roster: Roster, head: Head) -> bool:
    """Whether a head holds under the key that the roster pins, or may: of who has left, no key is known."""
    member = roster.member(head.institution)
    return member is None or head.holds(bytes.fromhex(member.public_key))


def _read(events: Iterable[Mapping[str, Any]]) -> Iterator[Head]:
    """The heads that ledger events keep."""
    return (read_head(bytes.fromhex(head)) for event in events for head in event.get("heads", ()))


def _replies(roster: Roster, transcript: Transcript, witnesses: Iterable[bytes]) -> Mapping[str, KeysReply]:
    """By member; envelopes that are no member's reply to this transcript are left out."""
    members = {peer.institution for peer in transcript.peers}
    replies: dict[str, KeysReply] = {}
    for data in witnesses:
        try:
            envelope = open_envelope(data)
            member = roster.member(envelope.sender)
            message = envelope.verify(bytes.fromhex(member.public_key)) if member is not None else None
        except (WireError, RefusalError):
            continue
        if isinstance(message, KeysReply) and message.transcript_hash == transcript.digest:
            replies[envelope.sender] = message
    return {name: reply for name, reply in replies.items() if name in members}
