"""A person is one unit: sampled whole, and clipped whole, however many records it has."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fedcredit.custodian import contribute as contribute_module
from fedcredit.custodian.contribute import contribute
from fedcredit.data.rows import Dataset, Rows, single
from fedcredit.models.family import family_of
from fedcredit.models.mlp_model import MlpModel, decode
from fedcredit.plan import Placement, PrivacyTerms, PrivacyUnit
from fedcredit.privacy.bits import OsBitSource
from fedcredit.terms import derive
from fedcredit.wire.messages import Contribution, JoinRequest, Role
from tests import privacy_checks as checks
from tests import step_traces, tiny

CAP = 5
PERSON = PrivacyTerms(
    placement=Placement.LOCAL, unit=PrivacyUnit.PERSON, max_records_per_person=CAP, epsilon=4.0, delta=1e-5, masks=True
)
CELLS = [feature.n_cells for feature in tiny.dictionary().owned_features("bank")]


class World:
    """A consortium of persons with up to `CAP` records, and a bank that has joined."""

    def __init__(self, **model):
        self.job = step_traces.job(PERSON, **{"local_steps": 1, **model})
        base = tiny.federation(self.job)
        self.consortium = replace(
            base, institutions=tuple(replace(one, data=by_person(one.data)) for one in base.institutions)
        )
        self.plan = self.consortium.plan
        driver = tiny.coordinator(self.consortium)
        tiny.run(driver, tiny.custodians(self.consortium, self.job), until="train")
        self.model = family_of("mlp").broadcast(driver.progress.state)
        self.site = self.bank()._site

    def bank(self, data=None):
        return checks.joined(self.consortium, self.job, data)

    def sums(self, rows, model=None):
        """A bank's exact sums of a round in which everybody takes part."""
        site = replace(self.site, data=replace(self.site.data, train=rows))
        return contribute(site, self.plan, Role.TRAIN, model or self.model, OsBitSource(), b"")


def by_person(data: Dataset) -> Dataset:
    """The same rows, dealt to persons with 1, 2, ... `CAP` records in turn."""

    def dealt(rows: Rows) -> Rows:
        whose = np.repeat(np.arange(rows.n_rows), np.resize(np.arange(1, CAP + 1), rows.n_rows))[: rows.n_rows]
        return single(rows.cells, rows.bad, whose)

    return replace(data, train=dealt(data.train), evaluate=dealt(data.evaluate))


@pytest.fixture(scope="module")
def whole():
    return World(sampling_rate=1.0)


@pytest.fixture(scope="module")
def sampled():
    return World(sampling_rate=0.25)


def test_a_job_over_persons_runs_at_the_planned_cost(sampled):
    bank = sampled.bank()
    sent = checks.ask(sampled.consortium, bank, checks.round_request(sampled.consortium, Role.TRAIN, sampled.model))
    assert isinstance(sent, Contribution)
    checks.check_charged(bank.ledger, sampled.plan, "bank", [sent])


def test_clipping_bounds_a_persons_sum_and_counting_does_not():
    """Sensitivities are k-fold, squared: but for training sums whose family clips whole persons."""
    dictionary, evaluation = tiny.dictionary(), tiny.spec().evaluation
    for spec, train in ((step_traces.job().model, 1), (tiny.spec().model, CAP**2)):
        one, many = (derive(dictionary, spec, evaluation, records) for records in (1, CAP))
        for role, times in ((Role.PREFLIGHT, CAP**2), (Role.TRAIN, train), (Role.EVALUATE, CAP**2)):
            for kind in dictionary.kinds:
                assert many[role].sensitivity_squared[kind] == times * one[role].sensitivity_squared[kind]


RECORDS = st.lists(
    st.tuples(*(st.integers(0, size - 1) for size in CELLS), st.integers(0, 1)), min_size=1, max_size=CAP
)
SIZE = st.sampled_from([0.0, 0.05, 1.0, 8.0])


