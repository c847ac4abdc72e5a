"""A cohort is a loop of custodians: same bytes without noise, same law with it, same charges, same rules."""

from dataclasses import replace

import numpy as np
import pytest

from fedcredit.errors import ConfigError, JobError
from fedcredit.job.progress import noise_variance
from fedcredit.job.store import JobStore
from fedcredit.models.additive_spec import AdditiveSpec
from fedcredit.models.family import family_of
from fedcredit.models.mlp_spec import MlpSpec
from fedcredit.models.scorecard_spec import ScorecardSpec
from fedcredit.ownership import owned_coordinates
from fedcredit.plan import Placement
from fedcredit.wire.messages import NO_TRANSCRIPT, Role, RoundRequest
from server.coordinator import Coordinator
from simulations.circumstances import Circumstances
from simulations.cohort import Cohort, _Noise
from simulations.cohort_events import Events, EventSpec
from simulations.cohort_run import run_cohort
from simulations.federation import Federation, JobSpec, custodian_of, found, run_in_process, statement_of
from tests import tiny

SIZES = {"bank-1": 40, "hospital-1": 3, "bank-2": 90, "hospital-2": 61, "bank-3": 1, "hospital-3": 30, "bank-4": 200}
PLACEMENTS = (Placement.LOCAL, Placement.DISTRIBUTED, Placement.CENTRAL)


def job(placement: Placement = Placement.NONE, **changes) -> JobSpec:
    terms = tiny.NONE if placement is Placement.NONE else tiny.LOCAL
    privacy = terms.model_copy(update={"placement": placement, "masks": False, "max_drops": 2, "min_owners": 1})
    return replace(tiny.spec(privacy, rounds=4), noise_seed=5, **changes)


def federation(spec: JobSpec) -> Federation:
    members = [
        tiny.institution(name, name.split("-")[0], n, seed) for seed, (name, n) in enumerate(SIZES.items(), start=1)
    ]
    return found(tiny.dictionary(), tuple(members), spec)


def final(outcome) -> bytes:
    return family_of(outcome.plan.model.family).final(outcome.progress.state)


@pytest.mark.parametrize("kernel", ["numpy", "compiled", pytest.param("torch-cpu", marks=pytest.mark.neural)])
@pytest.mark.parametrize("model", [ScorecardSpec(rounds=4), AdditiveSpec(rounds=3)], ids=["scorecard", "additive"])
def test_without_noise_every_released_byte_is_that_of_a_loop_of_custodians(model, kernel):
    spec = job(model=model, kernel=kernel)
    everyone = federation(spec)
    cohort, loop = run_cohort(everyone, spec), run_in_process(everyone, replace(spec, kernel="numpy"))
    assert final(cohort) == final(loop)
    assert cohort.progress.members == loop.progress.members == tuple(SIZES)
    for counts, same in zip(cohort.progress.preflight.counts, loop.progress.preflight.counts, strict=True):
        assert np.array_equal(counts, same)
    assert cohort.progress.evaluation["type"].tolist() == loop.progress.evaluation["type"].tolist()
    assert cohort.statements == loop.statements


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_with_noise_every_institution_spends_what_its_custodian_would(placement):
    spec = job(placement)
    everyone = federation(spec)
    assert run_cohort(everyone, spec).statements == run_in_process(everyone, spec).statements


def test_seeded_noise_can_be_repeated_and_other_seeds_give_other_noise():
    spec = job(Placement.DISTRIBUTED)
    first, again, other = (final(run_cohort(federation(own), own)) for own in (spec, spec, replace(spec, noise_seed=6)))
    assert first == again != other


def request(everyone: Federation, role: Role = Role.PREFLIGHT, members: tuple[str, ...] | None = None) -> RoundRequest:
    return RoundRequest(
        everyone.plan.digest(), role, 1, 1, members or everyone.plan.members, b"", NO_TRANSCRIPT, (), ()
    )


def draws(placement: Placement, kind: str, copies: int) -> tuple[np.ndarray, Federation]:
    """Noise of the institutions of one type in `copies` messages; shape (copies, institutions, coordinates)."""
    spec = job(placement)
    everyone = federation(spec)
    cohort = Cohort(everyone, spec, np.zeros(len(SIZES), dtype=np.bool_))
    one = next(own for own in cohort._kinds if own.site.kind == kind)
    found_ = []
    for copy in range(copies):
        ask = replace(request(everyone), attempt=copy + 1)
        noise = _Noise(everyone, one, ask, cohort._bits, cohort._roster_hash(ask.members))
        length = everyone.plan.phases.preflight.vector_length
        found_.append(noise.added(one.members, np.zeros((len(one.members), length), dtype=np.int64)))
    return np.array(found_), everyone


