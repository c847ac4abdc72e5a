from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fedcredit.errors import CheckError, ConfigError
from simulations.comparisons import run_pooled, run_same_type, score_outcome
from simulations.population.consortium import (
    BANK,
    HOSPITAL,
    draw_consortium,
    institutions_in,
    linked_institutions,
    split_of,
)
from simulations.population.judging import judge, segments_of
from simulations.population.spec import PopulationSpec, UnitMistake
from simulations.run import Prepared, execute, prepare_consortium
from simulations.settings import population_spec, read_settings
from simulations.simulation import compose_config

SPEC = PopulationSpec(seed=4, persons=6000, banks=3, hospitals=3, regions=2)
QUICK = ("compare=false", "masks=off", "++model.rounds=5", "privacy=none", "data.population.persons=6000")


@pytest.fixture(scope="module")
def consortium():
    return draw_consortium(SPEC)


def prepared(*overrides: str) -> Prepared:
    config = compose_config(["experiment=synthetic_consortium", *QUICK, *overrides])
    spec = population_spec(config)
    assert spec is not None
    drawn = draw_consortium(spec)
    return prepare_consortium(read_settings(config, drawn.n_rows), drawn, 0.0)


def test_each_institution_has_its_own_rows_columns_and_label(consortium) -> None:
    for one in institutions_in(consortium):
        rows = consortium.population.held_by(one.id)
        assert one.size == rows.size
        assert one.data.train.cells.shape[1] == len(consortium.dictionary.owned(one.kind))
        bads = consortium.labels(one.kind)[rows]
        assert one.data.train.bad.sum() + one.data.evaluate.bad.sum() == bads.sum()


def test_nobody_tests_at_one_institution_and_trains_at_another(consortium) -> None:
    people = {
        kind: (set(rows[~consortium.is_test[rows]]), set(rows[consortium.is_test[rows]]))
        for kind in (BANK, HOSPITAL)
        for rows in [consortium.customers(kind)]
    }
    assert people[BANK][0] & people[HOSPITAL][0]
    assert not people[BANK][0] & people[HOSPITAL][1]
    assert not people[BANK][1] & people[HOSPITAL][0]
    assert consortium.is_test.mean() == pytest.approx(0.2, abs=0.03)


def test_a_split_knows_the_other_types_columns_of_linked_persons_only(consortium) -> None:
    split = split_of(consortium, BANK)
    foreign = np.setdiff1d(np.arange(split.table.cells.shape[1]), consortium.dictionary.owned(BANK))
    missing = [consortium.dictionary.features[index].missing_cell for index in foreign]
    unknown = np.all(split.table.cells[:, foreign] == missing, axis=1)
    assert np.array_equal(unknown, ~split.linked)
    assert split.linked.sum() == consortium.population.linked.sum()
    assert np.array_equal(split.table.bad, consortium.labels(BANK)[consortium.customers(BANK)])


def test_linked_rows_are_those_of_consenting_persons_in_their_roles(consortium) -> None:
    linked = linked_institutions(consortium, BANK, HOSPITAL)
    assert [one.id for one in linked] == list(SPEC.bank_ids)
    population = consortium.population
    for one in linked:
        persons = population.held_by(one.id)
        persons = persons[population.linked[persons]]
        assert one.evaluate.bad.size == consortium.is_test[persons].sum()
        assert one.train.bad.size + one.evaluate.bad.size == persons.size
        assert one.train.other.shape[1] == len(consortium.dictionary.owned(HOSPITAL))
    assert population.places.consent[population.linked].all()


def test_without_consent_nobody_is_linked() -> None:
    drawn = draw_consortium(replace(SPEC, persons=2000, consent_share=0.0))
    assert not split_of(drawn, BANK).linked.any()
    with pytest.raises(ConfigError, match="consent_share"):
        linked_institutions(drawn, BANK, HOSPITAL)


def test_a_bank_far_from_every_hospital_takes_no_part_in_linking() -> None:
    drawn = draw_consortium(replace(SPEC, persons=2000, hospitals=1))
    assert [one.id for one in linked_institutions(drawn, BANK, HOSPITAL)] == ["bank-1", "bank-3"]


def test_who_applies_later_is_held_by_nobody_and_tests() -> None:
    drawn = draw_consortium(replace(SPEC, persons=3000), later_months=6)
    later = set(np.flatnonzero(drawn.population.persons.month > 18))
    assert later
    held = [set(drawn.held_by(name)) for name in (*SPEC.bank_ids, *SPEC.hospital_ids)]
    assert not any(later & one for one in held)
    assert sum(one.size for one in institutions_in(drawn)) == drawn.n_rows == sum(map(len, held))
    split = split_of(drawn, BANK)
    rows = drawn.customers(BANK)
    assert later & set(rows) <= set(rows[split.test])
    assert np.array_equal(rows[split.test], drawn.test_customers(BANK))
    segments = segments_of(drawn, BANK)
    assert np.array_equal(segments["out of time"], ~segments["in time"])
    assert 0 < segments["in time"].sum() < segments["out of time"].sum()


def test_later_months_leave_some_to_train_on() -> None:
    with pytest.raises(ConfigError, match="later_months=24 leaves none of 24"):
        draw_consortium(SPEC, later_months=24)


def test_a_unit_mistake_stops_the_run_before_any_custodian_and_names_institution_and_column() -> None:
    with pytest.raises(CheckError) as error:
        draw_consortium(replace(SPEC, unit_mistakes=(UnitMistake("bank-2", "debt_to_income", 100.0),)))
    assert error.value.problems
    assert all(problem.startswith("bank-2: debt_to_income") for problem in error.value.problems)


