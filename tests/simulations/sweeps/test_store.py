"""The folder of a sweep: what is kept, what the tables hold, and in which order."""

import csv

import pyarrow.parquet as pa_parquet
import pytest

from fedcredit.errors import ConfigError
from simulations.sweeps.point import point_of
from simulations.sweeps.store import SweepFolder, arrow_table
from tests.simulations.sweeps.conftest import varied


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_tables_have_a_row_per_run_in_the_order_of_their_settings(make_sweep) -> None:
    folder = make_sweep({"privacy.epsilon": [10.0, 2.0], "seed": [1, 0]})
    SweepFolder(folder).write_tables()
    rows = table(folder / "sweep.csv")
    assert [(row["settings.privacy.epsilon"], row["settings.seed"]) for row in rows] == [
        ("2.0", "0"), ("2.0", "1"), ("10.0", "0"), ("10.0", "1"),
    ]  # fmt: skip
    assert float(rows[1]["joint.bank.auc"]) == pytest.approx(0.772 - 0.03 / 2**0.5 + 0.001)
    assert rows[0]["epsilon.planned"] == "1.0"
    parquet = pa_parquet.read_table(folder / "sweep.parquet").to_pylist()
    assert [row["point"] for row in parquet] == [row["point"] for row in rows]
    assert parquet[0]["settings.privacy.epsilon"] == 2.0


def test_institutions_have_a_row_each_with_what_they_gain(make_sweep) -> None:
    folder = make_sweep({"seed": [0]})
    SweepFolder(folder).write_tables()
    rows = table(folder / "institutions.csv")
    assert [row["institution"] for row in rows] == ["bank-1", "bank-2", "hospital-1"]
    gains = [float(row["gain.auc"]) for row in rows]
    assert gains == pytest.approx([0.004 - 0.03, 0.0055 - 0.03, 0.007 - 0.03])


def test_a_second_sweep_adds_to_the_tables(make_sweep) -> None:
    make_sweep({"privacy.epsilon": [1.0]})
    folder = make_sweep({"privacy.epsilon": [1.0, 4.0]})
    assert len(SweepFolder(folder).write_tables()) == 2


def test_a_half_written_point_is_none(make_sweep, composed) -> None:
    folder = SweepFolder(make_sweep({"seed": [0]}))
    point = point_of(0, varied(composed, {"seed": 1}))
    (folder.path / "points" / f"{point.name}.partial").write_text("{")
    assert not folder.has(point)
    assert len(folder.points()) == 1
    assert (folder.path / "NOT_PRIVATE.txt").read_text().startswith("NOT PRIVATE")


def test_an_empty_folder_is_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match="holds no finished point"):
        SweepFolder(tmp_path).points()


def test_a_damaged_point_is_named(make_sweep) -> None:
    folder = make_sweep({"seed": [0]})
    (file,) = (folder / "points").iterdir()
    file.write_text("{")
    with pytest.raises(ConfigError, match=file.name):
        SweepFolder(folder).points()


def test_columns_of_several_types_are_text() -> None:
    columns = arrow_table([{"a": 1, "b": 1, "c": None}, {"a": 2.5, "b": "[8, 8]"}, {"d": True}]).to_pydict()
    assert columns == {
        "a": [1.0, 2.5, None], "b": ["1", "[8, 8]", None], "c": [None] * 3, "d": [None, None, True],
    }  # fmt: skip
