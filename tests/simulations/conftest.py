import pytest

from fedcredit.privacy.statement import PrivacyStatement
from simulations.results import (
    Federated,
    InstitutionPlan,
    Metrics,
    ModelResult,
    PlanSummary,
    RunResult,
)

KINDS = {"bank-1": "bank", "bank-2": "bank", "hospital-1": "hospital"}


def privacy(epsilon: float | None) -> PrivacyStatement:
    return PrivacyStatement(
        epsilon_outsider=None,
        epsilon_t=epsilon,
        epsilon_one_colludes=epsilon,
        epsilon_half_collude=epsilon,
        epsilon_all_others=epsilon,
        epsilon_planned=epsilon,
        epsilon_spent=None if epsilon is None else epsilon * 0.948,
        delta=None if epsilon is None else 1e-5,
        unit="record",
    )


def metrics(auc: float | None, n_test: int = 6000) -> Metrics:
    return Metrics(auc, None if auc is None else auc - 0.35, 0.14, n_test)


@pytest.fixture
def run_result() -> RunResult:
    joint = {"bank": metrics(0.7633), "hospital": metrics(0.6702), "all": metrics(0.7655)}
    return RunResult(
        joint=ModelResult(metrics(0.7611), joint),
        same_type=ModelResult(metrics(0.76), {"bank": metrics(0.7621), "hospital": metrics(0.6719)}),
        pooled=ModelResult(metrics(0.773), {name: metrics(0.77) for name in joint}),
        alone={
            "bank-1": ModelResult(metrics(0.75), {"bank": metrics(0.75)}),
            "bank-2": ModelResult(metrics(0.757), {"bank": metrics(0.757)}),
            "hospital-1": ModelResult(metrics(0.668), {"hospital": metrics(0.668)}),
        },
        federated=Federated(0.742, 0.689, 0.795, 0.401, 0.1432),
        privacy={name: privacy(1.0) for name in KINDS},
        epsilon_joint=dict.fromkeys(KINDS, 0.93),
        noise="os",
        placement="local",
        masks="off (simulation)",
        seconds_start=1.4,
        seconds_total=21.7,
    )


@pytest.fixture
def plan_summary() -> PlanSummary:
    institutions = tuple(
        InstitutionPlan(name, kind, 4000, {"applicant": 5, kind: 12}, privacy(1.0)) for name, kind in KINDS.items()
    )
    return PlanSummary(
        institutions,
        1,
        "each institution's own noised vector: packets are not masked.",
        ("Noise placement: local (as asked for).", "Masks: off (simulation)."),
    )
