"""What each message is for, and each of its fields, in one plain sentence.

One entry per message and field of ``fedcredit.proto``; a test fails if one is missing. Requests are here as well: an
institution's peers send one of them, and who reads a reply wants to know what was asked.
"""

from collections.abc import Mapping
from types import MappingProxyType

_PLAN_HASH = "names the job's plan, which every member holds"
_ROSTER_HASH = "names the roster: members, keys, regions, declared sizes, expiry"
_ATTEMPT_HASH = "names the members whose sums are added in this attempt"
_MODEL_HASH = "names the exact model bytes that the request brought"
_EVENT_COUNT = "how many events this institution's ledger had, this message's own charge among them"
_EVENT_HASH = "hash of the ledger's newest event, from which nothing of it can be read"
_HEAD_SIGNATURE = "this institution's signature of count and hash, by which peers notice an older copy of its ledger"
_ROLE = "the phase: preflight, train or evaluate"
_ROUND = "the round of the phase, from 1"
_ATTEMPT = "which try at the round; a higher one is a new message with new noise, charged again"
_TRANSCRIPT = "hash of the signed joins of all members: with whose keys sums are masked"

MESSAGES: Mapping[str, str] = MappingProxyType(
    {
        "Envelope": "what every message travels in: who says what, signed",
        "Head": "where a member's ledger stood, signed by itself",
        "IdentifyRequest": "the coordinator asks a node which institution it speaks for",
        "IdentifyReply": "proves by its signature that the node speaks for this institution",
        "JoinRequest": "the coordinator brings the plan",
        "JoinReply": "says that this institution accepted the plan and set its whole cost aside",
        "KeysRequest": "the coordinator brings the signed joins of all members",
        "KeysReply": "says that this institution checked everybody's joins and masks its sums under them",
        "RoundRequest": "the coordinator asks for one sum",
        "Contribution": "the one message that holds anything of the records: noised integer sums, charged",
        "ReleaseRequest": "the coordinator hands out the released model",
        "Receipt": "says what the job cost this institution, from its own ledger",
        "Refusal": "says that a request is not answered, and why",
        "StopRequest": "a member stops every job under a roster",
        "StopReply": "says that the stop was written into this institution's ledger",
    }
)

FIELDS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "Envelope": {
            "version": "version of the wire format",
            "kind": "which message the payload is",
            "sender": "who signed it: the institution's id, or the coordinator's name",
            "payload": "the message itself, field by field as below",
            "signature": "Ed25519 signature of the sender over all the rest",
        },
        "Head": {
            "institution": "the member whose ledger it was",
            "event_count": "how many events it had",
            "event_hash": "hash of the newest of them, from which nothing of it can be read",
            "signature": "that institution's signature over the other three",
        },
        "IdentifyRequest": {"nonce": "32 fresh random bytes of the coordinator"},
        "IdentifyReply": {"nonce": "the request's own 32 random bytes, sent back under a signature"},
        "JoinRequest": {"plan": "the plan's exact bytes: every public constant of the job"},
        "JoinReply": {
            "plan_hash": _PLAN_HASH,
            "event_count": "how many events this institution's ledger had",
            "roster_version": "version of the roster that this institution has pinned",
            "roster_hash": _ROSTER_HASH,
            "agreement_key": "public half of a key drawn for this job alone; the masks come from such keys",
            "key_epoch": "how often such a key was drawn for the job; a restart raises it",
            "nonce": "32 fresh random bytes, so that no earlier word of a peer can be used again",
            "event_hash": _EVENT_HASH,
            "head_signature": _HEAD_SIGNATURE,
        },
        "KeysRequest": {"plan_hash": _PLAN_HASH, "joins": "the signed joins of all members, in roster order"},
        "KeysReply": {
            "plan_hash": _PLAN_HASH,
            "transcript_hash": _TRANSCRIPT,
            "heads": "the newest signed ledger heads that this institution has seen of each member",
        },
        "RoundRequest": {
            "plan_hash": _PLAN_HASH,
            "role": _ROLE,
            "round": _ROUND,
            "attempt": _ATTEMPT,
            "members": "whose sums are added in this attempt",
            "model": "the model to take the sums on; none in preflight",
            "transcript_hash": _TRANSCRIPT,
            "witnesses": "what members signed about each other's ledgers when keys were agreed on",
            "heads": "signed ledger heads of those who answered the last step",
        },
        "Contribution": {
            "plan_hash": _PLAN_HASH,
            "role": _ROLE,
            "round": _ROUND,
            "attempt": _ATTEMPT,
            "roster_hash": _ATTEMPT_HASH,
            "model_hash": _MODEL_HASH,
            "vector": "the noised sums, 8 bytes each, as many as the plan fixes whatever the records are",
            "event_count": _EVENT_COUNT,
            "event_hash": _EVENT_HASH,
            "head_signature": _HEAD_SIGNATURE,
        },
        "ReleaseRequest": {"plan_hash": _PLAN_HASH, "model": "the released model"},
        "Receipt": {
            "plan_hash": _PLAN_HASH,
            "model_hash": "names the released model",
            "statement": "epsilon planned and spent against each observer, and the hash of each charged vector",
            "event_count": "how many events this institution's ledger had when it closed the job",
        },
        "Refusal": {
            "request_hash": "names the request that is refused",
            "code": "why, in one stable word",
            "text": "why, in one fixed sentence with the remedy; no value of any record",
        },
        "StopRequest": {"roster_hash": _ROSTER_HASH},
        "StopReply": {
            "roster_hash": _ROSTER_HASH,
            "event_count": "how many events this institution's ledger had",
        },
    }
)
