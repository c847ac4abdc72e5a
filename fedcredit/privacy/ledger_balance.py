"""What a ledger's jobs cost, as the three epsilons: against outsiders, the coordinator with t institutions, all others.

Planned is what joining set aside, every retry included; spent is what the messages sent so far cost.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from fedcredit.plan import Plan, parse_plan
from fedcredit.privacy.ledger_entries import Account, Job
from fedcredit.privacy.ledger_read import LedgerReader
from fedcredit.privacy.statement import epsilons_spent, statement
from fedcredit.wire.messages import Role


@dataclass(frozen=True, slots=True)
class Epsilons:
    """None where nothing is bounded."""

    outsider: float | None
    coordinator_and_t: float | None
    all_others: float | None


@dataclass(frozen=True, slots=True)
class JobBalance:
    """One job's numbers, at its own delta."""

    plan_hash: str
    job: str
    purpose: str
    epoch: int
    open: bool
    placement: str
    colluders: int
    delta: float | None
    planned: Epsilons
    spent: Epsilons


@dataclass(frozen=True, slots=True)
class Balance:
    """Where the present epoch stands, at the policy's delta; None without a policy.

    Attributes
    ----------
    epsilon_budget
        Of the ledger and of the policy, the smaller.
    epsilon_committed
        Spent, set aside and lost.
    epsilon_left
        What one more job could be worth. Epsilons do not add up; costs do.
    """

    delta: float | None
    epsilon_budget: float | None
    epsilon_committed: float | None
    epsilon_left: float | None


def planned_epsilons(plan: Plan, kind: str, account: Account, reserved: Fraction) -> Epsilons:
    """What a job may cost in all."""
    numbers = statement(plan, kind, account.accountant, reserved, Fraction(0))
    return Epsilons(numbers.epsilon_outsider, numbers.epsilon_t, numbers.epsilon_all_others)


def job_balances(ledger: LedgerReader, kind: str) -> list[JobBalance]:
    """The numbers of every job, oldest first.

    Parameters
    ----------
    kind
        The institution's type.
    """
    return [_job_balance(ledger, plan_hash, job, kind) for plan_hash, job in ledger.jobs().items()]


def balance(account: Account, committed: Fraction, epsilon: float, delta: float) -> Balance:
    """Where an epoch stands against a policy's (epsilon, delta)."""
    accountant = account.accountant
    target = accountant.target(epsilon, delta)
    whole = epsilon if target <= accountant.budget else accountant.epsilon(accountant.budget, delta)
    left = max(min(accountant.budget, target) - committed, Fraction(0))
    return Balance(delta, whole, _epsilon(account, committed, delta), _epsilon(account, left, delta))


def _epsilon(account: Account, cost: Fraction, delta: float) -> float | None:
    # The conversion of a Renyi divergence has a constant term that nothing at all does not cost.
    return 0.0 if cost == 0 else account.accountant.epsilon(cost, delta)


def to_json(ledger: LedgerReader, kind: str, totals: Balance) -> dict[str, Any]:
    """Everything that a ledger says about budgets, as JSON values."""
    account = ledger.account
    return {
        "population": account.population,
        "unit": account.unit,
        "mode": account.accountant.mode,
        "epoch": ledger.epoch,
        "rolled_back": ledger.rolled_back,
        "event_count": ledger.event_count,
        **asdict(totals),
        "jobs": [asdict(job) for job in job_balances(ledger, kind)],
    }


def _job_balance(ledger: LedgerReader, plan_hash: bytes, job: Job, kind: str) -> JobBalance:
    plan, account = parse_plan(job.plan), ledger.account
    roles = {role.name.lower(): role for role in Role}
    sent = Counter(roles[charge["role"]] for charge in ledger.charges(plan_hash))
    return JobBalance(
        plan_hash=plan_hash.hex(),
        job=plan.job,
        purpose=plan.purpose,
        epoch=job.epoch,
        open=not job.closed,
        placement=plan.privacy.placement.value,
        colluders=plan.privacy.colluders,
        delta=plan.privacy.delta,
        planned=planned_epsilons(plan, kind, account, job.reserved),
        spent=Epsilons(*epsilons_spent(plan, kind, account.accountant, sent)),
    )
