"""Ledger heads: where an institution's ledger stood, signed by itself, small enough to be handed on.

Peers remember the newest head of each other and show it after a restart. A custodian that runs on an older copy of its
ledger, from a backup or a disk snapshot, would charge its budget a second time; it meets its own signature on an event
that it does not have. Since heads carry their owner's signature, nobody else can make one up. The signature also says
whether it was made after peers had shown what they knew: such a head alone stands in for an older one of its kind.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from fedcredit.errors import WireError
from fedcredit.wire import fedcredit_pb2 as pb
from fedcredit.wire.canonical import length_prefixed
from fedcredit.wire.envelope import SigningKey, verify_signature
from fedcredit.wire.messages import HASH_BYTES, SIGNATURE_BYTES, parse_strictly

_HEAD, _WITNESSED = "head", "witnessed-head"


@dataclass(frozen=True, slots=True)
class Head:
    """The newest event of an institution's ledger.

    Attributes
    ----------
    institution
        Whose ledger.
    event_count
        Number of events with this one.
    event_hash
        Its hash, 32 bytes.
    signature
        The institution's, over the other three; 64 bytes.
    """

    institution: str
    event_count: int
    event_hash: bytes
    signature: bytes

    def encode(self) -> bytes:
        """The head's bytes."""
        proto = pb.Head(
            institution=self.institution,
            event_count=self.event_count,
            event_hash=self.event_hash,
            signature=self.signature,
        )
        return proto.SerializeToString(deterministic=True)

    def holds(self, public_key: bytes) -> bool:
        """Whether the institution with that identity key signed it, for whatever message."""
        return any(self._signed(public_key, tag) for tag in (_HEAD, _WITNESSED))

    def witnessed(self, public_key: bytes) -> bool:
        """Whether it was signed for a masked contribution, hence after enough peers had been heard."""
        return self._signed(public_key, _WITNESSED)

    def _signed(self, public_key: bytes, tag: str) -> bool:
        signed = _signed_bytes(tag, self.institution, self.event_count, self.event_hash)
        return verify_signature(public_key, signed, self.signature)


def sign_head(
    key: SigningKey, institution: str, event_count: int, event_hash: bytes, *, witnessed: bool = False
) -> bytes:
    """Sign where the own ledger stands; 64 bytes.

    Parameters
    ----------
    witnessed
        For a masked contribution.
    """
    return key.sign(_signed_bytes(_WITNESSED if witnessed else _HEAD, institution, event_count, event_hash))


def read_head(data: bytes) -> Head:
    """Read what `Head.encode` wrote; nothing in it is proved yet.

    Raises
    ------
    WireError
        If the bytes are truncated or foreign.
    """
    proto = parse_strictly(pb.Head, data)
    if len(proto.event_hash) != HASH_BYTES or len(proto.signature) != SIGNATURE_BYTES:
        raise WireError("a ledger head has a hash or signature of the wrong length; its sender is foreign.")
    return Head(proto.institution, proto.event_count, proto.event_hash, proto.signature)


def newest(heads: Iterable[Head]) -> dict[str, Head]:
    """Each institution's newest head; of two with one count the first, so that a fork does not hide its origin."""
    found: dict[str, Head] = {}
    for head in heads:
        known = found.get(head.institution)
        if known is None or head.event_count > known.event_count:
            found[head.institution] = head
    return found


def _signed_bytes(tag: str, institution: str, event_count: int, event_hash: bytes) -> bytes:
    return length_prefixed(tag, institution.encode(), str(event_count).encode(), event_hash)
