"""What a torch module reads: one number per feature in dictionary order, then a one-hot indicator of the type.

The numbers are the perceptron's (`fedcredit.models.mlp_inputs`): weights of evidence from the released counts, 0 where
a record's institution owns nothing.
"""

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.rows import Cells
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.models.descent_spec import INPUT_SCALE


def n_inputs(dictionary: DataDictionary) -> int:
    """Inputs of a module: one per feature, one per institution type."""
    return len(dictionary.features) + len(dictionary.kinds)


def inputs_of(
    dictionary: DataDictionary, kind: str, values: tuple[NDArray[np.int16], ...], cells: Cells
) -> NDArray[np.float64]:
    """Inputs of each record.

    Parameters
    ----------
    values
        Per feature the input value of each grid cell, in input units.
    cells
        Shape (n, J_own): grid cells of the features that `kind` owns.

    Returns
    -------
    ndarray of float64, shape (n, n_inputs)
        Within ±3, multiples of 1/`INPUT_SCALE`.
    """
    inputs = np.zeros((len(cells), n_inputs(dictionary)), dtype=np.float64)
    for place, feature in enumerate(dictionary.owned(kind)):
        inputs[:, feature] = values[feature][cells[:, place]] / INPUT_SCALE
    inputs[:, len(dictionary.features) + dictionary.kinds.index(kind)] = 1.0
    return inputs
