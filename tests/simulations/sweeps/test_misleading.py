"""A sweep's figures and tables do not average what differs, nor claim a spread or an order that is not there."""

from dataclasses import replace

import pytest

from simulations.report import named_pictures
from simulations.sweeps.curves import DEALING, EPSILON, axes_of, derived, dimensions, pictures
from simulations.sweeps.page import (
    SweepPage,
    groups_of,
    institution_table,
    render,
    seeds_told,
    unfinished_told,
    utility_table,
)
from simulations.sweeps.rows import institution_rows, row_of
from simulations.sweeps.store import SweepFolder

EPSILONS = [{"privacy.epsilon": epsilon} for epsilon in (1.0, 4.0)]
DEALT = [{}, {"federation.split": "dirichlet", "federation.alpha": 0.1}]


def read(folder):
    return derived([row_of(name, point) for name, point in SweepFolder(folder).points().items()])


def members(folder):
    points = SweepFolder(folder).points()
    return derived(
        [{**row_of(name, one), **row} for name, one in points.items() for row in institution_rows(name, one)]
    )


def test_runs_of_two_deltas_are_two_settings(make_sweep) -> None:
    """They were averaged as if they were seeds."""
    rows = read(make_sweep({"privacy.delta": [1e-5, 1e-7], "seed": [0, 1]}))
    assert dimensions(rows) == ["settings.privacy.delta"]
    assert [len(group) for group in groups_of(rows).values()] == [2, 2]


def test_a_delta_that_runs_without_noise_lack_is_no_setting(make_sweep) -> None:
    none = {"privacy.placement": "none", "privacy.epsilon": None, "privacy.delta": None}
    rows = read(make_sweep([*({**one, "privacy.delta": 1e-5} for one in EPSILONS), none]))
    assert "settings.privacy.delta" not in dimensions(rows)


def test_own_models_of_two_dealings_are_two_curves(make_sweep) -> None:
    """One line stood for both, halfway between them."""
    rows = read(make_sweep([{**epsilon, **dealt} for epsilon in EPSILONS for dealt in DEALT]))
    (axis,) = (axis for axis in axes_of(rows) if axis.column == EPSILON)
    (picture,) = pictures(rows, axis, "auc")
    curves = {curve.label: curve for curve in picture.panels["bank"]}
    own = {label: curve for label, curve in curves.items() if label.startswith("alone")}
    assert list(own) == ["alone, no privacy; Dirichlet α = 0.1", "alone, no privacy; iid"]
    even, uneven = (own[f"alone, no privacy; {dealt}"] for dealt in ("iid", "Dirichlet α = 0.1"))
    assert even.mean[0] - uneven.mean[0] == pytest.approx(0.02 / 0.1**0.5)
    assert (even.beside, uneven.beside) == ("iid", "Dirichlet α = 0.1")
    assert {even.beside, uneven.beside} <= set(curves)
    assert [label for label in curves if label.startswith("pooled")] == ["pooled, no privacy"]  # it is the same
    assert DEALING in dimensions(rows)


def test_one_run_has_no_spread(make_sweep) -> None:
    """It was printed as ± 0.0000."""
    rows = read(make_sweep(EPSILONS))
    assert not any("±" in cell for row in utility_table(groups_of(rows)).rows for cell in row)
    (picture,) = pictures(rows, axes_of(rows)[0], "auc")
    assert {curve.stddev for curve in picture.panels["bank"]} == {(None, None)}


def test_the_table_of_institutions_does_not_mix_their_own_models(make_sweep) -> None:
    folder = make_sweep([{**dealt, "seed": seed} for dealt in DEALT for seed in (0, 1)])
    table = institution_table(groups_of(members(folder)))
    assert table.columns == (
        "institution", "AUC alone: iid", "AUC alone: Dirichlet α = 0.1", "gain: iid", "gain: Dirichlet α = 0.1",
    )  # fmt: skip
    assert table.rows[0][:3] == ("bank-1", "0.7685 ± 0.0007", f"{0.7685 - 0.02 / 0.1**0.5:.4f} ± 0.0007")


