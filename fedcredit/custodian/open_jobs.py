"""The jobs that an institution has agreed to: which plan is open, under which roster, and whether it still may be.

A plan is checked in full when it is joined, and again by the first request after a restart, which may have brought
another policy, roster or dictionary. Everything that must outlive a restart stands in the ledger.
"""

from fractions import Fraction
from typing import Any

from fedcredit.custodian.approvals import Approvals, Decision
from fedcredit.custodian.guard import guard_plan, guard_round
from fedcredit.custodian.guard_policy import guard_hours, route_of
from fedcredit.custodian.history import guard_history
from fedcredit.custodian.jobs_folder import JobsFolder
from fedcredit.custodian.jurisdiction import Approval
from fedcredit.custodian.policy import Policy
from fedcredit.custodian.site import Site
from fedcredit.custodian.witness import guard_not_rolled_back
from fedcredit.errors import BudgetError, ConfigError, LedgerError, RefusalError
from fedcredit.plan import Placement, Plan, parse_plan, plan_digest
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_entries import Job
from fedcredit.privacy.statement import statement
from fedcredit.wire.messages import RoundRequest


class OpenJobs:
    """One institution's open jobs.

    Parameters
    ----------
    site
        Identity, data, pinned peers and policy.
    ledger
        Its privacy ledger.
    budget
        The most that the ledger may ever hold.
    """

    def __init__(self, site: Site, ledger: Ledger, budget: Fraction) -> None:
        self._site, self._ledger, self._budget = site, ledger, budget
        self._plans: dict[bytes, Plan] = {}
        self._approvals = _approvals(site, ledger)

    def join(self, data: bytes, sender: str) -> Plan:
        """Check a plan and set its whole cost aside; an open job stays as it is.

        Raises
        ------
        RefusalError, BudgetError, LedgerError
            With the first reason found.
        """
        plan_hash = plan_digest(data)
        plan, cost = self._guarded(data, sender)
        terms = self._terms(plan, cost)
        if self._ledger.job(plan_hash) is None:
            terms |= self._let_in(plan_hash, data, cost)
        retry_reserve = cost * plan.privacy.reserve_percent / 100
        units = self._site.data.units
        self._ledger.reserve(plan_hash, data, cost, retry_reserve, terms, budget=self._budget, units=units)
        if self._approvals is not None:
            self._approvals.folder.remove(plan_hash, "plan")
        self._guard_same_data(self.job(plan_hash))
        self._plans[plan_hash] = plan
        return plan

    def plan(self, plan_hash: bytes, sender: str) -> Plan:
        """The plan of an open job that `sender` leads.

        Raises
        ------
        RefusalError
            If there is no such job, or it would be refused by now.
        """
        job = self.job(plan_hash)
        self._guard_same_data(job)
        if plan_hash not in self._plans:
            self._plans[plan_hash], _ = self._guarded(job.plan, sender)
        plan = self._plans[plan_hash]
        guard_sender(plan, sender)
        self._guard_not_stopped(plan)
        guard_not_rolled_back(self._ledger)
        return plan

    def job(self, plan_hash: bytes) -> Job:
        """An open job's place in the ledger.

        Raises
        ------
        RefusalError
            If it was never joined or is over.
        """
        job = self._ledger.job(plan_hash)
        if job is None or job.closed:
            raise RefusalError("job", "this job is not open here; join it first, or start a new one if it is over.")
        if plan_digest(job.plan) != plan_hash:
            raise LedgerError("the ledger holds another plan than it says; restore it from its newest backup.")
        return job

    def guard_request(self, plan: Plan, request: RoundRequest) -> None:
        """Check a request that was not answered before.

        Raises
        ------
        RefusalError
            If it is not one that the plan and the job's past allow.
        """
        guard_round(plan, self._site, request)
        charged = self._ledger.charges(request.plan_hash)
        guard_history(plan, request, charged, reserve_used_up=self._reserve_used_up(request.plan_hash))
        if self._approvals is not None:
            self._approvals.guard_not_denied(request.plan_hash)
        self._guard_hours()

    def reserve_is_used_up(self, plan_hash: bytes) -> None:
        """Remember that a retry could not be paid: from then on the job may be evaluated with the model so far."""
        if not self._reserve_used_up(plan_hash):
            self._ledger.note("used_up", {}, plan_hash=plan_hash)

    def close(self, plan_hash: bytes) -> None:
        """Forget a job that is over."""
        self._plans.pop(plan_hash, None)

    def stop(self, roster_hash: bytes, member: str) -> int:
        """Answer no job under a roster any more; the number of ledger events.

        Raises
        ------
        RefusalError
            If another roster is meant than the pinned one.
        """
        if roster_hash != self._site.roster.digest():
            raise RefusalError("roster", "the stop is about another roster than the one this site pinned.")
        if not self._stops(roster_hash):
            self._ledger.note("stop", {"roster_hash": roster_hash.hex(), "institution": member})
        return self._ledger.event_count

    def _let_in(self, plan_hash: bytes, data: bytes, cost: Fraction) -> dict[str, Any]:
        """What only a new job needs, a person's consent last: a plan that could not be joined asks nobody's time.

        Returns
        -------
        dict
            What the ledger says of the consent; nothing where the policy asks for none.
        """
        self._guard_hours()
        if self._approvals is None:
            return {}
        if not _asks_an_operator(self._site):
            self._approvals.guard_not_denied(plan_hash)
            return {}
        if self._ledger.committed() + cost > self._budget:
            raise BudgetError("the privacy ledger cannot pay for this job; ask for a smaller epsilon or fewer rounds.")
        decision: Decision = self._approvals.require(plan_hash, data)
        return {"approved_by": decision.by, "approved_at": decision.at}

    def _guard_hours(self) -> None:
        if isinstance(self._site.policy, Policy):
            guard_hours(self._site.policy, self._site.now())

    def _guarded(self, data: bytes, sender: str) -> tuple[Plan, Fraction]:
        """The plan and its cost, if policy, roster, dictionary and ledger allow it now."""
        try:
            plan = parse_plan(data)
        except ConfigError as error:
            raise RefusalError("plan", str(error)) from error
        guard_sender(plan, sender)
        cost = guard_plan(self._site, plan, self._ledger.account.accountant)
        self._guard_ledger(plan)
        self._guard_roster(plan)
        self._guard_not_stopped(plan)
        guard_not_rolled_back(self._ledger)
        return plan, cost

    def _guard_ledger(self, plan: Plan) -> None:
        account = self._ledger.account
        if account.unit != plan.privacy.unit.value:
            raise RefusalError(
                "unit",
                f"this site's ledger counts in {account.unit}s, the plan in {plan.privacy.unit.value}s.",
            )
        if (account.accountant.mode == "not_private") != (plan.privacy.placement is Placement.NONE):
            raise RefusalError("ledger", "a job without privacy and a job with privacy need ledgers of their own.")

    def _guard_roster(self, plan: Plan) -> None:
        """Once a roster was agreed to, no older one is, nor another of its version; the next must name it."""
        roster = plan.roster
        for join in self._ledger.notes("join"):
            version, roster_hash = join["terms"]["roster_version"], join["terms"]["roster_hash"]
            if roster.version < version or (roster.version == version and roster.digest().hex() != roster_hash):
                raise RefusalError(
                    "roster", f"roster version {version} was agreed to here; the plan has an older or another one."
                )
            if roster.version == version + 1 and roster.previous != roster_hash:
                raise RefusalError(
                    "roster", f"roster version {roster.version} does not follow the version {version} agreed to here."
                )

    def _guard_not_stopped(self, plan: Plan) -> None:
        if stops := self._stops(plan.roster.digest()):
            raise RefusalError(
                "stop",
                f"{stops[0]} stopped every job under roster version {plan.roster.version}; agree on the next one.",
            )

    def _stops(self, roster_hash: bytes) -> list[str]:
        """Members that stopped a roster."""
        stops = self._ledger.notes("stop")
        return [stop["institution"] for stop in stops if stop["roster_hash"] == roster_hash.hex()]

    def _reserve_used_up(self, plan_hash: bytes) -> bool:
        return any(event["plan_hash"] == plan_hash.hex() for event in self._ledger.notes("used_up"))

    def _guard_same_data(self, job: Job) -> None:
        if job.terms["fingerprint"] != self._site.data.fingerprint.hex():
            raise RefusalError("data", "this site's data changed since it joined the job; start a new job.")

    def _terms(self, plan: Plan, cost: Fraction) -> dict[str, Any]:
        numbers = statement(plan, self._site.kind, self._ledger.account.accountant, cost, Fraction(0))
        route = route_of(self._site, self._site.policy, plan) if isinstance(self._site.policy, Policy) else None
        return {
            "job": plan.job,
            "purpose": plan.purpose,
            **({} if route is None else {"route": route}),
            "placement": plan.privacy.placement.value,
            "epsilon_planned": numbers.epsilon_planned,
            "delta": numbers.delta,
            "unit": numbers.unit,
            "fingerprint": self._site.data.fingerprint.hex(),
            "roster_version": plan.roster.version,
            "roster_hash": plan.roster.digest().hex(),
        }


def _approvals(site: Site, ledger: Ledger) -> Approvals | None:
    """The operator's decisions; a denial outlives the policy under which it was made."""
    if site.jobs_folder is None:
        if _asks_an_operator(site):
            raise ConfigError(
                "the policy asks for an operator's approval, and the site has no folder for it; give it one."
            )
        return None
    folder = JobsFolder(site.jobs_folder)
    return Approvals(folder, site.institution, ledger.account.population, site.key.public)


def _asks_an_operator(site: Site) -> bool:
    return isinstance(site.policy, Policy) and site.policy.approval is Approval.MANUAL


def guard_sender(plan: Plan, sender: str) -> None:
    """Refuse a coordinator that does not lead the job."""
    if plan.coordinator != sender:
        raise RefusalError("coordinator", f"this job is led by {plan.coordinator!r}; {sender!r} has no part in it.")
