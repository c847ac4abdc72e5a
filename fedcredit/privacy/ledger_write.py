"""How a ledger is written: opened by one process, appended to in one fsynced transaction, counted, signed.

What is charged and why is `fedcredit.privacy.ledger`.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

from fedcredit.errors import LedgerError
from fedcredit.privacy.events import GENESIS, Slot, encode_body, event_hash, write_fraction
from fedcredit.privacy.ledger_chain import bytes_to_sign
from fedcredit.privacy.ledger_counter import EventCounter, beside, require_fresh
from fedcredit.privacy.ledger_entries import Account, Stored
from fedcredit.privacy.ledger_file import (
    SCHEMA,
    Transaction,
    acquire,
    check_whole,
    check_writable,
    connect,
    create_owner_only,
    fault,
    never_opened,
)
from fedcredit.privacy.ledger_keys import change_body
from fedcredit.privacy.ledger_read import LedgerReader
from fedcredit.privacy.rollback import count_offset, lost_count, rolled_back
from fedcredit.wire.envelope import SigningKey


class LedgerWriter(LedgerReader):
    """The only writer of a ledger; use as a context manager or call `close`. Many threads may share it.

    Parameters
    ----------
    path
        The SQLite file, or None for a ledger in memory (simulations).
    key
        The institution's identity key, which signs every event.
    counter
        The institution's own count of events; beside the ledger as ``<ledger>.count`` by default.
    """

    def __init__(self, path: Path | None, key: SigningKey, counter: Path | None = None) -> None:
        self._key, self._path = key, path
        self._counter = None if path is None else EventCounter(counter or beside(path))
        self._lock = acquire(path) if path is not None else None
        try:
            super().__init__(connect(path), key.public)
        except sqlite3.DatabaseError as error:
            self._release()
            raise fault(f"ledger {path}", error) from error

    @classmethod
    def create(cls, path: Path | None, key: SigningKey, account: Account, counter: Path | None = None) -> Self:
        """Open a new ledger; an existing file is never touched.

        Raises
        ------
        LedgerError
            If the file or its counter exists, or a folder does not.
        """
        if path is not None:
            if not path.exists() or never_opened(path):
                require_fresh(counter or beside(path))
            if not never_opened(path):
                create_owner_only(path)
        ledger = cls(path, key, counter)
        with ledger._writing():
            for table in SCHEMA:
                ledger._connection.execute(table)
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
    def open(cls, path: Path, key: SigningKey, counter: Path | None = None) -> Self:
        """Open an existing ledger, verify all of it and compare it with the institution's own counter.

        Raises
        ------
        LedgerError
            If the file is missing, in use, damaged, signed by another key, not to be written, or older than the
            counter.
        """
        ledger = cls(_existing(path), key, counter)
        ledger._check(rolled_back_too=False)
        return ledger

    @classmethod
    def recover(cls, path: Path, key: SigningKey, lost_cost: Fraction, counter: Path | None = None) -> None:
        """Charge a rolled-back ledger for what it has forgotten; its count goes on above all that was seen of it.

        Parameters
        ----------
        lost_cost
            In the ledger's unit; charged to the present epoch, whatever the budget.

        Raises
        ------
        LedgerError
            If the ledger is not rolled back, or cannot be opened for another reason.
        """
        with cls(_existing(path), key, counter) as ledger:
            ledger._check(rolled_back_too=True)
            ledger._recover(lost_cost)

    @classmethod
    def change_key(cls, path: Path, old: SigningKey, new: SigningKey, counter: Path | None = None) -> None:
        """Let another identity key sign from the next event on; done already, it changes nothing.

        Raises
        ------
        LedgerError
            As for `open`.
        """
        with cls(_existing(path), old, counter) as ledger:
            if ledger.signer == new.public:
                return
            ledger._check(rolled_back_too=False)
            with ledger._writing():
                body = change_body(old.public, new, ledger.head_hash)
                ledger._append(body["event"], body)

    def close(self) -> None:
        """Close the file and let another process open it."""
        super().close()
        self._release()

    def note(self, kind: str, body: dict[str, Any], *, plan_hash: bytes | None = None) -> int:
        """Append an event that costs nothing and must survive a restart; the number of events with it."""
        with self._writing():
            values = {"event": kind, **({} if plan_hash is None else {"plan_hash": plan_hash.hex()}), **body}
            self._append(kind, values, plan_hash=plan_hash)
            return self.event_count

    def stored(self, slot: Slot) -> Stored | None:
        """The message that a slot was charged for, or None; the counter has seen it."""
        with self._turn:
            self._settle()
            return self._stored(slot)

    def receipt(self, plan_hash: bytes) -> Stored | None:
        """The stored receipt of a closed job, or None; the counter has seen it."""
        with self._turn:
            self._settle()
            return self._receipt(plan_hash)

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
        seq = self.event_count + 1 + body.get("count_offset", 0)
        previous = self.head_hash if seq > 1 else GENESIS
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

    def _recover(self, lost_cost: Fraction) -> None:
        counter = self._counter
        if counter is None:
            raise LedgerError("a ledger in memory has no older copy.")
        counted = counter.read_or_none()
        if counted is not None and not self.rolled_back and not rolled_back(self.event_count, counted):
            raise LedgerError("the ledger is not rolled back; there is nothing to recover.")
        with self._turn:
            with Transaction(self._connection):
                shown = lost_count(event for event in self.events() if event["event"] in {"rolled_back", "recovered"})
                body = {
                    "event": "recovered",
                    "epoch": self.epoch,
                    "lost_cost": write_fraction(lost_cost),
                    "count_offset": count_offset(self.event_count, max(shown, counted or 0)),
                }
                self._append("recovered", body)
            counter.forget()
            self._settle()

    def _check(self, *, rolled_back_too: bool) -> None:
        """Close the ledger again unless it is whole, writable and, if it is not to be recovered, new."""
        try:
            check_whole(self._connection)
            self.verify()
            self._require_own()
            check_writable(self._connection)
            if self._counter is not None and not rolled_back_too:
                self._counter.check(self.event_count)
        except sqlite3.DatabaseError as error:
            self.close()
            raise fault(f"ledger {self._path}", error) from error
        except LedgerError:
            self.close()
            raise

    def _require_own(self) -> None:
        """Refuse to sign with a key under which the ledger is not kept, or is kept no more."""
        if self.signer != self._key.public:
            raise LedgerError(
                f"the ledger is kept under key {self.signer.hex()}, and this key is {self._key.public.hex()}; use that "
                "key, or finish its change with 'fedcredit institution adopt'."
            )

    def _settle(self) -> None:
        """Raise the counter to the events that are durable; before that nothing that they paid for leaves."""
        if self._counter is not None:
            self._counter.raise_to(self.event_count)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._turn:
            with Transaction(self._connection):
                yield
            self._settle()

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise LedgerError(f"ledger {path} does not exist; open one with 'fedcredit ledger open'.")
    # One lock and one counter, whatever link led here.
    return path.resolve()
