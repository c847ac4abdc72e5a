"""Every file in configs/ composes, and what it composes is a usable job."""

from pathlib import Path

import pytest
import yaml

from fedcredit.errors import ConfigError
from fedcredit.plan import Placement
from simulations.settings import Settings, read_settings
from simulations.simulate import CONFIG_FOLDER, compose_config
from tests import own_table

N_ROWS = 30_000
FILES = sorted(path.relative_to(CONFIG_FOLDER) for path in CONFIG_FOLDER.rglob("*.yaml"))
GROUPED = [path for path in FILES if path.parent != Path()]
# Keys without a default: a user's own table has to be named.
REQUIRED = {"data/file.yaml": ["data.path=table.csv", f"data.dictionary={own_table.DICTIONARY}"]}
# What others script against; a rename is a break.
STABLE_KEYS = (
    "data.source",
    "privacy.epsilon",
    "privacy.delta",
    "privacy.placement",
    "privacy.unit",
    "noise.seed",
    "federation.banks",
    "federation.hospitals",
    "federation.split",
    "federation.alpha",
    "federation.split_column",
    "seed",
    "run.dir",
)


def chosen(path: Path) -> list[str]:
    return [f"{path.parent.as_posix()}={path.stem}", *REQUIRED.get(path.as_posix(), [])]


def dotted(tree: dict, above: str = "") -> dict[str, object]:
    flat = {}
    for key, value in tree.items():
        flat |= dotted(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return flat


def test_there_are_files_to_test() -> None:
    assert Path("simulation.yaml") in FILES
    assert len(GROUPED) >= 7


@pytest.mark.parametrize("path", GROUPED, ids=str)
def test_a_file_composes_to_settings(path: Path) -> None:
    settings = read_settings(compose_config(chosen(path)), N_ROWS)
    assert isinstance(settings, Settings)
    assert settings.job.model.rounds >= 1


@pytest.mark.parametrize("path", GROUPED, ids=str)
def test_a_files_values_are_the_ones_used(path: Path) -> None:
    """Composing must not lose or overrule what the file says."""
    tree = dotted(compose_config(chosen(path)))
    group = path.parent.as_posix()
    written = dotted(yaml.safe_load((CONFIG_FOLDER / path).read_text(encoding="utf-8")) or {}, f"{group}.")
    kept = {key: value for key, value in written.items() if value != "???" and not key.startswith("experiment.")}
    assert kept.items() <= tree.items()


def test_the_default_is_three_and_three_at_epsilon_one_from_the_operating_system() -> None:
    settings = read_settings(compose_config([]), N_ROWS)
    privacy = settings.job.privacy
    assert (settings.banks, settings.hospitals, settings.data.source) == (3, 3, "uci_credit")
    assert (privacy.placement, privacy.epsilon, privacy.unit.value) == (Placement.LOCAL, 1.0, "record")
    assert privacy.delta == pytest.approx(1e-6)
    assert settings.job.noise_seed is None
    assert settings.compare


@pytest.mark.parametrize("key", STABLE_KEYS)
def test_stable_keys_exist(key: str) -> None:
    assert key in dotted(compose_config([]))


@pytest.mark.parametrize("group", ["data", "privacy", "federation", "model", "noise", "evaluation", "run"])
def test_an_unknown_key_is_refused_in_every_group(group: str) -> None:
    config = compose_config([f"+{group}.nonsense=1"])
    with pytest.raises(ConfigError, match=rf"^{group}\.nonsense is not a known key"):
        read_settings(config, N_ROWS)


def test_an_unknown_key_is_refused_at_the_top() -> None:
    with pytest.raises(ConfigError, match="^nonsense is not a known key"):
        read_settings(compose_config(["+nonsense=1"]), N_ROWS)


@pytest.mark.parametrize("key", ["seed", "compare", "privacy", "federation.banks"])
def test_a_missing_key_is_named(key: str) -> None:
    config = compose_config([f"~{key}"])
    with pytest.raises(ConfigError, match=rf"^{key} is missing"):
        read_settings(config, N_ROWS)
