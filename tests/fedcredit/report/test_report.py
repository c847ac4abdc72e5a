"""The twelve parts: what each says of one job, and that what cannot be computed says why."""

import json
import re
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest

from fedcredit.evaluation.figure import Figure
from fedcredit.job.released_counts import ReleasedCounts, parse_counts
from fedcredit.models.mlp_spec import MlpSpec
from fedcredit.models.specs import ModelSpec
from fedcredit.plan import Placement, PrivacyUnit
from fedcredit.report.inputs import Assumptions, ReportInputs
from fedcredit.report.protection import advantage_bound, advantage_of, protection_of
from fedcredit.report.reason_stability import reason_stability
from fedcredit.report.report import SCHEMA, Report, report_of
from fedcredit.report.rivals import rivals_of
from fedcredit.report.segments import Segments
from fedcredit.wire.canonical import canonical_json
from tests import privacy_checks as checks
from tests import tiny

PARTS = (
    *("purpose", "participants", "protection", "discrimination", "calibration", "decisions"),
    *("drift", "groups", "explanation", "rivals", "limits", "signatures"),
)


@pytest.fixture(scope="module")
def report(inputs: ReportInputs) -> Report:
    return report_of(inputs)


def figures(of: object) -> list[Figure]:
    if isinstance(of, Figure):
        return [of]
    if is_dataclass(of):
        return [one for field in fields(of) for one in figures(getattr(of, field.name))]
    return [one for part in of for one in figures(part)] if isinstance(of, tuple) else []


def test_it_has_twelve_parts_and_a_versioned_json_form(report: Report) -> None:
    tree = json.loads(report.to_text())
    assert tuple(tree)[3:] == PARTS
    assert tree["schema"] == SCHEMA
    assert tree["discrimination"]["overall"]["auc"]["value"] == report.discrimination.overall.auc.value


def test_the_same_files_give_the_same_report(inputs: ReportInputs, report: Report) -> None:
    assert report_of(inputs) == report


def test_every_figure_has_a_value_or_a_reason(report: Report, inputs: ReportInputs) -> None:
    void = replace(inputs, counts=replace(inputs.counts, groupings=emptied(inputs.counts)))
    for one in (*figures(report), *figures(report_of(void))):
        assert (one.value is None) == bool(one.why)
        assert one.low is None or one.low <= one.value <= one.high


def test_who_took_part_and_who_signed(report: Report, inputs: ReportInputs) -> None:
    people = report.participants.participants
    assert [one.institution for one in people] == list(inputs.plan.members)
    assert all(one.stayed and one.receipt for one in people)
    assert report.signatures.receipts == inputs.plan.members
    assert {one.kind for one in report.participants.totals} == {"bank", "hospital"}
    assert [one.feature for one in report.participants.missing] == ["age", "status", "bill", "paid"]


def test_a_member_that_left_and_gave_no_receipt_is_named(inputs: ReportInputs) -> None:
    statements = {name: one for name, one in inputs.statements.items() if name != "bank-2"}
    job = {**inputs.job, "institutions": [*statements], "left_out": ["bank-2"], "rounds_trained": 1}
    found = report_of(replace(inputs, statements=statements, job=job))
    gone = next(one for one in found.participants.participants if one.institution == "bank-2")
    assert (gone.stayed, gone.receipt) == (False, False)
    assert found.signatures.no_receipt == ("bank-2",)
    assert any("bank-2" in sentence for sentence in found.limits.sentences)
    assert any("ended before its planned rounds" in sentence for sentence in found.limits.sentences)


def test_the_worst_attack_follows_from_mu() -> None:
    assert advantage_of(0.0) == 0
    assert advantage_of(1.0) == pytest.approx(0.38292, abs=1e-5)
    assert advantage_bound(1.0, 0.0) == pytest.approx(np.tanh(0.5))
    # A bound from one point of the curve is never below what the whole curve gives.
    assert advantage_bound(4.377, 1e-5) > advantage_of(1.0)


def test_each_observer_has_its_epsilon(report: Report) -> None:
    for kind in report.protection.kinds:
        outsider, calibrated, _, half, others = kind.exposures
        assert calibrated.epsilon == pytest.approx(kind.epsilon_planned)
        assert outsider.epsilon <= calibrated.epsilon <= half.epsilon <= others.epsilon
        assert 0 < calibrated.advantage < others.advantage < 1
        assert kind.epsilon_spent < kind.epsilon_planned
    assert max(kind.epsilon_planned for kind in report.protection.kinds) == pytest.approx(20.0, rel=1e-3)


