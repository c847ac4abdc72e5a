"""A larger table than there is: rows drawn with replacement, so that size can be tried out without data of that size.

Its figures are not those of so many customers. Test rows are drawn from records that no training row was drawn from;
otherwise a model would be tested on what it was trained on.
"""

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import ConfigError
from simulations.partition import TEST_FRACTION, PooledTable


def resampled(table: PooledTable, n_rows: int, seed: int) -> PooledTable:
    """Draw `n_rows` rows, a fifth of them for testing; each is a unit of its own.

    Raises
    ------
    ConfigError
        If rows of the table belong together, or a class has fewer than two.
    """
    if table.per_person or table.column is not None:
        raise ConfigError("data=uci_resampled has no persons and no column to split by; use unit: record and iid.")
    generator = np.random.default_rng([seed, 0x5A3])
    held_out = _stratified(table.bad, generator)
    n_test = round(n_rows * TEST_FRACTION)
    chosen = np.concatenate(
        [
            generator.choice(np.flatnonzero(~held_out), n_rows - n_test),
            generator.choice(np.flatnonzero(held_out), n_test),
        ]
    )
    is_test = np.arange(n_rows) >= n_rows - n_test
    return PooledTable(table.cells[chosen], table.bad[chosen], None, held_out=is_test)


def _stratified(bad: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.bool_]:
    """A fifth of the records of each class; shape (n,)."""
    held_out = np.zeros(len(bad), dtype=np.bool_)
    for label in (0, 1):
        of_class = generator.permutation(np.flatnonzero(bad == label))
        if of_class.size < 2:
            raise ConfigError(f"the table has {of_class.size} rows of class {label}, too few to draw from.")
        held_out[of_class[: max(1, round(of_class.size * TEST_FRACTION))]] = True
    return held_out
