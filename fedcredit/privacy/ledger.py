"""The privacy ledger: one append-only file per population, charged before anything is sent.

An event and the exact bytes that it pays for are committed in one fsynced transaction, so after any crash the
ledger has paid for at least what left. The same message asked for again is answered with the stored bytes. Events
are hash-chained and signed.

One writer holds the file (an advisory lock on ``<ledger>.lock``). Costs are exact fractions in the ledger's own
unit: sums of squared mu for plain Gaussian releases, where the filter is exact under adaptive choice (Smith &
Thakurta 2022, arXiv 2210.17520), or Renyi divergence at the one order fixed at opening (Feldman & Zrnic 2021, arXiv
2008.11193).
"""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

from fedcredit.data.units import Units
from fedcredit.errors import BudgetError, LedgerError
from fedcredit.privacy.events import Charge, Slot, read_fraction, write_fraction
from fedcredit.privacy.ledger_entries import Job
from fedcredit.privacy.ledger_read import LedgerReader, read_ledger
from fedcredit.privacy.ledger_units import Entry, checked_entry, require_new_epoch
from fedcredit.privacy.ledger_write import LedgerWriter
from fedcredit.wire.envelope import SigningKey


class Ledger(LedgerWriter):
    """An open ledger; use as a context manager or call `close`. Many threads may share it.

    Parameters
    ----------
    path, key, counter
        As in `fedcredit.privacy.ledger_write.LedgerWriter`.
    """

    @classmethod
    def rehearsal(cls, reader: LedgerReader) -> Self:
        """A copy in memory, to see what a request would do; nothing that is written to it lasts."""
        ledger = cls(None, SigningKey.generate())
        reader.copy_into(ledger._connection)
        return ledger

    @staticmethod
    def read(path: Path, public_key: bytes | None) -> LedgerReader:
        """Read and verify a ledger beside the custodian that writes it; see `read_ledger`."""
        return read_ledger(path, public_key)

    def check_units(self, units: Units | None) -> None:
        """Check that a join of these units would not be refused; for the institution's own console, before any.

        Raises
        ------
        LedgerError
            If the data key has changed, or a unit belongs to an earlier epoch.
        """
        checked_entry(self.known_units(), units)

    def open_epoch(self, units: Units | None) -> int:
        """Begin an epoch with a budget of its own; its number.

        Parameters
        ----------
        units
            The units of the present data. None of them may ever have been entered before.

        Raises
        ------
        LedgerError
            If one was, if that cannot be known, or if a job is open. After a recovery it never can: whose messages
            were lost is lost as well.
        """
        with self._writing():
            self._refuse_if_rolled_back()
            if self.open_jobs():
                raise LedgerError("no new epoch: a job is open; end it, or run 'fedcredit ledger close'.")
            if self.notes("recovered"):
                raise LedgerError("no new epoch: a recovered ledger has forgotten units; stay in this epoch.")
            known = self.known_units()
            require_new_epoch(known, units)
            self._append("population_epoch", {"event": "population_epoch", "epoch": known.epoch + 1})
            return known.epoch + 1

    def reserve(
        self,
        plan_hash: bytes,
        plan: bytes,
        total: Fraction,
        retry_reserve: Fraction,
        terms: dict[str, Any],
        *,
        budget: Fraction | None = None,
        units: Units | None = None,
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
        units
            The units that take part, entered for the present epoch; None where no id says which they are.

        Raises
        ------
        BudgetError
            If the ledger cannot pay for the whole job.
        LedgerError
            If the job is over, the units may not be charged to this epoch, or the ledger is rolled back.
        """
        with self._writing():
            self._refuse_if_rolled_back()
            if self.job(plan_hash) is not None:
                self._open_job(plan_hash)
                return
            own = self.account.accountant.budget
            if self.committed() + total > (own if budget is None else min(own, budget)):
                raise BudgetError(
                    "the privacy ledger cannot pay for this job; ask for a smaller epsilon or fewer rounds."
                )
            entry = checked_entry(self.known_units(), units)
            body = {
                "event": "join",
                "plan_hash": plan_hash.hex(),
                "epoch": self.epoch,
                "reserved": write_fraction(total),
                "retry_reserve": write_fraction(retry_reserve),
                "terms": terms,
                "units": None if entry is None else entry.digest.hex(),
                "data_key": None if units is None else units.key_check.hex(),
            }
            self._append("join", body, plan_hash=plan_hash, message=plan)
            self._enter(entry)

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
        with self._writing():
            self._refuse_if_rolled_back()
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
        with self._writing():
            self._refuse_if_rolled_back()
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

    def _check_affordable(self, slot: Slot, cost: Fraction) -> None:
        job = self._open_job(slot.plan_hash)
        if self._stored(slot) is not None:
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

    def _enter(self, entry: Entry | None) -> None:
        """Write the units of the join that was just appended."""
        if entry is not None:
            values = (self.event_count, entry.salt, entry.hashes)
            self._connection.execute("INSERT INTO unit VALUES (?, ?, ?)", values)

    def _refuse_if_rolled_back(self) -> None:
        if self.rolled_back:
            raise LedgerError("the ledger is rolled back; its operator must run 'fedcredit ledger recover'.")
