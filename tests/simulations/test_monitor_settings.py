"""model=monitor: the model comes from an earlier run's folder, and nothing is trained beside it."""

import pytest

from fedcredit.errors import ConfigError
from fedcredit.monitoring.draft import monitor_spec
from simulations.settings import read_settings
from simulations.simulation import compose_config
from tests import tiny
from tests.verified_runs import run_job


def test_the_run_that_is_watched_has_to_be_named():
    with pytest.raises(ConfigError, match=r"model\.run"):
        read_settings(compose_config(["experiment=uci_monitor"]), 1000)


def test_the_spec_is_the_runs_and_nothing_is_compared(tmp_path):
    job = tiny.spec(tiny.NONE)
    run_job(tmp_path / "run", tiny.federation(job), job)
    settings = read_settings(compose_config(["experiment=uci_monitor", f"model.run={tmp_path / 'run'}"]), 1000)
    assert settings.job.model == monitor_spec(tmp_path / "run")
    assert not settings.compare
    assert settings.job.shares.train == 30
