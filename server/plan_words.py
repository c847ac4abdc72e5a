"""What a plan asks of its members, in words, before anybody is asked."""

from fedcredit.job.progress import start
from fedcredit.plan import Placement, Plan
from fedcredit.planning import accountant_for
from fedcredit.privacy.printed import at_most_digits
from fedcredit.privacy.statement import planned_cost, statement
from fedcredit.wire.messages import Role
from server.job_status import steps_left

_PHASES = {Role.PREFLIGHT: "preflight", Role.TRAIN: "train", Role.EVALUATE: "evaluate"}
_NOISE = {
    Placement.DISTRIBUTED: "all institutions together add the noise, each a share",
    Placement.LOCAL: "each institution adds the whole noise to its own messages",
    Placement.NONE: "no noise: every institution must have declared its data public or synthetic",
}


def plan_summary(plan: Plan, quorum: int | None) -> tuple[str, ...]:
    """Lines for the operator who is about to submit a job.

    Parameters
    ----------
    quorum
        Fewest institutions with which it goes on; None means all.
    """
    members = ", ".join(f"{one.id} ({one.kind}, {one.public_size} records)" for one in plan.roster.members)
    phases = (f"{name} {plan.phases.of(role).rounds} ({_size(plan, role)})" for role, name in _PHASES.items())
    masks = "masked: the coordinator sees sums only" if plan.privacy.masks else "not masked: the coordinator sees each"
    return (
        f"job {plan.job}: {plan.purpose}",
        f"plan {plan.digest().hex()}",
        f"{len(plan.members)} members, roster {plan.roster.version} until {plan.roster.expires}: {members}",
        f"goes on with {len(plan.members) if quorum is None else quorum} of them or more",
        f"model: {plan.model.family}; rounds: {'; '.join(phases)}",
        f"{steps_left(plan, start(plan))} message exchanges if nothing fails",
        f"vectors are {masks}",
        *_privacy(plan),
    )


def _size(plan: Plan, role: Role) -> str:
    return f"{plan.phases.of(role).vector_length} numbers each"


def _privacy(plan: Plan) -> tuple[str, ...]:
    privacy = plan.privacy
    lines = (_NOISE.get(privacy.placement, privacy.placement.value),)
    if privacy.epsilon is None or privacy.delta is None:
        return lines
    epsilon, delta = (at_most_digits(value, 6) for value in (privacy.epsilon, privacy.delta))
    promise = (
        f"ε {epsilon} at δ {delta} per {privacy.unit.value} for the whole job, "
        f"{privacy.reserve_percent} % of it kept for retries; up to {privacy.max_attempts} attempts at a step"
    )
    kinds = dict.fromkeys(member.kind for member in plan.roster.members)
    return (*lines, promise, *(_epsilons(plan, kind) for kind in kinds))


def _epsilons(plan: Plan, kind: str) -> str:
    accountant = accountant_for(plan.privacy, plan.phases.train.sampling_rate)
    cost = planned_cost(plan, kind, accountant)
    found = statement(plan, kind, accountant, cost, cost)
    told = {
        "against outsiders": found.epsilon_outsider,
        f"against the coordinator with {plan.privacy.colluders} of the others": found.epsilon_t,
        "with half of them": found.epsilon_half_collude,
        "with all of them": found.epsilon_all_others,
    }
    parts = (f"{'unbounded' if epsilon is None else at_most_digits(epsilon)} {whom}" for whom, epsilon in told.items())
    return f"ε of each {kind}: {at_most_digits(found.epsilon_planned or 0)} charged; {', '.join(parts)}"
