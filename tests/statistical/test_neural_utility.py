"""What the perceptron reaches on the packaged table with the settings of its experiments.

Five splits at delta 1e-5 and three draws of the noise run with ``--long``; a plain run takes one split, one draw and
the looser bounds that one draw needs.
"""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from simulations import simulate
from simulations.comparisons import run_pooled
from simulations.dataset import DataSpec, load
from simulations.partition import train_and_test
from simulations.settings import read_settings
from simulations.simulation import compose_config

FLAT = ["data=uci_credit_flat", "federation.banks=5", "federation.hospitals=0", "compare=false"]
EXACT = ["experiment=uci_mlp_exact"]
SHARED = ["experiment=uci_mlp", "privacy.epsilon=1", "privacy.delta=1e-5", "privacy.placement=distributed"]
LOCAL = ["experiment=uci_mlp_local", "privacy.delta=1e-5"]
SPLITS, DRAWS = 5, 3

pytestmark = pytest.mark.statistical


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """What one run found; the configuration's default noise is shared."""
    folder = tmp_path_factory.mktemp("runs")

    def run(*overrides):
        number = len(list(folder.iterdir()))
        return simulate([*overrides, *FLAT, f"run.dir={folder / str(number)}"])

    return run


def pooled_auc(split):
    """AUC of the same model on all training rows at one place."""
    dictionary, table = load(DataSpec("uci_credit_flat"))
    job = read_settings(compose_config([*EXACT, *FLAT, f"seed={split}"]), table.bad.size).job
    train, test = train_and_test(table, split)
    return roc_auc_score(table.bad[test], run_pooled(dictionary, table, train, test, "all", job)[1].pd)


def auc(one):
    return one.joint.overall.auc


@pytest.mark.parametrize(("overrides", "placement"), [(SHARED, "distributed"), (LOCAL, "local")])
def test_one_draw_of_noise_is_between_no_skill_and_no_privacy(result, overrides, placement):
    one = result(*overrides, "seed=0")
    assert one.placement == placement
    assert 0.745 < auc(one) < 0.78


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_five_splits_without_privacy_are_as_good_as_one_pooled_table(result):
    joint = np.mean([auc(result(*EXACT, f"seed={split}")) for split in range(SPLITS)])
    pooled = np.mean([pooled_auc(split) for split in range(SPLITS)])
    print(f"joint {joint}, pooled {pooled}")
    assert joint >= 0.770
    assert abs(joint - pooled) <= 0.003


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("overrides", "bound"), [(SHARED, 0.757), (LOCAL, 0.759)])
def test_five_splits_three_draws_under_noise(result, overrides, bound):
    runs = [result(*overrides, f"seed={split}") for split in range(SPLITS) for _ in range(DRAWS)]
    assert np.mean([auc(one) for one in runs]) >= bound
