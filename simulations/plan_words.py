"""What a plan means for those who take part, in sentences: who adds the noise, who sees what, who could read whom.

Noise is printed as a standard deviation in records: lattice units divided by the phase's scale.
"""

from collections.abc import Mapping
from math import sqrt

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.models.family import Kernel
from fedcredit.ownership import owners_of_blocks
from fedcredit.plan import Placement, Plan
from fedcredit.privacy.shares import fewest_members, least_noise, own_noise_variance
from fedcredit.wire.messages import Role
from simulations.placement import AUTO, mask_label

ENOUGH_OWNERS = 3
"""Owners of a block from which on no single one can read another's totals in the sum."""
_CELL = {Role.PREFLIGHT: "count", Role.TRAIN: "training sum", Role.EVALUATE: "score-bin count"}


def plan_notes(plan: Plan, dictionary: DataDictionary, asked: str) -> tuple[str, ...]:
    """What a reader of the plan has to know beside its numbers, one sentence or two each.

    Parameters
    ----------
    asked
        The placement that the configuration asked for, ``auto`` included.
    """
    notes = (_placement_note(plan, asked), _share_note(plan), _masks_note(plan), _owners_note(plan, dictionary))
    return tuple(note for note in notes if note)


def joint_note(epsilons: Mapping[str, float | None]) -> tuple[str, ...]:
    """What ε would be if all parameters were fixed in advance, the largest over the institutions; empty without any."""
    known = [epsilon for epsilon in epsilons.values() if epsilon is not None]
    if not known:
        return ()
    note = (
        f"If all parameters were fixed in advance, the planned ε would be {max(known):.3g} (joint privacy loss, the "
        "reserve spent on the dearest phase). That is for display: every ledger is charged and limited by its own, "
        "larger number."
    )
    return (note,)


def device_note(kernel: Kernel) -> tuple[str, ...]:
    """Where torch computes, since ``device=auto`` leaves it open; empty for other kernels."""
    return (f"Sums: torch on {kernel.removeprefix('torch-')}.",) if kernel.startswith("torch-") else ()


def coordinator_sees(plan: Plan) -> str:
    """What the coordinator learns, as the end of a sentence."""
    placement = plan.privacy.placement
    if not plan.privacy.masks:
        return _SINGLE[placement]
    blur = "exactly" if placement is Placement.NONE else "under the noise that docs/threat-model.md states"
    return (
        f"{_MASKED[placement]} If it varies the members between attempts or rounds, the difference of two sums shows "
        f"one institution's own totals, {blur}."
    )


def readable_stddev(plan: Plan, role: Role) -> float:
    """Least noise, in records, that hides one institution's totals from the only other owner of its block.

    The other owner takes its own sums and noise away from what was released. Under ``distributed`` the shares of all
    the rest stay, in the least favourable attempt; under ``local`` the institution's own noise stays.
    """
    terms, privacy = plan.phases.of(role), plan.privacy
    variance = min(terms.noise_variance[member.kind] for member in plan.roster.members)
    if privacy.placement is Placement.DISTRIBUTED:
        least = least_noise(len(plan.members), privacy.max_drops, privacy.colluders, lambda _: 1)
        return sqrt(variance * least) / terms.scale
    return sqrt(variance) / terms.scale


def _placement_note(plan: Plan, asked: str) -> str:
    n, t, placement = len(plan.members), plan.privacy.colluders, plan.privacy.placement
    if placement is Placement.NONE:
        return ""
    if asked != AUTO:
        why = "as asked for"
    elif plan.phases.train.local_steps > 1:
        why = "chosen by auto: institutions take steps of their own"
    elif placement is Placement.DISTRIBUTED:
        why = f"chosen by auto: {n} institutions, and t = {t} needs {fewest_members(t)} or more"
    else:
        why = f"chosen by auto: {n} institution(s), and distributed noise with t = {t} needs {fewest_members(t)}"
    return f"Noise placement: {placement.value} ({why}); {_ADDS[placement]}."


def _share_note(plan: Plan) -> str:
    if plan.privacy.placement is not Placement.DISTRIBUTED:
        return ""
    n, kind = len(plan.members), plan.roster.members[0].kind
    shares = {role: sqrt(own_noise_variance(plan, kind, role, n)) / plan.phases.of(role).scale for role in Role}
    return (
        f"Each institution's share of the noise has variance σ²/(n - t) = σ²/{n - plan.privacy.colluders}, a standard "
        f"deviation in records of {_per_cell(shares)}."
    )


def _masks_note(plan: Plan) -> str:
    label = mask_label(plan.privacy.masks, len(plan.members))
    if plan.privacy.masks or plan.privacy.placement is not Placement.DISTRIBUTED:
        return f"Masks: {label}."
    return f"Masks: {label}: the coordinator sees single shares of the noise, so its ε are above the planned ones here."


def _owners_note(plan: Plan, dictionary: DataDictionary) -> str:
    if plan.privacy.placement not in (Placement.LOCAL, Placement.DISTRIBUTED) or len(plan.members) == 1:
        return ""
    kinds = dict.fromkeys(member.kind for member in plan.roster.members)
    owners: dict[str, int] = {}
    for kind in kinds:
        owners |= owners_of_blocks(plan.roster, dictionary, kind, plan.members)
    few = ", ".join(f"{block} {n}" for block, n in owners.items() if n < ENOUGH_OWNERS)
    if not few:
        return f"Every block and intercept has {min(owners.values())} owners or more{_kept(plan)}."
    consent = ""
    if plan.privacy.placement is Placement.DISTRIBUTED:
        consent = f"; their policies must allow it (min_owners: {plan.privacy.min_owners})"
    noise = _per_cell({role: readable_stddev(plan, role) for role in Role})
    return (
        f"Fewer than {ENOUGH_OWNERS} institutions own: {few}{consent}. Another member can read an owner's totals there "
        f"at noise whose standard deviation in records is {noise}, or more."
    )


def _kept(plan: Plan) -> str:
    shared = plan.privacy.placement is Placement.DISTRIBUTED
    return f", and keeps {plan.privacy.min_owners} whoever drops out (min_owners)" if shared else ""


def _per_cell(stddevs: dict[Role, float]) -> str:
    return ", ".join(f"{stddev:.3g} per {_CELL[role]}" for role, stddev in stddevs.items())


_ADDS = {
    Placement.DISTRIBUTED: "each institution adds a share, and only the sum has the whole noise",
    Placement.LOCAL: "each institution adds the whole noise itself",
    Placement.CENTRAL: "one noise is added to the sum as if a trusted server did it (simulation only)",
}
_MASKED = {
    Placement.DISTRIBUTED: "only sums over all members of an attempt.",
    Placement.LOCAL: "only sums over all members of an attempt.",
    Placement.CENTRAL: "only sums over all members of an attempt, with one noise (central; simulation only).",
    Placement.NONE: "only exact sums over all members of an attempt (no privacy).",
}
_SINGLE = {
    Placement.DISTRIBUTED: "each institution's own vectors with its share of the noise only (packets are not masked).",
    Placement.LOCAL: "each institution's own noised vectors (packets are not masked).",
    Placement.CENTRAL: "each institution's exact sums (central noise; simulation only).",
    Placement.NONE: "each institution's exact sums (no privacy).",
}
