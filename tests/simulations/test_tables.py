import io
from dataclasses import asdict, replace

import pytest
from rich.console import Console, RenderableType

from fedcredit.job.store import Decided, Outcome
from fedcredit.privacy.statement import PrivacyStatement
from simulations.results import Federated, Metrics, ModelResult, PlanSummary, RunResult, SweepPoint
from simulations.tables import (
    largest,
    mean_and_sd,
    phase_line,
    plan_table,
    results_table,
    sweep_table,
    trouble_line,
    view_rows,
)


def shown(renderable: RenderableType, width: int = 100) -> str:
    out = io.StringIO()
    Console(file=out, width=width, no_color=True).print(renderable)
    return out.getvalue()


def lines_of(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip().startswith(start)]


def test_plan_names_every_number_with_its_terms(plan_summary: PlanSummary) -> None:
    first = plan_summary.institutions[0]
    collude = {"epsilon_one_colludes": 1.5, "epsilon_half_collude": 2.25, "epsilon_all_others": 3.5}
    changed = replace(first, privacy=replace(first.privacy, epsilon_t=1.25, epsilon_outsider=0.5, **collude))
    text = shown(plan_table(replace(plan_summary, institutions=(changed, *plan_summary.institutions[1:]))))
    plan, collusion = lines_of(text, "bank-1")
    assert plan.split()[-1] == "1.25"
    assert "4,000" in plan
    assert "applicant 5, bank 12" in plan
    assert collusion.split() == ["bank-1", "0.5", "1.25", "1.5", "2.25", "3.5"]
    assert text.index("What ε becomes if they collude") < text.index(collusion)
    words = " ".join(text.split())
    assert "outsiders" in words
    assert "coordinator with 1 colluding" in words
    assert "δ = 1e-05; unit: record" in words
    assert "packets are not masked" in words


def test_plan_says_placement_and_masks(plan_summary: PlanSummary) -> None:
    words = " ".join(shown(plan_table(plan_summary)).split())
    for note in plan_summary.notes:
        assert note in words


@pytest.mark.parametrize("width", [80, 100, 140])
def test_no_number_is_cut_at_usual_widths(plan_summary: PlanSummary, run_result: RunResult, width: int) -> None:
    assert "…" not in shown(plan_table(plan_summary), width)
    assert "…" not in shown(results_table(run_result), width)


def test_many_institutions_become_one_row_per_type(plan_summary: PlanSummary) -> None:
    bank, _, hospital = plan_summary.institutions
    banks = [replace(bank, institution=f"bank-{i}", n_rows=100 + i) for i in range(20)]
    banks[7] = replace(banks[7], privacy=replace(bank.privacy, epsilon_t=2.5))
    text = shown(plan_table(replace(plan_summary, institutions=(*banks, hospital))))
    plan, collusion = lines_of(text, "20 institutions")
    assert "100-119" in plan
    assert plan.split()[-1] == "2.5"
    assert collusion.split()[2:] == ["(bank)", "none", "2.5", "1", "1", "1"]
    assert "bank-3" not in text


def test_without_noise_the_plan_says_so(plan_summary: PlanSummary) -> None:
    bank = plan_summary.institutions[0]
    nothing = PrivacyStatement(**{**dict.fromkeys(asdict(bank.privacy)), "unit": "record"})
    text = shown(plan_table(replace(plan_summary, institutions=(replace(bank, privacy=nothing),))))
    assert "no privacy guarantee" in text
    assert "none" in text
    assert "collude" not in text


def test_central_noise_is_not_called_no_noise(plan_summary: PlanSummary) -> None:
    bank = plan_summary.institutions[0]
    central = replace(
        bank.privacy,
        epsilon_outsider=1.0,
        epsilon_t=None,
        epsilon_one_colludes=None,
        epsilon_half_collude=None,
        epsilon_all_others=None,
    )
    text = shown(plan_table(replace(plan_summary, institutions=(replace(bank, privacy=central),))))
    assert lines_of(text, "bank-1")[1].split() == ["bank-1", "1", "none", "none", "none", "none"]
    assert "No noise" not in text