def test_the_spread_of_an_own_model_is_that_of_its_seeds(make_sweep) -> None:
    """Each seed was counted once for every epsilon, which made the spread smaller."""
    folder = make_sweep([{**epsilon, "seed": seed} for epsilon in EPSILONS for seed in (0, 10)])
    table = institution_table(groups_of(members(folder)))
    assert table.columns[:2] == ("institution", "AUC alone")
    assert table.rows[0][1] == f"{0.768 + 0.005:.4f} ± {0.01 / 2**0.5:.4f}"


def test_an_unfinished_sweep_says_that_seeds_differ(make_sweep) -> None:
    whole = [{**epsilon, "seed": seed} for epsilon in EPSILONS for seed in (0, 1, 2)]
    assert "some have 2, some 3" in seeds_told(groups_of(read(make_sweep(whole[:-1]))))
    assert seeds_told(groups_of(read(make_sweep(whole)))) == ""


def test_a_figure_that_some_runs_lack_says_so(make_sweep) -> None:
    rows = read(make_sweep({"seed": [0, 1, 2]}))
    rows[1] = {**rows[1], "joint.bank.auc": None}
    assert any("(2 of 3 runs)" in cell for row in utility_table(groups_of(rows)).rows for cell in row)


def test_pictures_of_settings_that_are_written_alike_have_files_of_their_own(make_sweep) -> None:
    """-1 and 1 gave one name, and the second figure was written over the first."""
    factors = [{"events.poison_factor": factor, "events.poisoner": 0.1, "runtime": "cohort"} for factor in (-1, 1)]
    placed = [{"privacy.placement": placement} for placement in ("local", "central")]
    folder = make_sweep([{**e, **f, **p} for e in EPSILONS for f in factors for p in placed], compare=False)
    names = list(named_pictures(read(folder)))
    assert [name for name in names if name.startswith("auc-by-epsilon")] == [
        "auc-by-epsilon-poison-factor-1", "auc-by-epsilon-poison-factor-1-2",
    ]  # fmt: skip


def test_jobs_that_ended_early_or_lost_members_are_told(make_sweep) -> None:
    """Their figures stood among the others, and nothing said so."""
    rows = read(make_sweep({"seed": [0, 1, 2]}))
    assert unfinished_told(rows) == ""
    rows[0] = {**rows[0], "run.rounds_trained": 7}
    rows[1] = {**rows[1], "run.institutions_left": 2}
    assert unfinished_told(rows[:2]) == (
        "1 of 2 runs trained fewer rounds than planned. 1 of 2 runs ended without some of their institutions."
    )


def test_the_page_says_what_makes_settings_hard_to_compare() -> None:
    page = SweepPage("title", {}, {}, 3, 2, "finish <the> sweep", [], [])
    assert "finish &lt;the&gt; sweep" in render(page)
    assert "finish" not in render(replace(page, warning=""))


def test_model_families_stand_in_one_figure(make_sweep) -> None:
    """What only one family knows made every family a figure of its own, so none could be compared."""
    families = [
        {"model": {"family": "scorecard", "rounds": 20}},
        {"model": {"family": "additive", "rounds": 20, "max_bins": 16}},
    ]
    rows = read(make_sweep([{**epsilon, **family} for epsilon in EPSILONS for family in families]))
    assert dimensions(rows) == [EPSILON, "settings.model.family"]
    (picture,) = pictures(rows, axes_of(rows)[0], "auc")
    assert [curve.label for curve in picture.panels["bank"]][:2] == ["family additive", "family scorecard"]
    deeper = {"model": {"family": "additive", "rounds": 20, "max_bins": 8}}
    assert "settings.model.max_bins" in dimensions(read(make_sweep([deeper])))