@given(RECORDS, SIZE, st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_a_person_moves_a_clipped_sum_by_no_more_than_the_radius(whole, records, size, seed):
    """Whatever the records, and whatever weights the coordinator chose to make their gradients long and alike."""
    spec = whole.job.model
    generator = np.random.default_rng(seed)
    honest = decode(spec, tiny.dictionary(), whole.model)
    weights = np.clip(np.rint(size * 2**20 * generator.standard_normal(honest.units.size)), -(2**23), 2**23)
    model = MlpModel(honest.values, weights.astype(np.int32)).encode()
    others = whole.site.data.train.of_units(np.arange(whole.site.data.train.n_units) < 20)
    own = np.array(records)
    more = with_one(others, own[:, :-1].astype(np.uint16), own[:, -1].astype(np.uint8))
    checks.check_neighbours((whole.sums(more, model), whole.sums(others, model)), spec.clip_radius**2)


def with_one(rows, cells, bad):
    """Rows and those of one more person, the first."""
    persons = np.concatenate([np.zeros(len(bad), dtype=np.int64), 1 + rows.persons])
    return single(np.concatenate([cells, rows.cells]), np.concatenate([bad, rows.bad]), persons)


def test_k_equal_records_of_a_person_move_the_sum_almost_by_the_radius():
    """So the bound is no smaller than it says: clipping hard, k records together reach the radius."""
    world = World(sampling_rate=1.0, clip_l2_norm=0.25)
    rows = world.site.data.train
    more = with_one(rows, np.tile(rows.cells[:1], (CAP, 1)), np.ones(CAP, dtype=np.uint8))
    assert 0.95 < np.linalg.norm(world.sums(more) - world.sums(rows)) / world.job.model.clip_radius <= 1


def test_a_persons_records_are_each_clipped_to_their_share(whole):
    """The same rows as records of nobody's: each is then held to the radius, and longer."""
    rows = whole.site.data.train
    family, spec = family_of("mlp"), whole.job.model.model_copy(update={"clip_l2_norm": 0.25})
    alone, together = (
        family.contribute(spec, tiny.dictionary(), "bank", whole.model, single(rows.cells[:CAP], bad, persons))[0]
        for bad in (np.ones(CAP, dtype=np.uint8),)
        for persons in (None, np.zeros(CAP, dtype=np.int64))
    )
    assert np.linalg.norm(together) <= spec.clip_radius < np.linalg.norm(alone)


# Who takes part.


def samples(world, monkeypatch, n):
    """A bank's rows, whom each of `n` samples took, and the rows that the family got."""
    site, taken, key = world.bank()._site, [], OsBitSource()
    sample = contribute_module._sample
    with monkeypatch.context() as patch:
        trace = step_traces.traced(patch)
        patch.setattr(contribute_module, "_sample", lambda *given: taken.append(sample(*given)) or taken[-1])
        for number in range(n):
            contribute(site, world.plan, Role.TRAIN, world.model, key, b"sample %d" % number)
    return site.data.train, trace.samples, taken


def check_whole(rows, chosen, part):
    """A sample holds all rows of some persons, and says whose they are."""
    assert chosen.shape == (rows.n_units,)
    assert 0 < chosen.sum() < rows.n_units
    mask = chosen[rows.persons]
    np.testing.assert_array_equal(part.cells, rows.cells[mask])
    np.testing.assert_array_equal(part.bad, rows.bad[mask])
    assert part.n_units == chosen.sum()
    np.testing.assert_array_equal(np.unique(part.persons), np.arange(part.n_units))
    np.testing.assert_array_equal(part.records_of_unit(), rows.records_of_unit()[mask])


def test_a_person_takes_part_with_all_of_its_records_or_with_none(sampled, monkeypatch):
    rows, chosen, taken = samples(sampled, monkeypatch, 20)
    assert set(np.bincount(rows.persons)) == set(range(1, CAP + 1))
    for one, part in zip(chosen, taken, strict=True):
        check_whole(rows, one, part)


def test_each_person_takes_part_at_the_plans_rate_whatever_its_records(sampled, monkeypatch):
    """Binomial bounds per number of records; a rate that is 0.7 or 1.3 times the plan's is far outside."""
    rows, _, taken = samples(sampled, monkeypatch, 300)
    sizes = np.bincount(rows.persons)
    n_of_size = np.bincount(sizes)
    drawn = sum(np.bincount(np.bincount(part.persons), minlength=CAP + 1) for part in taken)
    for records in range(1, CAP + 1):
        trials = int(n_of_size[records]) * len(taken)
        assert binomial_p(drawn[records], trials, 0.25) > checks.ACCEPT
        for wrong in (0.7, 1.3):
            assert binomial_p(drawn[records], trials, 0.25 * wrong) < checks.REJECT


def binomial_p(successes, trials, rate):
    return float(stats.binomtest(int(successes), trials, rate).pvalue)


def test_persons_take_part_independently_of_each_other(sampled, monkeypatch):
    """The number of persons varies as that of independent draws: neither fixed nor in blocks."""
    rows, _, taken = samples(sampled, monkeypatch, 400)
    counts = np.array([part.n_units for part in taken])
    variance = rows.n_units * 0.25 * 0.75
    squares = float(np.sum((counts - rows.n_units * 0.25) ** 2) / variance)
    assert 2 * min(stats.chi2.sf(squares, 400), stats.chi2.cdf(squares, 400)) > checks.ACCEPT
    assert any(left != right for left, right in pairwise(counts))


def test_an_institution_without_persons_takes_part_like_any_other(sampled):
    data = sampled.consortium.institutions[0].data
    nobody = single(data.train.cells[:0], data.train.bad[:0], np.zeros(0, dtype=np.int64))
    bank = sampled.bank(replace(data, train=nobody, fingerprint=bytes(32)))
    sent = checks.ask(sampled.consortium, bank, checks.round_request(sampled.consortium, Role.TRAIN, sampled.model))
    assert isinstance(sent, Contribution)
    assert not sampled.sums(nobody).any()


def test_counts_take_each_record_of_a_person(whole):
    """Persons are clipped in training sums alone: elsewhere the sensitivity is k-fold, as a person's counts are."""
    sums = contribute(whole.site, whole.plan, Role.PREFLIGHT, b"", OsBitSource(), b"")
    scale = whole.plan.phases.preflight.scale
    features = len(tiny.dictionary().owned_features("bank"))
    assert sums.sum() == scale * features * whole.site.data.train.n_rows


def test_data_that_do_not_say_whose_they_are_do_not_join(whole):
    data = whole.consortium.institutions[0].data
    rows = single(data.train.cells, data.train.bad)
    unknown = replace(whole.consortium.institutions[0], data=replace(data, train=rows))
    custodian = tiny.custodian_of(whole.consortium, unknown, whole.job, None)
    checks.refused(checks.ask(whole.consortium, custodian, JoinRequest(whole.plan.to_bytes())), "unit")
