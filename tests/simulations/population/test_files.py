from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from fedcredit.data.sources import TableSource
from fedcredit.dictionary.check import check_table
from fedcredit.dictionary.mapping import identity_mapping, load_mapping
from fedcredit.dictionary.schema import load_dictionary
from fedcredit.errors import ConfigError
from simulations.population import PopulationSpec, draw
from simulations.population.files import write_population
from simulations.population.spec import UnitMistake
from simulations.population.tables import consortium_dictionary, institution_table

SPEC = PopulationSpec(seed=5, persons=4000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("population") / "out"
    write_population(draw(SPEC), place)
    return place


def problems(folder, institution, kind) -> list[str]:
    dictionary = load_dictionary(folder / "dictionary.yaml")
    source = TableSource(pq.read_table(folder / f"{institution}.parquet"))
    return check_table(dictionary, kind, load_mapping(folder / f"mapping-{kind}.yaml"), source, unit="person")


@pytest.mark.parametrize("institution", ["bank-1", "bank-6", "hospital-1", "hospital-4"])
def test_every_table_passes_the_institutions_own_check(folder, institution) -> None:
    assert problems(folder, institution, institution.split("-")[0]) == []


def test_everything_says_synthetic(folder) -> None:
    tables = list(folder.glob("*.parquet"))
    assert len(tables) == SPEC.banks + SPEC.hospitals + 1
    assert all(b"SYNTHETIC" in pq.read_schema(table).metadata for table in tables)
    texts = [path for path in folder.iterdir() if path.suffix != ".parquet"]
    assert "SYNTHETIC.txt" in {path.name for path in texts}
    assert all("SYNTHETIC" in path.read_text() for path in texts)


def test_the_truth_lies_in_a_file_of_its_own(folder) -> None:
    truth = set(pq.read_schema(folder / "truth.parquet").names)
    assert {"true_pd_bank", "true_pd_hospital"} < truth
    for table in folder.glob("*-*.parquet"):
        assert set(pq.read_schema(table).names) & truth == {"person_id"}


def test_a_persons_id_is_the_same_everywhere(folder) -> None:
    bank, hospital, truth = (
        set(pq.read_table(folder / name, columns=["person_id"])["person_id"].to_pylist())
        for name in ("bank-1.parquet", "hospital-1.parquet", "truth.parquet")
    )
    assert bank & hospital
    assert bank | hospital <= truth


def test_a_folder_is_never_overwritten(folder) -> None:
    with pytest.raises(ConfigError, match="exists already"):
        write_population(draw(replace(SPEC, persons=10)), folder)


@pytest.mark.parametrize(("column", "factor"), [("income", 100.0), ("debt_to_income", 100.0), ("days_late_max", 30.0)])
def test_the_institutions_own_check_notices_a_unit_mistake(column, factor) -> None:
    name = "hospital-2" if column == "days_late_max" else "bank-2"
    kind = name.split("-", maxsplit=1)[0]
    population = draw(replace(SPEC, unit_mistakes=(UnitMistake(name, column, factor),)))
    dictionary = consortium_dictionary()
    mapping = identity_mapping(dictionary, kind)
    found = check_table(dictionary, kind, mapping, TableSource(institution_table(population, name, kind)))
    assert found
    assert all(text.startswith(f"{column}: ") for text in found)
    other = TableSource(institution_table(population, f"{kind}-1", kind))
    assert check_table(dictionary, kind, mapping, other) == []


def test_no_column_of_a_hospital_is_clinical() -> None:
    dictionary = consortium_dictionary()
    assert {feature.data_class for feature in dictionary.features} == {"private", "sensitive"}
    words = " ".join(f"{feature.name} {feature.reason}" for feature in dictionary.features).lower()
    assert not [word for word in ("diagnos", "chronic", "disease", "drug", "ward") if word in words]


def test_values_stay_in_their_ranges() -> None:
    population = draw(replace(SPEC, persons=20_000))
    for feature in consortium_dictionary().features:
        if feature.range is not None:
            values = population.columns[feature.name]
            known = values[~np.isnan(values)]
            outside = (known < feature.range[0]) | (known > feature.range[1])
            assert outside.mean() < 0.001, feature.name
