"""Score histograms: the one thing that an institution computes for evaluation, before noise.

Per group, good and bad records are counted in the public score bins. A record adds exactly one to one cell
per grouping, so with G groupings the L2 sensitivity is the square root of G, whatever the number of groups
and bins.
"""

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import DataError


def accumulate(
    bins: NDArray[np.int64],
    group: NDArray[np.int64],
    bad: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    n_groups: int,
    n_bins: int,
) -> NDArray[np.int64]:
    """Count the records of m institutions, one histogram each.

    No value of a record can make this fail or change the shape of its result: a bin or group out of range
    counts in the nearest one. Only the lengths of the arrays are checked.

    Parameters
    ----------
    bins
        Score bin per record, shape (n,).
    group
        Group per record within one grouping, shape (n,).
    bad
        1 = bad, 0 = good, shape (n,).
    offsets
        Shape (m + 1,): institution i owns records `offsets[i]:offsets[i + 1]`. A custodian has m = 1.
    n_groups, n_bins
        Plan constants.

    Returns
    -------
    ndarray of int64, shape (m, n_groups, 2, n_bins)
        Counts of good (index 0) and bad (index 1) records.

    Raises
    ------
    DataError
        If the arrays do not have one entry per record.
    """
    n_rows, m = int(offsets[-1]), len(offsets) - 1
    if not len(bins) == len(group) == len(bad) == n_rows:
        raise DataError(
            f"bins, group and bad need one entry for each of {n_rows} records, "
            f"got {len(bins)}, {len(group)} and {len(bad)}."
        )
    owner = np.repeat(np.arange(m, dtype=np.int64), np.diff(offsets))
    cell = owner * n_groups + np.clip(group, 0, n_groups - 1)
    cell = (cell * 2 + (bad != 0)) * n_bins + np.clip(bins, 0, n_bins - 1)
    counts = np.bincount(cell, minlength=m * n_groups * 2 * n_bins)
    return counts.astype(np.int64).reshape(m, n_groups, 2, n_bins)
