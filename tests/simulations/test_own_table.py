"""A user's own table, and every way to deal it: CSV and Parquet, splits, units, placements, seeds."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from fedcredit.dictionary.mapping import identity_mapping
from fedcredit.dictionary.schema import load_dictionary
from fedcredit.models.family import family_of
from fedcredit.plan import Placement, PrivacyUnit
from simulations.dataset import POOLED, load, pooled_dictionary
from simulations.run import Finished, Prepared, execute, prepare
from simulations.settings import data_spec, read_settings
from simulations.simulation import compose_config
from tests import own_table

QUICK = "++model.rounds=2"


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    return own_table.write(tmp_path_factory.mktemp("own") / "table.parquet", own_table.rows())


def prepared(*overrides: str) -> Prepared:
    config = compose_config([*overrides, QUICK])
    dictionary, pooled = load(data_spec(config))
    return prepare(read_settings(config, pooled.bad.size), dictionary, pooled, 0.0)


def finished(*overrides: str) -> Finished:
    return execute(prepared(*overrides), None)


def model_of(path: Path) -> bytes:
    outcome = finished(*own_table.overrides(path), "privacy=none").outcome
    return family_of(outcome.plan.model.family).final(outcome.progress.state)


def test_csv_and_parquet_give_the_same_model(tmp_path, table) -> None:
    csv = own_table.write(tmp_path / "table.csv", own_table.rows())
    other = own_table.write(tmp_path / "other.csv", own_table.rows().slice(500))
    assert model_of(csv) == model_of(table)
    assert model_of(csv) != model_of(other)


def test_a_few_odd_values_do_not_stop_a_run(tmp_path) -> None:
    """Out of range, unknown and missing values have cells; the check calls 1 % of them a note."""
    rows = own_table.rows(1000)
    ages, education = (rows.column(name).to_pylist() for name in ("age", "education"))
    ages[:3], education[:3] = [None, 900, -5], [None, 77, 8]
    odd = own_table.changed(own_table.changed(rows, "age", ages), "education", education)
    path = own_table.write(tmp_path / "table.csv", odd)
    ready = prepared(*own_table.overrides(path))
    features = dict(zip(ready.dictionary.feature_names, ready.dictionary.features, strict=True))
    cells = dict(zip(features, ready.table.cells[:3].T.tolist(), strict=True))
    missing = features["age"].missing_cell
    assert cells["age"] == [missing, missing - 1, 0]
    assert cells["education"] == [features["education"].missing_cell] * 3
    assert execute(ready, None).result.joint.overall.n_test == 200


def test_seeded_noise_repeats_and_says_so(table) -> None:
    seeded = [*own_table.overrides(table), "privacy.epsilon=4"]
    one, again, other, fresh = (
        finished(*seeded, seed).result for seed in ("noise.seed=1", "noise.seed=1", "noise.seed=2", "noise.seed=null")
    )
    assert (one.joint, one.federated) == (again.joint, again.federated)
    assert one.joint != other.joint
    assert fresh.joint not in (one.joint, other.joint)
    assert [result.noise for result in (one, other, fresh)] == ["seeded (simulation)", "seeded (simulation)", "os"]


def test_dirichlet_deals_unequal_mixes_and_every_row_once(table) -> None:
    rates = {}
    for split, alpha in (("iid", 1.0), ("dirichlet", 0.5)):
        ready = prepared(*own_table.overrides(table), f"federation.split={split}", f"federation.alpha={alpha}")
        data = [one.data for one in ready.federation.institutions]
        assert sum(one.train.n_rows + one.evaluate.n_rows for one in data) == 2000
        rates[split] = np.std([one.train.bad.mean() for one in data])
    assert rates["iid"] < 0.05 < rates["dirichlet"]


def test_a_column_split_runs(table) -> None:
    done = finished(*own_table.overrides(table), "federation.split=column", "federation.split_column=age")
    sizes = [member.public_size for member in done.outcome.plan.roster.members]
    assert sum(sizes) == 2000
    assert len(sizes) == 6


def test_flat_gives_every_institution_all_columns(table) -> None:
    ready = prepared("data=uci_credit_flat", "federation.banks=3", "federation.hospitals=2")
    assert [one.data.train.cells.shape[1] for one in ready.federation.institutions] == [23] * 5
    assert ready.table.bad.size == 30_000
    blocks = prepared(*own_table.overrides(table)).federation.institutions
    assert [one.data.train.cells.shape[1] for one in blocks] == [17] * 3 + [11] * 3


def test_a_person_with_k_rows_costs_k_times_the_sensitivity(table) -> None:
    one, three = (
        prepared(*own_table.overrides(table), "privacy.unit=person", f"privacy.max_records_per_person={cap}")
        for cap in (1, 3)
    )
    for role in ("preflight", "train", "evaluate"):
        single, triple = (getattr(ready.federation.plan.phases, role) for ready in (one, three))
        assert triple.sensitivity_squared == {kind: 9 * value for kind, value in single.sensitivity_squared.items()}
        for kind, variance in triple.noise_variance.items():
            assert variance == pytest.approx(9 * single.noise_variance[kind], rel=1e-6)
    assert one.federation.plan.privacy.unit is PrivacyUnit.PERSON
    done = execute(three, None).result
    assert {numbers.unit for numbers in done.privacy.values()} == {"person"}


def test_all_rows_of_a_person_take_part_up_to_the_cap(tmp_path) -> None:
    rows = own_table.rows(600)
    path = own_table.write(tmp_path / "t.csv", own_table.changed(rows, "id", [row // 2 for row in range(600)]))
    person = [*own_table.overrides(path), "privacy.unit=person"]
    assert prepared(*person, "privacy.max_records_per_person=2").table.bad.size == 600


def test_central_noise_is_bounded_for_outsiders_only(table) -> None:
    done = finished(*own_table.overrides(table), "privacy.placement=central")
    assert done.outcome.plan.privacy.placement is Placement.CENTRAL
    for numbers in done.result.privacy.values():
        assert 0 < numbers.epsilon_outsider <= 1
        assert (numbers.epsilon_t, numbers.epsilon_all_others) == (None, None)


def test_without_privacy_nothing_is_claimed(table) -> None:
    result = finished(*own_table.overrides(table), "privacy=none").result
    assert result.noise == "none"
    for numbers in result.privacy.values():
        assert (numbers.epsilon_planned, numbers.epsilon_spent, numbers.delta) == (None, None, None)


def test_local_noise_spends_less_than_planned_and_the_planned_is_the_target(table) -> None:
    result = finished(*own_table.overrides(table), "privacy.epsilon=2", "privacy.delta=1e-5").result
    assert max(numbers.epsilon_planned for numbers in result.privacy.values()) == pytest.approx(2, rel=1e-3)
    for numbers in result.privacy.values():
        assert 0 < numbers.epsilon_spent < numbers.epsilon_planned <= 2
        assert numbers.delta == 1e-5


def test_a_column_mapping_leads_to_the_same_model(tmp_path, table) -> None:
    renamed = own_table.rows().rename_columns([name.upper() for name in own_table.rows().column_names])
    mapped = own_table.write(tmp_path / "renamed.parquet", renamed)
    pooled = pooled_dictionary(load_dictionary(own_table.DICTIONARY))
    plain = identity_mapping(pooled, POOLED)
    document = {
        "features": {name: {"column": entry.column.upper()} for name, entry in plain.features.items()},
        "target": {"column": plain.target.column.upper()},
        "id_column": str(plain.id_column).upper(),
    }
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(yaml.safe_dump(document), encoding="utf-8")
    outcome = finished(*own_table.overrides(mapped), f"data.mapping={mapping}", "privacy=none").outcome
    assert family_of(outcome.plan.model.family).final(outcome.progress.state) == model_of(table)
