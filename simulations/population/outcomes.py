"""True probabilities of the two outcomes, and the outcomes drawn from them.

Bank: 90 or more days past due within 12 months. Hospital: a bill 90 or more days unpaid, or a payment plan broken,
within 6 months. Both follow from the same latent traits with other weights; what one institution's table says about
its label it says through those traits alone, since no table is used here.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulations.population.persons import Persons, region_place
from simulations.population.spec import PopulationSpec
from simulations.population.streams import Floats, Streams, sigmoid


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Probabilities and labels; every array has shape (n,)."""

    true_pd_bank: Floats
    true_pd_hospital: Floats
    bank_bad: NDArray[np.uint8]
    hospital_bad: NDArray[np.uint8]


def draw_outcomes(spec: PopulationSpec, streams: Streams, persons: Persons) -> Outcomes:
    """Work out both probabilities, and draw both labels independently given them."""
    pd_bank, pd_hospital = sigmoid(bank_logit(spec, persons)), sigmoid(hospital_logit(spec, persons))
    return Outcomes(
        true_pd_bank=pd_bank,
        true_pd_hospital=pd_hospital,
        bank_bad=streams.chance("bank outcome", pd_bank).astype(np.uint8),
        hospital_bad=streams.chance("hospital outcome", pd_hospital).astype(np.uint8),
    )


def bank_logit(spec: PopulationSpec, persons: Persons) -> Floats:
    """Log-odds of default; the one interaction is a shock that meets little capacity."""
    p = persons
    strain = 0.85 * p.burden - 0.2 * p.burden * np.clip(p.capacity, -2.0, 2.0)
    traits = -0.55 * p.capacity - 1.05 * p.discipline + strain + 0.3 * p.volatility
    return np.asarray(-3.3 + traits + _elsewhere(spec, p))


def hospital_logit(spec: PopulationSpec, persons: Persons) -> Floats:
    """Log-odds of an unpaid bill or a broken plan."""
    p = persons
    traits = -0.4 * p.capacity - 1.0 * p.discipline + 0.6 * p.burden
    return np.asarray(-2.5 + traits + 0.5 * _elsewhere(spec, p))


def _elsewhere(spec: PopulationSpec, persons: Persons) -> Floats:
    """What region and month add that no trait explains."""
    place = region_place(spec)[persons.region]
    late = (persons.month - 1) / max(spec.months - 1, 1) - 0.5
    return np.asarray(-0.2 * spec.label_shift * place + spec.drift * late)
