"""What a ledger is asked: its account, jobs, charges, stored messages and epochs.

Every question takes its turn with the writer's transactions on the same connection, since that connection sees rows
which are not durable yet. A reader of its own connection sees the file as it was when the reader was opened.
"""

import sqlite3
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from threading import RLock
from typing import Any, Self

from fedcredit.errors import LedgerError
from fedcredit.privacy.accounting import accountant_from_json
from fedcredit.privacy.events import Slot, decode_body, read_fraction
from fedcredit.privacy.ledger_chain import verify_chain
from fedcredit.privacy.ledger_entries import Account, Job, Stored, kept_short
from fedcredit.privacy.ledger_file import connect_to_read, fault
from fedcredit.privacy.ledger_keys import KEY_CHANGED
from fedcredit.privacy.ledger_units import Entry, KnownUnits

_COLUMNS = "seq, kind, plan_hash, role, round, attempt, body, previous, hash, signature"


class LedgerReader:
    """A ledger that is only read; use as a context manager or call `close`.

    Parameters
    ----------
    connection
        The open database.
    public_key
        The institution's identity key: any one under which the ledger was ever kept.
    """

    def __init__(self, connection: sqlite3.Connection, public_key: bytes) -> None:
        self._connection, self._public_key = connection, public_key
        self._turn = RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def copy_into(self, connection: sqlite3.Connection) -> None:
        """Copy the whole database."""
        self._connection.backup(connection)

    @property
    def account(self) -> Account:
        """What the ledger was opened for."""
        ((body,),) = self._rows("SELECT body FROM event WHERE seq = 1")
        opening = decode_body(body)
        return Account(opening["population"], opening["unit"], accountant_from_json(opening["accountant"]))

    @property
    def named_key(self) -> bytes:
        """The identity key that the opening event names; 32 bytes."""
        return bytes.fromhex(next(iter(self.notes("open")), {}).get("public_key", ""))

    @property
    def public_key(self) -> bytes:
        """The identity key that the events are verified with."""
        return self._public_key

    @property
    def signer(self) -> bytes:
        """The identity key that signs the next event; 32 bytes."""
        return self.keys[-1]

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The identity keys under which the ledger was kept, oldest first; the last one signs the next event."""
        changes = (bytes.fromhex(event["new_public_key"]) for event in self.notes(KEY_CHANGED))
        return (self.named_key or self._public_key, *changes)

    def signer_of(self, seq: int) -> bytes:
        """The identity key that signed the event of that count, and the message that it was charged for; 32 bytes."""
        changes = self._rows(
            "SELECT body FROM event WHERE kind = ? AND seq < ? ORDER BY seq DESC LIMIT 1", (KEY_CHANGED, seq)
        )
        if changes:
            return bytes.fromhex(decode_body(changes[0][0])["new_public_key"])
        return self.named_key or self._public_key

    @property
    def event_count(self) -> int:
        """Number of events so far, and of the counts that recoveries left out; strictly rising over all copies."""
        ((count,),) = self._rows("SELECT coalesce(max(seq), 0) FROM event")
        return int(count)

    @property
    def head_hash(self) -> bytes:
        """Hash of the newest event; 32 bytes."""
        ((head,),) = self._rows("SELECT hash FROM event ORDER BY seq DESC LIMIT 1")
        return bytes(head)

    def has_been_at(self, event_count: int, event_hash: bytes) -> bool:
        """Whether the chain holds that event as its `event_count`-th, or a later recovery has paid for its loss."""
        found = self._rows("SELECT hash FROM event WHERE seq = ?", (event_count,))
        paid = self._rows("SELECT 1 FROM event WHERE kind = 'recovered' AND seq > ? LIMIT 1", (event_count,))
        return bool(paid) or found == [(event_hash,)]

    @property
    def rolled_back(self) -> bool:
        """Whether the ledger is known to be an older copy of itself, and nobody has charged for what it lacks."""
        newest = "SELECT kind FROM event WHERE kind IN ('rolled_back', 'recovered') ORDER BY +seq DESC LIMIT 1"
        return self._rows(newest) == [("rolled_back",)]

    @property
    def epoch(self) -> int:
        """Number of the population's present epoch, from 1."""
        return 1 + len(self.notes("population_epoch"))

    def notes(self, kind: str) -> list[dict[str, Any]]:
        """All events of one kind, oldest first, as JSON values."""
        return [
            decode_body(body) for (body,) in self._rows("SELECT body FROM event WHERE kind = ? ORDER BY seq", (kind,))
        ]

    def events(self) -> Iterator[dict[str, Any]]:
        """All events, oldest first, as JSON values."""
        for (body,) in self._rows("SELECT body FROM event ORDER BY seq"):
            yield decode_body(body)

    def rows(self) -> list[tuple[Any, ...]]:
        """All events as `fedcredit.privacy.ledger_chain.verify_chain` reads them."""
        return self._rows(f"SELECT {_COLUMNS} FROM event ORDER BY seq")  # noqa: S608  (a constant)

    def sent(self) -> list[tuple[int, dict[str, Any], bytes]]:
        """Count, JSON values and exact bytes of every message that was charged, oldest first."""
        found = self._rows("SELECT seq, body, message FROM event WHERE kind = 'charge' ORDER BY seq")
        return [(seq, decode_body(body), message) for seq, body, message in found]

    def bytes_sent(self) -> dict[bytes, int]:
        """How many bytes the charged messages and the receipt of each job have, by plan hash."""
        return dict(
            self._rows(
                "SELECT plan_hash, sum(length(message)) FROM event WHERE kind IN ('charge', 'close') GROUP BY plan_hash"
            )
        )

    def since(self, event_count: int) -> list[tuple[int, dict[str, Any], bytes]]:
        """Count, JSON values and hash of every event after that one, oldest first."""
        found = self._rows("SELECT seq, body, hash FROM event WHERE seq > ? ORDER BY seq", (event_count,))
        return [(seq, decode_body(body), bytes(head)) for seq, body, head in found]

    def messages(self, plan_hash: bytes) -> list[tuple[int, str, bytes]]:
        """Count, kind and exact bytes of a job's stored plan, contributions and receipt, oldest first."""
        return self._rows(
            "SELECT seq, kind, message FROM event WHERE plan_hash = ? AND message IS NOT NULL ORDER BY seq",
            (plan_hash,),
        )

    def jobs(self) -> dict[bytes, Job]:
        """Every job that was joined, oldest first, by plan hash."""
        joined = self._rows("SELECT plan_hash FROM event WHERE kind = 'join' ORDER BY seq")
        return {plan_hash: job for (plan_hash,) in joined if (job := self.job(plan_hash)) is not None}

    def open_jobs(self) -> dict[bytes, Job]:
        """Jobs that still hold a reservation, by plan hash."""
        return {plan_hash: job for plan_hash, job in self.jobs().items() if not job.closed}

    def job(self, plan_hash: bytes) -> Job | None:
        """A job's state, or None if it was never joined."""
        found = self._rows("SELECT body, message FROM event WHERE kind = 'join' AND plan_hash = ?", (plan_hash,))
        if not found:
            return None
        ((body, plan),) = found
        joined = decode_body(body)
        spent = sum((read_fraction(event["cost"]) for event in self.charges(plan_hash)), Fraction(0))
        reserved, retry_reserve = (read_fraction(joined[name]) for name in ("reserved", "retry_reserve"))
        closed = self._receipt(plan_hash) is not None
        return Job(plan, joined["terms"], reserved, retry_reserve, spent, closed, joined["epoch"])

    def charges(self, plan_hash: bytes) -> list[dict[str, Any]]:
        """The charge events of a job, oldest first, as JSON values."""
        found = self._rows("SELECT body FROM event WHERE kind = 'charge' AND plan_hash = ? ORDER BY seq", (plan_hash,))
        return [decode_body(body) for (body,) in found]

    def committed(self) -> Fraction:
        """Everything of the present epoch that is spent, set aside or lost.

        Closed jobs count what they spent, open jobs what they reserved, recoveries what they were charged.
        """
        epoch = self.epoch
        jobs = [job for job in self.jobs().values() if job.epoch == epoch]
        costs = [job.spent if job.closed else max(job.reserved, job.spent) for job in jobs]
        costs += [read_fraction(event["lost_cost"]) for event in self.notes("recovered") if event["epoch"] == epoch]
        total = Fraction(0)
        for cost in costs:
            total = kept_short(total + cost)
        return total

    def known_units(self) -> KnownUnits:
        """The units that were entered, by earlier and present epochs."""
        with self._turn:
            epoch, joins = self.epoch, self.notes("join")
            entered = self._rows("SELECT u.hashes, e.body FROM unit u JOIN event e ON e.seq = u.seq ORDER BY u.seq")
        sorted_out: dict[bool, list[bytes]] = {True: [], False: []}
        for hashes, body in entered:
            sorted_out[decode_body(body)["epoch"] == epoch].append(hashes)
        checks = tuple(None if (check := join.get("data_key")) is None else bytes.fromhex(check) for join in joins)
        return KnownUnits(checks, b"".join(sorted_out[False]), b"".join(sorted_out[True]), epoch)

    def verify(self) -> None:
        """Check the chain: order, hashes, signatures, that columns say what bodies say, and the table of units.

        Raises
        ------
        LedgerError
            At the first event that does not hold.
        """
        verify_chain(self.rows(), self._public_key)
        self._verify_units()

    def _verify_units(self) -> None:
        entered = {seq: Entry(salt, hashes) for seq, salt, hashes in self._rows("SELECT seq, salt, hashes FROM unit")}
        for seq, body in self._rows("SELECT seq, body FROM event WHERE kind = 'join'"):
            stated, entry = decode_body(body).get("units"), entered.pop(seq, None)
            if stated != (None if entry is None else entry.digest.hex()):
                raise LedgerError(f"the units of ledger event {seq} do not hold; restore its newest backup.")
        if entered:
            raise LedgerError(f"units stand at ledger event {min(entered)}, no join; restore its newest backup.")

    def _stored(self, slot: Slot) -> Stored | None:
        found = self._rows(
            "SELECT request_hash, message FROM event WHERE kind = 'charge' AND plan_hash = ? AND role = ? "
            "AND round = ? AND attempt = ?",
            (slot.plan_hash, int(slot.role), slot.round, slot.attempt),
        )
        return Stored(*found[0]) if found else None

    def _receipt(self, plan_hash: bytes) -> Stored | None:
        found = self._rows(
            "SELECT request_hash, message FROM event WHERE kind = 'close' AND plan_hash = ?", (plan_hash,)
        )
        return Stored(*found[0]) if found else None

    def _rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._turn:
            try:
                return self._connection.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                raise fault("the ledger", error) from error


def read_ledger(path: Path, public_key: bytes | None) -> LedgerReader:
    """Read a ledger beside the custodian that writes it, and verify it.

    Parameters
    ----------
    public_key
        The institution's; None for the one that the ledger itself names, which proves little.

    Raises
    ------
    LedgerError
        If the file is missing, damaged, or signed by another key.
    """
    if not path.is_file():
        raise LedgerError(f"ledger {path} does not exist; open one with 'fedcredit ledger open'.")
    try:
        connection = connect_to_read(path)
    except sqlite3.DatabaseError as error:
        raise fault(f"ledger {path}", error) from error
    reader = LedgerReader(connection, public_key or b"")
    try:
        if public_key is None:
            reader = LedgerReader(connection, reader.named_key)
        reader.verify()
    except LedgerError:
        reader.close()
        raise
    return reader
