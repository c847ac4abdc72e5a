"""An institution's own figures from its own ledger: what is spent, set aside and left, and where each open job stands.

They tell the remaining budget, so they are for its own console and its own metrics, and leave the institution nowhere.
"""

from dataclasses import dataclass
from fractions import Fraction

from fedcredit.custodian.policy import Policy
from fedcredit.privacy.events import read_fraction
from fedcredit.privacy.ledger_balance import Balance, Epsilons, balance, job_balances
from fedcredit.privacy.ledger_entries import kept_short
from fedcredit.privacy.ledger_read import LedgerReader


@dataclass(frozen=True, slots=True)
class OwnJob:
    """Where one open job stands.

    Attributes
    ----------
    plan_hash
        64 hex digits.
    job, purpose
        As in its plan.
    phase, round
        Of the message that was charged last; None if none was.
    delta
        At which its epsilons hold; None without noise.
    reserved, spent
        Epsilons of what was set aside, and of what was sent.
    bytes_sent
        Of the messages that were charged.
    """

    plan_hash: str
    job: str
    purpose: str
    phase: str | None
    round: int | None
    delta: float | None
    reserved: Epsilons
    spent: Epsilons
    bytes_sent: int


@dataclass(frozen=True, slots=True)
class OwnFigures:
    """What a ledger says of the present epoch, and its open jobs, oldest first.

    Attributes
    ----------
    totals
        Budget, what is spent or set aside, and what is left; at the policy's delta.
    epsilon_spent
        Of all messages that were sent, and of recoveries; None without a policy.
    bytes_sent
        Of all jobs of this ledger.
    """

    totals: Balance
    epsilon_spent: float | None
    bytes_sent: int
    jobs: tuple[OwnJob, ...]


def own_figures(ledger: LedgerReader, kind: str, policy: Policy | None) -> OwnFigures:
    """Read an institution's figures.

    Parameters
    ----------
    kind
        The institution's type.
    policy
        None where the data are declared public or synthetic.

    Raises
    ------
    LedgerError
        If the ledger cannot be read.
    """
    sizes = ledger.bytes_sent()
    return OwnFigures(
        totals=_totals(ledger, policy),
        epsilon_spent=_epsilon_spent(ledger, policy),
        bytes_sent=sum(sizes.values()),
        jobs=_open_jobs(ledger, kind, sizes),
    )


def _totals(ledger: LedgerReader, policy: Policy | None) -> Balance:
    if policy is None or ledger.account.accountant.mode == "not_private":
        return Balance(None, None, None, None)
    return balance(ledger.account, ledger.committed(), policy.epsilon, policy.delta)


def _epsilon_spent(ledger: LedgerReader, policy: Policy | None) -> float | None:
    accountant = ledger.account.accountant
    if policy is None or accountant.mode == "not_private":
        return None
    spent, epoch = Fraction(0), ledger.epoch
    costs = [job.spent for job in ledger.jobs().values() if job.epoch == epoch]
    costs += [read_fraction(event["lost_cost"]) for event in ledger.notes("recovered") if event["epoch"] == epoch]
    for cost in costs:
        spent = kept_short(spent + cost)
    # The conversion of a Renyi divergence has a constant term that nothing at all does not cost.
    return accountant.epsilon(spent, policy.delta) if spent else 0.0


def _open_jobs(ledger: LedgerReader, kind: str, sizes: dict[bytes, int]) -> tuple[OwnJob, ...]:
    found = []
    for one in job_balances(ledger, kind):
        if not one.open:
            continue
        plan_hash = bytes.fromhex(one.plan_hash)
        last = (ledger.charges(plan_hash) or [{}])[-1]
        place = (last.get("role"), last.get("round"))
        size = sizes.get(plan_hash, 0)
        found.append(OwnJob(one.plan_hash, one.job, one.purpose, *place, one.delta, one.planned, one.spent, size))
    return tuple(found)
