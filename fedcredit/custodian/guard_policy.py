"""The guard on policy: refuses what the institution's own policy does not allow.

Pure functions of the site, the policy, the plan and the time. A region is what the roster says, which all members
signed; where the coordinator runs is its own word, written into the plan that everybody keeps.
"""

from datetime import datetime

from fedcredit.custodian.group_labels import guard_groups
from fedcredit.custodian.jurisdiction import CrossBorder, is_named
from fedcredit.custodian.policy import Policy
from fedcredit.custodian.site import Site
from fedcredit.custodian.working_hours import is_working
from fedcredit.dictionary.schema import Feature, Group
from fedcredit.errors import PrivacyError, RefusalError
from fedcredit.plan import Plan
from fedcredit.privacy import gdp

# What a draft for simulation writes where nobody has stated anything.
_NOT_STATED = frozenset({"", "simulation"})


def guard_policy(site: Site, policy: Policy, plan: Plan) -> None:
    """Check a plan against the policy, but for company, hours, approval and budget.

    Raises
    ------
    RefusalError
        With the first reason found.
    """
    _guard_privacy(policy, plan)
    if plan.purpose not in policy.purposes:
        raise RefusalError("purpose", f"purpose {plan.purpose!r} is not among this site's purposes.")
    _guard_columns(site, policy)
    guard_groups(site, policy, plan)
    if site.dictionary.simulation_only:
        raise RefusalError("dictionary", "the dictionary was drafted from data and is for simulation only.")
    _guard_regions(site, policy, plan)
    _guard_route(policy, plan)


def guard_hours(policy: Policy, now: datetime) -> None:
    """Refuse what is new outside of the institution's working hours.

    Raises
    ------
    RefusalError
        If it is none of them.
    """
    if policy.working_hours is None or policy.timezone is None:
        return
    if not is_working(policy.working_hours, policy.timezone, now):
        windows = "; ".join(str(window) for window in policy.working_hours)
        raise RefusalError("hours", f"this site answers new requests {windows} ({policy.timezone}); ask again then.")


def regions_of(plan: Plan) -> tuple[str, ...]:
    """The regions of a plan's members and, where it is stated, of its coordinator; each once, sorted."""
    stated = {member.region for member in plan.roster.members}
    return tuple(sorted(stated | ({plan.coordinator_region} if plan.coordinator_region else set())))


def route_of(site: Site, policy: Policy, plan: Plan) -> dict[str, object] | None:
    """What the ledger records of a cross-border plan under a policy that asks for it; None where there is nothing."""
    member = plan.roster.member(site.institution)
    if policy.cross_border is not CrossBorder.RECORDED or len(regions_of(plan)) < 2 or member is None:
        return None
    others = sorted({other.region for other in plan.roster.members if other.id != site.institution})
    return {
        "own_region": member.region,
        "coordinator_region": plan.coordinator_region,
        "other_regions": others,
        "basis": policy.cross_border_basis,
    }


def _guard_privacy(policy: Policy, plan: Plan) -> None:
    terms = plan.privacy
    if terms.placement not in policy.placements:
        raise RefusalError("placement", f"this site's policy does not allow noise placement {terms.placement.value!r}.")
    if terms.epsilon is None or terms.delta is None or terms.epsilon > policy.max_epsilon_per_job:
        raise RefusalError(
            "epsilon", f"this site's policy allows epsilon {policy.max_epsilon_per_job} per job at most."
        )
    try:
        # The policy's own delta is the one that the ledger's budget is worth.
        gdp.check_delta(max(terms.delta, policy.delta), plan.roster.total_size)
    except PrivacyError as error:
        raise RefusalError("delta", str(error)) from error
    if (terms.unit, terms.max_records_per_person) != (policy.unit, policy.max_records_per_person):
        raise RefusalError("unit", f"this site's policy protects one {policy.unit.value}, which the plan does not.")


def _guard_columns(site: Site, policy: Policy) -> None:
    features = site.dictionary.owned_features(site.kind)
    refused = sorted(feature.name for feature in features if feature.data_class in policy.refused_classes)
    if refused:
        raise RefusalError("class", f"this site's policy refuses the class of {', '.join(refused)}.")
    read: list[Feature | Group] = [*features]
    read += [group for group in site.dictionary.owned_groups(site.kind) if group.name in policy.bias_examination]
    unstated = sorted(column.name for column in read if _NOT_STATED & {column.purpose.strip(), column.basis.strip()})
    if policy.require_basis and unstated:
        raise RefusalError(
            "basis", f"the dictionary states no purpose or no legal basis for {', '.join(unstated)}; fill it in."
        )


def _guard_regions(site: Site, policy: Policy, plan: Plan) -> None:
    """Everybody else whom the sums reach must be where the policy allows."""
    if policy.regions is None:
        return
    if plan.coordinator_region is None:
        raise RefusalError("region", "the plan does not say in which region its coordinator runs; state it.")
    others = {member.region for member in plan.roster.members if member.id != site.institution}
    outside = sorted((others | {plan.coordinator_region}) - set(policy.regions))
    if outside:
        raise RefusalError(
            "region", f"this site's policy does not allow {', '.join(outside)}; it allows {', '.join(policy.regions)}."
        )


def _guard_route(policy: Policy, plan: Plan) -> None:
    """A plan over more than one region needs a rule that lets it through, and a route that is known in full."""
    regions = regions_of(plan)
    if len(regions) < 2 or policy.cross_border is CrossBorder.ALLOW:
        return
    if policy.cross_border is CrossBorder.REFUSE:
        raise RefusalError(
            "route", f"the plan is over {', '.join(regions)}, and this site's policy refuses cross-border rounds."
        )
    if plan.coordinator_region is None:
        raise RefusalError("route", "a cross-border plan must say in which region its coordinator runs; state it.")
    if not all(is_named(region) for region in regions):
        raise RefusalError("route", "a cross-border route cannot be recorded while a region is unspecified; name it.")
