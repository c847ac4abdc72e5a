"""Group labels at one institution: which it reads, and in which plans it counts them.

A label is read if the policy names it under ``bias_examination`` and not otherwise, so that every member whose type
holds a label and who takes part in a plan that counts it brings its own. Were one of them alone to bring any, the
released counts of that grouping would be this one's own totals, though still under the whole noise.
"""

from fedcredit.custodian.policy import Policy
from fedcredit.custodian.site import Site
from fedcredit.dictionary.mapping import Mapping
from fedcredit.dictionary.schema import DataDictionary, Group
from fedcredit.errors import RefusalError
from fedcredit.evaluation.phase import labels_of
from fedcredit.plan import Plan


def group_problems(policy: Policy, mapping: Mapping) -> list[str]:
    """What is wrong between the policy's group labels and the mapping's, one sentence each."""
    unread = [name for name in policy.bias_examination if name not in mapping.groups]
    unasked = [name for name in mapping.groups if name not in policy.bias_examination]
    out = []
    if unread:
        out.append(
            f"the policy's bias_examination names {', '.join(unread)}, for which no column is mapped; add it under "
            "groups in the mapping, or take it out of the policy."
        )
    if unasked:
        out.append(
            f"the mapping reads the group {', '.join(unasked)}, which the policy's bias_examination does not name; "
            "name it there, or write a mapping without it."
        )
    return out


def counted_groups(dictionary: DataDictionary, kind: str, plan: Plan) -> tuple[Group, ...]:
    """The group labels that an institution type holds and a plan counts."""
    named = {name for grouping in plan.evaluation.groupings for name in labels_of(grouping)}
    return tuple(group for group in dictionary.owned_groups(kind) if group.name in named)


def guard_groups(site: Site, policy: Policy, plan: Plan) -> None:
    """Refuse a plan that counts a group label of this institution's type without its policy's word.

    Raises
    ------
    RefusalError
        With code ``class``.
    """
    counted = counted_groups(site.dictionary, site.kind, plan)
    refused = sorted(group.name for group in counted if group.name not in policy.bias_examination)
    if refused:
        raise RefusalError(
            "class", f"this site's policy does not name {', '.join(refused)} under bias_examination; group by others."
        )
