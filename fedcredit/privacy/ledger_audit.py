"""A ledger's events replayed by someone who trusts nobody: that they are signed, and that what was charged adds up.

Works on a ledger's file or on an export (`fedcredit.privacy.ledger_export`), without the institution's data or keys.
It cannot see that an event was never written, that a mechanism was another one than stated, or that the whole ledger
is an older copy; the other members' receipts and heads can.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import isclose
from typing import Any

from fedcredit.errors import LedgerError, PrivacyError
from fedcredit.privacy.accounting import Accountant, Mechanism, accountant_from_json
from fedcredit.privacy.events import read_fraction
from fedcredit.privacy.ledger_chain import verified
from fedcredit.privacy.ledger_entries import kept_short
from fedcredit.privacy.ledger_keys import KEY_CHANGED


@dataclass(slots=True)
class _Job:
    """A job as the events so far tell it."""

    reserved: Fraction
    retry_reserve: Fraction
    spent: Fraction = Fraction(0)
    retried: Fraction = Fraction(0)
    closed: bool = False
    slots: set[tuple[str, int, int]] = field(default_factory=set)

    @property
    def held(self) -> Fraction:
        """What it keeps from other jobs."""
        return self.spent if self.closed else max(self.reserved, self.spent)


@dataclass(slots=True)
class Audit:
    """What was checked, and where the ledger stands.

    Attributes
    ----------
    events, charges, jobs, open_jobs
        How many of each there are.
    epoch
        The present epoch.
    committed
        Spent, set aside or lost in the present epoch, in the ledger's unit.
    keys
        The identity keys under which it was kept, oldest first, as hex.
    """

    accountant: Accountant
    population: str
    unit: str
    events: int = 0
    charges: int = 0
    epoch: int = 1
    lost: Fraction = Fraction(0)
    keys: list[str] = field(default_factory=list)
    _jobs: dict[str, _Job] = field(default_factory=dict)
    _past: int = 0
    _costs: dict[Mechanism, Fraction] = field(default_factory=dict)

    @property
    def jobs(self) -> int:
        """Jobs joined in all epochs."""
        return self._past + len(self._jobs)

    @property
    def open_jobs(self) -> int:
        """Jobs that still hold a reservation."""
        return sum(not job.closed for job in self._jobs.values())

    @property
    def committed(self) -> Fraction:
        """Spent, set aside or lost in the present epoch."""
        total = self.lost
        for job in self._jobs.values():
            total = kept_short(total + job.held)
        return total

    def take(self, event: Mapping[str, Any]) -> str | None:
        """Go on by one event; what is wrong with it, or None."""
        self.events += 1
        replay = {
            "open": self._reopen,
            "population_epoch": self._begin,
            "join": self._join,
            "charge": self._charge,
            "close": self._close,
            "recovered": self._recover,
            KEY_CHANGED: self._change_key,
        }.get(event["event"])
        return None if replay is None else replay(event)

    def _reopen(self, _: Mapping[str, Any]) -> str | None:
        return "a second opening" if self.events > 1 else None

    def _change_key(self, event: Mapping[str, Any]) -> None:
        self.keys.append(event["new_public_key"])

    def _recover(self, event: Mapping[str, Any]) -> str | None:
        self.lost += read_fraction(event["lost_cost"])
        return "a charge below zero" if read_fraction(event["lost_cost"]) < 0 else None

    def _begin(self, event: Mapping[str, Any]) -> str | None:
        epoch = event["epoch"]
        if epoch != self.epoch + 1 or self.open_jobs:
            return f"epoch {epoch} begins after epoch {self.epoch}, with {self.open_jobs} jobs open"
        self._past += len(self._jobs)
        self._jobs, self.lost, self.epoch = {}, Fraction(0), epoch
        return None

    def _join(self, event: Mapping[str, Any]) -> str | None:
        if event["epoch"] != self.epoch:
            return f"a job of epoch {event['epoch']} in epoch {self.epoch}"
        if event["plan_hash"] in self._jobs:
            return "a job that was joined before"
        before = self.committed
        job = _Job(read_fraction(event["reserved"]), read_fraction(event["retry_reserve"]))
        self._jobs[event["plan_hash"]] = job
        if before + job.reserved > self.accountant.budget:
            return "a job that the budget cannot pay for"
        return None

    def _charge(self, event: Mapping[str, Any]) -> str | None:
        job, cost = self._open(event), read_fraction(event["cost"])
        if job is None:
            return "a charge to a job that is not open"
        if not self._is_cost(event["mechanism"], cost):
            return "a cost that is not its mechanism's"
        slot = (event["role"], event["round"], event["attempt"])
        if slot in job.slots:
            return "a second charge for one message"
        self.charges += 1
        job.spent += cost
        if any(known[:2] == slot[:2] for known in job.slots):
            job.retried += cost
        job.slots.add(slot)
        if job.spent > job.reserved or job.retried > job.retry_reserve:
            return "a charge beyond the job's reservation"
        return None

    def _close(self, event: Mapping[str, Any]) -> str | None:
        job = self._open(event)
        if job is None:
            return "the end of a job that is not open"
        job.closed = True
        return None if read_fraction(event["spent"]) == job.spent else "a job's end with another sum than its charges"

    def _open(self, event: Mapping[str, Any]) -> _Job | None:
        job = self._jobs.get(event["plan_hash"])
        return None if job is None or job.closed else job

    def _is_cost(self, stated: Mapping[str, Any], cost: Fraction) -> bool:
        mechanism = Mechanism(
            stated["sensitivity_squared"], stated["noise_variance"], stated["sampling_rate"], stated["steps"]
        )
        if mechanism not in self._costs:
            try:
                self._costs[mechanism] = self.accountant.cost(mechanism)
            except PrivacyError:
                return False
        own = self._costs[mechanism]
        # Renyi divergences are floating-point sums, which two machines may round differently.
        return cost == own or (self.accountant.mode == "mixed" and isclose(cost, own, rel_tol=1e-9))


def audit(rows: Iterable[tuple[Any, ...]], public_key: bytes) -> Audit:
    """Replay a ledger.

    Parameters
    ----------
    rows
        As in `fedcredit.privacy.ledger_chain.verify_chain`.

    Raises
    ------
    LedgerError
        At the first event that does not hold.
    """
    found: Audit | None = None
    for seq, event in verified(rows, public_key):
        try:
            if found is None:
                found = Audit(accountant_from_json(event["accountant"]), event["population"], event["unit"])
                found.keys.append(event["public_key"])
            problem = found.take(event)
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise LedgerError(
                f"ledger event {seq} lacks what its kind has ({error}); it is no ledger of ours."
            ) from error
        if problem is not None:
            raise LedgerError(f"ledger event {seq} does not hold: {problem}.")
    if found is None:
        raise LedgerError("the ledger holds no opening event; restore it from its newest backup.")
    return found
