"""The guard on company: with how many, and with whom, this institution lets its numbers be summed.

A sum hides an institution among the others that are in it. How many that must be is the institution's own policy;
that masks need three and noise shares need more than the assumed colluders is arithmetic.
"""

from fedcredit.custodian.policy import Policy
from fedcredit.custodian.site import Site
from fedcredit.errors import ConfigError, PrivacyError, RefusalError
from fedcredit.ownership import owners_of_blocks
from fedcredit.plan import Placement, Plan
from fedcredit.privacy.shares import fewest_members, own_noise_variance
from fedcredit.roster import FEWEST_MEMBERS
from fedcredit.wire.messages import Role


def guard_company(site: Site, plan: Plan) -> None:
    """Check a plan's masks, noise shares and roster as a whole.

    Raises
    ------
    RefusalError
        If masks are missing where they are possible, or the noise of a sum would be too small or too few's.
    """
    terms, policy = plan.privacy, site.policy
    distributed = terms.placement is Placement.DISTRIBUTED
    if isinstance(policy, Policy):
        if not terms.masks and len(plan.members) >= FEWEST_MEMBERS:
            raise RefusalError("masks", "this site sends its vectors masked wherever three institutions take part.")
        if distributed and terms.colluders == 0 and not policy.assume_no_colluders:
            raise RefusalError(
                "colluders", "this site's policy does not assume that nobody colludes; plan for one colluder or more."
            )
        if distributed:
            _guard_owners_allowed(policy, plan)
        if terms.max_drops > policy.max_drops:
            raise RefusalError(
                "drops", f"the plan may leave out {terms.max_drops} members; this site's policy, {policy.max_drops}."
            )
    guard_members(site, plan, plan.members)
    if distributed:
        _guard_shares(site, plan)


def guard_members(site: Site, plan: Plan, members: tuple[str, ...]) -> None:
    """Check the members of one attempt.

    Raises
    ------
    RefusalError
        If they are too few for masks or noise shares, or fewer than the policy allows.
    """
    terms, policy = plan.privacy, site.policy
    distributed = terms.placement is Placement.DISTRIBUTED
    fewest = max(FEWEST_MEMBERS if terms.masks else 1, fewest_members(terms.colluders) if distributed else 1)
    if len(members) < fewest:
        raise RefusalError("members", f"a sum over {len(members)} institutions; this plan needs {fewest} at least.")
    if len(plan.members) - len(members) > terms.max_drops:
        raise RefusalError("drops", f"the plan allows {terms.max_drops} members of its roster to be left out.")
    if distributed:
        _guard_owners(site, plan, members)
    if isinstance(policy, Policy) and len(members) < policy.min_institutions:
        raise RefusalError(
            "members", f"a sum over {len(members)} institutions; this site's policy needs {policy.min_institutions}."
        )


def _guard_shares(site: Site, plan: Plan) -> None:
    for role in Role:
        if len(set(plan.phases.of(role).noise_variance.values())) > 1:
            raise RefusalError("noise", f"{role.name} must have one noise variance for all types, since they share it.")
        try:
            own_noise_variance(plan, site.kind, role, len(plan.members))
        except PrivacyError as error:
            raise RefusalError("noise", str(error)) from error


def _guard_owners_allowed(policy: Policy, plan: Plan) -> None:
    if plan.privacy.min_owners < policy.min_owners:
        raise RefusalError(
            "owners",
            f"the plan lets {plan.privacy.min_owners} members share a block; this site's policy needs "
            f"{policy.min_owners}, because the released sums of so few are nearly one institution's own.",
        )


def _guard_owners(site: Site, plan: Plan, members: tuple[str, ...]) -> None:
    try:
        owners = owners_of_blocks(plan.roster, site.dictionary, site.kind, members)
    except ConfigError as error:
        raise RefusalError("roster", str(error)) from error
    for block, number in owners.items():
        if number < plan.privacy.min_owners:
            raise RefusalError(
                "owners", f"{number} of the members share {block!r}; the plan needs {plan.privacy.min_owners}."
            )