def test_without_noise_nothing_is_promised(inputs: ReportInputs) -> None:
    privacy = inputs.plan.privacy.model_copy(
        update={"placement": Placement.NONE, "epsilon": None, "delta": None, "masks": False}
    )
    found = protection_of(replace(inputs, plan=inputs.plan.model_copy(update={"privacy": privacy})))
    assert not found.private
    assert found.words == ("No noise was added: there is no privacy guarantee, and figures are exact.",)
    assert {one.advantage for kind in found.kinds for one in kind.exposures} == {1.0}


def test_the_chosen_cut_off_is_the_break_even_unless_asked(inputs: ReportInputs, report: Report) -> None:
    assert report.decisions.asked_pd == pytest.approx(0.1 / 0.55)
    assert sum(row.chosen for row in report.decisions.rows) == 1
    points = [row.points for row in report.decisions.rows]
    assert points == sorted(points, reverse=True)
    asked = report_of(replace(inputs, assumptions=Assumptions(cut_off_pd=0.5))).decisions
    assert asked.chosen_pd == pytest.approx(0.5, abs=0.15)


def test_stability_needs_a_second_release(inputs: ReportInputs, report: Report) -> None:
    assert report.drift.why.startswith("not measured")
    assert [one.what for one in report.drift.within] == ["age"]
    compared = report_of(replace(inputs, earlier=inputs.counts)).drift
    assert compared.why is None
    assert compared.score.stability.index == 0
    assert {one.stability.index for one in compared.features} == {0}
    other = replace(inputs.counts, features=inputs.counts.features[:1])
    assert report_of(replace(inputs, earlier=other)).drift.features[1].stability.why


def test_groups_are_those_of_the_plan(report: Report, inputs: ReportInputs) -> None:
    (grouping,) = report.groups.groupings
    assert grouping.name == "age"
    assert len(grouping.rows) == 7
    one_type = replace(inputs.counts, groupings=inputs.counts.groupings[:1])
    assert report_of(replace(inputs, counts=one_type)).groups.why.startswith("not measured")


def test_points_and_directions(report: Report) -> None:
    by_name = {one.feature: one for one in report.explanation.features}
    assert by_name["status"].declared == "increasing"
    assert by_name["status"].found in ("increasing", "flat")
    assert sum(one.share for one in by_name["age"].bins) == pytest.approx(1)
    assert [kind for kind, _ in report.explanation.base_points] == ["bank", "hospital"]


def test_reasons_stand_firmer_under_less_noise(inputs: ReportInputs) -> None:
    found, why = reason_stability(inputs)
    assert why is None
    assert {one.kind for one in found} == {"bank", "hospital"}
    terms = inputs.plan.phases.train
    loud = terms.model_copy(update={"noise_variance": {kind: 400 * v for kind, v in terms.noise_variance.items()}})
    phases = inputs.plan.phases.model_copy(update={"train": loud})
    noisy, _ = reason_stability(replace(inputs, plan=inputs.plan.model_copy(update={"phases": phases})))
    for quiet, other in zip(found, noisy, strict=True):
        assert 0 <= other.main_kept < quiet.main_kept <= 1
        assert other.first_kept < quiet.first_kept
    silent = terms.model_copy(update={"noise_variance": dict.fromkeys(terms.noise_variance, 0)})
    phases = inputs.plan.phases.model_copy(update={"train": silent})
    privacy = inputs.plan.privacy.model_copy(update={"placement": Placement.NONE})
    exact = inputs.plan.model_copy(update={"phases": phases, "privacy": privacy})
    assert reason_stability(replace(inputs, plan=exact)) == (
        (),
        "no noise was added: reasons follow from the records alone",
    )


def test_a_model_without_points_says_so(inputs: ReportInputs) -> None:
    found = report_of(replace(inputs, model={"family": "mlp"})).explanation
    assert "no points table" in found.why
    assert found.features == ()


def test_rivals_are_a_simulation_s(report: Report, simulated: ReportInputs) -> None:
    assert report.rivals.why.startswith("not measured")
    found = report_of(simulated).rivals
    by_place = {(row.view, row.model.split(",")[0], row.institution): row for row in found.rows}
    assert by_place["bank", "one institution alone", "bank-1"].auc_delta == pytest.approx(0.02)
    assert by_place["hospital", "institutions of one type", None].auc_delta == pytest.approx(-0.02)
    assert by_place["bank", "joint model", None].auc_delta is None
    assert len(found.rows) == 8
    assert all(row.delta is None for row in found.rows)


