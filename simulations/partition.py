"""Deal one table's rows to simulated institutions.

The test rows are scikit-learn's stratified split of the whole table; they are dealt like the training rows and are
the rows of phase evaluate. No record is in both. Positions and labels may decide here, because this happens before
any custodian exists.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import ConfigError

TEST_FRACTION = 0.2


@dataclass(frozen=True, slots=True)
class PooledTable:
    """A whole table, quantised; exists only in a simulation.

    Attributes
    ----------
    cells
        Shape (n, J): grid cell of every feature of the dictionary.
    bad
        Shape (n,).
    ids
        Shape (n,): the unit's id; None where rows have none, and each is a unit of its own.
    column
        Shape (n,): raw values to split by (``split: column``), or None.
    per_person
        Whether all rows of an id are one unit of privacy.
    groups
        Shape (n, G): cell of every group label of the dictionary; None where it has none.
    held_out
        Shape (n,): test rows, where they were chosen with the table; None where a split chooses them.
    """

    cells: NDArray[np.uint16]
    bad: NDArray[np.uint8]
    ids: tuple[bytes, ...] | None
    column: NDArray[np.object_] | None = None
    per_person: bool = False
    groups: NDArray[np.uint16] | None = None
    held_out: NDArray[np.bool_] | None = None

    def ids_of(self, rows: NDArray[np.int64]) -> list[bytes]:
        """The ids of some rows; a row's number where it has none."""
        return [b"%d" % row if self.ids is None else self.ids[row] for row in rows]


@dataclass(frozen=True, slots=True)
class Part:
    """Row numbers of one institution in the two roles."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Split:
    """A table with the row numbers of training and test; exists only in a simulation.

    Attributes
    ----------
    linked
        Shape (n,): rows with the columns of every institution type.
    """

    table: PooledTable
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    linked: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SplitSpec:
    """How to deal: `kind` is ``iid``, ``dirichlet`` (skewed by label with concentration `alpha` > 0) or ``column``."""

    kind: str
    alpha: float = 1.0


def train_and_test(table: PooledTable, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers of training and test, stratified by label; all rows of one id stay together.

    Raises
    ------
    ConfigError
        If a class has too few rows to be split.
    """
    if table.held_out is not None:
        return np.flatnonzero(~table.held_out), np.flatnonzero(table.held_out)
    owners = _owners(table)
    first = _first_rows(owners)
    # Imported where it is needed: it takes as long as a thousand institutions' first round.
    train_test_split = import_module("sklearn.model_selection").train_test_split
    try:
        train, test = train_test_split(first, test_size=TEST_FRACTION, random_state=seed, stratify=table.bad[first])
    except ValueError as error:
        raise ConfigError(
            f"the table cannot be split into training and test rows ({error}); give more rows of both classes."
        ) from error
    return _with_companions(owners, train), _with_companions(owners, test)


def deal(table: PooledTable, n_institutions: int, split: SplitSpec, seed: int) -> list[Part]:
    """Deal training and test rows to `n_institutions`; all rows of one id go to one of them.

    Raises
    ------
    ConfigError
        If the split is unknown, has no column, or leaves an institution without training rows.
    """
    generator = np.random.default_rng(seed)
    train, test = train_and_test(table, seed)
    shares = _dirichlet_shares(n_institutions, split.alpha, generator) if split.kind == "dirichlet" else None
    owners = _owners(table)
    first = _first_rows(owners)
    alone = first.size == owners.size
    parts = [
        [
            chosen if alone else _with_companions(owners, chosen)
            for chosen in _deal_rows(table, rows, n_institutions, split, shares, generator)
        ]
        for rows in ((train, test) if alone else (train[np.isin(train, first)], test[np.isin(test, first)]))
    ]
    empty = [index for index, rows in enumerate(parts[0]) if rows.size == 0]
    if empty:
        raise ConfigError(
            f"{len(empty)} of {n_institutions} institutions got no training row; use fewer or another split."
        )
    return [Part(train_rows, test_rows) for train_rows, test_rows in zip(*parts, strict=True)]


