"""Which institution type owns which coordinate of a phase's vector: public, from the dictionary alone.

Only owners have rows behind a coordinate. Under local noise everybody else sends an exact zero there, so that a sum
holds its owners' noise and no more.
"""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from fedcredit import preflight
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.evaluation import phase
from fedcredit.models.family import family_of
from fedcredit.plan import Plan
from fedcredit.roster import Roster
from fedcredit.wire.messages import Role


def owned_coordinates(plan: Plan, dictionary: DataDictionary, role: Role, kind: str) -> NDArray[np.bool_]:
    """Coordinates of a phase's vector that an institution type owns; shape (vector_length,)."""
    match role:
        case Role.PREFLIGHT:
            return preflight.owned_coordinates(dictionary, kind)
        case Role.TRAIN:
            return family_of(plan.model.family).owned_coordinates(plan.model, dictionary, kind)
        case Role.EVALUATE:
            return phase.owned_coordinates(dictionary, plan.evaluation, kind)


def owners_of_blocks(roster: Roster, dictionary: DataDictionary, kind: str, members: tuple[str, ...]) -> dict[str, int]:
    """Number of members behind each block that `kind` owns, and behind its intercept (under the type's own name)."""
    asked = frozenset(members)
    kinds = Counter(member.kind for member in roster.members if member.id in asked)
    blocks = {
        block: sum(n for other, n in kinds.items() if block in dictionary.institution_type(other).owns)
        for block in dictionary.institution_type(kind).owns
    }
    return {**blocks, f"{kind} intercept": kinds[kind]}


def fewest_owners(roster: Roster, dictionary: DataDictionary, members: tuple[str, ...]) -> int:
    """Number of members behind the block or intercept that has the fewest, of those that anybody among them owns."""
    asked = frozenset(members)
    kinds = {member.kind for member in roster.members if member.id in asked}
    return min(min(owners_of_blocks(roster, dictionary, kind, members).values()) for kind in kinds)
