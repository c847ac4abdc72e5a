"""The two scores and the thickness of a linked row, each from one institution's own columns and the released model.

Both are arithmetic on a released model and a person's own record, so neither depends on anybody else. The other block's
score is its part of the log-odds beside its mean over the released counts: 0 says nothing about a person, and that is
what a person without an offer has.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.grid import quantise_codes, quantise_numbers
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.linked.dictionary import OTHER_STEP, added_blocks
from fedcredit.models.contributions import explain
from fedcredit.models.joint_spec import FILES

Floats = NDArray[np.float64]


def own_view(released: Mapping[str, Any], dictionary: DataDictionary, kind: str, cells: NDArray[np.uint16]) -> Floats:
    """Log-odds of bad by the holder's own view; shape (n,).

    Parameters
    ----------
    released
        JSON value of the base model.
    cells
        Shape (n, J_own): grid cells of the features of `kind`.

    Raises
    ------
    ConfigError
        If the model is of a family that cannot be taken apart, or of another dictionary.
    """
    return explain(released, dictionary, kind, cells).scores


def block_steps(
    released: Mapping[str, Any], dictionary: DataDictionary, kind: str, other: str, cells: NDArray[np.uint16]
) -> NDArray[np.int64]:
    """What the block of `other` adds for a customer of `kind`, in whole steps of `OTHER_STEP` logits; shape (n,).

    Parameters
    ----------
    cells
        Shape (n, J_other): grid cells of the features of `other`.

    Raises
    ------
    ConfigError
        As `own_view`, or if `other` has nothing to add.
    """
    blocks = added_blocks(dictionary, kind, other)
    found = explain(released, dictionary, other, cells)
    block_of = {feature.name: feature.block for feature in dictionary.features}
    chosen = [block_of[name] in blocks for name in found.features]
    added: Floats = np.add.reduce(found.values[:, chosen], axis=1)
    return np.rint(added / OTHER_STEP).astype(np.int64)


def file_codes(dictionary: DataDictionary, kind: str, cells: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Index into `FILES` of each row, by the rule that the dictionary declares for the type; shape (n,)."""
    rule = dictionary.institution_type(kind).thin_when_missing
    features = dictionary.owned_features(kind)
    columns = [index for index, feature in enumerate(features) if feature.name in rule]
    absent = np.array([features[index].missing_cell for index in columns])
    thin = np.all(cells[:, columns] == absent, axis=1) if columns else np.zeros(len(cells), dtype=np.bool_)
    return np.where(thin, FILES.index("thin"), FILES.index("thick"))


def linked_cells(
    linked: DataDictionary, own: Floats, steps: NDArray[np.int64], files: NDArray[np.int64]
) -> NDArray[np.uint16]:
    """Grid cells of linked rows; shape (n, 3).

    Parameters
    ----------
    linked
        The linked dictionary.
    own, steps, files
        From `own_view`, `block_steps` and `file_codes`; shapes (n,).
    """
    columns = [
        quantise_numbers(values, feature.cuts, *feature.range)
        for values, feature in zip(
            (own, np.asarray(steps * OTHER_STEP, dtype=np.float64)), linked.features, strict=False
        )
        if feature.range is not None
    ]
    return np.column_stack([*columns, quantise_codes(files, len(FILES))])
