"""The showcase experiment, smaller: what it needs before its first round, what it writes, what it refuses."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from fedcredit.errors import ConfigError
from fedcredit.models.binned_kernel import binned_kernel_of
from simulations.dataset import load
from simulations.partition import PooledTable, deal, train_and_test
from simulations.resampling import resampled
from simulations.settings import data_spec, read_settings
from simulations.simulation import compose_config, simulate

SMALL = ["experiment=thousand", "federation.banks=60", "data.rows=3000", "model.rounds=3", "kernel=numpy"]
# Whoever waits for the first round has no use for them.
LATE = ("sklearn", "matplotlib", "jinja2", "torch", "flwr", "ray", "pandas", "numba")
FIRST_ROUND = f"""
import sys, time
from simulations.present import Silence
from simulations.simulation import compose_config, run_config

class FirstRound(Silence):
    def decided(self, decided, progress):
        if decided.phase == "train":
            print(*sorted(set({LATE!r}) & set(sys.modules)))
            sys.exit(0)

config = compose_config({SMALL!r} + ["run.dir=" + sys.argv[1], "kernel=" + sys.argv[2]])
run_config(config, time.monotonic(), FirstRound())
"""


def table(n: int) -> PooledTable:
    rng = np.random.default_rng(1)
    bad = (np.arange(n) % 4 == 0).astype(np.uint8)
    cells = np.arange(n, dtype=np.uint16)[:, None] + np.zeros((1, 2), dtype=np.uint16)
    return PooledTable(cells, bad, tuple(rng.bytes(8) for _ in range(n)))


def test_a_run_says_that_nothing_is_masked_and_what_it_would_take_over_a_network(tmp_path):
    result = simulate([*SMALL, f"run.dir={tmp_path / 'run'}"])
    assert (result.masks, result.placement, result.noise) == ("off (simulation)", "distributed", "os")
    assert result.joint.by_view["bank"].auc > 0.55
    assert result.alone == {}
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["virtual"]["exchanges"] == 7
    assert metrics["virtual"]["institutions"] == 60
    assert len(metrics["privacy"]) == 60
    assert {one["epsilon_t"] for one in metrics["privacy"].values()} == {result.privacy["bank-1"].epsilon_t}


@pytest.mark.parametrize("kernel", ["numpy", "compiled"])
def test_nothing_heavy_is_loaded_before_the_first_round(tmp_path, kernel):
    """Not even the compiler, once what it made is kept."""
    binned_kernel_of(kernel)
    command = [sys.executable, "-c", FIRST_ROUND, str(tmp_path / "run"), kernel]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_rivals_of_a_cohort_are_cohorts():
    result = simulate([*SMALL, "federation.banks=3", "federation.hospitals=3", "data.rows=600", "compare=true"])
    assert set(result.alone) == {f"{kind}-{number}" for kind in ("bank", "hospital") for number in (1, 2, 3)}
    assert result.pooled.by_view["all"].auc is not None


REFUSED = {
    "masks=on": "masks=on is not for runtime=cohort",
    "runtime=in_process events.dropout=0.1": "events are drawn for runtime=cohort only",
    "events.absent=1.0": "events.absent=1.0",
    "data.rows=5": "data.rows=5",
    "data.rows=null": "data.rows is for data=uci_resampled, and it needs it",
}


@pytest.mark.parametrize("overrides", REFUSED)
def test_what_does_not_fit_is_refused_in_one_sentence(overrides):
    config = compose_config([*SMALL, *overrides.split()])
    with pytest.raises(ConfigError, match=re.escape(REFUSED[overrides])):
        read_settings(config, 30_000)


def test_rows_are_for_resampling_only():
    with pytest.raises(ConfigError, match=r"data\.rows is for data=uci_resampled"):
        data_spec(compose_config(["+data.rows=500"]))


def test_resampled_test_rows_come_from_records_that_no_training_row_has():
    drawn = resampled(table(200), 5000, seed=3)
    train, test = train_and_test(drawn, seed=0)
    assert (train.size, test.size) == (4000, 1000)
    assert not set(drawn.cells[train, 0].tolist()) & set(drawn.cells[test, 0].tolist())
    assert len(set(drawn.ids_of(np.arange(5000)))) == 5000
    assert 0.2 < drawn.bad[train].mean() < 0.3
    parts = deal(drawn, 20, read_settings(compose_config(SMALL), 5000).split, 0)
    assert {part.train.size for part in parts} == {200}
    assert {part.test.size for part in parts} == {50}
    again = resampled(table(200), 5000, seed=3)
    assert np.array_equal(again.cells, drawn.cells)
    assert not np.array_equal(resampled(table(200), 5000, seed=4).cells, drawn.cells)


def test_rows_that_belong_together_are_not_resampled():
    own = table(40)
    with pytest.raises(ConfigError, match="no persons"):
        resampled(PooledTable(own.cells, own.bad, own.ids, per_person=True), 100, 0)
    with pytest.raises(ConfigError, match="has 0 rows of class 1"):
        resampled(PooledTable(own.cells, np.zeros(40, dtype=np.uint8), own.ids), 100, 0)


def test_the_experiment_is_what_its_name_says():
    config = compose_config(["experiment=thousand"])
    settings = read_settings(config, 250_000)
    assert (settings.banks + settings.hospitals, settings.job.model.rounds, settings.runtime) == (1000, 40, "cohort")
    assert (settings.job.kernel, settings.compare, data_spec(config).rows) == ("compiled", False, 250_000)
    dictionary, _ = load(data_spec(compose_config([*SMALL])))
    assert len(dictionary.owned("bank")) == 23
