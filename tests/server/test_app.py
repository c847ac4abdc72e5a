"""The ServerApp's config: one JSON string, deadlines beside the job, errors in one sentence."""

import shlex
import tomllib
from pathlib import Path

import pytest

import server.app as app_module
from fedcredit.errors import ConfigError
from server.app import CONFIG_KEY, read_config, read_pacing

ROOT = Path(__file__).resolve().parents[2]


def test_the_config_is_one_json_string() -> None:
    assert read_config({CONFIG_KEY: '{"job": "/a/JOB.yaml", "list": [1, null]}'}) == {
        "job": "/a/JOB.yaml",
        "list": [1, None],
    }


@pytest.mark.parametrize("value", ["", "not json", "[1]", "null", 7, None])
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match=CONFIG_KEY):
        read_config({CONFIG_KEY: value})
    with pytest.raises(ConfigError, match=CONFIG_KEY):
        read_config({})


def test_deadlines_have_defaults() -> None:
    assert read_pacing({"job": "x"}).institutions_timeout_s == 120.0
    assert read_pacing({"flower": {"step_timeout_s": 9}}).step_timeout_s == 9.0


@pytest.mark.parametrize("settings", [{"step_timeout": 9}, {"step_timeout_s": -1}, 7])
def test_a_wrong_deadline_is_refused(settings: object) -> None:
    with pytest.raises(ConfigError, match="'flower' is not usable"):
        read_pacing({"flower": settings})


def test_a_bare_run_simulates_as_many_institutions_as_flower_simulates_nodes() -> None:
    from flwr.supercore.constant import DEFAULT_SIMULATION_CONFIG

    app = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["flwr"]["app"]
    overrides = read_config(app["config"])["simulation"]["overrides"]
    sizes = dict(override.split("=") for override in overrides)
    assert sum(map(int, sizes.values())) == DEFAULT_SIMULATION_CONFIG.num_supernodes


def test_the_documented_command_reaches_the_app() -> None:
    from flwr.common.config import parse_config_args

    command = next(line for line in (app_module.__doc__ or "").splitlines() if "flwr run" in line)
    *_, option = shlex.split(command)
    assert read_config(parse_config_args([option])) == {"job": "/path/of/JOB.yaml"}
