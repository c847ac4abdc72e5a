"""The privacy audit: ``python -m simulations.audit [--trials N]`` attacks whole jobs and prints what it got.

A lower bound above the claim proves that the promise is broken. One below it proves nothing: audits find faults of the
code, and what is claimed rests on the proofs and on the other tests. The table has

* canary rows: whole jobs with a known record (or person) in one institution's rows or not, through custodians with real
  ledgers and the coordinator; the attacker knows everything but that, and projects the noised sums on its direction;
* one-run rows: one release with a canary in each cell of a histogram, put there by a coin that the attacker guesses;
* attack rows: who was trained on, guessed by the loss under the released scorecard.

References
----------
Nasr et al., "Tight Auditing of Differentially Private Machine Learning", arXiv 2302.07956 (white-box canaries).
Yeom et al., "Privacy Risk in Machine Learning", arXiv 1709.01604 (loss threshold).
"""

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fedcredit import preflight
from fedcredit.custodian.custodian import Custodian
from fedcredit.custodian.noise import NoiseLaw, no_noise, rounded_gaussian_noise
from fedcredit.custodian.site import NotPrivate, Site
from fedcredit.data.rows import Dataset, Rows, concatenate, single
from fedcredit.dictionary.schema import DataDictionary, parse_dictionary
from fedcredit.evaluation import phase
from fedcredit.job.store import JobStore
from fedcredit.models.family import family_of
from fedcredit.models.scorecard_spec import ScorecardSpec
from fedcredit.plan import EvaluationTerms, Placement, PrivacyTerms, PrivacyUnit
from fedcredit.planning import BudgetShares, accountant_for
from fedcredit.privacy import gdp
from fedcredit.privacy.bits import BitSource
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_entries import Account
from fedcredit.privacy.statement import mechanism
from fedcredit.wire.envelope import open_envelope
from fedcredit.wire.messages import Contribution, Role, RoundRequest
from server.coordinator import Coordinator
from simulations.audit_bounds import gaussian_mu_bound, one_run_epsilon_bound, one_run_mu_bound
from simulations.dataset import DataSpec, load, rows_of
from simulations.federation import COORDINATOR, Federation, Institution, JobSpec, custodian_of, found, run_in_process
from simulations.partition import PooledTable

Sums = NDArray[np.int64]
Floats = NDArray[np.float64]

LEVEL = 0.95
CAP = 3
DELTA = 1e-5
CELLS = 500
ROWS = 60
_ONE_FEATURE = b"""
schema_version: 1
name: audit
title: One feature with a cell for each canary
source: made up
licence: none needed
blocks: [applicant]
institution_types:
  bank: {owns: [applicant], target: {name: bad, definition: made up}, id_column: id}
features:
  - {name: number, block: applicant, type: integer, unit: none, range: [0, 498], grid: {kind: integers},
     data_class: private, purpose: audit, basis: audit, reason: number}
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; None where a column says nothing."""

    audit: str
    claimed: float | None
    bound: float | None
    attack_auc: float | None
    trials: int
    seconds: float


def halved_noise(role: Role, noise_variance: int, size: int, bits: BitSource, context: bytes) -> Sums:
    """A broken law, to show that the audit would notice."""
    return rounded_gaussian_noise(role, noise_variance, size, bits, context) // 2


# Canaries: whole jobs with and without one record or person.


@dataclass(frozen=True, slots=True)
class CanaryWorld:
    """A consortium, the first institution's rows without the canary, and the canary's rows."""

    federation: Federation
    spec: JobSpec
    base: Rows
    canary: Rows

    @property
    def claimed_mu(self) -> float:
        """What the ledger charges for all messages of one job."""
        plan = self.federation.plan
        accountant = accountant_for(plan.privacy, 1.0)
        costs = (accountant.cost(mechanism(plan, "bank", role)) * plan.phases.of(role).rounds for role in Role)
        return gdp.mu_from_squared(sum(costs, Fraction(0)))


def terms_of(placement: Placement, unit: PrivacyUnit, epsilon: float) -> PrivacyTerms:
    """Local noise is attacked without masks, by all others together; shared noise by the coordinator and one more."""
    return PrivacyTerms(
        placement=placement,
        unit=unit,
        max_records_per_person=CAP if unit is PrivacyUnit.PERSON else 1,
        epsilon=epsilon,
        delta=DELTA,
        masks=placement is Placement.DISTRIBUTED,
    )


