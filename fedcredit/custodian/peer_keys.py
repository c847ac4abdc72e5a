"""Peers' agreement keys over time: what a custodian remembers so that no key is ever used twice.

A key that served in another job, or an older key of a peer that has restarted since, is refused although its
signature holds: whoever got hold of an old key could unmask everything that is masked with it.
"""

from collections.abc import Iterable
from typing import Any

from fedcredit.errors import RefusalError
from fedcredit.secure_aggregation.agreement import secret_class
from fedcredit.secure_aggregation.transcript import PeerKey, Transcript


def keys_event(transcript: Transcript) -> dict[str, Any]:
    """What the ledger writes down about an accepted transcript."""
    return {
        "transcript_hash": transcript.digest.hex(),
        "keys": {peer.institution: _written(peer) for peer in transcript.peers},
    }


def guard_peer_keys(plan_hash: bytes, transcript: Transcript, accepted: Iterable[dict[str, Any]]) -> None:
    """Check a transcript against every transcript accepted before.

    Parameters
    ----------
    accepted
        The ledger's ``keys`` events.

    Raises
    ------
    RefusalError
        If a key served before in another job or under another name or epoch, or an epoch went down.
    """
    for event in accepted:
        same_job = event["plan_hash"] == plan_hash.hex()
        for peer in transcript.peers:
            if same_job:
                _guard_epoch(peer, event["keys"])
            elif any(_same_key(peer, known) for known in event["keys"].values()):
                raise RefusalError(
                    "keys-reused", f"{peer.institution} uses an agreement key of another job; it must draw a new one."
                )


def _guard_epoch(peer: PeerKey, accepted: dict[str, dict[str, Any]]) -> None:
    for institution, known in accepted.items():
        same_key = _same_key(peer, known)
        if institution != peer.institution:
            if same_key:
                raise RefusalError("keys-reused", f"{peer.institution} uses a key that was {institution}'s.")
        elif peer.key_epoch < known["key_epoch"]:
            raise RefusalError("keys-epoch", f"{institution} has restarted since; send the join of its newest epoch.")
        elif same_key != (peer.key_epoch == known["key_epoch"]):
            raise RefusalError("keys-epoch", f"{institution} must have one agreement key per epoch, and has not.")


def _same_key(peer: PeerKey, known: dict[str, Any]) -> bool:
    """Whether two public keys give the same secrets, which different bytes can."""
    return secret_class(peer.agreement_key) == secret_class(bytes.fromhex(known["agreement_key"]))


def _written(peer: PeerKey) -> dict[str, Any]:
    return {"agreement_key": peer.agreement_key.hex(), "key_epoch": peer.key_epoch}
