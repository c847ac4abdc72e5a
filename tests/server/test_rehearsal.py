"""Simulated institutions: found by the relay's own rule, there for the length of a run and not longer."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients import relay
from fedcredit.errors import ConfigError, JobError
from server.rehearsal import rehearsal, simulation_socket

RUN = 31


@pytest.fixture(autouse=True)
def flower_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """With a short name, since a socket's path is short."""
    with tempfile.TemporaryDirectory(prefix="fc-") as home:
        monkeypatch.setenv("FLWR_HOME", home)
        yield Path(home)


def test_both_sides_look_at_the_same_place(monkeypatch: pytest.MonkeyPatch) -> None:
    assert simulation_socket(RUN) == relay.simulation_socket(RUN)
    monkeypatch.delenv("FLWR_HOME")
    assert simulation_socket(RUN) == relay.simulation_socket(RUN)


def test_a_deployed_job_starts_and_places_nothing(flower_home: Path) -> None:
    config = {"job": "/a/JOB.yaml"}
    with rehearsal(config, RUN) as job:
        assert job is config
        assert list(flower_home.iterdir()) == []


def test_custodians_that_run_already_are_made_known(flower_home: Path) -> None:
    config = {"job": "/a/JOB.yaml", "simulation": {"custodians": "/somewhere/custodians.sock"}}
    with rehearsal(config, RUN) as job:
        assert job["job"] == "/a/JOB.yaml"
        assert relay.simulation_socket(RUN).readlink() == Path("/somewhere/custodians.sock")
    assert list(flower_home.iterdir()) == []


@pytest.mark.parametrize("wrong", [{}, {"custodians": 7}, {"overrides": "privacy=none"}, [], "yes"])
def test_an_unknown_way_to_simulate_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigError, match="'simulation' must be"), rehearsal({"simulation": wrong}, RUN):
        pass


def test_institutions_are_started_and_stopped_with_the_run(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    overrides = ["privacy=none", "federation.banks=1", "federation.hospitals=1", f"run.dir={run_dir}"]
    with rehearsal({"simulation": {"overrides": overrides}}, RUN) as job:
        socket = relay.simulation_socket(RUN)
        listening = socket.readlink()
        assert Path(job["job"]).is_file()
        answers = {relay.relay(str(socket), b"foreign", number, timeout_s=5.0) for number in ("0", "1")}
        assert len(answers) == 2  # each refuses under its own name
    assert not listening.exists()
    assert not socket.is_symlink()
    assert "NOT PRIVATE" in (run_dir / "NOT_PRIVATE.txt").read_text()


def test_what_keeps_them_from_starting_is_told(tmp_path: Path) -> None:
    wrong = {"simulation": {"overrides": ["federation.typo=1", f"run.dir={tmp_path / 'run'}"]}}
    with pytest.raises(JobError, match=r"did not start:(.|\n)*federation\.typo"), rehearsal(wrong, RUN):
        pass
    assert not (tmp_path / "run").exists()