def canary_world(placement: Placement, unit: PrivacyUnit, epsilon: float) -> CanaryWorld:
    """A few banks over rows of the UCI table; the canary is a bad among many goods."""
    dictionary, table = load(DataSpec("uci_credit"))
    names = [f"bank-{number}" for number in range(1, 4 if placement is Placement.DISTRIBUTED else 3)]
    goods = np.flatnonzero(table.bad == 0)
    institutions = tuple(
        _institution(dictionary, table, name, goods[ROWS * n : ROWS * (n + 1)]) for n, name in enumerate(names)
    )
    spec = JobSpec(
        "audit",
        ScorecardSpec(rounds=2),
        terms_of(placement, unit, epsilon),
        BudgetShares(),
        EvaluationTerms(score_bins=10),
    )
    bad = int(np.flatnonzero(table.bad == 1)[0])
    canary = rows_of(dictionary, table, np.repeat(bad, spec.privacy.max_records_per_person), "bank")
    base = institutions[0].data.train
    return CanaryWorld(found(dictionary, institutions, spec), spec, base, canary)


def canary_scores(world: CanaryWorld, trials: int, noise_law: NoiseLaw | None = None) -> tuple[Floats, Floats]:
    """The attacker's scores of jobs with the canary and of as many without.

    Parameters
    ----------
    noise_law
        The institutions' true one by default; a broken one shows what the audit would notice.
    """
    included, excluded = (
        np.array([canary_score(world, here, noise_law) for _ in range(trials // 2)]) for here in (True, False)
    )
    return included, excluded


def canary_score(world: CanaryWorld, included: bool, noise_law: NoiseLaw | None = None) -> float:
    """One job's log likelihood ratio, scaled to unit variance under the planned noise."""
    federation, plan = world.federation, world.federation.plan
    first, *others = federation.institutions
    rows = _joined(world.base, world.canary) if included else world.base
    data = replace(first.data, train=rows, fingerprint=bytes([included]) * 32)
    attacked = (replace(first, data=data), *others)
    members = {one.id: _custodian(world, one, noise_law) for one in attacked}
    score = information = 0.0
    with JobStore(None, plan.to_bytes()) as store:
        driver = Coordinator(plan.to_bytes(), federation.dictionary, federation.coordinator_key, store)
        while (step := driver.next_step()) is not None:
            replies = {name: members[name].handle(request) for name, request in step.requests.items()}
            driver.receive(replies)
            request = open_envelope(step.requests[first.id]).verify(federation.coordinator_key.public)
            if not isinstance(request, RoundRequest):
                continue
            seen, expected, moved = _view(world, replies, request)
            variance = plan.phases.of(request.role).noise_variance["bank"]
            score += float(np.dot((seen - expected).astype(float), moved.astype(float))) / variance
            information += float(np.dot(moved.astype(float), moved.astype(float))) / variance
    return score / math.sqrt(information)


def _view(world: CanaryWorld, replies: dict[str, bytes], request: RoundRequest) -> tuple[Sums, Sums, Sums]:
    """What the attacker sees, what it expects without the canary, and what the canary adds."""
    federation = world.federation
    first, *others = federation.institutions
    summed = world.spec.privacy.masks
    seen = np.zeros(federation.plan.phases.of(request.role).vector_length, dtype=np.int64)
    for name, reply in replies.items():
        message = open_envelope(reply).verify(federation.keys[name].public)
        if not isinstance(message, Contribution):
            raise TypeError(f"{name} sent {type(message).__name__}.")
        if summed or name == first.id:
            seen = seen + np.frombuffer(message.vector, dtype="<i8")
    without = Dataset("bank", world.base, first.data.evaluate, bytes(32))
    with_it = replace(without, train=_joined(world.base, world.canary))
    expected, more = (exact_sums(federation, request, data) for data in (without, with_it))
    moved = more - expected
    for one in others if summed else ():
        expected = expected + exact_sums(federation, request, one.data)
    return seen, expected, moved


def exact_sums(federation: Federation, request: RoundRequest, data: Dataset) -> Sums:
    """Sums of one institution's rows before noise, beside the custodian's own path."""
    plan, dictionary = federation.plan, federation.dictionary
    terms = plan.phases.of(request.role)
    match request.role:
        case Role.PREFLIGHT:
            sums = preflight.count(dictionary, data.kind, data.train) * terms.scale
        case Role.TRAIN:
            family = family_of(plan.model.family)
            sums = family.contribute(plan.model, dictionary, data.kind, request.model, data.train)
        case Role.EVALUATE:
            sums = phase.count(plan.model, dictionary, plan.evaluation, data.kind, request.model, data.evaluate)
            sums = sums * terms.scale
    vector: Sums = sums[0]
    return vector


def _joined(base: Rows, more: Rows) -> Rows:
    both = concatenate([base, more])
    return single(both.cells, both.bad)


def _institution(dictionary: DataDictionary, table: PooledTable, name: str, rows: NDArray[np.int64]) -> Institution:
    train, evaluate = (rows_of(dictionary, table, part, "bank") for part in (rows[ROWS // 5 :], rows[: ROWS // 5]))
    return Institution(name, "bank", Dataset("bank", train, evaluate, bytes(32)))


def _custodian(world: CanaryWorld, one: Institution, noise_law: NoiseLaw | None) -> Custodian:
    """The real one; the last institution of shared noise colludes and adds none."""
    federation = world.federation
    colludes = world.spec.privacy.masks and one.id == federation.plan.members[-1]
    law = no_noise if colludes else noise_law
    return custodian_of(federation, one, world.spec, None) if law is None else _with_law(federation, one, law)


def _with_law(federation: Federation, one: Institution, law: NoiseLaw) -> Custodian:
    plan, key = federation.plan, federation.keys[one.id]
    account = Account(one.id, plan.privacy.unit.value, accountant_for(plan.privacy, 1.0))
    coordinators = {COORDINATOR: federation.coordinator_key.public}
    policy = NotPrivate("public")
    site = Site(one.id, one.kind, federation.dictionary, one.data, key, plan.roster, coordinators, policy)
    return Custodian(site, Ledger.create(None, key, account), noise_law=law)


def canary_row(
    placement: Placement, unit: PrivacyUnit, trials: int, epsilon: float, noise_law: NoiseLaw | None = None
) -> Row:
    """Audit one placement and unit by whole jobs."""
    begun = time.monotonic()
    world = canary_world(placement, unit, epsilon)
    mu = gaussian_mu_bound(*canary_scores(world, trials, noise_law), LEVEL)
    claimed = gdp.epsilon_of(world.claimed_mu, DELTA)
    name = f"canary, {placement.value}, {unit.value}" + (", HALF THE NOISE" if noise_law else "")
    return Row(name, claimed, gdp.epsilon_of(mu, DELTA) if mu else 0.0, None, trials, time.monotonic() - begun)


# One run with many canaries.


def one_run_rows(epsilon: float, noise_law: NoiseLaw | None = None) -> list[Row]:
    """Guess a coin for each cell of one released histogram; two bounds from the same guesses."""
    begun = time.monotonic()
    federation, spec, coins = _one_run_world(epsilon)
    world = CanaryWorld(federation, spec, federation.institutions[0].data.train, single(*_nobody()))
    members = {one.id: _custodian(world, one, noise_law) for one in federation.institutions}
    plan = federation.plan
    with JobStore(None, plan.to_bytes()) as store:
        driver = Coordinator(plan.to_bytes(), federation.dictionary, federation.coordinator_key, store)
        while (step := driver.next_step()) is not None and step.phase != "train":
            replies = {name: members[name].handle(request) for name, request in step.requests.items()}
            driver.receive(replies)
    sent = open_envelope(replies["bank-1"]).verify(federation.keys["bank-1"].public)
    if not isinstance(sent, Contribution):
        raise TypeError(f"bank-1 sent {type(sent).__name__}.")
    order = np.argsort(np.frombuffer(sent.vector, dtype="<i8"))
    third = coins.size // 3
    right = int((~coins[order[:third]]).sum() + coins[order[-third:]].sum())
    accountant = accountant_for(plan.privacy, 1.0)
    mu = gdp.mu_from_squared(accountant.cost(mechanism(plan, "bank", Role.PREFLIGHT)))
    claimed, seconds = gdp.epsilon_of(mu, DELTA), time.monotonic() - begun
    found_mu = one_run_mu_bound(2 * third, right, LEVEL)
    bounds = {
        "one run, (ε, δ)": one_run_epsilon_bound(2 * third, right, coins.size, DELTA, LEVEL),
        "one run, f-DP": gdp.epsilon_of(found_mu, DELTA) if found_mu else 0.0,
    }
    broken = ", HALF THE NOISE" if noise_law else ""
    return [Row(name + broken, claimed, bound, None, coins.size, seconds) for name, bound in bounds.items()]


def _one_run_world(epsilon: float) -> tuple[Federation, JobSpec, NDArray[np.bool_]]:
    """Canary number 2·cell + label is in the first bank's rows if its coin says so."""
    dictionary = parse_dictionary(_ONE_FEATURE)
    coins = np.frombuffer(np.random.default_rng().bytes(2 * CELLS), dtype=np.uint8) < 128
    numbers = np.flatnonzero(coins)
    train = single((numbers // 2)[:, None].astype(np.uint16), (numbers % 2).astype(np.uint8))
    few = single(np.zeros((4, 1), dtype=np.uint16), np.array([0, 1, 0, 1], dtype=np.uint8))
    institutions = (
        Institution("bank-1", "bank", Dataset("bank", train, few, bytes(32))),
        Institution("bank-2", "bank", Dataset("bank", few, few, bytes(32))),
    )
    shares = BudgetShares(preflight=80, train=5, evaluate=5)
    terms = terms_of(Placement.LOCAL, PrivacyUnit.RECORD, epsilon)
    spec = JobSpec("audit", ScorecardSpec(rounds=1), terms, shares, EvaluationTerms(score_bins=10))
    return found(dictionary, institutions, spec), spec, coins


def _nobody() -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    return np.zeros((0, 1), dtype=np.uint16), np.zeros(0, dtype=np.uint8)


# Who was trained on.


def membership_row(epsilon: float | None, jobs: int) -> Row:
    """Guess members by a small loss under the released scorecard; AUC of the guess, mean of some jobs."""
    begun = time.monotonic()
    dictionary, table = load(DataSpec("uci_credit"))
    aucs = []
    for number in range(jobs):
        shuffled = np.random.default_rng(number).permutation(table.bad.size)
        parts = [shuffled[ROWS * n : ROWS * (n + 1)] for n in range(4)]
        institutions = tuple(
            _institution(dictionary, table, f"bank-{n}", part) for n, part in enumerate(parts[:3], start=1)
        )
        terms = PrivacyTerms(placement=Placement.NONE, unit=PrivacyUnit.RECORD)
        if epsilon is not None:
            local = terms_of(Placement.LOCAL, PrivacyUnit.RECORD, epsilon)
            terms = local.model_copy(update={"masks": True})
        spec = JobSpec("audit", ScorecardSpec(rounds=20), terms, BudgetShares(), EvaluationTerms(score_bins=10))
        outcome = run_in_process(found(dictionary, institutions, spec), spec)
        model = family_of("scorecard").final(outcome.progress.state)
        members = concatenate([one.data.train for one in institutions])
        strangers = rows_of(dictionary, table, shuffled[ROWS * 4 : ROWS * 8], "bank")
        inside, outside = (_losses(dictionary, spec, model, rows) for rows in (members, strangers))
        aucs.append(float(stats.mannwhitneyu(-inside, -outside).statistic) / (inside.size * outside.size))
    name = "loss threshold, " + ("no privacy" if epsilon is None else "local, record")
    return Row(name, epsilon, None, float(np.mean(aucs)), jobs, time.monotonic() - begun)


def _losses(dictionary: DataDictionary, spec: JobSpec, model: bytes, rows: Rows) -> Floats:
    margins = family_of("scorecard").margins(spec.model, dictionary, "bank", model, rows.cells) / 1024.0
    losses: Floats = np.logaddexp(0.0, np.where(rows.bad == 1, -margins, margins))
    return losses


# The table.


def line_of(row: Row) -> str:
    """One line of the table."""

    def cell(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    return (
        f"{row.audit:<44} {cell(row.claimed):>8} {cell(row.bound):>8} {cell(row.attack_auc):>8} "
        f"{row.trials:>7} {row.seconds:>8.1f}"
    )


def audits(trials: int, epsilon: float) -> list[Callable[[], list[Row]]]:
    """Every audit, in the table's order."""
    places, units = (Placement.LOCAL, Placement.DISTRIBUTED), (PrivacyUnit.RECORD, PrivacyUnit.PERSON)
    honest = [lambda p=p, u=u: [canary_row(p, u, trials, epsilon)] for p in places for u in units]
    broken = [lambda p=p: [canary_row(p, PrivacyUnit.RECORD, trials, epsilon, halved_noise)] for p in places]
    one_run = [lambda: one_run_rows(epsilon), lambda: one_run_rows(epsilon, halved_noise)]
    jobs = max(2, trials // 10)
    return [*honest, *broken, *one_run, lambda: [membership_row(1.0, jobs)], lambda: [membership_row(None, jobs)]]


def main() -> None:
    """Print the table; the exit code is 1 if an honest mechanism's bound lies above its claim."""
    parser = argparse.ArgumentParser(prog="python -m simulations.audit", description="Attack whole jobs.")
    parser.add_argument("--trials", type=int, default=200, help="jobs of each canary audit")
    parser.add_argument("--epsilon", type=float, default=4.0, help="of each audited job")
    given = parser.parse_args()
    print(f"{'audit':<44} {'claimed':>8} {'bound':>8} {'AUC':>8} {'trials':>7} {'seconds':>8}")
    failed = False
    for audit in audits(given.trials, given.epsilon):
        for row in audit():
            print(line_of(row), flush=True)
            broken = "HALF" in row.audit
            failed |= not broken and row.bound is not None and row.claimed is not None and row.bound > row.claimed
    print(f"bounds at {LEVEL:.0%}, delta {DELTA}; a bound above its claim is a broken promise")
    raise SystemExit(int(failed))


if __name__ == "__main__":
    main()
