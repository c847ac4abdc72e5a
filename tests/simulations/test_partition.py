"""Every row is dealt once, in one role, whatever the split; and it is scikit-learn's split that says which role."""

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from fedcredit.errors import ConfigError
from simulations.partition import PooledTable, SplitSpec, deal, institution_ids, train_and_test

N = 1000


@pytest.fixture
def table() -> PooledTable:
    generator = np.random.default_rng(3)
    bad = (generator.random(N) < 0.25).astype(np.uint8)
    regions = generator.choice(["north", "south", "east", "west", "sea"], N, p=[0.4, 0.3, 0.15, 0.1, 0.05])
    ids = tuple(str(row).encode() for row in range(N))
    return PooledTable(np.zeros((N, 1), dtype=np.uint16), bad, ids, regions.astype(object))


@pytest.mark.parametrize("kind", ["iid", "dirichlet", "column"])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_row_is_dealt_once_in_the_role_that_scikit_learn_says(table, kind, seed) -> None:
    parts = deal(table, 4, SplitSpec(kind, 1.0), seed)
    train, test = train_test_split(np.arange(N), test_size=0.2, random_state=seed, stratify=table.bad)
    assert sorted(np.concatenate([part.train for part in parts])) == sorted(train)
    assert sorted(np.concatenate([part.test for part in parts])) == sorted(test)


def test_a_split_repeats_with_its_seed_only(table) -> None:
    one, again, other = (deal(table, 3, SplitSpec("iid"), seed) for seed in (5, 5, 6))
    assert all(np.array_equal(a.train, b.train) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[0].train, other[0].train)


def test_iid_shares_are_even(table) -> None:
    sizes = [part.train.size for part in deal(table, 7, SplitSpec("iid"), 0)]
    assert max(sizes) - min(sizes) <= 1


def test_a_column_split_keeps_a_value_together_and_balances(table) -> None:
    parts = deal(table, 3, SplitSpec("column"), 0)
    owners = [set(table.column[np.concatenate([part.train, part.test])]) for part in parts]
    assert sorted(map(sorted, owners)) == [["east", "sea", "west"], ["north"], ["south"]]


def test_dirichlet_uses_one_mix_for_both_roles(table) -> None:
    """An institution's test rows look like its training rows."""
    parts = deal(table, 3, SplitSpec("dirichlet", 0.5), 2)
    train, test = ([table.bad[getattr(part, role)].mean() for part in parts] for role in ("train", "test"))
    assert np.allclose(train, test, atol=0.06)
    assert np.ptp(train) > 0.2


def test_train_and_test_are_stratified(table) -> None:
    train, test = train_and_test(table, 0)
    assert abs(table.bad[train].mean() - table.bad[test].mean()) < 0.01


def test_an_institution_without_rows_is_refused(table) -> None:
    with pytest.raises(ConfigError, match="got no training row"):
        deal(table, N, SplitSpec("iid"), 0)


def test_names(table) -> None:
    assert institution_ids(1, 2) == [("bank-1", "bank"), ("hospital-1", "hospital"), ("hospital-2", "hospital")]
    for banks, hospitals in ((0, 0), (-1, 2), (2, -1)):
        with pytest.raises(ConfigError, match="not both 0"):
            institution_ids(banks, hospitals)


def test_all_rows_of_one_person_go_to_one_institution_and_one_role():
    generator = np.random.default_rng(0)
    ids = tuple(str(number % 400).encode() for number in range(1000))
    table = PooledTable(np.zeros((1000, 1), np.uint16), generator.integers(0, 2, 1000).astype(np.uint8), ids)
    parts = deal(table, 4, SplitSpec("iid"), seed=0)
    places = [(index, role) for index in range(4) for role in ("train", "test")]
    homes = {place: {ids[row] for row in getattr(parts[place[0]], place[1])} for place in places}
    assert sum(len(people) for people in homes.values()) == len(set(ids))
    assert sorted(np.concatenate([getattr(parts[index], role) for index, role in places])) == list(range(1000))