def test_differences_to_rivals_have_intervals_of_sampling_and_noise(simulated: ReportInputs) -> None:
    kept = {"auc": {"value": 0.02, "sampling_stddev": 0.003}, "brier": {"value": -0.001, "sampling_stddev": 0.0005}}
    who = {"view": "bank", "model": "alone", "institution": "bank-1"}
    unknown = {**kept, "view": "bank", "model": "pooled", "institution": None, "auc_noise_stddev": None, "brier": None}
    deltas = [{**kept, **who, "auc_noise_stddev": 0.004}, unknown]
    found = rivals_of(replace(simulated, metrics={**simulated.metrics, "deltas": deltas}))
    alone = next(row for row in found.rows if row.institution == "bank-1")
    assert (alone.delta.value, alone.delta.sampling_stddev, alone.delta.noise_stddev) == (0.02, 0.003, 0.004)
    assert alone.delta.high == pytest.approx(0.02 + 1.96 * 0.005, abs=1e-6)
    assert alone.brier_delta.low == pytest.approx(-0.001 - 1.96 * 0.0005, abs=1e-6)
    pooled = next(row for row in found.rows if row.model.startswith("all rows") and row.view == "bank")
    assert (pooled.delta.noise_stddev, pooled.brier_delta) == (None, None)
    assert pooled.delta.high == pytest.approx(0.02 + 1.96 * 0.003, abs=1e-6)


def test_segments_stand_beside_the_rivals_of_a_drawn_population(inputs: ReportInputs, simulated: ReportInputs) -> None:
    assert report_of(inputs).rivals.segments == Segments((), "")
    figures = {"segment": "rural", "n": 90, "bads": 9, "auc": 0.7, "approval": 0.66, "approval_ratio": 0.9}
    figures |= {"predicted": 0.1, "observed": 0.1, "true": 0.11}
    gain = {"value": 0.02, "sampling_stddev": 0.01}
    both = [{**figures, "model": "banks together"}, {**figures, "model": "joint, linked", "auc_gain": gain}]
    found = rivals_of(replace(simulated, segments={"synthetic": "SYNTHETIC", "note": "n.", "figures": both})).segments
    assert [row.auc_gain and round(row.auc_gain.high, 4) for row in found.rows] == [None, 0.0396]
    assert found.note.startswith("SYNTHETIC")


def test_a_rival_that_protects_institutions_is_called_so(simulated: ReportInputs) -> None:
    models = simulated.metrics["models"]
    metrics = {"models": {**models, "client_level": models["joint"]}}
    rows = report_of(replace(simulated, metrics=metrics)).rivals.rows
    assert len(rows) == 10
    assert sum("institutions protected as wholes, not records" in row.model for row in rows) == 2


def test_the_word_that_a_report_never_says(simulated: ReportInputs) -> None:
    assert "compliant" not in report_of(simulated).to_text().lower()


def test_counts_survive_their_file(inputs: ReportInputs) -> None:
    again = parse_counts(canonical_json(inputs.counts.to_json()))
    assert again.grid == inputs.counts.grid
    assert again.to_json() == inputs.counts.to_json()
    nothing = ReleasedCounts((), None, ())
    assert parse_counts(canonical_json(nothing.to_json())) == nothing


def emptied(counts: ReleasedCounts) -> tuple:
    return tuple(replace(one, counts=np.zeros_like(one.counts)) for one in counts.groupings)


@pytest.mark.parametrize(
    ("model", "unit", "words"),
    [
        (tiny.spec().model, "record", "half as strong; a flipped label as if it were at most √2 times weaker"),
        (MlpSpec(), "record", "half as strong; so can the two labels"),
        (tiny.spec().model, "person", "Two persons exchanged for each other"),
    ],
    ids=["table", "clipped", "persons"],
)
def test_what_another_label_gains_depends_on_model_and_unit(
    inputs: ReportInputs, model: ModelSpec, unit: PrivacyUnit, words: str
) -> None:
    """Checked record by record in `tests/privacy/test_every_record.py`."""
    privacy = inputs.plan.privacy.model_copy(update={"unit": PrivacyUnit(unit)})
    plan = inputs.plan.model_copy(update={"model": model, "privacy": privacy})
    assert any(words in one for one in protection_of(replace(inputs, plan=plan)).not_covered)


@pytest.mark.parametrize("times", [1, 10, 100, 1000])
def test_the_best_attack_never_wins_more_bets_than_are_printed(inputs: ReportInputs, times: int) -> None:
    """Whatever the noise, since half of all numbers would be rounded down."""
    phases = inputs.plan.phases.model_dump()
    for terms in phases.values():
        terms["noise_variance"] = {kind: times * one for kind, one in terms["noise_variance"].items()}
    protection = protection_of(replace(inputs, plan=checks.changed(inputs.plan, phases=phases)))
    printed = re.findall(r"(\d+) (?:for the|if all)", " ".join(protection.words))
    for number, row in zip(printed, (1, 4), strict=True):
        assert int(number) >= 50 + 50 * max(one.exposures[row].advantage for one in protection.kinds)
