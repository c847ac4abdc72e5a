"""What the trail keeps of ledger events: which one, for which message, and what it charged or released."""

from typing import Any

from fedcredit.privacy.events import read_fraction, write_fraction
from fedcredit.privacy.ledger_read import LedgerReader

# Everything else of an event stays in the ledger: terms, units, heads, what is left.
_KEPT = ("event", "plan_hash", "role", "round", "attempt", "cost", "reserved", "lost_cost", "epoch", "institution")


def events_since(ledger: LedgerReader, known: int) -> list[dict[str, Any]]:
    """The ledger's events after the `known`-th, as a line of the trail names them."""
    return [{"number": seq, "hash": head.hex(), **_kept(ledger, body)} for seq, body, head in ledger.since(known)]


def _kept(ledger: LedgerReader, body: dict[str, Any]) -> dict[str, Any]:
    kept = {name: body[name] for name in _KEPT if name in body}
    match body["event"]:
        case "join":
            approved = {name: body["terms"][name] for name in ("approved_by", "approved_at") if name in body["terms"]}
            return kept | approved
        case "close":
            return kept | {"spent": body["spent"], "released": _released(ledger, body)}
        case _:
            return kept


def _released(ledger: LedgerReader, body: dict[str, Any]) -> str | None:
    """What the job had set aside and never spent."""
    job = ledger.job(bytes.fromhex(body["plan_hash"]))
    return None if job is None else write_fraction(max(job.reserved - read_fraction(body["spent"]), job.spent * 0))
