"""Which joins the coordinator takes: one that no member could accept would stop the job at everybody else.

Every custodian checks all joins itself and trusts nothing here. This finds the one that is at fault before the others
refuse it.
"""

from collections.abc import Mapping

from fedcredit.errors import RefusalError
from fedcredit.plan import Plan
from fedcredit.secure_aggregation.agreement import secret_class
from fedcredit.secure_aggregation.transcript import PeerKey, read_join


def join_fault(plan: Plan, institution: str, join: bytes, known: Mapping[str, bytes]) -> str | None:
    """Why a join cannot be used, or None.

    Parameters
    ----------
    known
        Latest joins of all members that were taken before, by member.
    """
    if not plan.privacy.masks:
        return None
    try:
        peer, own = _read(plan, join)
    except RefusalError as error:
        return str(error)
    for name, earlier in known.items():
        other, taken = _read(plan, earlier)
        if name != institution and taken == own:
            return f"it gives the agreement key of {name}"
        risen, same_epoch = peer.key_epoch > other.key_epoch, peer.key_epoch == other.key_epoch
        if name == institution and not (same_epoch if taken == own else risen):
            return f"its key epoch {peer.key_epoch} does not follow {other.key_epoch}; its ledger may be an older copy"
    return None


def _read(plan: Plan, join: bytes) -> tuple[PeerKey, bytes]:
    peer = read_join(plan.digest(), plan.roster, join)
    return peer, secret_class(peer.agreement_key)
