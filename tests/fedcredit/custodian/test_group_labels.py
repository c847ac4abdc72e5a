"""Group labels at a custodian: read and counted by the policy's word, and out of reach of every model."""

from dataclasses import replace

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.custodian.contribute import contribute
from fedcredit.custodian.guard_policy import guard_policy
from fedcredit.custodian.policy import Policy
from fedcredit.custodian.site_check import examine_site
from fedcredit.custodian.site_file import load_site, load_site_file
from fedcredit.data.rows import validate_rows
from fedcredit.errors import ConfigError, DataError, RefusalError
from fedcredit.outbox.vectors import vector_in_words
from fedcredit.privacy.bits import OsBitSource
from fedcredit.wire.messages import Role
from simulations.federation import custodian_of, found
from tests import labelled, tiny
from tests import privacy_checks as checks
from tests.privacy import raw_site

ALLOWED = {"bias_examination": ["sex", "region"], "refused_classes": ["sensitive", "sensitive-health"]}


@pytest.fixture(scope="module")
def consortium():
    return labelled.federation()


@pytest.fixture(scope="module")
def models(consortium):
    return checks.models(consortium, labelled.job())


def site_of(consortium, place=0):
    return custodian_of(consortium, consortium.institutions[place], labelled.job(), None)._site


def verdict(site, plan, **changes):
    policy = Policy.model_validate({**site.policy.model_dump(by_alias=True), "bias_examination": [], **changes})
    try:
        guard_policy(site, policy, plan)
    except RefusalError as error:
        return error.code
    return None


def test_a_plan_that_counts_a_label_needs_the_policys_word_and_no_pack_stands_in_its_way(consortium):
    bank, hospital = site_of(consortium), site_of(consortium, 2)
    assert verdict(bank, consortium.plan) == "class"
    assert verdict(bank, consortium.plan, bias_examination=["sex"]) == "class"
    assert verdict(bank, consortium.plan, **ALLOWED) is None
    assert verdict(hospital, consortium.plan) is None  # holds none
    plain = found(labelled.dictionary(), labelled.institutions(), labelled.job(("type",)))
    assert verdict(bank, plain.plan) is None


def test_a_label_that_is_read_without_a_basis_is_refused_where_the_policy_asks(consortium):
    bank = site_of(consortium)
    groups = tuple(one.model_copy(update={"basis": " "}) for one in bank.dictionary.groups)
    unfounded = replace(bank, dictionary=bank.dictionary.model_copy(update={"groups": groups}))
    assert verdict(unfounded, consortium.plan, require_basis=True, **ALLOWED) == "basis"
    assert verdict(bank, consortium.plan, require_basis=True, **ALLOWED) is None


@settings(max_examples=8)
@given(seed=st.integers(1, 2**31))
def test_no_label_reaches_preflight_or_training(consortium, models, seed):
    sites = [site_of(consortium)]
    sites.append(replace(sites[0], data=labelled.with_labels(sites[0].data, seed)))
    for role in Role:
        left, right = (contribute(site, consortium.plan, role, models[role], OsBitSource(), b"") for site in sites)
        assert np.array_equal(left, right) == (role is not Role.EVALUATE)


def test_training_rows_cannot_even_hold_labels():
    data = labelled.institutions()[0].data
    with pytest.raises(DataError, match="group labels"):
        replace(data, train=replace(data.train, groups=labelled.labels(data.train.n_rows, 1)))


@pytest.mark.parametrize("broken", [np.full((4, 2), 3, np.uint16), np.zeros((4, 1), np.uint16), np.zeros((4, 2))])
def test_labels_of_another_form_are_refused(broken):
    rows = replace(tiny.rows("bank", 4, 1), groups=broken)
    with pytest.raises(DataError, match="group"):
        validate_rows(rows, labelled.dictionary(), "bank")


def test_what_leaves_is_said_in_words(consortium):
    said = vector_in_words(consortium.plan, Role.EVALUATE, 3, 1)
    assert "by type, sex, sex with region, times" in said


# From files, through the loader of a deployment.


def table_rows(n=90):
    generator = np.random.default_rng(4)
    places = generator.integers(0, 3, n)
    return [
        {**row, "sex": str("fm"[place % 2]), "region": "uro"[place]}
        for row, place in zip(raw_site.plain_rows(n), places, strict=True)
    ]


@pytest.fixture
def raw(consortium, tmp_path, monkeypatch):
    monkeypatch.setattr(raw_site, "COLUMNS", (*raw_site.COLUMNS, "sex", "region"))
    site = raw_site.raw_site(consortium, tmp_path)
    (tmp_path / "dictionary.yaml").write_bytes(labelled.DICTIONARY)
    allow(site, "sex", "region")
    return site


def allow(site, *names):
    policy = yaml.safe_load((site.folder / "policy.yaml").read_text())
    raw_site.write_private(site.folder / "policy.yaml", {**policy, "bias_examination": list(names)})


def test_labels_come_from_the_table_and_leave_as_counts_only(raw, consortium, models):
    rows = table_rows()
    moved = [{**row, "sex": "m", "region": ""} for row in rows]
    sums = []
    for one in (rows, moved):
        bank = raw.custodian(one)
        sums.append({role: checks.exact_sums(bank, consortium.plan, role, models[role]) for role in Role})
    assert np.array_equal(sums[0][Role.PREFLIGHT], sums[1][Role.PREFLIGHT])
    assert np.array_equal(sums[0][Role.TRAIN], sums[1][Role.TRAIN])
    assert not np.array_equal(sums[0][Role.EVALUATE], sums[1][Role.EVALUATE])


def test_one_record_changes_no_more_than_what_is_charged(raw, consortium, models):
    rows, squared = table_rows(), consortium.plan.phases.evaluate.sensitivity_squared["bank"]
    reached = set()
    base = checks.exact_sums(raw.custodian(rows), consortium.plan, Role.EVALUATE, models[Role.EVALUATE])
    for number in range(6):
        more = [*rows, {**rows[number], "id": f"new{number}"}]
        sums = checks.exact_sums(raw.custodian(more), consortium.plan, Role.EVALUATE, models[Role.EVALUATE])
        checks.check_neighbours((sums, base), squared)
        reached.add(sum(int(value) ** 2 for value in sums - base))
    assert reached == {0, squared}


def test_the_frozen_datas_fingerprint_holds_the_labels(raw):
    rows = table_rows()
    left, right = (raw.custodian(one)._site.data for one in (rows, [{**row, "sex": ""} for row in rows]))
    assert left.fingerprint != right.fingerprint
    np.testing.assert_array_equal(left.train.cells, right.train.cells)


@pytest.mark.parametrize(
    ("allowed", "words"), [(("sex",), "reads the group region"), (("sex", "region", "hair"), "names hair")]
)
def test_a_site_reads_exactly_the_labels_that_its_policy_names(raw, allowed, words):
    raw_site.write_table(raw.folder / "rows.csv", table_rows())
    file = load_site_file(raw.folder / "SITE.yaml")
    load_site(file)
    allow(raw, *allowed)
    with pytest.raises(ConfigError, match=words):
        load_site(file)
    assert any(words in problem for problem in examine_site(file).problems)
