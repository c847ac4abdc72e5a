"""A consortium that exists for one rehearsal: the plan's members and terms, every key drawn afresh and thrown away.

The custodian's own code runs in it as in the true one, up to the signed bytes, and nothing that comes out is worth
anything outside: no roster knows the keys that signed it, no peer has the keys that masked it, no job has its plan's
hash. What an institution's custodian would have to refuse in the true consortium is asked for separately
(`fedcredit.custodian.dry_run`).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from fedcredit.custodian.jurisdiction import Approval
from fedcredit.custodian.policy import Policy
from fedcredit.custodian.site import Site
from fedcredit.plan import Plan
from fedcredit.secure_aggregation.agreement import AgreementKey
from fedcredit.wire.envelope import SigningKey
from fedcredit.wire.heads import sign_head
from fedcredit.wire.messages import JoinReply, KeysReply


@dataclass(frozen=True, slots=True)
class MadeUp:
    """One site's side of it.

    Attributes
    ----------
    plan
        The true plan but for the keys in it, hence under another hash.
    site
        The true site's data and policy under a made-up identity; it keeps no trail and asks nobody's approval.
    coordinator
        Signs the requests.
    members
        By id, the identity key of each member.
    """

    plan: Plan
    site: Site
    coordinator: SigningKey
    members: Mapping[str, SigningKey]

    def joins(self, own: bytes) -> tuple[bytes, ...]:
        """Everybody's signed join, in roster order: the site's own, and those of peers that there are not."""
        return tuple(own if name == self.site.institution else self._join(name) for name in self.plan.members)

    def witnesses(self, transcript_hash: bytes) -> tuple[bytes, ...]:
        """What the peers would sign of each other's ledgers: that they have seen nothing newer."""
        word = KeysReply(self.plan.digest(), transcript_hash, ())
        peers = (name for name in self.plan.members if name != self.site.institution)
        return tuple(self.members[name].seal(name, word) for name in peers)

    def _join(self, name: str) -> bytes:
        key, agreement, event_hash = self.members[name], AgreementKey(), os.urandom(32)
        join = JoinReply(
            plan_hash=self.plan.digest(),
            event_count=1,
            roster_version=self.plan.roster.version,
            roster_hash=self.plan.roster.digest(),
            agreement_key=agreement.public,
            key_epoch=1,
            nonce=os.urandom(32),
            event_hash=event_hash,
            head_signature=sign_head(key, name, 1, event_hash),
        )
        # Nobody has the peer's half of a mask from here on: it is a pad from the operating system.
        agreement.wipe()
        return key.seal(name, join)


def made_up(site: Site, plan: Plan) -> MadeUp:
    """Found it for a site and a plan that its custodian would join."""
    keys = {name: SigningKey.generate() for name in plan.members}
    coordinator = SigningKey.generate()
    members = tuple(
        one.model_copy(update={"public_key": keys[one.id].public.hex(), "node_key": None})
        for one in plan.roster.members
    )
    roster = plan.roster.model_copy(update={"members": members})
    return MadeUp(
        plan=plan.model_copy(update={"roster": roster, "coordinator_key": coordinator.public.hex()}),
        site=replace(
            unattended(site),
            key=keys[site.institution],
            roster=roster,
            coordinators={plan.coordinator: coordinator.public},
        ),
        coordinator=coordinator,
        members=keys,
    )


def unattended(site: Site) -> Site:
    """The site with nothing that writes: no trail, no folder for plans that wait, hence nobody who is asked."""
    policy = site.policy
    if isinstance(policy, Policy):
        policy = policy.model_copy(update={"approval": Approval.AUTOMATIC})
    return replace(site, policy=policy, jobs_folder=None, audit_trail=None)
