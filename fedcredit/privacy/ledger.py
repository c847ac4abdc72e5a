"""The privacy ledger: one append-only file per population, charged before anything is sent.

An event and the exact bytes that it pays for are committed in one fsynced transaction, so after any crash the
ledger has paid for at least what left. The same message asked for again is answered with the stored bytes. Events
are hash-chained and signed.

One writer holds the file (an advisory lock on ``<ledger>.lock``). Costs are exact fractions in the ledger's own
unit: sums of squared mu for plain Gaussian releases, where the filter is exact under adaptive choice (Smith &
Thakurta 2022, arXiv 2210.17520), or Renyi divergence at the one order fixed at opening (Feldman & Zrnic 2021, arXiv
2008.11193).
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

from fedcredit.errors import BudgetError, LedgerError
from fedcredit.privacy.accounting import accountant_from_json
from fedcredit.privacy.events import (
    GENESIS,
    Charge,
    Slot,
    decode_body,
    encode_body,
    event_hash,
    read_fraction,
    write_fraction,
)
from fedcredit.privacy.ledger_chain import bytes_to_sign, verify_chain
from fedcredit.privacy.ledger_entries import Account, Job, Stored, kept_short
from fedcredit.privacy.ledger_file import SCHEMA, Transaction, acquire, connect, create_owner_only
from fedcredit.wire.envelope import SigningKey


class Ledger:
    """An open ledger; use as a context manager or call `close`.

    Parameters
    ----------
    path
        The SQLite file, or None for a ledger in memory (simulations).
    key
        The institution's identity key, which signs every event.
    """

    def __init__(self, path: Path | None, key: SigningKey) -> None:
        self._key = key
        self._lock = acquire(path) if path is not None else None
        try:
            self._connection = connect(path)
        except sqlite3.DatabaseError as error:
            self._release()
            raise LedgerError(f"ledger {path} is damaged ({error}); restore its newest backup.") from error

    @classmethod
    def create(cls, path: Path | None, key: SigningKey, account: Account) -> Self:
        """Open a new ledger; an existing file is never touched.

        Raises
        ------
        LedgerError
            If the file exists or its folder does not.
        """
        if path is not None:
            create_owner_only(path)
        ledger = cls(path, key)
        with ledger._transaction():
            ledger._connection.execute(SCHEMA)
            opening = {
                "event": "open",
                "population": account.population,
                "unit": account.unit,
                "adjacency": "zero_out",
                "accountant": account.accountant.to_json(),
                "public_key": key.public.hex(),
            }
            ledger._append("open", opening)
        return ledger

    @classmethod
    def open(cls, path: Path, key: SigningKey) -> Self:
        """Open an existing ledger and verify its whole chain.

        Raises
        ------
        LedgerError
            If the file is missing, in use, damaged, or signed by another key.
        """
        if not path.is_file():
            raise LedgerError(f"ledger {path} does not exist; open one with 'fedcredit ledger open'.")
        ledger = cls(path, key)
        try:
            ledger.verify()
        except sqlite3.DatabaseError as error:
            ledger.close()
            raise LedgerError(f"ledger {path} is damaged ({error}); restore its newest backup.") from error
        except LedgerError:
            ledger.close()
            raise
        return ledger

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and let another process open it."""
        self._connection.close()
        self._release()

    @property
    def account(self) -> Account:
        """What the ledger was opened for."""
        row = self._connection.execute("SELECT body FROM event WHERE seq = 1").fetchone()
        opening = decode_body(row[0])
        return Account(opening["population"], opening["unit"], accountant_from_json(opening["accountant"]))

    @property
    def event_count(self) -> int:
        """Number of events so far."""
        count: int = self._connection.execute("SELECT count(*) FROM event").fetchone()[0]
        return count

    def reserve(
        self,
        plan_hash: bytes,
        plan: bytes,
        total: Fraction,
        retry_reserve: Fraction,
        terms: dict[str, Any],
        *,
        budget: Fraction | None = None,
    ) -> None:
        """Set the whole cost of a job aside; joining the same open plan again changes nothing.

        Parameters
        ----------
        plan_hash, plan
            The plan's name and exact bytes.
        total
            Cost of all phases plus the retry reserve, in the ledger's unit.
        retry_reserve
            The part of `total` that second and later messages of one round may use.
        terms
            What a reader of the ledger should know about the job; JSON values, nothing from a record.
        budget
            A smaller budget than the ledger's own, if the institution's policy has become stricter.

        Raises
        ------
        BudgetError
            If the ledger cannot pay for the whole job.
        LedgerError
            If the job is over.
        """
        with self._transaction():
            if self.job(plan_hash) is not None:
                self._open_job(plan_hash)
                return
            own = self.account.accountant.budget
            if self.committed() + total > (own if budget is None else min(own, budget)):
                raise BudgetError(
                    "the privacy ledger cannot pay for this job; ask for a smaller epsilon or fewer rounds."
                )
            body = {
                "event": "join",
                "plan_hash": plan_hash.hex(),
                "reserved": write_fraction(total),
                "retry_reserve": write_fraction(retry_reserve),
                "terms": terms,
            }
            self._append("join", body, plan_hash=plan_hash, message=plan)

    def commit(self, charge: Charge, seal: Callable[[int, bytes], bytes]) -> bytes:
        """Charge one message and store its bytes, in one fsynced transaction; only then may it be sent.

        Parameters
        ----------
        charge
            What the message costs and why.
        seal
            Builds the exact bytes from the event count and the event's hash after the charge.

        Returns
        -------
        bytes
            What `seal` built.

        Raises
        ------
        BudgetError
            If the job's reservation does not cover the message.
        LedgerError
            If the job was never joined, is closed, or the slot was charged before.
        """
        with self._transaction():
            cost = self.account.accountant.cost(charge.mechanism)
            self._check_affordable(charge.slot, cost)
            return self._append(
                "charge",
                charge.body(cost),
                plan_hash=charge.slot.plan_hash,
                slot=charge.slot,
                request_hash=charge.request_hash,
                seal=seal,
            )

    def finish(self, plan_hash: bytes, request_hash: bytes, seal: Callable[[int, bytes], bytes]) -> bytes:
        """Close a job: what it never spent is free again; the receipt's bytes are stored like any message.

        Raises
        ------
        LedgerError
            If the job was never joined or is closed already.
        """
        with self._transaction():
            job = self._open_job(plan_hash)
            body = {"event": "close", "plan_hash": plan_hash.hex(), "spent": write_fraction(job.spent)}
            return self._append("close", body, plan_hash=plan_hash, request_hash=request_hash, seal=seal)

    def abandon(self, plan_hash: bytes) -> None:
        """Close a job that its coordinator left open, without a receipt: what it never spent is free again.

        Raises
        ------
        LedgerError
            If the job was never joined or is closed already.
        """
        self.finish(plan_hash, b"", lambda _count, _hash: b"")

    def note(self, kind: str, body: dict[str, Any], *, plan_hash: bytes | None = None) -> int:
        """Append an event that costs nothing and must survive a restart; the number of events with it."""
        with self._transaction():
            values = {"event": kind, **({} if plan_hash is None else {"plan_hash": plan_hash.hex()}), **body}
            self._append(kind, values, plan_hash=plan_hash)
        return self.event_count

    def notes(self, kind: str) -> list[dict[str, Any]]:
        """All events of one kind, oldest first, as JSON values."""
        rows = self._connection.execute("SELECT body FROM event WHERE kind = ? ORDER BY seq", (kind,))
        return [decode_body(row[0]) for row in rows]

    def open_jobs(self) -> dict[bytes, Job]:
        """Jobs that still hold a reservation, by plan hash."""
        rows = self._connection.execute("SELECT plan_hash FROM event WHERE kind = 'join' ORDER BY seq").fetchall()
        jobs = {plan_hash: job for (plan_hash,) in rows if (job := self.job(plan_hash)) is not None}
        return {plan_hash: job for plan_hash, job in jobs.items() if not job.closed}

    def stored(self, slot: Slot) -> Stored | None:
        """The message that a slot was charged for, or None."""
        row = self._connection.execute(
            "SELECT request_hash, message FROM event WHERE kind = 'charge' AND plan_hash = ? AND role = ? "
            "AND round = ? AND attempt = ?",
            (slot.plan_hash, int(slot.role), slot.round, slot.attempt),
        ).fetchone()
        return None if row is None else Stored(row[0], row[1])

    def receipt(self, plan_hash: bytes) -> Stored | None:
        """The stored receipt of a closed job, or None."""
        row = self._connection.execute(
            "SELECT request_hash, message FROM event WHERE kind = 'close' AND plan_hash = ?", (plan_hash,)
        ).fetchone()
        return None if row is None else Stored(row[0], row[1])

    def charges(self, plan_hash: bytes) -> list[dict[str, Any]]:
        """The charge events of a job, oldest first, as JSON values."""
        rows = self._connection.execute(
            "SELECT body FROM event WHERE kind = 'charge' AND plan_hash = ? ORDER BY seq", (plan_hash,)
        )
        return [decode_body(row[0]) for row in rows]

    def job(self, plan_hash: bytes) -> Job | None:
        """A job's state, or None if it was never joined."""
        row = self._connection.execute(
            "SELECT body, message FROM event WHERE kind = 'join' AND plan_hash = ?", (plan_hash,)
        ).fetchone()
        if row is None:
            return None
        spent = sum((read_fraction(body["cost"]) for body in self.charges(plan_hash)), Fraction(0))
        closed = self.receipt(plan_hash) is not None
        joined = decode_body(row[0])
        reserved, retry_reserve = (read_fraction(joined[name]) for name in ("reserved", "retry_reserve"))
        return Job(row[1], joined["terms"], reserved, retry_reserve, spent, closed)

    def committed(self) -> Fraction:
        """Everything spent or set aside: closed jobs count what they spent, open jobs what they reserved."""
        rows = self._connection.execute("SELECT plan_hash FROM event WHERE kind = 'join'").fetchall()
        jobs = (job for (plan_hash,) in rows if (job := self.job(plan_hash)) is not None)
        total = Fraction(0)
        for job in jobs:
            total = kept_short(total + (job.spent if job.closed else max(job.reserved, job.spent)))
        return total

    def events(self) -> Iterator[dict[str, Any]]:
        """All events, oldest first, as JSON values."""
        for (body,) in self._connection.execute("SELECT body FROM event ORDER BY seq"):
            yield decode_body(body)

    def verify(self) -> None:
        """Check the whole chain: order, hashes, signatures, and that the columns say what the bodies say.

        Raises
        ------
        LedgerError
            At the first event that does not hold.
        """
        columns = "seq, kind, plan_hash, role, round, attempt, body, previous, hash, signature"
        rows = self._connection.execute(f"SELECT {columns} FROM event ORDER BY seq")  # noqa: S608  (a constant)
        verify_chain(rows, self._key.public)

    def _check_affordable(self, slot: Slot, cost: Fraction) -> None:
        job = self._open_job(slot.plan_hash)
        if self.stored(slot) is not None:
            raise LedgerError(f"{slot.role.name} round {slot.round} attempt {slot.attempt} was charged before.")
        if job.spent + cost > job.reserved or self._spent_on_retries(slot, cost) > job.retry_reserve:
            raise BudgetError("the job's reservation is used up; end the job with the model so far.")

    def _spent_on_retries(self, slot: Slot, cost: Fraction) -> Fraction:
        """Cost of every message after the first of its round, this one included."""
        answered: set[tuple[str, int]] = set()
        total = Fraction(0)
        for event in self.charges(slot.plan_hash):
            place = (event["role"], event["round"])
            total += read_fraction(event["cost"]) if place in answered else 0
            answered.add(place)
        return total + (cost if (slot.role.name.lower(), slot.round) in answered else 0)

    def _open_job(self, plan_hash: bytes) -> Job:
        job = self.job(plan_hash)
        if job is None or job.closed:
            state = "was never joined" if job is None else "is over"
            raise LedgerError(f"job {plan_hash.hex()[:16]} {state}; nothing can be charged to it.")
        return job

    def _append(
        self,
        kind: str,
        body: dict[str, Any],
        *,
        plan_hash: bytes | None = None,
        slot: Slot | None = None,
        request_hash: bytes | None = None,
        message: bytes | None = None,
        seal: Callable[[int, bytes], bytes] | None = None,
    ) -> bytes:
        row = self._connection.execute("SELECT seq, hash FROM event ORDER BY seq DESC LIMIT 1").fetchone()
        seq, previous = (row[0] + 1, row[1]) if row else (1, GENESIS)
        encoded = encode_body(body)
        head = event_hash(previous, encoded)
        stored = seal(seq, head) if seal is not None else message
        place = (int(slot.role), slot.round, slot.attempt) if slot is not None else (None, None, None)
        self._connection.execute(
            "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                seq,
                kind,
                plan_hash,
                *place,
                request_hash,
                encoded,
                previous,
                head,
                self._key.sign(bytes_to_sign(head)),
                stored,
            ),
        )
        return stored or b""

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _transaction(self) -> Transaction:
        return Transaction(self._connection)