def _owners(table: PooledTable) -> NDArray[np.int64]:
    """Whose each row is, by the first row of its id; shape (n,)."""
    if table.ids is None or len(set(table.ids)) == len(table.ids):
        return np.arange(len(table.bad))
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(unit, row) for row, unit in enumerate(table.ids)], dtype=np.int64)


def _first_rows(owners: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first row of each id, increasing."""
    return np.flatnonzero(owners == np.arange(owners.size))


def _with_companions(owners: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows, and with them every other row of their ids; in the order given where each id has one."""
    companions = np.flatnonzero(np.isin(owners, owners[rows]))
    return rows if companions.size == rows.size else companions


def _deal_rows(
    table: PooledTable,
    rows: NDArray[np.int64],
    n_institutions: int,
    split: SplitSpec,
    shares: NDArray[np.float64] | None,
    generator: np.random.Generator,
) -> list[NDArray[np.int64]]:
    shuffled = generator.permutation(rows)
    match split.kind:
        case "iid":
            return [np.sort(part) for part in np.array_split(shuffled, n_institutions)]
        case "dirichlet" if shares is not None:
            return _by_shares(table, shuffled, shares)
        case "column":
            return _by_column(table, shuffled, n_institutions)
        case other:
            raise ConfigError(f"federation.split={other!r} is unknown; choose iid, dirichlet or column.")


def _dirichlet_shares(n_institutions: int, alpha: float, generator: np.random.Generator) -> NDArray[np.float64]:
    return generator.dirichlet(np.full(n_institutions, alpha), size=2)


def _by_shares(table: PooledTable, rows: NDArray[np.int64], shares: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """Cut each class at the cumulated shares of that class."""
    pieces: list[list[NDArray[np.int64]]] = [[] for _ in range(shares.shape[1])]
    for label in (0, 1):
        of_class = rows[table.bad[rows] == label]
        cuts = np.rint(np.cumsum(shares[label])[:-1] * of_class.size).astype(np.int64)
        for institution, piece in enumerate(np.split(of_class, cuts)):
            pieces[institution].append(piece)
    return [np.sort(np.concatenate(piece)) for piece in pieces]


def _by_column(table: PooledTable, rows: NDArray[np.int64], n_institutions: int) -> list[NDArray[np.int64]]:
    """Give each institution whole values of the column, the most frequent first, to whoever has fewest rows."""
    if table.column is None:
        raise ConfigError("federation.split=column needs federation.split_column, a column of the table.")
    values, inverse, counts = np.unique(table.column.astype(str), return_inverse=True, return_counts=True)
    if values.size < n_institutions:
        raise ConfigError(
            f"federation.split_column has {values.size} values for {n_institutions} institutions; use fewer."
        )
    owner = _fill_smallest(counts, n_institutions)
    return [np.sort(rows[owner[inverse[rows]] == institution]) for institution in range(n_institutions)]


def _fill_smallest(counts: NDArray[np.int64], n_institutions: int) -> NDArray[np.int64]:
    owner, load = np.zeros(counts.size, dtype=np.int64), np.zeros(n_institutions, dtype=np.int64)
    for value in np.argsort(-counts, kind="stable"):
        owner[value] = int(np.argmin(load))
        load[owner[value]] += counts[value]
    return owner


def institution_ids(banks: int, hospitals: int) -> Sequence[tuple[str, str]]:
    """Id and kind of each simulated institution, banks first.

    Raises
    ------
    ConfigError
        If a number is negative or there is no institution at all.
    """
    if banks < 0 or hospitals < 0 or banks + hospitals == 0:
        raise ConfigError(
            f"federation.banks={banks} and federation.hospitals={hospitals} must be 0 or more and not both 0."
        )
    return [(f"bank-{i + 1}", "bank") for i in range(banks)] + [
        (f"hospital-{i + 1}", "hospital") for i in range(hospitals)
    ]
