"""Who is whose customer, and whom a link could join."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulations.population.persons import Persons, region_place
from simulations.population.spec import PopulationSpec
from simulations.population.streams import Floats, Streams, sigmoid

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
NOBODY = -1
_BANKED = 0.9
_REGIONAL = 0.7
_VISITORS = 0.69
"""Share of persons with a visit in a year (RAND HIE: .69)."""


@dataclass(frozen=True, slots=True)
class Places:
    """Everybody's institutions and files; every array has shape (n,).

    Attributes
    ----------
    bank, hospital
        Index of the institution, or -1 for none.
    consent
        Whether the person lets bank and hospital link their rows.
    thin_file
        Whether the bank holds no history.
    """

    bank: Ints
    hospital: Ints
    consent: Bools
    thin_file: Bools


def draw_places(spec: PopulationSpec, streams: Streams, persons: Persons) -> Places:
    """Draw each person's bank, hospital, consent and kind of file."""
    youth = np.clip((40 - persons.age) / 20.0, -1.0, 1.0)
    odds = np.log(spec.thin_share / (1 - spec.thin_share)) if spec.thin_share > 0 else -np.inf
    return Places(
        bank=_banks(spec, streams, persons.region),
        hospital=_hospitals(spec, streams, persons),
        consent=streams.chance("consent", spec.consent_share),
        thin_file=streams.chance("thin file", sigmoid(odds - 0.15 + 0.8 * youth + 0.4 * persons.rural)),
    )


def overlaps(spec: PopulationSpec) -> Floats:
    """Share of each region's persons who are patients; highest where means are lowest; shape (regions,)."""
    low, high = spec.overlap
    return np.asarray((low + high) / 2 - (high - low) / 2 * region_place(spec))


def _banks(spec: PopulationSpec, streams: Streams, region: Ints) -> Ints:
    """The region's own bank for most, one of the others for the rest; some have none."""
    regional = min(spec.banks, spec.regions)
    national = spec.banks - regional
    at_home = streams.chance("regional bank", _REGIONAL if national else 1.0)
    pick = streams.uniform("bank")
    own = np.where(region < regional, region, (pick * regional).astype(np.int64))
    chosen = np.where(at_home, own, regional + (pick * max(national, 1)).astype(np.int64))
    return np.where(streams.chance("banked", _BANKED), chosen, NOBODY)


def _hospitals(spec: PopulationSpec, streams: Streams, persons: Persons) -> Ints:
    if spec.hospitals == 0:
        return np.full(persons.region.size, NOBODY, dtype=np.int64)
    here = np.array([len(range(r, spec.hospitals, spec.regions)) for r in range(spec.regions)])[persons.region]
    patient = (persons.visits > 0) & streams.chance("patient", overlaps(spec)[persons.region] / _VISITORS) & (here > 0)
    which = (streams.uniform("hospital") * here).astype(np.int64)
    return np.where(patient, persons.region + which * spec.regions, NOBODY)
