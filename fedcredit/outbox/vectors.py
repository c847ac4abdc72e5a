"""What the numbers of one contribution are, in one sentence: what was summed, which noise is on it, who can read it."""

import math
from collections.abc import Mapping
from types import MappingProxyType

from fedcredit.plan import Placement, Plan
from fedcredit.wire.messages import Role

_RESIDUALS = "in each bin of each feature and per institution type, the sum of (predicted - observed) over the records"
_GRADIENTS = "per weight, the sum of the records' clipped gradients"
_LINKED = "good and bad linked training records in each bin of own view, other block and file"
TRAINED: Mapping[str, str] = MappingProxyType(
    {"scorecard": _RESIDUALS, "additive": _RESIDUALS, "mlp": _GRADIENTS, "module": _GRADIENTS, "joint": _LINKED}
)
"""By model family, what a training round sums."""


def vector_in_words(plan: Plan, role: Role, n_members: int, own_noise_variance: int) -> str:
    """One sentence about the vector of a contribution.

    Parameters
    ----------
    n_members
        Members of the attempt.
    own_noise_variance
        Variance of the noise that this institution added to each sum, in squared lattice units.
    """
    length, scale = plan.phases.of(role).vector_length, plan.phases.of(role).scale
    noise = _noise(plan, math.sqrt(own_noise_variance) / scale, role)
    return f"{length} integers: {_summed(plan, role)}, times {scale}; {noise}; {_readers(plan, n_members)}"


def _summed(plan: Plan, role: Role) -> str:
    match role:
        case Role.PREFLIGHT:
            return "good and bad training records in each grid cell of each feature"
        case Role.EVALUATE:
            groups = ", ".join(plan.evaluation.groupings)
            return f"good and bad evaluation records in each of {plan.evaluation.score_bins} score bins, by {groups}"
        case Role.TRAIN:
            terms = plan.phases.train
            sampled = "" if terms.sampling_rate == 1.0 else f" in a random sample (rate {terms.sampling_rate:g})"
            steps = terms.local_steps
            taken = "" if steps == 1 else f", over {steps} steps of its own, each on noised sums only"
            return f"{TRAINED[plan.model.family]}{sampled}{taken}"


def _noise(plan: Plan, stddev: float, role: Role) -> str:
    unit = "in those units" if role is Role.TRAIN else "records"
    if plan.privacy.placement is Placement.NONE:
        return "no noise, since the data were declared public or synthetic"
    added = f"with noise of standard deviation {stddev:.4g} {unit} from this institution on each"
    if plan.privacy.placement is Placement.DISTRIBUTED:
        return f"{added}, its share of the members' noise"
    return f"{added}, and exact zeros where its type owns nothing"


def _readers(plan: Plan, n_members: int) -> str:
    if not plan.privacy.masks:
        return "not masked: the coordinator reads them as they are"
    return f"hidden by masks shared with {n_members - 1} others: only the sum of all {n_members} can be read"
