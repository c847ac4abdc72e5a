from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from simulations.population.consortium import draw_consortium
from simulations.population.gates import Gate, run_gates
from simulations.population.persons import draw_persons
from simulations.population.realism import distances, stability_index
from simulations.population.spec import PopulationSpec
from simulations.population.streams import Streams

N_PERSONS = 24_000


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    # Small tables: threads that wait for each other cost more than they save.
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def gates() -> tuple[Gate, ...]:
    return run_gates(draw_consortium(PopulationSpec(seed=2, persons=N_PERSONS)))


def test_the_default_population_passes_every_gate(gates) -> None:
    assert {gate.letter for gate in gates} == set("abcdefg")
    assert not [gate for gate in gates if gate.holds is False]


def test_the_comparison_with_a_real_table_is_reported_without_a_band(gates) -> None:
    (real,) = [gate for gate in gates if gate.letter == "f"]
    assert real.holds is None
    assert 0.5 < real.value <= 1.0


def test_a_gate_fails_outside_its_band() -> None:
    assert Gate("a", "x", 0.5, 0.0, 1.0).holds is True
    assert Gate("a", "x", 1.5, 0.0, 1.0).holds is False
    assert Gate("a", "x", float("nan"), 0.0, 1.0).holds is False


def test_regions_without_a_shift_fail_the_gate_of_regions() -> None:
    spec = PopulationSpec(seed=2, persons=N_PERSONS, region_shift=0.0, label_shift=0.0)
    persons = draw_persons(spec, Streams(spec.seed, spec.persons))
    assert stability_index(persons.income, persons.region == 0) < 0.02


def test_distances_from_the_public_tables_grow_when_a_marginal_is_wrong() -> None:
    spec = PopulationSpec(seed=2, persons=5000)
    persons = draw_persons(spec, Streams(spec.seed, spec.persons))
    right = distances(persons)
    for name, field in (("income", "income"), ("health spending", "spending"), ("visits", "visits")):
        values = getattr(persons, field)
        wrong = replace(persons, **{field: 3 * values if field == "visits" else values**2})
        assert distances(wrong)[name] > 0.1 > right[name]


def test_the_stability_index_is_zero_for_equal_groups_and_counts_the_missing() -> None:
    values = np.tile(np.arange(100.0), 20)
    halves = np.repeat([True, False], 1000)
    assert stability_index(values, halves) == pytest.approx(0.0, abs=1e-12)
    assert stability_index(np.where(halves & (values < 30), np.nan, values), halves) > 0.25
