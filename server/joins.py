"""Which joins the coordinator takes: one that no member could accept would stop the job at everybody else.

Every custodian checks all joins itself and trusts nothing here. This finds the one that is at fault before the others
refuse it.
"""

from collections.abc import Mapping

from fedcredit.errors import RefusalError
from fedcredit.plan import Plan
from fedcredit.secure_aggregation.agreement import secret_class
from fedcredit.secure_aggregation.transcript import PeerKey, read_join


class JoinBook:
    """The joins of one job, each read once.

    Parameters
    ----------
    plan
        The job's plan; without masks every join is as good as another.
    """

    def __init__(self, plan: Plan) -> None:
        self._masks, self._plan_hash, self._roster = plan.privacy.masks, plan.digest(), plan.roster
        self._read: dict[bytes, tuple[PeerKey, bytes]] = {}

    def fault(self, institution: str, join: bytes, known: Mapping[str, bytes]) -> str | None:
        """Why a join cannot be used, or None.

        Parameters
        ----------
        known
            Latest joins that were taken before, by member.
        """
        if not self._masks:
            return None
        try:
            peer, own = self._key_of(join)
        except RefusalError as error:
            return str(error)
        for name, earlier in known.items():
            other, taken = self._key_of(earlier)
            if name != institution and taken == own:
                return f"it gives the agreement key of {name}"
            risen, same_epoch = peer.key_epoch > other.key_epoch, peer.key_epoch == other.key_epoch
            if name == institution and not (same_epoch if taken == own else risen):
                return (
                    f"its key epoch {peer.key_epoch} does not follow {other.key_epoch}; its ledger may be an older copy"
                )
        return None

    def _key_of(self, join: bytes) -> tuple[PeerKey, bytes]:
        """The key, and what two keys that give the same secrets have in common."""
        if join not in self._read:
            peer = read_join(self._plan_hash, self._roster, join)
            self._read[join] = peer, secret_class(peer.agreement_key)
        return self._read[join]