def test_a_missing_epsilon_is_the_largest() -> None:
    assert largest([1.0, None, 3.0]) is None
    assert largest([1.0, 3.0]) == 3.0


def test_results_per_view(run_result: RunResult) -> None:
    rows = dict(view_rows(run_result, "bank"))
    assert list(rows) == ["alone*, mean of 2", "alone*: bank-1", "alone*: bank-2", "same type", "joint", "pooled*"]
    assert rows["alone*, mean of 2"][0] == "0.7535"
    assert [rows[f"alone*: bank-{i}"][0] for i in (1, 2)] == ["0.7500", "0.7570"]
    many = replace(run_result, alone={f"bank-{i}": run_result.alone["bank-1"] for i in range(7)})
    assert dict(view_rows(many, "bank"))["alone*, min-max"][0] == "0.750-0.750"
    assert rows["joint"] == ["0.7633", "0.4133", "0.1400", "6,000"]
    assert [label for label, _ in view_rows(run_result, "all")] == ["joint", "pooled*"]
    text = shown(results_table(run_result), 180)
    assert text.index("bank") < text.index("hospital") < text.index("all  ")
    assert "AUC 0.742 (95 % interval 0.689 to 0.795), KS 0.401, Brier 0.143" in text
    assert "* trained without privacy" in text


def test_figures_that_do_not_exist_say_why(run_result: RunResult) -> None:
    one_class = ModelResult(Metrics(None, None, 0.1, 50))
    empty = ModelResult(Metrics(None, None, None, 0))
    result = replace(
        run_result,
        joint=one_class,
        pooled=empty,
        alone={"a": one_class, "b": ModelResult(Metrics(0.6, 0.2, 0.1, 40))},
        federated=Federated(None, None, None, None, None),
    )
    rows = dict(view_rows(result, "all"))
    assert rows["joint"][0] == "n/a (one class only)"
    assert "pooled*" not in rows  # a rival that did not run has no row
    assert rows["alone*, mean of 2"] == ["0.6000 (1 n/a)", "0.2000 (1 n/a)", "0.1000", "40-50"]
    assert "AUC n/a" in shown(results_table(result), 120)


def test_phase_line() -> None:
    assert phase_line("train", 7, 20, 3.14, "round 8").plain.split() == [
        "....",
        "train",
        "7/20",
        "3.1",
        "s",
        "round",
        "8",
    ]
    assert phase_line("train", 20, 20, 9.0).plain.startswith("done")
    assert "\n" not in phase_line("preflight", 1, 1, 0.1).plain


def test_sweep_shows_mean_and_sd_over_seeds(run_result: RunResult) -> None:
    one = replace(run_result, joint=ModelResult(run_result.joint.overall))
    better = replace(run_result, joint=ModelResult(Metrics(0.7811, 0.42, 0.13, 6000)))
    points = [
        SweepPoint({"privacy.epsilon": "1"}, (one, better)),
        SweepPoint({"privacy.epsilon": "2", "split": "dirichlet"}, (better,)),
    ]
    text = shown(sweep_table(points), 160)
    first, second = (line for line in text.splitlines() if " all " in line)
    assert "0.7711 ± 0.0141" in first
    assert "0.7811" in second
    assert "dirichlet" in second


def test_mean_and_sd_does_not_hide_missing_runs() -> None:
    assert mean_and_sd([0.5]) == "0.5000"
    assert mean_and_sd([0.5, 0.7]) == "0.6000 ± 0.1414"
    assert mean_and_sd([0.5, None]) == "n/a (1 of 2 missing)"
    assert mean_and_sd([]) == "n/a (0 of 0 missing)"


def test_what_did_not_go_to_plan_is_said():
    given_up = Decided("train", 3, 1, Outcome.AGAIN, ("bank-1", "bank-2", "bank-3"))
    assert "train 3, attempt 1: given up; the next attempt asks 3 institutions" in trouble_line(given_up).plain
    rejoin = Decided("train", 3, 1, Outcome.AGAIN, ("bank-1", "bank-2"), ("bank-2",))
    assert "bank-2 must join again" in trouble_line(rejoin).plain
    assert "goes on with what there is" in trouble_line(Decided("train", 3, 3, Outcome.ENDED, ())).plain
