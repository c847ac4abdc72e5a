import json
from dataclasses import replace

import pytest

from fedcredit.errors import DataError
from simulations.results import Federated, Metrics, ModelResult, RunResult


def test_json_has_the_names_that_others_script_against(run_result: RunResult) -> None:
    tree = json.loads(run_result.to_json())
    named = {"models", "deltas", "federated", "privacy", "epsilon_joint", "noise", "placement", "masks", "seconds"}
    assert set(tree) == named | {"virtual"}
    assert set(tree["models"]) == {"joint", "same_type", "pooled", "alone"}
    assert tree["models"]["joint"]["auc"] == 0.7611
    assert tree["models"]["alone"]["bank-1"]["n_test"] == 6000
    assert set(tree["models"]["joint"]["by_view"]) == {"bank", "hospital", "all"}
    assert set(tree["models"]["joint"]["by_view"]["all"]) == {"auc", "ks", "brier", "n_test"}
    assert set(tree["federated"]) == {"auc", "auc_low", "auc_high", "ks", "brier"}
    assert set(tree["privacy"]["hospital-1"]) == {
        "epsilon_outsider",
        "epsilon_t",
        "epsilon_one_colludes",
        "epsilon_half_collude",
        "epsilon_all_others",
        "epsilon_planned",
        "epsilon_spent",
        "delta",
        "unit",
    }
    assert tree["epsilon_joint"] == {"bank-1": 0.93, "bank-2": 0.93, "hospital-1": 0.93}
    assert (tree["noise"], tree["placement"], tree["masks"]) == ("os", "local", "off (simulation)")
    assert tree["seconds"] == {"start": 1.4, "total": 21.7}


def test_json_reads_back_to_the_same_result(run_result: RunResult) -> None:
    assert RunResult.from_json(run_result.to_json()) == run_result
    bare = ModelResult(Metrics(None, None, None, 0))
    empty = replace(run_result, joint=bare, federated=Federated(None, None, None, None, None), privacy={}, alone={})
    assert RunResult.from_json(empty.to_json()) == empty
    assert "by_view" not in json.loads(empty.to_json())["models"]["joint"]


def test_nan_is_not_written(run_result: RunResult) -> None:
    broken = replace(run_result, federated=replace(run_result.federated, auc=float("nan")))
    with pytest.raises(ValueError, match="not JSON compliant"):
        broken.to_json()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"models": null}', '{"models": {"joint": 3}}'])
def test_foreign_json_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"metrics\.json"):
        RunResult.from_json(text)


def test_an_unknown_field_is_refused(run_result: RunResult) -> None:
    tree = json.loads(run_result.to_json())
    tree["federated"]["surprise"] = 1
    with pytest.raises(DataError, match="surprise"):
        RunResult.from_json(json.dumps(tree))
