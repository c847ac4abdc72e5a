"""Tables of a population: what an institution would hold, what nobody holds, and the contract."""

from importlib.resources import files
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedcredit.dictionary.schema import DataDictionary, parse_dictionary
from simulations.population.drawing import SYNTHETIC, Population

CONSENT = "linking-v1"
"""Token of those who let bank and hospital link their rows."""

_METADATA = {b"SYNTHETIC": SYNTHETIC.encode()}
_DICTIONARY = "dictionary.yaml"


def dictionary_text() -> str:
    """The packaged data dictionary as YAML."""
    return files(__package__).joinpath(_DICTIONARY).read_text(encoding="utf-8")


def consortium_dictionary() -> DataDictionary:
    """The packaged data dictionary: blocks applicant, bank and hospital."""
    return parse_dictionary(dictionary_text().encode(), _DICTIONARY)


def institution_table(population: Population, institution: str, kind: str) -> pa.Table:
    """One institution's customers with its type's columns and its own label.

    Parameters
    ----------
    institution
        Its id.
    kind
        ``bank`` or ``hospital``.
    """
    dictionary = consortium_dictionary()
    names = [feature.name for feature in dictionary.owned_features(kind)]
    own = ["thin_file"] if kind == "bank" else []
    label = dictionary.institution_type(kind).target.name
    rows = population.held_by(institution)
    return _table(population, rows, [*names, label, "application_month", "region", "rural", *own])


def everybody(population: Population, rows: NDArray[np.int64]) -> pa.Table:
    """Some persons with every column and both labels; exists only in a simulation."""
    return _table(population, rows, list(population.columns))


def truth_table(population: Population) -> pa.Table:
    """What no institution knows: latent traits and both true probabilities, one row a person."""
    p, o = population.persons, population.outcomes
    rows = np.arange(population.n_persons)
    truth = {
        "true_pd_bank": o.true_pd_bank,
        "true_pd_hospital": o.true_pd_hospital,
        "capacity": p.capacity,
        "discipline": p.discipline,
        "insured": p.insured,
        "true_income": p.income * 1000.0,
        "chronic_conditions": p.chronic,
        "health_spending": p.spending,
        "visits": p.visits,
        "health_shock": p.shock,
    }
    return _stamped({"person_id": population.ids(rows), **truth})


def _table(population: Population, rows: NDArray[np.int64], names: list[str]) -> pa.Table:
    columns = {name: _column(population.columns[name][rows]) for name in names}
    consent = np.where(population.places.consent[rows], CONSENT, "")
    return _stamped({"person_id": population.ids(rows), **columns, "consent": _column(consent)})


def _column(values: NDArray[Any]) -> Any:  # noqa: ANN401  (an Arrow array)
    if values.dtype.kind == "U":
        return pa.array(values, mask=values == "")
    return pa.array(values, mask=np.isnan(values)) if values.dtype.kind == "f" else pa.array(values)


def _stamped(columns: dict[str, object]) -> pa.Table:
    return pa.table(columns).replace_schema_metadata(_METADATA)
