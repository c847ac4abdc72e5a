"""The keys of each open job: drawn at join, agreed on with the peers, gone at release or restart.

An agreement key lives in memory only. What the ledger keeps is how many there were (the signed epoch rises with each)
and every key of a peer that was ever accepted, so that none serves twice.
"""

import os
from collections.abc import Callable

from fedcredit.custodian.job_secrets import JobSecrets
from fedcredit.custodian.peer_keys import guard_peer_keys, keys_event
from fedcredit.custodian.site import Site
from fedcredit.custodian.witness import HeadBook, contributed, guard_own_heads, guard_witnesses
from fedcredit.errors import RefusalError
from fedcredit.plan import Plan
from fedcredit.privacy.bits import BitSource
from fedcredit.privacy.ledger import Ledger
from fedcredit.secure_aggregation.agreement import AgreementKey
from fedcredit.secure_aggregation.masks import PairSecrets
from fedcredit.secure_aggregation.transcript import read_transcript
from fedcredit.wire.heads import Head, sign_head
from fedcredit.wire.messages import JoinReply, KeysReply, KeysRequest, RoundRequest


class Agreements:
    """One institution's secrets, by job.

    Parameters
    ----------
    site
        Who signs the joins.
    ledger
        Where epochs and peers' keys are remembered.
    new_noise_key
        Draws one job's noise key.
    """

    def __init__(self, site: Site, ledger: Ledger, new_noise_key: Callable[[], BitSource]) -> None:
        self._site, self._ledger, self._new_noise_key = site, ledger, new_noise_key
        self._heads = HeadBook(ledger, site.roster)
        self._secrets: dict[bytes, JobSecrets] = {}

    def of(self, plan_hash: bytes, plan: Plan) -> JobSecrets:
        """The job's secrets; where this process has none yet, new ones under the next epoch."""
        if plan_hash not in self._secrets:
            self._secrets[plan_hash] = self._drawn(plan_hash, plan)
        return self._secrets[plan_hash]

    def accept(self, plan: Plan, request: KeysRequest) -> KeysReply:
        """Check the signed joins of all members and mask under them from now on.

        Returns
        -------
        KeysReply
            The transcript's hash, and what is known here of the members' ledgers.

        Raises
        ------
        RefusalError
            If the plan has no masks, this process never joined, or a join is not what its member signed for this job.
        """
        if not plan.privacy.masks:
            raise RefusalError("masks", "this plan has no masks, so there are no keys to agree on.")
        plan_hash, institution = request.plan_hash, self._site.institution
        secrets = self._joined(plan_hash)
        transcript = read_transcript(plan_hash, plan.roster, institution, secrets.join, request.joins)
        if secrets.pairs is None or secrets.pairs.transcript.digest != transcript.digest:
            guard_peer_keys(plan_hash, transcript, self._ledger.notes("keys"))
            pairs = PairSecrets(secrets.agreement, institution, transcript)
            self._ledger.note("keys", keys_event(transcript), plan_hash=plan_hash)
            secrets.accept(pairs)
        self._heads.take_joined(peer.head for peer in transcript.peers)
        return KeysReply(plan_hash, transcript.digest, self._heads.testimony(transcript))

    def pairs(self, plan: Plan, request: RoundRequest) -> PairSecrets:
        """The secrets under which a request wants its sum masked.

        Raises
        ------
        RefusalError
            If this process has no keys, agreed on others than the request names, or its peers have not shown, or
            deny, that its ledger is the newest.
        """
        secrets = self._joined(request.plan_hash)
        pairs = secrets.pairs
        if pairs is None or pairs.transcript.digest != request.transcript_hash:
            raise RefusalError("keys-stale", "the request names other keys than were agreed on here; send them again.")
        if not secrets.witnessed:
            guard_witnesses(plan, self._site.institution, pairs.transcript, request.witnesses, self._ledger)
            secrets.witnessed = True
        # A snapshot of this process with its ledger, set back in the middle of a job, meets what it sent before.
        guard_own_heads(self._site.institution, request.heads[: len(plan.members)], self._ledger)
        return pairs

    def shown(self, plan: Plan, request: RoundRequest) -> tuple[Head, ...]:
        """The heads of masked contributions in a request, signed by their owners; they are remembered."""
        heads = self._shown(plan, request)
        self._heads.take_contributed(heads)
        return heads

    def forget(self, plan_hash: bytes) -> None:
        """Wipe the secrets of a job that is over."""
        secrets = self._secrets.pop(plan_hash, None)
        if secrets is not None:
            secrets.wipe()

    def _shown(self, plan: Plan, request: RoundRequest) -> tuple[Head, ...]:
        return contributed(plan.roster, request.heads[: len(plan.members)])

    def _joined(self, plan_hash: bytes) -> JobSecrets:
        secrets = self._secrets.get(plan_hash)
        if secrets is None:
            raise RefusalError("keys-missing", "this custodian has restarted since it joined; send the join again.")
        return secrets

    def _drawn(self, plan_hash: bytes, plan: Plan) -> JobSecrets:
        agreement = AgreementKey()
        key_epoch = 1 + sum(one["plan_hash"] == plan_hash.hex() for one in self._ledger.notes("epoch"))
        drawn = {"key_epoch": key_epoch, "agreement_key": agreement.public.hex()}
        event_count, event_hash = self._ledger.note("epoch", drawn, plan_hash=plan_hash), self._ledger.head_hash
        join = JoinReply(
            plan_hash=plan_hash,
            event_count=event_count,
            roster_version=plan.roster.version,
            roster_hash=plan.roster.digest(),
            agreement_key=agreement.public,
            key_epoch=key_epoch,
            nonce=os.urandom(32),
            event_hash=event_hash,
            head_signature=sign_head(self._site.key, self._site.institution, event_count, event_hash),
        )
        return JobSecrets(self._new_noise_key(), agreement, self._site.key.seal(self._site.institution, join))
