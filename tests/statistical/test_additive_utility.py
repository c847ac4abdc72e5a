"""What the additive network reaches on the packaged table, against the scorecard under the same noise.

Five splits at delta 1e-5 and three draws of the noise run with ``--long``; a plain run takes one split, one draw and
the looser bounds that one draw needs.
"""

import numpy as np
import pytest

from simulations import simulate

FLAT = ["data=uci_credit_flat", "federation.banks=5", "federation.hospitals=0", "compare=false"]
PRIVATE = ["privacy.epsilon=1", "privacy.delta=1e-5"]
SPLITS, DRAWS = 5, 3

pytestmark = pytest.mark.statistical


@pytest.fixture(scope="module")
def auc(tmp_path_factory):
    """AUC of the joint model of one run; the configuration's default noise is shared."""
    folder = tmp_path_factory.mktemp("runs")

    def run(*overrides):
        number = len(list(folder.iterdir()))
        return simulate([*FLAT, *overrides, f"run.dir={folder / str(number)}"]).joint.overall.auc

    return run


def test_one_draw_at_epsilon_one_is_between_no_skill_and_no_privacy_and_near_the_scorecard(auc):
    ceiling = auc("model=additive", "privacy=none", "seed=0")
    noisy, scorecard = (auc(f"model={model}", *PRIVATE, "seed=0") for model in ("additive", "scorecard"))
    assert 0.765 < ceiling < 0.785
    assert 0.755 < noisy < ceiling + 0.003
    assert abs(noisy - scorecard) < 0.01


@pytest.mark.long
def test_five_splits_without_privacy(auc):
    assert np.mean([auc("model=additive", "privacy=none", f"seed={split}") for split in range(SPLITS)]) >= 0.770


@pytest.mark.long
def test_five_splits_three_draws_at_epsilon_one(auc):
    means = {
        model: np.mean(
            [auc(f"model={model}", *PRIVATE, f"seed={split}") for split in range(SPLITS) for _ in range(DRAWS)]
        )
        for model in ("additive", "scorecard")
    }
    print(means)
    assert means["additive"] >= means["scorecard"] - 0.003
