"""The guard step: refuses every plan and every request that the institution has not agreed to.

Nothing here looks at a record. Every refusal has a short code and a sentence with the remedy.
"""

from fractions import Fraction
from math import isqrt

from fedcredit.custodian.guard_members import guard_company, guard_members
from fedcredit.custodian.guard_modules import guard_module
from fedcredit.custodian.guard_policy import guard_policy
from fedcredit.custodian.policy import Policy
from fedcredit.custodian.site import NotPrivate, Site
from fedcredit.errors import ConfigError, PrivacyError, RefusalError
from fedcredit.models.family import family_of
from fedcredit.plan import Placement, Plan
from fedcredit.privacy import rounded_gaussian
from fedcredit.privacy.accounting import SAMPLER_SHARE, Accountant
from fedcredit.privacy.shares import share_variance, sum_delta
from fedcredit.privacy.statement import mechanism, planned_cost
from fedcredit.terms import derive
from fedcredit.wire.messages import NO_TRANSCRIPT, Role, RoundRequest

CAPACITY = 2**62
# A draw is decided at high precision, in a fraction of a millisecond, with a chance of 2^-39 standard deviations.
_SLOW_DRAW_BITS = 39
_MOST_SLOW_DRAWS = 10_000


def guard_plan(site: Site, plan: Plan, accountant: Accountant) -> Fraction:
    """Check a plan against everything that this institution knows.

    Returns
    -------
    Fraction
        The cost to reserve, in the ledger's unit.

    Raises
    ------
    RefusalError
        With the first reason found.
    """
    guard_module(site, plan)
    _guard_consortium(site, plan)
    _guard_terms(site, plan)
    _guard_unit(site, plan)
    _guard_numbers(plan)
    guard_company(site, plan)
    if isinstance(site.policy, Policy):
        guard_policy(site, site.policy, plan)
    try:
        cost = planned_cost(plan, site.kind, accountant)
        _guard_cost(site.policy, plan, accountant, cost)
        _guard_integers(site, plan, accountant)
    except (PrivacyError, ConfigError) as error:
        raise RefusalError("accounting", str(error)) from error
    return cost


def guard_round(plan: Plan, site: Site, request: RoundRequest) -> None:
    """Check that a request is one of the plan's.

    Raises
    ------
    RefusalError
        If the round, the attempt or the members are not the plan's.
    """
    _guard_not_expired(site, plan)
    terms = plan.phases.of(request.role)
    if not 1 <= request.round <= terms.rounds:
        raise RefusalError(
            "round", f"round {request.round} of {request.role.name} is outside the plan's {terms.rounds}."
        )
    if not 1 <= request.attempt <= plan.privacy.max_attempts:
        raise RefusalError(
            "attempt",
            f"attempt {request.attempt} is outside the plan's {plan.privacy.max_attempts}; end the job.",
        )
    asked = frozenset(request.members)
    in_order = tuple(name for name in plan.members if name in asked)
    if request.members != in_order or site.institution not in asked:
        raise RefusalError("roster", "the attempt's members are not a part of the plan's roster that includes us.")
    guard_members(site, plan, request.members)
    if not plan.privacy.masks and request.transcript_hash != NO_TRANSCRIPT:
        raise RefusalError("masks", "this plan has no masks, and the request names keys for them.")
    if (request.role is Role.PREFLIGHT) != (request.model == b""):
        raise RefusalError("model", "preflight carries no model and every later phase carries one.")


def _guard_consortium(site: Site, plan: Plan) -> None:
    if site.coordinators.get(plan.coordinator) != bytes.fromhex(plan.coordinator_key):
        raise RefusalError("coordinator", f"coordinator {plan.coordinator!r} is not on this site's list.")
    if plan.roster.digest() != site.roster.digest():
        raise RefusalError("roster", "the plan's roster is not the one this site pinned; exchange roster files.")
    _guard_not_expired(site, plan)
    member = plan.roster.member(site.institution)
    if member is None or (member.kind, member.public_key) != (site.kind, site.key.public.hex()):
        raise RefusalError("roster", f"{site.institution} is not in the roster under this type and key.")
    if plan.dictionary != site.dictionary.digest().hex():
        raise RefusalError("dictionary", "the plan's data dictionary differs from this site's; exchange the file.")
    if site.evaluation_percent not in (None, plan.evaluation_percent):
        raise RefusalError(
            "evaluation",
            f"this site set {site.evaluation_percent} % aside for evaluation, the plan {plan.evaluation_percent} %.",
        )


def _guard_not_expired(site: Site, plan: Plan) -> None:
    if plan.roster.expired(site.now().date()):
        raise RefusalError("expired", f"roster version {plan.roster.version} has expired; agree on the next one.")


def _guard_terms(site: Site, plan: Plan) -> None:
    try:
        derived = derive(site.dictionary, plan.model, plan.evaluation, plan.privacy.max_records_per_person)
    except ConfigError as error:
        raise RefusalError("model", str(error)) from error
    for role, own in derived.items():
        stated = plan.phases.of(role)
        same = (
            stated.vector_length == own.vector_length
            and stated.scale == own.scale
            and stated.sampling_rate == own.sampling_rate
            and stated.local_steps == own.local_steps
            and stated.sensitivity_squared == dict(own.sensitivity_squared)
        )
        if not same:
            raise RefusalError("terms", f"the plan's terms of {role.name} are not those of its dictionary and model.")


