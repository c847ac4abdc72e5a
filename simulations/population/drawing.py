"""From a specification to a whole population: traits, outcomes, tables, who holds whom.

Latent-factor design: traits cause outcomes and, separately, what the tables record, so that no table contains the rule
of its label. SYNTHETIC: what a model gains here it gains by construction; it demonstrates a mechanism and is no
evidence about real people.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulations.population.faults import poisoned, with_blanks, with_mistakes, without_history
from simulations.population.outcomes import Outcomes, draw_outcomes
from simulations.population.persons import Persons, draw_persons
from simulations.population.places import Places, draw_places
from simulations.population.spec import PopulationSpec
from simulations.population.streams import Streams
from simulations.population.views import applicant_view, bank_view, hospital_view, outcome_columns

SYNTHETIC = (
    "SYNTHETIC: made-up persons. What a model gains on them it gains by construction; no evidence about anybody."
)


@dataclass(frozen=True, slots=True)
class Population:
    """Everybody, with truth.

    Attributes
    ----------
    columns
        Per column shape (n,): the features of blocks applicant, bank and hospital as recorded, the labels ``bank_bad``
        and ``hospital_bad`` as handed in, ``application_month``, and the segments ``region``, ``rural``, ``thin_file``.
        NaN and empty texts are missing values.
    persons, outcomes
        The truth; only a truth file may hold it.
    places
        Who holds whom, and consent.
    """

    spec: PopulationSpec
    columns: Mapping[str, NDArray[Any]]
    persons: Persons
    outcomes: Outcomes
    places: Places

    @property
    def n_persons(self) -> int:
        """Number of persons."""
        return self.spec.persons

    @property
    def linked(self) -> NDArray[np.bool_]:
        """Who is known at both a bank and a hospital and consents to the link; shape (n,)."""
        places = self.places
        return np.asarray((places.bank >= 0) & (places.hospital >= 0) & places.consent)

    def held_by(self, institution: str) -> NDArray[np.int64]:
        """Row numbers of an institution's customers, increasing."""
        if institution in self.spec.bank_ids:
            return np.flatnonzero(self.places.bank == self.spec.bank_ids.index(institution))
        return np.flatnonzero(self.places.hospital == self.spec.hospital_ids.index(institution))

    def ids(self, rows: NDArray[np.int64]) -> list[str]:
        """Names of persons, the same at every institution."""
        return [f"synthetic-{row:08d}" for row in rows.tolist()]


def draw(spec: PopulationSpec) -> Population:
    """Draw a population; the same specification gives the same one.

    Raises
    ------
    ConfigError
        If a unit mistake names no column of numbers.
    """
    streams = Streams(spec.seed, spec.persons)
    persons = draw_persons(spec, streams)
    outcomes, places = draw_outcomes(spec, streams, persons), draw_places(spec, streams, persons)
    bank = without_history(with_blanks(spec, streams, bank_view(streams, persons)), places.thin_file)
    hospital = with_blanks(spec, streams, hospital_view(streams, persons))
    recorded = {**applicant_view(spec, streams, persons), **bank, **hospital}
    columns = {
        **with_mistakes(spec, places, recorded),
        **poisoned(spec, places, outcome_columns(outcomes)),
        "application_month": persons.month,
        "region": persons.region + 1,
        "rural": persons.rural,
        "thin_file": places.thin_file,
    }
    return Population(spec, columns, persons, outcomes, places)
