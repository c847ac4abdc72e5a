"""What goes wrong on the way into a table: blanks, wrong units, inverted labels."""

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import ConfigError
from simulations.population.places import Places
from simulations.population.spec import PopulationSpec
from simulations.population.streams import Streams
from simulations.population.views import Columns


def with_blanks(spec: PopulationSpec, streams: Streams, columns: Columns) -> Columns:
    """Lose values at random; numbers become NaN, categories an empty text."""
    return {
        name: _blank(values, streams.chance(f"missing {name}", spec.missingness)) for name, values in columns.items()
    }


def without_history(columns: Columns, thin_file: NDArray[np.bool_]) -> Columns:
    """Blank a block for those on whom nothing is known."""
    return {name: _blank(values, thin_file) for name, values in columns.items()}


def with_mistakes(spec: PopulationSpec, places: Places, columns: Columns) -> Columns:
    """Multiply the columns that an institution hands in in another unit.

    Raises
    ------
    ConfigError
        If a column is unknown or no number.
    """
    changed = dict(columns)
    for mistake in spec.unit_mistakes:
        values = changed.get(mistake.column)
        if values is None or values.dtype.kind not in "fi":
            raise ConfigError(f"population.unit_mistakes: {mistake.column!r} is no column of numbers; name another.")
        there = _held_by(spec, places, mistake.institution)
        changed[mistake.column] = np.where(there, values * mistake.factor, values)
    return changed


def poisoned(spec: PopulationSpec, places: Places, labels: Columns) -> Columns:
    """Invert the labels that poisoned institutions hand in."""
    changed = dict(labels)
    for name in spec.poisoned:
        label = "bank_bad" if name in spec.bank_ids else "hospital_bad"
        there = _held_by(spec, places, name)
        changed[label] = np.where(there, 1 - changed[label], changed[label]).astype(np.uint8)
    return changed


def _held_by(spec: PopulationSpec, places: Places, institution: str) -> NDArray[np.bool_]:
    if institution in spec.bank_ids:
        return np.asarray(places.bank == spec.bank_ids.index(institution))
    return np.asarray(places.hospital == spec.hospital_ids.index(institution))


def _blank(values: NDArray[np.generic], where: NDArray[np.bool_]) -> NDArray[np.generic]:
    return np.where(where, "" if values.dtype.kind == "U" else np.nan, values)
