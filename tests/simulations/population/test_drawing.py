from dataclasses import replace

import numpy as np
import pytest

from fedcredit.errors import ConfigError
from simulations.population import PopulationSpec, draw
from simulations.population.spec import UnitMistake, parse_spec

SMALL = PopulationSpec(seed=3, persons=4000)


@pytest.fixture(scope="module")
def population():
    return draw(SMALL)


def same(first, second) -> bool:
    return bool(np.array_equal(first, second, equal_nan=first.dtype.kind == "f"))


def test_equal_specifications_give_equal_populations(population) -> None:
    again = draw(SMALL)
    assert all(same(values, again.columns[name]) for name, values in population.columns.items())
    assert same(population.places.hospital, again.places.hospital)
    other = draw(replace(SMALL, seed=4))
    assert not any(same(values, other.columns[name]) for name, values in population.columns.items())


def test_a_person_does_not_depend_on_how_many_others_there_are(population) -> None:
    larger = draw(replace(SMALL, persons=5000))
    assert all(same(values, larger.columns[name][:4000]) for name, values in population.columns.items())
    assert same(population.outcomes.true_pd_bank, larger.outcomes.true_pd_bank[:4000])


def test_one_knob_leaves_the_other_columns_alone(population) -> None:
    other = draw(replace(SMALL, consent_share=0.2, thin_share=0.4))
    assert same(population.columns["income"], other.columns["income"])
    assert same(population.columns["bank_bad"], other.columns["bank_bad"])
    assert other.places.consent.mean() == pytest.approx(0.2, abs=0.03)


def test_the_labels_follow_the_true_probabilities() -> None:
    outcomes = draw(replace(SMALL, persons=40_000)).outcomes
    for label, pd in ((outcomes.bank_bad, outcomes.true_pd_bank), (outcomes.hospital_bad, outcomes.true_pd_hospital)):
        tenth = np.digitize(pd, np.quantile(pd, np.linspace(0.1, 0.9, 9)))
        n = np.bincount(tenth)
        excess = np.bincount(tenth, weights=label - pd) / np.sqrt(np.bincount(tenth, weights=pd * (1 - pd)))
        assert n.min() > 3000
        assert np.max(np.abs(excess)) < 4


def test_institutions_hold_disjoint_customers_of_their_type(population) -> None:
    spec = population.spec
    for names in (spec.bank_ids, spec.hospital_ids):
        rows = np.concatenate([population.held_by(name) for name in names])
        assert np.unique(rows).size == rows.size
        assert all(population.held_by(name).size for name in names)
    both = (population.places.bank >= 0) & (population.places.hospital >= 0)
    assert 0 < population.linked.sum() < both.sum()
    assert not np.any(population.linked & ~population.places.consent)


def test_thin_files_have_no_bank_history_and_nobody_else_lacks_it(population) -> None:
    empty = np.isnan(population.columns["savings"]) & np.isnan(population.columns["utilisation"])
    thin = population.places.thin_file
    assert empty[thin].all()
    assert empty[~thin].mean() < 0.01


def test_rural_income_is_under_recorded(population) -> None:
    ratio = population.columns["income"] / (1000 * population.persons.income)
    rural = population.persons.rural
    assert np.mean(ratio[rural] < 0.65) == pytest.approx(0.5, abs=0.05)
    assert np.mean(ratio[~rural] < 0.65) < 0.01


def test_overlap_differs_by_region(population) -> None:
    patient, region = population.places.hospital >= 0, population.persons.region
    shares = [patient[region == r].mean() for r in range(SMALL.regions)]
    assert shares[0] == pytest.approx(0.6, abs=0.06)
    assert shares[-1] == pytest.approx(0.4, abs=0.06)


@pytest.mark.parametrize(
    ("knob", "flat"), [("region_shift", "income"), ("label_shift", "bank_bad"), ("drift", "bank_bad")]
)
def test_a_shift_knob_moves_what_it_names(knob, flat) -> None:
    place = "application_month" if knob == "drift" else "region"
    gaps = []
    for strength in (0.0, 2.0):
        columns = draw(PopulationSpec(seed=1, persons=20_000, **{knob: strength})).columns
        high = columns[place] > np.median(columns[place])
        gaps.append(abs(float(np.mean(columns[flat][high]) / np.mean(columns[flat][~high])) - 1))
    assert gaps[1] > gaps[0] + 0.2


def test_missingness_blanks_values_at_random() -> None:
    columns = draw(replace(SMALL, missingness=0.3)).columns
    assert np.isnan(columns["days_late_max"]).mean() == pytest.approx(0.3, abs=0.03)
    assert np.mean(columns["payment_plan"] == "") == pytest.approx(0.3, abs=0.03)


def test_a_poisoned_institution_inverts_its_own_labels_only(population) -> None:
    bad = draw(replace(SMALL, poisoned=("bank-2", "hospital-1")))
    theirs = population.held_by("bank-2")
    flipped = np.flatnonzero(bad.columns["bank_bad"] != population.columns["bank_bad"])
    assert np.array_equal(flipped, theirs)
    patients = np.flatnonzero(bad.columns["hospital_bad"] != population.columns["hospital_bad"])
    assert np.array_equal(patients, population.held_by("hospital-1"))
    assert same(bad.outcomes.true_pd_bank, population.outcomes.true_pd_bank)


def test_settings_are_read_from_texts() -> None:
    spec = parse_spec(["persons=10", "overlap=0.1,0.2", "poisoned=bank-1", "unit_mistakes=bank-2:income:12", "drift=0"])
    assert spec == PopulationSpec(
        persons=10,
        overlap=(0.1, 0.2),
        poisoned=("bank-1",),
        unit_mistakes=(UnitMistake("bank-2", "income", 12.0),),
        drift=0.0,
    )


@pytest.mark.parametrize(
    "text",
    ["persons=0", "persons=many", "person=3", "persons", "overlap=0.5,0.2", "overlap=0.5", "consent_share=nan",
     "poisoned=bank-9", "unit_mistakes=bank-1:income", "unit_mistakes=bank-9:income:3", "thin_share=0.9"],
)  # fmt: skip
def test_a_wrong_setting_is_one_sentence_that_names_it(text) -> None:
    with pytest.raises(ConfigError) as error:
        parse_spec([text])
    assert text.split("=")[0] in str(error.value)
    assert "\n" not in str(error.value)


def test_a_unit_mistake_needs_a_column_of_numbers() -> None:
    with pytest.raises(ConfigError, match="payment_plan"):
        draw(replace(SMALL, unit_mistakes=(UnitMistake("hospital-1", "payment_plan", 3.0),)))
