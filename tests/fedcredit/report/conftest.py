"""One finished job on disk, as a coordinator leaves it, and what a simulation would put beside it."""

from dataclasses import replace
from pathlib import Path

import pytest

from fedcredit.plan import EvaluationTerms
from fedcredit.report.inputs import Assumptions, ReportInputs
from fedcredit.report.reading import read_inputs
from tests import tiny
from tests.verified_runs import consortium_of, run_job

MEMBERS = ("bank-1", "bank-2", "bank-3", "hospital-1", "hospital-2", "hospital-3")


def metrics() -> dict:
    """A simulation's figures: two views, one institution each alone."""

    def model(*aucs: float) -> dict:
        one = [{"auc": auc, "ks": auc - 0.35, "brier": 0.14, "n_test": 6000} for auc in aucs]
        return one[0] | {"by_view": dict(zip(("bank", "hospital"), one, strict=False))}

    alone = {"bank-1": model(0.75), "hospital-1": model(0.66)}
    alone["hospital-1"]["by_view"] = {"hospital": alone["hospital-1"]["by_view"]["bank"]}
    return {
        "models": {
            "joint": model(0.77, 0.65),
            "same_type": model(0.76, 0.67),
            "pooled": model(0.78, 0.68),
            "alone": alone,
        }
    }


def job_terms(privacy=tiny.SHARED):
    """Terms of a job over six institutions that groups by age, too."""
    terms = privacy if privacy.epsilon is None else privacy.model_copy(update={"epsilon": 20.0})
    return replace(tiny.spec(terms), evaluation=EvaluationTerms(score_bins=10, groupings=("type", "age")))


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    place, job = tmp_path_factory.mktemp("reported"), job_terms()
    run_job(place, consortium_of(job, MEMBERS), job)
    return place


@pytest.fixture(scope="session")
def inputs(folder: Path) -> ReportInputs:
    return read_inputs(folder, Assumptions())


@pytest.fixture(scope="session")
def simulated(inputs: ReportInputs) -> ReportInputs:
    """As if it were a simulation's: with rivals, settings and a name that has to be escaped."""
    settings = {"privacy.epsilon": "20", "data": "<script>alert(1)</script>"}
    return replace(inputs, metrics=metrics(), settings=settings, simulated=True)