def test_a_poisoned_institution_passes_its_own_check_and_harms_the_joint_model() -> None:
    scores = {}
    for name, overrides in (("clean", ()), ("poisoned", ("data.population.poisoned=[bank-1]",))):
        ready = prepared("linked=none", "federation.banks=2", "federation.hospitals=1", *overrides)
        finished = execute(ready, None)
        # Judged against the labels that nobody inverted.
        drawn = ready.consortium
        honest = drawn.population.outcomes.bank_bad[drawn.test_customers(BANK)]
        scores[name] = roc_auc_score(honest, finished.comparison.joint["bank"].pd)
    assert scores["clean"] > 0.65
    assert scores["poisoned"] < scores["clean"] - 0.05


def test_linking_scores_linked_customers_anew_and_leaves_the_others_alone() -> None:
    ready = prepared("federation.banks=3", "federation.hospitals=2")
    finished = execute(ready, None)
    split = ready.splits["all"]
    linked = split.linked[split.test]
    own, joint = (finished.comparison.joint[view].pd for view in ("bank", "all"))
    assert np.array_equal(own[~linked], joint[~linked])
    assert np.mean(own[linked] != joint[linked]) > 0.9
    # Against the true probability: among few test customers an AUC against labels is mostly luck.
    off = {(one.model, one.segment): one.distance for one in finished.segments}
    assert off["joint, linked", "linked"] < off["joint, bank view", "linked"] - 0.003


def test_patients_are_scored_with_the_bank_s_block_where_the_settings_say_so() -> None:
    ready = prepared("federation.banks=3", "federation.hospitals=2", "linked.customers=hospital")
    assert {one.id for one in ready.linked} == {"hospital-1", "hospital-2"}
    finished = execute(ready, None)
    split, view = ready.splits["all"], finished.joint_view.view
    assert split.test.size == ready.consortium.test_customers(HOSPITAL).size
    own, joint = (finished.comparison.joint[name].pd for name in ("hospital", "all"))
    linked = split.linked[split.test]
    assert view.view == "hospital"
    assert view.files["thick"].weight > 0
    assert np.array_equal(own[~linked], joint[~linked])
    assert np.mean(own[linked] != joint[linked]) > 0.9
    off = {(one.model, one.segment): one.distance for one in finished.segments}
    assert off["joint, linked", "linked"] < off["joint, hospital view", "linked"]


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("data.population.thin_share=2.0", "thin_share"),
        ("data.population.poisoned=[bank-7]", "bank-7"),
        ("+data.population.colour=red", "colour"),
        ("data.later_months=-1", "later_months"),
        ("runtime=flower", "runtime"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_sentence(override, named) -> None:
    with pytest.raises(ConfigError, match=named):
        population_spec(compose_config(["experiment=synthetic_consortium", "linked=none", override]))


def aucs(privacy: str, seed: int) -> dict[tuple[str, str], float]:
    """By model and segment; population, split and noise are drawn by the seed."""
    noise = [] if privacy == "none" else [f"noise.seed={1000 * seed}"]
    settings = [f"privacy={privacy}", f"seed={seed}", "masks=off", "compare=false", *noise]
    config = compose_config(["experiment=synthetic_consortium", *settings])
    drawn = draw_consortium(population_spec(config))
    ready = prepare_consortium(read_settings(config, drawn.n_rows), drawn, 0.0)
    finished, split = execute(ready, None), ready.splits[BANK]
    # Of all rivals these two alone, since ten institutions alone take as long as everything else.
    spec, rows = replace(ready.settings.job, privacy=ready.settings.target), (split.table, split.test)
    rival = run_same_type(drawn.dictionary, ready.federation.institutions, BANK, spec, "off")
    together = score_outcome(drawn.dictionary, rival, *rows)[BANK]
    pooled = {}
    if privacy == "none":
        pooled = {"all": run_pooled(drawn.dictionary, split.table, split.train, split.test, "all", spec)[1]}
    comparison = replace(finished.comparison, same_type={BANK: together}, pooled=pooled)
    return {(one.model, one.segment): one.auc for one in judge(drawn, comparison, BANK)}


def mean_aucs(privacy: str) -> dict[tuple[str, str], float]:
    """The mean over seeds 0, 1 and 2."""
    found = [aucs(privacy, seed) for seed in (0, 1, 2)]
    return {key: float(np.mean([one[key] for one in found])) for key in found[0]}


def gain(found: dict[tuple[str, str], float], segment: str) -> float:
    return found["joint, linked", segment] - found["banks together", segment]


@pytest.fixture(scope="module")
def without_privacy() -> dict[tuple[str, str], float]:
    return mean_aucs("none")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_without_privacy_the_joint_view_beats_the_banks_together_and_keeps_up_with_pooling(without_privacy) -> None:
    assert gain(without_privacy, "all") >= 0.010
    assert gain(without_privacy, "thin file") >= 0.030
    for segment in ("all", "thin file"):
        assert without_privacy["joint, linked", segment] >= without_privacy["pooled*, linked", segment] - 0.005


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_at_epsilon_one_with_shared_noise_two_thirds_of_that_gain_are_kept(without_privacy) -> None:
    private = mean_aucs("distributed")
    for segment in ("all", "thin file"):
        assert gain(private, segment) >= 2 / 3 * gain(without_privacy, segment)