def _guard_unit(site: Site, plan: Plan) -> None:
    """Sampling and clipping must be of whole persons where a person has several records."""
    train = family_of(plan.model.family).terms(plan.model, site.dictionary)
    by_unit = train.clips_units or train.sampling_rate < 1
    if by_unit and plan.privacy.max_records_per_person > 1 and site.data.train.persons is None:
        raise RefusalError(
            "unit", "the plan protects persons with several records, and this site's data do not say whose each is."
        )


def _guard_numbers(plan: Plan) -> None:
    for role in Role:
        terms = plan.phases.of(role)
        if terms.noise_variance.keys() != terms.sensitivity_squared.keys():
            raise RefusalError("noise", f"{role.name} must state the noise of each of its dictionary's types.")
        for variance in terms.noise_variance.values():
            _guard_variance(plan, role, variance)
        loudest = max(terms.noise_variance.values())
        if terms.local_steps * terms.vector_length * isqrt(loudest) >> _SLOW_DRAW_BITS > _MOST_SLOW_DRAWS:
            raise RefusalError("noise", f"the noise of {role.name} takes too long to draw; use a smaller scale.")
        members = len(plan.roster.members)
        most_per_record = isqrt(max(terms.sensitivity_squared.values())) + 1
        of_step = plan.roster.total_size * most_per_record + 40 * isqrt(loudest * members)
        if terms.local_steps * of_step >= CAPACITY:
            raise RefusalError("capacity", f"the sums of {role.name} could overflow 64 bits; use a smaller scale.")


def _guard_variance(plan: Plan, role: Role, variance: int) -> None:
    if (variance == 0) != (plan.privacy.placement is Placement.NONE):
        raise RefusalError("noise", f"{role.name} has noise_variance={variance} under {plan.privacy.placement}.")
    if variance:
        try:
            rounded_gaussian.check_noise_variance(variance)
        except PrivacyError as error:
            raise RefusalError("noise", str(error)) from error


def _guard_cost(policy: Policy | NotPrivate, plan: Plan, accountant: Accountant, cost: Fraction) -> None:
    epsilon, delta = plan.privacy.epsilon, plan.privacy.delta
    if epsilon is None or delta is None:
        return
    if cost > accountant.target(epsilon, delta):
        raise RefusalError("epsilon", f"the plan's messages cost more than the epsilon={epsilon} that it states.")
    if isinstance(policy, Policy) and cost > accountant.target(policy.max_epsilon_per_job, policy.delta):
        raise RefusalError(
            "epsilon", f"the plan costs more than epsilon {policy.max_epsilon_per_job} at this site's delta."
        )


def _guard_integers(site: Site, plan: Plan, accountant: Accountant) -> None:
    """Let a message use no greater part of the integers' delta than of the budget, the job's and the ledger's alike.

    Costs add up to the budget at most, over all jobs and retries, so that the parts of delta add up to what is set
    aside for them. A bound for each job would not do: as many jobs fit a ledger as are cheap enough.
    """
    epsilon, delta, policy = plan.privacy.epsilon, plan.privacy.delta, site.policy
    if epsilon is None or delta is None:
        return
    promises = {(epsilon, delta, accountant.target(epsilon, delta))}
    if isinstance(policy, Policy):
        promises.add(_of_ledger(policy, accountant))
    for role in Role:
        cost = accountant.cost(mechanism(plan, site.kind, role))
        for at_epsilon, whole, budget in promises:
            if Fraction(_delta_of_integers(plan, role, at_epsilon)) * budget > Fraction(whole * SAMPLER_SHARE) * cost:
                raise RefusalError(
                    "noise",
                    f"the integers of {role.name} would use too much of delta; use a smaller scale, or a smaller "
                    "epsilon in the plan or in this site's policy.",
                )


def _of_ledger(policy: Policy, accountant: Accountant) -> tuple[float, float, Fraction]:
    """Epsilon, delta and budget of everything that is ever sent: a larger policy does not widen the ledger."""
    budget = accountant.target(policy.epsilon, policy.delta)
    if budget <= accountant.budget:
        return policy.epsilon, policy.delta, budget
    return accountant.epsilon(accountant.budget, policy.delta) or policy.epsilon, policy.delta, accountant.budget


def _delta_of_integers(plan: Plan, role: Role, epsilon: float) -> float:
    """What the distance of summed integer noise from a Gaussian adds to delta in one message."""
    terms = plan.phases.of(role)
    draws = terms.vector_length * terms.local_steps
    loudest = max(terms.noise_variance.values())
    if plan.privacy.placement is not Placement.DISTRIBUTED:
        return rounded_gaussian.sampler_delta(epsilon, draws, loudest)
    members = len(plan.members)
    share = share_variance(loudest, members, plan.privacy.colluders)
    return rounded_gaussian.sampler_delta(epsilon, draws * members, loudest) + sum_delta(epsilon, draws, share, members)
