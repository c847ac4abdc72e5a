"""Every file in configs/ composes, and what it composes is a usable job."""

import copy
from pathlib import Path

import pytest
import yaml

from fedcredit.errors import ConfigError
from fedcredit.plan import Placement
from simulations.settings import Settings, read_settings
from simulations.simulation import CONFIG_FOLDER, compose_config
from tests import own_table, tiny
from tests.verified_runs import run_job

N_ROWS = 30_000
FILES = sorted(path.relative_to(CONFIG_FOLDER) for path in CONFIG_FOLDER.rglob("*.yaml"))
GROUPED = [path for path in FILES if path.parent != Path()]
# Keys without a default: a user's own table, module or earlier run has to be named.
REQUIRED = {
    "data/file.yaml": ["data.path=table.csv", f"data.dictionary={own_table.DICTIONARY}"],
    "model/monitor.yaml": ["model.run={run}"],
    "experiment/uci_monitor.yaml": ["model.run={run}"],
    "model/module.yaml": ["model.module=credit_models:ResidualNet", f"model.source_sha256={'ab' * 32}"],
}
# A group within a group is chosen for a family that has it.
OUTER = {"model/server": "model=mlp"}
# What others script against; a rename is a break.
STABLE_KEYS = (
    "data.source",
    "privacy.epsilon",
    "privacy.delta",
    "privacy.placement",
    "privacy.colluders",
    "privacy.unit",
    "noise.seed",
    "federation.banks",
    "federation.hospitals",
    "federation.split",
    "federation.alpha",
    "federation.split_column",
    "linked.percent",
    "linked.fit",
    "masks",
    "seed",
    "run.dir",
)


@pytest.fixture(scope="module")
def composed() -> dict:
    return compose_config([])


@pytest.fixture
def config(composed: dict) -> dict:
    return copy.deepcopy(composed)


def chosen(path: Path) -> list[str]:
    group = path.parent.as_posix()
    outer = [OUTER[group]] if group in OUTER else []
    return [*outer, f"{group}={path.stem}", *REQUIRED.get(path.as_posix(), [])]


def given(path: Path) -> set[str]:
    """Keys of a file that its test sets."""
    return {key.partition("=")[0] for key in REQUIRED.get(path.as_posix(), [])}


def dotted(tree: dict, above: str = "") -> dict[str, object]:
    flat = {}
    for key, value in tree.items():
        flat |= dotted(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return flat


def test_there_are_files_to_test() -> None:
    assert Path("simulation.yaml") in FILES
    assert len(GROUPED) >= 9


@pytest.fixture(scope="module")
def earlier_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("earlier") / "run"
    job = tiny.spec(tiny.NONE, rounds=1)
    run_job(folder, tiny.federation(job), job)
    return folder


@pytest.mark.parametrize("path", GROUPED, ids=str)
def test_a_file_composes_to_settings(path: Path, earlier_run: Path) -> None:
    config = compose_config([one.replace("{run}", str(earlier_run)) for one in chosen(path)])
    settings = read_settings(config, N_ROWS)
    assert isinstance(settings, Settings)
    assert settings.job.model.rounds >= 1
    # Composing loses and overrules nothing that the file says, unless the file is about the whole tree.
    whole = "# @package _global_" in (CONFIG_FOLDER / path).read_text(encoding="utf-8")
    written = dotted(yaml.safe_load((CONFIG_FOLDER / path).read_text(encoding="utf-8")) or {})
    above = "" if whole else f"{path.parent.as_posix()}.".replace("/", ".")
    kept = {f"{above}{key}": value for key, value in written.items() if key != "defaults"}
    assert {key: value for key, value in kept.items() if key not in given(path)}.items() <= dotted(config).items()


def test_the_default_is_three_and_three_at_epsilon_one_from_the_operating_system(config: dict) -> None:
    settings = read_settings(config, N_ROWS)
    privacy = settings.job.privacy
    assert (settings.banks, settings.hospitals, settings.data.source) == (3, 3, "uci_credit")
    assert (privacy.placement, privacy.epsilon, privacy.unit.value) == (Placement.DISTRIBUTED, 1.0, "record")
    assert (privacy.colluders, privacy.masks) == (1, True)
    assert privacy.delta == pytest.approx(1e-6)
    assert settings.job.noise_seed is None
    assert settings.compare


def test_stable_keys_exist(config: dict) -> None:
    assert set(STABLE_KEYS) <= dotted(config).keys()


@pytest.mark.parametrize("group", ["data", "privacy", "privacy.shares", "federation", "model", "evaluation", "run"])
def test_an_unknown_key_is_refused_in_every_group(config: dict, group: str) -> None:
    branch = config
    for name in group.split("."):
        branch = branch[name]
    branch["nonsense"] = 1
    with pytest.raises(ConfigError, match=rf"^{group}\.nonsense is not a known key"):
        read_settings(config, N_ROWS)


def test_an_unknown_key_is_refused_at_the_top(config: dict) -> None:
    with pytest.raises(ConfigError, match=r"^nonsense is not a known key"):
        read_settings({**config, "nonsense": 1}, N_ROWS)


@pytest.mark.parametrize("name", ["auto", "distributed", "local", "none"])
def test_privacy_files_differ_in_placement_and_promise_only(name: str) -> None:
    auto, other = (compose_config([f"privacy={choice}"])["privacy"] for choice in ("auto", name))
    assert other["placement"] == name
    free = {"placement"} | ({"epsilon", "delta"} if name == "none" else set())
    assert {key: value for key, value in auto.items() if key not in free} == {
        key: value for key, value in other.items() if key not in free
    }


@pytest.mark.parametrize("key", ["seed", "compare", "masks", "privacy", "federation"])
def test_a_missing_key_is_named(config: dict, key: str) -> None:
    del config[key]
    with pytest.raises(ConfigError, match=rf"^{key} is missing; set it"):
        read_settings(config, N_ROWS)
