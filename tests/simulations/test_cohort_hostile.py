"""What a cohort must not lose on the way: group labels, and central noise when institutions leave or poison."""

from dataclasses import replace

import numpy as np
import pytest

from fedcredit.data.rows import Dataset
from fedcredit.dictionary.schema import DataDictionary, parse_dictionary
from fedcredit.job.store import Decided, JobStore
from fedcredit.plan import EvaluationTerms, Placement
from fedcredit.wire.messages import NO_TRANSCRIPT, Role, RoundRequest
from server.coordinator import Coordinator
from simulations.circumstances import Circumstances
from simulations.cohort import Cohort
from simulations.cohort_events import EventSpec
from simulations.cohort_run import run_cohort
from simulations.federation import Federation, JobSpec, custodian_of, found, run_in_process
from simulations.virtual_clock import VirtualClock
from tests import tiny

NAMES = ("bank-1", "hospital-1", "bank-2", "hospital-2", "bank-3", "hospital-3")
LABELS = {"region": ["north", "south", "west"], "language": ["one", "two"]}


def job(placement: Placement) -> JobSpec:
    terms = tiny.NONE if placement is Placement.NONE else tiny.LOCAL
    privacy = terms.model_copy(update={"placement": placement, "masks": False, "max_drops": 2, "min_owners": 1})
    return replace(tiny.spec(privacy, rounds=2), noise_seed=5)


def federation(spec: JobSpec) -> Federation:
    members = tuple(tiny.institution(name, name.split("-")[0], 60, seed) for seed, name in enumerate(NAMES, start=1))
    return found(tiny.dictionary(), members, spec)


def with_groups() -> DataDictionary:
    groups = "".join(
        f"  - {{name: {name}, data_class: sensitive, purpose: bias-examination, owners: [bank], basis: test,"
        f" reason: test, codes: {{{', '.join(f'{code}: {words}' for code, words in enumerate(codes))}}}}}\n"
        for name, codes in LABELS.items()
    )
    return parse_dictionary(tiny.DICTIONARY + b"groups:\n" + groups.encode())


def test_group_labels_are_counted_as_custodians_count_them(monkeypatch) -> None:
    """Their evaluation once went out as if every label were missing."""
    monkeypatch.setattr("simulations.cohort_rows._NUMBERS", 300)  # several blocks of institutions
    dictionary, generator = with_groups(), np.random.default_rng(3)
    members = []
    for one in federation(job(Placement.NONE)).institutions:
        sizes = [group.n_cells for group in dictionary.owned_groups(one.kind)]
        rows = one.data.evaluate
        labels = np.stack([generator.integers(0, size, rows.n_rows) for size in sizes], axis=1) if sizes else None
        evaluate = replace(rows, groups=None if labels is None else labels.astype(np.uint16))
        data = Dataset(one.kind, one.data.train, evaluate, one.data.fingerprint)
        members.append(replace(one, data=data))
    groupings = ("type", "region", "region*language")
    spec = replace(job(Placement.NONE), evaluation=EvaluationTerms(score_bins=10, groupings=groupings))
    everyone = found(dictionary, tuple(members), spec)
    cohort, loop = run_cohort(everyone, spec), run_in_process(everyone, spec)
    for grouping in groupings:
        assert np.array_equal(cohort.progress.evaluation[grouping], loop.progress.evaluation[grouping]), grouping
    assert np.count_nonzero(cohort.progress.evaluation["region"].sum(axis=(1, 2))) == 1 + len(LABELS["region"])


def preflight(placement: Placement, present: list[int]) -> tuple[np.ndarray, float]:
    """Sum of one message in records, and its planned noise's standard deviation."""
    spec = job(placement)
    everyone = federation(spec)
    cohort = Cohort(everyone, spec, np.zeros(len(NAMES), dtype=np.bool_))
    cohort.join(np.arange(len(NAMES)))
    names = tuple(NAMES[index] for index in present)
    ask = RoundRequest(everyone.plan.digest(), Role.PREFLIGHT, 1, 1, names, b"", NO_TRANSCRIPT, (), ())
    terms = everyone.plan.phases.preflight
    total = cohort.contribute(ask, np.array(present)).total
    return total / terms.scale, max(terms.noise_variance.values(), default=0) ** 0.5 / terms.scale


@pytest.mark.parametrize("gone", [{0}, {1}, {0, 1}], ids=["first bank", "first hospital", "both"])
def test_central_noise_is_there_whoever_has_left(gone) -> None:
    """The first of the roster once brought it: a job that went on without it had none, and stated an epsilon."""
    present = [index for index in range(len(NAMES)) if index not in gone]
    noised, stddev = preflight(Placement.CENTRAL, present)
    noise = (noised - preflight(Placement.NONE, present)[0]) / stddev
    assert noise.all()
    assert 0.5 < np.mean(noise**2) < 1.7


def test_poisoners_do_not_touch_the_noise_of_a_trusted_server() -> None:
    spec = job(Placement.CENTRAL)
    silenced = Circumstances(EventSpec(poisoner=0.999, poison_factor=0), seed=1)
    steps: list[Decided] = []
    run_cohort(federation(spec), spec, circumstances=silenced, on_decided=lambda step, _: steps.append(step))
    assert [np.count_nonzero(step.sums) > 0 for step in steps if step.phase == "train"] == [True, True]


def test_the_virtual_clock_counts_the_bytes_of_real_messages(monkeypatch) -> None:
    """A thousand members' plans and names were left out: 13 s of a link at join, and a second of each round."""
    spec = job(Placement.NONE)  # whose models are the same
    named = [f"bank-of-a-town-with-a-very-long-name-in-the-countryside-{number}" for number in range(1, 13)]
    members = tuple(tiny.institution(name, "bank", 20, number) for number, name in enumerate(named))
    everyone = found(tiny.dictionary(), members, spec)
    assumed: list[tuple[int, int]] = []
    monkeypatch.setattr(VirtualClock, "exchange", lambda _self, _asked, _came, n_bytes, _rows: assumed.append(n_bytes))
    run_cohort(everyone, spec)
    real: list[tuple[int, int]] = []
    custodians = {one.id: custodian_of(everyone, one, spec, None) for one in members}
    with JobStore(None, everyone.plan.to_bytes()) as store:
        coordinator = Coordinator(everyone.plan.to_bytes(), everyone.dictionary, everyone.coordinator_key, store)
        while (step := coordinator.next_step()) is not None:
            replies = {name: custodians[name].handle(request) for name, request in step.requests.items()}
            real.append((max(map(len, step.requests.values())), max(map(len, replies.values()))))
            coordinator.receive(replies)
    for custodian in custodians.values():
        custodian.ledger.close()
    assert len(assumed) == len(real) == 6
    for own, sent in zip(assumed, real, strict=True):
        assert abs(own[0] - sent[0]) <= 512
        assert abs(own[1] - sent[1]) <= 512
