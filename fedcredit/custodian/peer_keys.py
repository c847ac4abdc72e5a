"""Peers' agreement keys over time: what a custodian remembers so that no key is ever used twice.

A key that served in another job, or an older key of a peer that has restarted since, is refused although its
signature holds: whoever got hold of an old key could unmask everything that is masked with it.
"""

from collections.abc import Sequence
from typing import Any

from fedcredit.custodian.witness import written
from fedcredit.errors import RefusalError
from fedcredit.secure_aggregation.agreement import secret_class
from fedcredit.secure_aggregation.transcript import PeerKey, Transcript

# More restarts than a job survives; every transcript is a row of the ledger, and a coordinator can make up any number.
MOST_TRANSCRIPTS = 100


def keys_event(transcript: Transcript) -> dict[str, Any]:
    """What the ledger writes down about an accepted transcript."""
    return {
        "transcript_hash": transcript.digest.hex(),
        "keys": {peer.institution: _written(peer) for peer in transcript.peers},
        **written(peer.head for peer in transcript.peers),
    }


def guard_peer_keys(plan_hash: bytes, transcript: Transcript, accepted: Sequence[dict[str, Any]]) -> None:
    """Check a transcript against every transcript accepted before.

    Parameters
    ----------
    accepted
        The ledger's ``keys`` events.

    Raises
    ------
    RefusalError
        If a member's key served it before in another job or epoch, or another member in this job, an epoch went down,
        or the job has had more transcripts than any honest one.
    """
    offered = {peer.institution: _written(peer) for peer in transcript.peers}
    of_this_job = [event["keys"] for event in accepted if event["plan_hash"] == plan_hash.hex()]
    if len(of_this_job) >= MOST_TRANSCRIPTS:
        raise RefusalError("keys-many", f"this job has had {MOST_TRANSCRIPTS} key transcripts; start a new job.")
    for keys in of_this_job:
        for institution, known in keys.items():
            _guard_epoch(institution, known, offered)
    # By member: a colluder that published an honest peer's key as its own must not spoil it for other jobs.
    elsewhere = {
        (institution, known["secret_class"])
        for event in accepted
        if event["plan_hash"] != plan_hash.hex()
        for institution, known in event["keys"].items()
    }
    for institution, own in offered.items():
        if (institution, own["secret_class"]) in elsewhere:
            raise RefusalError(
                "keys-reused", f"{institution} uses an agreement key of another job; it must draw a new one."
            )


def _guard_epoch(institution: str, known: dict[str, Any], offered: dict[str, dict[str, Any]]) -> None:
    for name, own in offered.items():
        same_key = own["secret_class"] == known["secret_class"]
        if name != institution and same_key:
            raise RefusalError("keys-reused", f"{name} uses a key that was {institution}'s.")
    if institution not in offered:
        return
    own = offered[institution]
    if own["key_epoch"] < known["key_epoch"]:
        raise RefusalError("keys-epoch", f"{institution} has restarted since; send the join of its newest epoch.")
    if (own["secret_class"] == known["secret_class"]) != (own["key_epoch"] == known["key_epoch"]):
        raise RefusalError("keys-epoch", f"{institution} must have one agreement key per epoch, and has not.")


def _written(peer: PeerKey) -> dict[str, Any]:
    # The class tells keys of different bytes but equal secrets from different keys.
    return {
        "agreement_key": peer.agreement_key.hex(),
        "secret_class": secret_class(peer.agreement_key).hex(),
        "key_epoch": peer.key_epoch,
    }