def fits(sample: np.ndarray, variance: float) -> bool:
    """Whether independent draws have this variance and no mean: within four and a half standard errors."""
    z = sample.ravel() / variance**0.5
    return abs(z.mean()) < 4.5 / z.size**0.5 and abs((z * z).mean() - 1) < 4.5 * (2 / z.size) ** 0.5


@pytest.mark.statistical
@pytest.mark.parametrize("placement", [Placement.LOCAL, Placement.DISTRIBUTED])
def test_each_institution_adds_an_independent_noise_of_its_own_variance(placement):
    sample, everyone = draws(placement, "bank", 120)
    planned = everyone.plan.phases.preflight.noise_variance["bank"]
    share = planned if placement is Placement.LOCAL else -(-planned // (len(SIZES) - 1))
    owned = owned_coordinates(everyone.plan, everyone.dictionary, Role.PREFLIGHT, "bank")
    noisy = sample[:, :, owned]
    assert fits(noisy, share)
    assert fits(noisy.sum(axis=1), 4 * share)  # a sum of dependent noises has another variance
    assert fits(noisy[:-1] + noisy[1:], 2 * share) or fits(noisy[:60] + noisy[60:], 2 * share)
    for wrong in (0.7, 1.3):
        assert not fits(noisy * wrong, share)
    elsewhere = sample[:, :, ~owned]
    assert fits(elsewhere, share) if placement is Placement.DISTRIBUTED else not elsewhere.any()


@pytest.mark.statistical
def test_central_noise_is_added_once():
    sample, everyone = draws(Placement.CENTRAL, "bank", 120)
    assert not sample[:, 1:].any()
    owned = owned_coordinates(everyone.plan, everyone.dictionary, Role.PREFLIGHT, "bank")
    assert fits(sample[:, 0][:, owned], everyone.plan.phases.preflight.noise_variance["bank"])


@pytest.mark.statistical
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_released_sum_has_the_noise_that_the_coordinator_counts_on(placement):
    def preflight(everyone: Federation, spec: JobSpec) -> np.ndarray:
        cohort = Cohort(everyone, spec, np.zeros(len(SIZES), dtype=np.bool_))
        asked = np.arange(len(SIZES))
        cohort.join(asked)
        return cohort.contribute(request(everyone), asked).total

    exact = preflight(federation(job()), job())
    spec = job(placement)
    everyone = federation(spec)
    variance = noise_variance(everyone.plan, everyone.dictionary, Role.PREFLIGHT, everyone.plan.members)
    noises = [preflight(everyone, replace(spec, noise_seed=seed)) - exact for seed in range(20)]
    z = np.array(noises)[:, variance > 0] / np.sqrt(variance[variance > 0])
    assert fits(z, 1.0)
    assert not fits(z * 0.7, 1.0)
    assert not fits(z * 1.3, 1.0)


def in_process_without(everyone: Federation, spec: JobSpec, silent: dict[str, tuple[str, int]], quorum: int):
    """The real coordinator and custodians, where some fall silent for good from a step on."""
    custodians = {one.id: custodian_of(everyone, one, spec, None) for one in everyone.institutions}
    with JobStore(None, everyone.plan.to_bytes()) as store:
        coordinator = Coordinator(
            everyone.plan.to_bytes(), everyone.dictionary, everyone.coordinator_key, store, quorum=quorum
        )
        gone: set[str] = set()
        while (step := coordinator.next_step()) is not None:
            gone |= {name for name, since in silent.items() if since == (step.phase, step.round)}
            coordinator.receive(
                {name: custodians[name].handle(ask) for name, ask in step.requests.items() if name not in gone}
            )
    statements = {
        one.id: statement_of(everyone.plan, one.kind, custodians[one.id].ledger) for one in everyone.institutions
    }
    return coordinator.progress, statements


class Silent(Events):
    """Named institutions are silent for good from a step on; others answer the first time when asked at all."""

    def __init__(self, attempts: dict[int, int]) -> None:
        super().__init__(EventSpec(dropout=0.5), len(SIZES), 0)
        self._attempts, self._begun = attempts, 0
        self._gone[:] = False

    def begin_attempt(self) -> None:
        self._begun += 1
        for institution, attempt in self._attempts.items():
            self._gone[institution] |= self._begun >= attempt


@pytest.mark.parametrize("placement", [Placement.NONE, Placement.LOCAL, Placement.DISTRIBUTED])
@pytest.mark.parametrize("rounds", [20, 4], ids=["retries are paid", "a retry is too dear"])
def test_dropouts_are_met_by_the_coordinators_own_rules(rounds, placement, monkeypatch):
    """One is lost in the second training round, the fourth attempt of the job, and one two attempts later."""
    spec = job(placement, model=ScorecardSpec(rounds=rounds))
    everyone = federation(spec)
    attempts, silent = {2: 4}, {"bank-2": ("train", 2)}
    if rounds == 20:
        attempts[5], silent["hospital-3"] = 6, ("train", 3)
    monkeypatch.setattr("simulations.cohort_run.Events", lambda *_: Silent(attempts))
    cohort = run_cohort(everyone, spec, circumstances=Circumstances(EventSpec(dropout=0.5)))
    progress, statements = in_process_without(everyone, spec, silent, quorum=5)
    assert cohort.progress.members == progress.members == tuple(set_minus(SIZES, silent))
    ended = rounds == 4 and placement is not Placement.NONE
    assert cohort.progress.rounds_trained == progress.rounds_trained == (1 if ended else rounds)
    assert cohort.statements == statements
    if placement is Placement.NONE:
        assert final(cohort) == family_of("scorecard").final(progress.state)


def set_minus(names, others) -> list[str]:
    return [name for name in names if name not in others]


def test_stragglers_answer_when_asked_again_and_change_nothing():
    spec = job()
    everyone = federation(spec)
    late = run_cohort(everyone, spec, circumstances=Circumstances(EventSpec(straggler=0.4), seed=1))
    on_time = run_cohort(everyone, spec)
    assert final(late) == final(on_time)
    assert late.statements == on_time.statements
    assert late.virtual.exchanges > on_time.virtual.exchanges
    assert late.virtual.seconds > on_time.virtual.seconds + 60


def test_more_absent_than_the_plan_may_lose_end_the_job():
    spec = job()
    with pytest.raises(JobError, match=r"join has 4 of 7 institutions"):
        run_cohort(federation(spec), spec, circumstances=Circumstances(EventSpec(absent=0.5), seed=3))


def test_poisoners_move_the_model_and_are_refused_where_no_rows_could_give_their_sums():
    spec = job()
    everyone = federation(spec)
    honest = run_cohort(everyone, spec)
    turned = Circumstances(EventSpec(poisoner=0.3), seed=2)
    assert final(run_cohort(everyone, spec, circumstances=turned)) != final(honest)
    loud = Circumstances(EventSpec(poisoner=0.3, poison_factor=100), seed=2)
    left = run_cohort(everyone, spec, circumstances=loud).progress.members
    assert set(SIZES) - set(left) == {"bank-3"}  # of one record
    nobody = replace(spec, privacy=spec.privacy.model_copy(update={"max_drops": 0}))
    with pytest.raises(JobError, match="answered with something that was not asked for"):
        run_cohort(federation(nobody), nobody, circumstances=loud)


def test_what_a_cohort_cannot_be_is_refused():
    masked = job(Placement.LOCAL)
    masked = replace(masked, privacy=masked.privacy.model_copy(update={"masks": True}))
    with pytest.raises(ConfigError, match="has no masks"):
        run_cohort(federation(masked), masked)
    sampled = job(model=MlpSpec(rounds=2, sampling_rate=0.5))
    with pytest.raises(ConfigError, match="use runtime=in_process"):
        run_cohort(federation(sampled), sampled)


def test_blocks_of_institutions_change_nothing(monkeypatch):
    spec = job()
    everyone = federation(spec)
    whole = final(run_cohort(everyone, spec))
    monkeypatch.setattr("simulations.cohort_rows._NUMBERS", 300)
    monkeypatch.setattr("simulations.cohort._DRAWS", 64)
    assert final(run_cohort(everyone, spec)) == whole
