"""One institution's rows for a job: who takes part, capped and dealt to the two roles."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.quantise import Quantised
from fedcredit.data.roles import content_fingerprint, evaluation_mask, kept_rows
from fedcredit.data.rows import Dataset, Rows, single
from fedcredit.data.units import hash_units
from fedcredit.errors import DataError


def assemble_dataset(
    quantised: Quantised, kind: str, *, key: bytes, evaluation_fraction: float, person_cap: int | None
) -> Dataset:
    """Select and split the rows of one institution.

    Parameters
    ----------
    quantised
        The whole table.
    kind
        Institution type.
    key
        The institution's secret, at least 16 bytes.
    evaluation_fraction
        Plan constant in [0, 1): expected share of ids in phase evaluate. Without effect where a split column
        is declared.
    person_cap
        Rows kept per person; None for unit record, where every row takes part.

    Returns
    -------
    Dataset
        No row, and without a declared split no id, is in both roles.

    Raises
    ------
    DataError
        No id column is mapped although the unit or the split needs one.
    """
    ids, groups = quantised.ids, quantised.groups
    if ids is None and (person_cap is not None or quantised.declared_role is None):
        raise DataError("the mapping names no id column, which roles and the person unit need; set id_column")
    part = np.flatnonzero(quantised.takes_part)
    if ids is not None and person_cap is not None:
        own = [ids[i] for i in part]
        part = part[kept_rows(own, quantised.cells[part], quantised.bad[part], key, person_cap)]
    role = roles_of(quantised, part, key, evaluation_fraction)
    part, role = part[role >= 0], role[role >= 0]
    used = None if ids is None else [ids[i] for i in part]
    fingerprint = content_fingerprint(
        key, quantised.cells[part], quantised.bad[part], used, None if groups is None else groups[part]
    )
    per_person = ids if person_cap is not None else None
    # Training rows never hold a group label: what is not there cannot be learnt from.
    train = _rows(quantised, part[role == 0], per_person, None)
    evaluate = _rows(quantised, part[role == 1], per_person, groups)
    units = None if used is None else hash_units(used, key)
    return Dataset(kind=kind, train=train, evaluate=evaluate, fingerprint=fingerprint, units=units)


def _rows(
    quantised: Quantised, part: NDArray[np.int64], ids: Sequence[bytes] | None, groups: NDArray[np.uint16] | None
) -> Rows:
    persons = None
    if ids is not None:
        own = np.array([ids[i] for i in part], dtype=np.object_)
        persons = np.unique(own, return_inverse=True)[1].astype(np.int64)
    return single(quantised.cells[part], quantised.bad[part], persons, None if groups is None else groups[part])


def roles_of(quantised: Quantised, part: NDArray[np.int64], key: bytes, fraction: float) -> NDArray[np.int64]:
    """Role of each row in `part`, from its id or its declared role: 0 = train, 1 = evaluate, -1 = neither."""
    if quantised.declared_role is not None:
        return quantised.declared_role[part]
    ids = quantised.ids or ()
    return evaluation_mask([ids[i] for i in part], key, fraction).astype(np.int64)
