"""From the released counts to the inputs of each feature's network."""

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.cells import cell_bounds
from fedcredit.dictionary.schema import DataDictionary, Feature
from fedcredit.models.additive_network import Inputs
from fedcredit.models.monotone import pool_adjacent_violators
from fedcredit.models.scorecard_start import Start

Floats = NDArray[np.float64]
_DIRECTIONS = {"none": 0, "increasing": 1, "decreasing": -1}


def network_inputs(dictionary: DataDictionary, start: Start, used: tuple[slice, ...]) -> tuple[Inputs, ...]:
    """Inputs of every feature's network.

    Parameters
    ----------
    used
        Per feature the coordinates of its bins.
    """
    return tuple(
        _inputs(feature, start.bins[index], start.ordered[index], start.weights[slots], start.information[slots])
        for index, (feature, slots) in enumerate(zip(dictionary.features, used, strict=True))
    )


def _inputs(feature: Feature, of_cell: NDArray[np.int64], n_ordered: int, curve: Floats, information: Floats) -> Inputs:
    n_bins, direction = len(curve), _DIRECTIONS[feature.monotone]
    values = curve.copy()
    if direction:
        values[:n_ordered] = pool_adjacent_violators(
            curve[:n_ordered].tolist(), information[:n_ordered].tolist(), increasing=direction > 0
        )
    off_scale = set(range(n_ordered, n_bins))
    # An offset at an atom would break a declared order; there the hidden layer has to make the step.
    alone = off_scale if direction else off_scale | _atom_bins(feature, of_cell)
    return Inputs(
        start=values,
        position=np.concatenate([_positions(n_ordered), np.zeros(n_bins - n_ordered)]),
        ordered=(np.arange(n_bins) < n_ordered).astype(np.float64),
        own=tuple(sorted(alone)),
        share=information / np.add.reduce(information),
        direction=direction,
    )


def _positions(n_ordered: int) -> Floats:
    """Ranks, -1 to 1: bins hold about equally many records where the grid allows it."""
    return (2.0 * np.arange(n_ordered) + 1.0) / max(n_ordered, 1) - 1.0


def _atom_bins(feature: Feature, of_cell: NDArray[np.int64]) -> set[int]:
    """Bins that hold one atom and nothing else."""
    lows = [low for low, _ in cell_bounds(feature)]
    atoms = {int(of_cell[cell]) for cell, low in enumerate(lows) if low in feature.atoms}
    return {one for one in atoms if np.count_nonzero(of_cell == one) == 1}
