"""What follows from a dictionary and a model: vector lengths, lattice scales and sensitivities.

The coordinator writes them into the plan; each custodian derives them again and refuses a plan that states others.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fedcredit import preflight
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.evaluation import phase
from fedcredit.models.family import family_of
from fedcredit.models.specs import ModelSpec
from fedcredit.plan import EvaluationTerms
from fedcredit.wire.messages import Role

COUNT_SCALE = 1024


@dataclass(frozen=True, slots=True)
class Derived:
    """Derived constants of one phase; the meaning of each field is `fedcredit.plan.PhaseTerms`'s."""

    vector_length: int
    scale: int
    sampling_rate: float
    sensitivity_squared: Mapping[str, int]
    local_steps: int = 1


def derive(
    dictionary: DataDictionary, model: ModelSpec, evaluation: EvaluationTerms, records_per_unit: int
) -> dict[Role, Derived]:
    """Derive the terms of all three phases.

    Parameters
    ----------
    records_per_unit
        Cap k on the records of one privacy unit; every sensitivity grows k-fold (not sqrt(k)-fold), but for training
        sums whose family clips all records of a unit together.
    """
    per_unit = records_per_unit**2
    kinds = tuple(dictionary.institution_types)
    train = family_of(model.family).terms(model, dictionary)
    return {
        Role.PREFLIGHT: Derived(
            preflight.vector_length(dictionary),
            COUNT_SCALE,
            1.0,
            {kind: per_unit * COUNT_SCALE**2 * len(dictionary.owned(kind)) for kind in kinds},
        ),
        Role.TRAIN: Derived(
            train.vector_length,
            train.scale,
            train.sampling_rate,
            {kind: (1 if train.clips_units else per_unit) * train.sensitivity_squared[kind] for kind in kinds},
            train.local_steps,
        ),
        Role.EVALUATE: Derived(
            phase.vector_length(dictionary, evaluation),
            COUNT_SCALE,
            1.0,
            {kind: per_unit * COUNT_SCALE**2 * len(evaluation.groupings) for kind in kinds},
        ),
    }
