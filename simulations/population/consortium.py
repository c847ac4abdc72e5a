"""The population as a consortium: each institution with its own rows and label, and the rows that a link could join.

Each type's view is tested on that type's customers with that type's label. Who is a test customer is drawn per person,
so that nobody is a test customer of one institution and trains another's model. Every institution's own check runs
here, before any custodian exists.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.quantise import quantise_table
from fedcredit.data.sources import TableSource
from fedcredit.dictionary.check import check_table
from fedcredit.dictionary.mapping import identity_mapping
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import CheckError, ConfigError
from simulations.dataset import POOLED, institutions_of, pooled_dictionary
from simulations.federation import Institution
from simulations.joint_view import LinkedInstitution, LinkedRows
from simulations.partition import TEST_FRACTION, Part, PooledTable, Split
from simulations.population.drawing import Population, draw
from simulations.population.spec import PopulationSpec
from simulations.population.streams import Streams
from simulations.population.tables import consortium_dictionary, everybody, institution_table

BANK, HOSPITAL = "bank", "hospital"


@dataclass(frozen=True, slots=True)
class Consortium:
    """A drawn population in cells.

    Attributes
    ----------
    cells
        Shape (n_persons, J): grid cell of every feature of the dictionary.
    is_test
        Shape (n_persons,): who is a test customer, wherever.
    later
        Shape (n_persons,): who applies only after the models are trained. No institution holds them yet; all of them
        test.
    """

    dictionary: DataDictionary
    population: Population
    cells: NDArray[np.uint16]
    is_test: NDArray[np.bool_]
    later: NDArray[np.bool_]

    @property
    def n_rows(self) -> int:
        """Rows of all institutions; a person known to two has two."""
        return sum(int((~self.later[self.customers(kind)]).sum()) for kind in (BANK, HOSPITAL))

    def held_by(self, institution: str) -> NDArray[np.int64]:
        """Persons whom an institution knows when the models are trained, increasing."""
        rows = self.population.held_by(institution)
        return rows[~self.later[rows]]

    def customers(self, kind: str) -> NDArray[np.int64]:
        """Persons who are customers of any institution of a type, increasing."""
        places = self.population.places
        return np.flatnonzero((places.bank if kind == BANK else places.hospital) >= 0)

    def test_customers(self, kind: str) -> NDArray[np.int64]:
        """Those of `customers` who test; in the order of the tables' test rows."""
        rows = self.customers(kind)
        return rows[self.is_test[rows]]

    def labels(self, kind: str) -> NDArray[np.uint8]:
        """What the institutions of a type hand in for everybody; shape (n_persons,)."""
        return np.asarray(self.population.columns[self.dictionary.institution_type(kind).target.name])


def draw_consortium(spec: PopulationSpec, later_months: int = 0) -> Consortium:
    """Draw a population, let every institution check its table, and quantise.

    Parameters
    ----------
    later_months
        How many of the last application months come after the models are trained: the out-of-time customers.

    Raises
    ------
    ConfigError
        If no month is left to train on.
    CheckError
        With every problem that an institution found, such as another unit.
    """
    if not 0 <= later_months < spec.months:
        raise ConfigError(
            f"data.later_months={later_months} leaves none of {spec.months} application months to train on; lower it."
        )
    dictionary, population = consortium_dictionary(), draw(spec)
    problems = [
        f"{name}: {problem}"
        for kind, names in ((BANK, spec.bank_ids), (HOSPITAL, spec.hospital_ids))
        for name in names
        for problem in _own_check(dictionary, population, name, kind)
    ]
    if problems:
        raise CheckError(problems)
    pooled = pooled_dictionary(dictionary)
    table = everybody(population, np.arange(population.n_persons))
    cells = quantise_table(pooled, POOLED, identity_mapping(pooled, POOLED), table).cells
    later = population.persons.month > spec.months - later_months
    is_test = Streams(spec.seed, spec.persons).chance("role", TEST_FRACTION) | later
    return Consortium(dictionary, population, cells, is_test, later)


def institutions_in(consortium: Consortium) -> tuple[Institution, ...]:
    """Each institution with its rows, banks first."""
    spec = consortium.population.spec
    names = [(name, BANK) for name in spec.bank_ids] + [(name, HOSPITAL) for name in spec.hospital_ids]
    return tuple(
        one
        for kind in (BANK, HOSPITAL)
        for one in institutions_of(
            consortium.dictionary,
            _everybody_as(consortium, kind),
            [_part(consortium, name) for name, own in names if own == kind],
            [(name, own) for name, own in names if own == kind],
        )
    )


def split_of(consortium: Consortium, kind: str) -> Split:
    """One type's customers with every column that could be known of them, and its own label.

    Columns of the other type are known of linked persons only; of the others they are missing.
    """
    rows = consortium.customers(kind)
    known = _everybody_as(consortium, kind)
    linked = consortium.population.linked[rows]
    missing = np.array([feature.missing_cell for feature in consortium.dictionary.features], dtype=np.uint16)
    foreign = ~np.isin(np.arange(missing.size), consortium.dictionary.owned(kind))
    cells = np.where(~linked[:, None] & foreign, missing, known.cells[rows])
    table = PooledTable(cells, known.bad[rows], tuple(known.ids_of(rows)))
    tests = consortium.is_test[rows]
    return Split(table, np.flatnonzero(~tests), np.flatnonzero(tests), linked)


def linked_institutions(consortium: Consortium, kind: str, other: str) -> tuple[LinkedInstitution, ...]:
    """The consenting customers whom each institution of `kind` shares with one of `other`; who shares none stays out.

    Raises
    ------
    ConfigError
        If nobody can be linked.
    """
    spec = consortium.population.spec
    found = []
    for name in spec.bank_ids if kind == BANK else spec.hospital_ids:
        rows = consortium.held_by(name)
        rows = rows[consortium.population.linked[rows]]
        tests = consortium.is_test[rows]
        train, evaluate = (linked_rows(consortium, kind, other, part) for part in (rows[~tests], rows[tests]))
        if train.bad.size:
            found.append(LinkedInstitution(name, train, evaluate))
    if not found:
        raise ConfigError(
            f"no customer of a {kind} can be linked with a {other}; raise consent_share or set linked=none."
        )
    return tuple(found)


def linked_rows(consortium: Consortium, kind: str, other: str, persons: NDArray[np.int64]) -> LinkedRows:
    """Some persons' cells at both types, with the label of `kind`."""
    own, others = (list(consortium.dictionary.owned(one)) for one in (kind, other))
    cells = consortium.cells[persons]
    return LinkedRows(cells[:, own], cells[:, others], consortium.labels(kind)[persons])


def _everybody_as(consortium: Consortium, kind: str) -> PooledTable:
    ids = consortium.population.ids(np.arange(consortium.population.n_persons))
    return PooledTable(consortium.cells, consortium.labels(kind), tuple(name.encode() for name in ids))


def _part(consortium: Consortium, institution: str) -> Part:
    rows = consortium.held_by(institution)
    tests = consortium.is_test[rows]
    return Part(rows[~tests], rows[tests])


def _own_check(dictionary: DataDictionary, population: Population, institution: str, kind: str) -> Sequence[str]:
    source = TableSource(institution_table(population, institution, kind))
    return check_table(dictionary, kind, identity_mapping(dictionary, kind), source)
