"""Central noise, for comparison only: one full noise on the sum, as if a trusted server added it.

It is simulated by letting exactly one owner of each coordinate add the noise. Nothing protects an institution's own
vector, so no custodian with a policy has this law.
"""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from fedcredit.custodian.noise import NoiseLaw, rounded_gaussian_noise
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.ownership import owned_coordinates
from fedcredit.plan import Plan
from fedcredit.privacy.bits import BitSource
from fedcredit.wire.messages import Role


def central_noise_of(plan: Plan, dictionary: DataDictionary, institution: str) -> NoiseLaw:
    """The law of one institution: noise on the coordinates of which it is the first owner, zeros elsewhere."""
    first = {role: first_owned(plan, dictionary, role, institution, plan.members) for role in Role}

    def law(role: Role, noise_variance: int, size: int, bits: BitSource, context: bytes) -> NDArray[np.int64]:
        return np.where(first[role], rounded_gaussian_noise(role, noise_variance, size, bits, context), 0)

    return law


def first_owned(
    plan: Plan, dictionary: DataDictionary, role: Role, institution: str, members: Collection[str]
) -> NDArray[np.bool_]:
    """Coordinates of which an institution is the first owner; shape (vector_length,).

    Parameters
    ----------
    members
        Who takes part in the sum.
    """
    taken, present = np.zeros(plan.phases.of(role).vector_length, dtype=np.bool_), frozenset(members)
    for member in plan.roster.members:
        if member.id not in present:
            continue
        own = owned_coordinates(plan, dictionary, role, member.kind) & ~taken
        if member.id == institution:
            return own
        taken |= own
    return np.zeros_like(taken)
