"""Jobs whose unit is a person with several rows, from a table to the released model."""

from pathlib import Path

import numpy as np
import pytest

from fedcredit.models.family import family_of
from fedcredit.plan import PrivacyUnit
from simulations.dataset import load
from simulations.federation import run_in_process
from simulations.run import Prepared, prepare
from simulations.settings import data_spec, read_settings
from simulations.simulation import compose_config
from tests import own_table

CAP = 3


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    """1500 rows, `CAP` to a person, in an order that says nothing of it."""
    rows = own_table.rows(1500)
    ids = np.random.default_rng(3).permutation(1500) // CAP
    return own_table.write(tmp_path_factory.mktemp("persons") / "t.csv", own_table.changed(rows, "id", ids.tolist()))


def prepared(table: Path, *overrides: str) -> Prepared:
    person = ("privacy.unit=person", f"privacy.max_records_per_person={CAP}", "federation.banks=2")
    config = compose_config([*own_table.overrides(table), *person, "federation.hospitals=1", *overrides])
    dictionary, pooled = load(data_spec(config))
    return prepare(read_settings(config, pooled.bad.size), dictionary, pooled, 0.0)


@pytest.mark.parametrize(
    ("overrides", "times"),
    [
        (("++model.rounds=2",), CAP**2),
        (("model=mlp", "model.rounds=2", "model.local_steps=2"), 1),
    ],
    ids=["scorecard", "perceptron"],
)
def test_a_job_over_persons_runs(table, overrides, times) -> None:
    ready = prepared(table, *overrides)
    plan, spec = ready.federation.plan, ready.settings.job
    assert (plan.privacy.unit, plan.privacy.max_records_per_person) == (PrivacyUnit.PERSON, CAP)
    own = family_of(spec.model.family).terms(spec.model, ready.dictionary)
    for kind, squared in plan.phases.train.sensitivity_squared.items():
        assert squared == times * own.sensitivity_squared[kind]
    outcome = run_in_process(ready.federation, spec)
    assert outcome.progress.rounds_trained == 2
    assert {numbers.unit for numbers in outcome.statements.values()} == {"person"}
    for numbers in outcome.statements.values():
        assert 0 < numbers.epsilon_spent <= numbers.epsilon_planned <= plan.privacy.epsilon


def test_all_rows_of_a_person_are_at_one_institution_and_in_one_role(table) -> None:
    ready = prepared(table)
    seen, rows = 0, 0
    for one in ready.federation.institutions:
        for part in (one.data.train, one.data.evaluate):
            assert set(part.records_of_unit().tolist()) == {CAP}
            seen, rows = seen + part.n_units, rows + part.n_rows
    assert (seen, rows) == (500, 1500)
