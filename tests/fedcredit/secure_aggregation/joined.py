"""A consortium whose members have joined one job: identity keys, agreement keys and signed joins."""

import hashlib
from dataclasses import dataclass, replace

from fedcredit.roster import Member, Roster
from fedcredit.secure_aggregation.agreement import AgreementKey
from fedcredit.secure_aggregation.masks import MaskPlace, PairSecrets
from fedcredit.secure_aggregation.transcript import Transcript, read_transcript
from fedcredit.wire.envelope import SigningKey
from fedcredit.wire.heads import sign_head
from fedcredit.wire.messages import JoinReply, Role

PLAN_HASH = hashlib.sha256(b"plan").digest()
EVENT_HASH = hashlib.sha256(b"event").digest()
NAMES = ("hospital-2", "bank-1", "bank-10", "bank-2", "hospital-1", "bank-3")  # not sorted: rosters need not be
PLACE = MaskPlace("example", PLAN_HASH, Role.TRAIN, 3, 1, b"r" * 32, b"m" * 32)


@dataclass(frozen=True)
class Joined:
    """All members' keys, private ones included, which nobody holds outside a test."""

    roster: Roster
    identities: dict[str, SigningKey]
    keys: dict[str, AgreementKey]

    def join(self, name: str, signer: str | None = None, **changes: object) -> bytes:
        """One member's signed join with some fields changed, signed by the member or by another."""
        reply = JoinReply(
            plan_hash=PLAN_HASH,
            event_count=1,
            roster_version=self.roster.version,
            roster_hash=self.roster.digest(),
            agreement_key=self.keys[name].public,
            key_epoch=1,
            nonce=hashlib.sha256(name.encode()).digest(),
            event_hash=EVENT_HASH,
            head_signature=sign_head(self.identities[signer or name], name, 1, EVENT_HASH),
        )
        return self.identities[signer or name].seal(name, replace(reply, **changes))

    def joins(self) -> dict[str, bytes]:
        """Everybody's join, in roster order."""
        return {member.id: self.join(member.id) for member in self.roster.members}

    def transcript(self, reader: str) -> Transcript:
        """What a reader makes of the true joins."""
        joins = self.joins()
        return read_transcript(PLAN_HASH, self.roster, reader, joins[reader], tuple(joins.values()))

    def secrets(self, reader: str) -> PairSecrets:
        """A reader's pair secrets under the true joins."""
        return PairSecrets(self.keys[reader], reader, self.transcript(reader))


def joined(names: tuple[str, ...] = NAMES) -> Joined:
    """Members of those names with new keys."""
    identities = {name: SigningKey.generate() for name in names}
    members = tuple(
        Member(id=name, kind=name.split("-")[0], public_size=100, public_key=identities[name].public.hex())
        for name in names
    )
    roster = Roster(version=4, previous="ab" * 32, expires="2099-12-31", members=members)
    return Joined(roster, identities, {name: AgreementKey() for name in names})


def aliases(public: bytes) -> list[bytes]:
    """Other byte strings that give the same secrets as a public key: its unused top bit, and the point plus (0, 0)."""
    prime = 2**255 - 19
    shifted = pow(int.from_bytes(public, "little"), -1, prime)  # x of P + (0, 0) is 1/x of P
    return [public[:31] + bytes([public[31] | 0x80]), shifted.to_bytes(32, "little")]
