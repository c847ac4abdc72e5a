"""What names a point, and how it is kept."""

import json

import pytest

from fedcredit.errors import ConfigError
from simulations.results import RunResult
from simulations.settings import data_spec
from simulations.simulation import compose_config
from simulations.sweeps.point import FinishedPoint, answer, point_of, run_point, table_of
from tests import own_table
from tests.simulations.sweeps.conftest import finished


def name(*overrides: str) -> str:
    return point_of(0, compose_config(overrides)).name


def test_equal_settings_have_one_name_however_they_are_written() -> None:
    plain = name("privacy.epsilon=1")
    assert plain == name("privacy.epsilon=1.0") == name("privacy=auto", "run.dir=elsewhere", "sweep.workers=7")
    assert len(plain) == 16


@pytest.mark.parametrize(
    "other", ["seed=1", "noise.seed=1", "privacy.epsilon=1.0000001", "federation.banks=4", "compare=false"]
)
def test_any_other_setting_gives_another_name(other) -> None:
    assert name(other) != name()


def test_a_changed_file_gives_another_name(tmp_path) -> None:
    first, second = tmp_path / "1.csv", tmp_path / "2.csv"
    first.write_text("a\n1\n")
    second.write_text("a\n2\n")
    settings = ["data=file", f"data.dictionary={own_table.DICTIONARY}"]
    before = name(*settings, f"data.path={first}")
    moved = second.replace(tmp_path / "3.csv")
    assert before != name(*settings, f"data.path={moved}")
    with pytest.raises(ConfigError, match="cannot be read"):
        name(*settings, f"data.path={tmp_path / 'none.csv'}")


def test_a_point_is_read_as_it_was_written(composed, run_result: RunResult) -> None:
    point = finished(composed, run_result)
    again = FinishedPoint.from_json(point.to_json())
    assert again == point
    assert json.loads(point.to_json())["settings"]["privacy"]["epsilon"] == 1


@pytest.mark.parametrize("text", ["", "{}", '{"format": 7}', '{"format": 2, "settings": {}}'])
def test_a_damaged_point_is_refused(text) -> None:
    with pytest.raises(ConfigError, match=r"damaged|format 7"):
        FinishedPoint.from_json(text)


def test_what_is_wrong_comes_back_as_text() -> None:
    told = answer(compose_config(["federation.banks=0", "federation.hospitals=0"]))
    assert told.finished is None
    assert "federation.banks=0" in str(told.error)


def test_a_table_is_loaded_once_whatever_the_seed() -> None:
    specs = [data_spec(compose_config([f"seed={seed}"])) for seed in (0, 1)]
    assert table_of(specs[0]) is table_of(specs[1])


def test_a_point_may_draw_its_population() -> None:
    """It was refused with advice to use the runtime that it had."""
    drawn = ("data=synthetic", "data.population.persons=3000", "federation.banks=2", "federation.hospitals=1")
    config = compose_config([*drawn, "compare=false", "privacy=none", "++model.rounds=1"])
    assert list(run_point(config).kinds.values()) == ["bank", "bank", "hospital"]


def test_a_point_states_its_rounds_and_who_is_left() -> None:
    events = ("events.dropout=0.04", "privacy.max_drops=5", "privacy.max_attempts=9", "federation.banks=12", "seed=1")
    flat = ("data=uci_credit_flat", "federation.hospitals=0", "privacy=none", "++model.rounds=4", "compare=false")
    lost = run_point(compose_config([*events, *flat, "runtime=cohort"]))
    assert (lost.rounds_trained, lost.rounds_planned, lost.left) == (4, 4, 9)
