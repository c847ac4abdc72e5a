"""A ledger as text for an auditor: one JSON value a line, every event with hash and signature, and no message.

The first line says how many events there are, and is signed too: an export that was cut short is seen. The table of
units stays at home; the joins' salted digests of it are there. Reading needs neither the ledger's file nor a key of the
institution's.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from fedcredit.errors import LedgerError
from fedcredit.privacy.events import decode_body
from fedcredit.wire.canonical import canonical_json, length_prefixed, parse_json
from fedcredit.wire.envelope import SigningKey, verify_signature
from fedcredit.wire.messages import Role

FORMAT = "fedcredit-ledger-export/1"

_ROLES = {role.name.lower(): int(role) for role in Role}


def export_lines(rows: Sequence[tuple[Any, ...]], key: SigningKey) -> Iterator[bytes]:
    """The export of a ledger's rows (as `fedcredit.privacy.ledger_chain.verify_chain` reads them), line by line."""
    header = {
        "format": FORMAT,
        "public_key": key.public.hex(),
        "event_count": rows[-1][0],
        "head": rows[-1][8].hex(),
    }
    yield canonical_json({**header, "signature": key.sign(_to_sign(header)).hex()}) + b"\n"
    for seq, *_, body, previous, hash_, signature in rows:
        line = {
            "seq": seq,
            "event": decode_body(body),
            "previous": previous.hex(),
            "hash": hash_.hex(),
            "signature": signature.hex(),
        }
        yield canonical_json(line) + b"\n"


def is_export(data: bytes) -> bool:
    """Whether a file's first bytes are those of an export."""
    return data.startswith(b"{")


def read_export(data: bytes) -> tuple[bytes, list[tuple[Any, ...]]]:
    """The public key that an export names, and its rows.

    Raises
    ------
    LedgerError
        If it is no export, or was cut or changed so that its lines are not those that its first line was signed for.
    """
    first, *lines = data.splitlines()
    key, header = _header(first)
    rows = [_row(line, number) for number, line in enumerate(lines, 2)]
    if not rows or (rows[-1][0], rows[-1][8].hex()) != (header["event_count"], header["head"]):
        raise LedgerError("the ledger's export does not end where its first line says; export it again.")
    return key, rows


def _header(line: bytes) -> tuple[bytes, dict[str, Any]]:
    try:
        header = parse_json(line)
        if header["format"] != FORMAT:
            raise LedgerError(f"the export has format {header['format']!r}, this version reads {FORMAT!r}; upgrade.")
        signature, key = bytes.fromhex(header.pop("signature")), bytes.fromhex(header["public_key"])
        holds = verify_signature(key, _to_sign(header), signature) and {"event_count", "head"} <= header.keys()
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerError(f"line 1 of the ledger's export cannot be read ({error}); export it again.") from error
    if not holds:
        raise LedgerError("line 1 of the ledger's export is not what was signed; export it again.")
    return key, header


def _row(text: bytes, number: int) -> tuple[Any, ...]:
    try:
        line = parse_json(text)
        event = line["event"]
        plan_hash, role = event.get("plan_hash"), event.get("role")
        return (
            line["seq"],
            event["event"],
            None if plan_hash is None else bytes.fromhex(plan_hash),
            None if role is None else _ROLES[role],
            event.get("round"),
            event.get("attempt"),
            canonical_json(event),
            *(bytes.fromhex(line[name]) for name in ("previous", "hash", "signature")),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LedgerError(f"line {number} of the ledger's export cannot be read ({error}); export it again.") from error


def _to_sign(header: dict[str, Any]) -> bytes:
    return length_prefixed("ledger-export", canonical_json(header))
