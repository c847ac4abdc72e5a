"""The join transcript: the signed joins of all members, checked by every member before anything is masked.

Masks are worth what these checks are worth: a coordinator that could slip in a key of its own would share a secret
with the victim and remove its mask. So every key must come in a join that its owner signed for this very plan and
roster, and our own join must stand there as we sent it. Members that were shown different transcripts derive
different pair keys from its hash, and their sum is noise (Bonawitz et al. 2017 need a signed key exchange for the
same reason).
"""

from dataclasses import dataclass
from itertools import pairwise

from fedcredit.errors import RefusalError, WireError
from fedcredit.roster import FEWEST_MEMBERS, Roster
from fedcredit.secure_aggregation.agreement import secret_class
from fedcredit.wire.canonical import digest
from fedcredit.wire.envelope import Envelope, open_envelope
from fedcredit.wire.heads import Head
from fedcredit.wire.messages import JoinReply, Message


@dataclass(frozen=True, slots=True)
class PeerKey:
    """One member's key for one job.

    Attributes
    ----------
    institution
        The member's id.
    agreement_key
        Its public X25519 key.
    key_epoch
        How often it has drawn keys for the job, from 1; a restart raises it.
    head
        Where its ledger stood when it joined.
    """

    institution: str
    agreement_key: bytes
    key_epoch: int
    head: Head


@dataclass(frozen=True, slots=True)
class Transcript:
    """The checked joins of one job.

    Attributes
    ----------
    digest
        Hash of the plan's hash and every join's exact envelope bytes.
    peers
        One per member in roster order, the reader's own included.
    """

    digest: bytes
    peers: tuple[PeerKey, ...]

    def peer(self, institution: str) -> PeerKey | None:
        """The key of that institution, or None."""
        return next((peer for peer in self.peers if peer.institution == institution), None)


def read_transcript(
    plan_hash: bytes, roster: Roster, institution: str, own_join: bytes, joins: tuple[bytes, ...]
) -> Transcript:
    """Check all members' joins and keep their keys.

    Parameters
    ----------
    plan_hash
        The job's plan.
    roster
        The pinned roster with every member's identity key.
    institution
        The reader's id.
    own_join
        The exact envelope with which the reader answered its latest join.
    joins
        Envelopes as the coordinator lists them.

    Raises
    ------
    RefusalError
        With code ``keys-member`` (who is listed, or bytes that are no join), ``keys-few``, ``keys-own``,
        ``keys-signature``, ``keys-job``, ``keys-epoch``, ``keys-head``, ``keys-zero`` or ``keys-shared``.
    """
    envelopes = tuple(_opened(join) for join in joins)
    identities = {member.id: bytes.fromhex(member.public_key) for member in roster.members}
    _check_members(tuple(identities), tuple(envelope.sender for envelope in envelopes))
    _check_own(institution, own_join, joins, envelopes)
    job = (plan_hash, roster.version, roster.digest())
    peers = tuple(_checked(job, envelope, identities[envelope.sender]) for envelope in envelopes)
    _check_distinct(peers)
    return Transcript(transcript_digest(plan_hash, joins), peers)


def read_join(plan_hash: bytes, roster: Roster, join: bytes) -> PeerKey:
    """Check one join by itself: who signed it, and for which job.

    Raises
    ------
    RefusalError
        With code ``keys-member``, ``keys-signature``, ``keys-job``, ``keys-epoch`` or ``keys-head``.
    """
    envelope = _opened(join)
    member = roster.member(envelope.sender)
    if member is None:
        raise RefusalError("keys-member", f"a join of {envelope.sender!r}, who is not in the pinned roster.")
    job = (plan_hash, roster.version, roster.digest())
    return _checked(job, envelope, bytes.fromhex(member.public_key))


def transcript_digest(plan_hash: bytes, joins: tuple[bytes, ...]) -> bytes:
    """Hash of a job's joins, exact envelope by exact envelope; 32 bytes."""
    return digest("join-transcript", plan_hash, *joins)


def _opened(join: bytes) -> Envelope:
    try:
        return open_envelope(join)
    except WireError as error:
        raise RefusalError("keys-member", f"a listed join cannot be read: {error}") from error


def _check_members(roster: tuple[str, ...], senders: tuple[str, ...]) -> None:
    """Every sender once, in roster order, and enough of them."""
    places = {institution: place for place, institution in enumerate(roster)}
    for sender in senders:
        if sender not in places:
            raise RefusalError("keys-member", f"a join of {sender!r} is listed, who is not in the pinned roster.")
    for sender, following in pairwise(senders):
        if places[following] <= places[sender]:
            raise RefusalError(
                "keys-member",
                f"the join of {following!r} comes after that of {sender!r}; list each once, in roster order.",
            )
    if len(senders) < FEWEST_MEMBERS:
        raise RefusalError(
            "keys-few", f"masks need {FEWEST_MEMBERS} members or more, not {len(senders)}; wait for others to join."
        )


def _check_own(institution: str, own_join: bytes, joins: tuple[bytes, ...], envelopes: tuple[Envelope, ...]) -> None:
    """Our place holds exactly the bytes that we signed last."""
    own = [join for join, envelope in zip(joins, envelopes, strict=True) if envelope.sender == institution]
    if own != [own_join]:
        raise RefusalError(
            "keys-own", f"the latest join of {institution!r} is not listed as it was sent; collect the joins again."
        )


def _checked(job: tuple[bytes, int, bytes], envelope: Envelope, identity: bytes) -> PeerKey:
    """The key in one join, after its signature and what it was signed for."""
    join = _verified(envelope, identity)
    if not isinstance(join, JoinReply):
        raise RefusalError("keys-member", f"{envelope.sender!r} is listed with a {type(join).__name__}, not a join.")
    if (join.plan_hash, join.roster_version, join.roster_hash) != job:
        raise RefusalError(
            "keys-job",
            f"{envelope.sender!r} joined plan {join.plan_hash.hex()} under roster version {join.roster_version}, hash "
            f"{join.roster_hash.hex()}; this job's are {job[0].hex()}, {job[1]}, {job[2].hex()}.",
        )
    if join.key_epoch < 1:
        raise RefusalError("keys-epoch", f"{envelope.sender!r} states key epoch {join.key_epoch}; epochs start at 1.")
    head = Head(envelope.sender, join.event_count, join.event_hash, join.head_signature)
    if not head.holds(identity):
        raise RefusalError("keys-head", f"the ledger head in the join of {envelope.sender!r} is not signed by itself.")
    return PeerKey(envelope.sender, join.agreement_key, join.key_epoch, head)


def _verified(envelope: Envelope, identity: bytes) -> Message:
    try:
        return envelope.verify(identity)
    except RefusalError as error:
        raise RefusalError("keys-signature", str(error)) from error
    except WireError as error:
        raise RefusalError("keys-member", f"the join of {envelope.sender!r} cannot be read: {error}") from error


def _check_distinct(peers: tuple[PeerKey, ...]) -> None:
    """No two members whose keys give the same secrets; ours under another id is the case that matters most."""
    owner: dict[bytes, str] = {}
    for peer in peers:
        first = owner.setdefault(secret_class(peer.agreement_key), peer.institution)
        if first != peer.institution:
            raise RefusalError(
                "keys-shared",
                f"{first!r} and {peer.institution!r} give the same agreement key; each must draw its own.",
            )
