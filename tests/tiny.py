"""A tiny consortium for tests: two banks and a hospital, four features, made-up rows."""

from dataclasses import replace

import numpy as np

from fedcredit.custodian.custodian import Custodian
from fedcredit.data.rows import Dataset, Rows, single
from fedcredit.dictionary.schema import DataDictionary, parse_dictionary
from fedcredit.job.store import JobStore
from fedcredit.models.scorecard_spec import ScorecardSpec
from fedcredit.plan import EvaluationTerms, Placement, PrivacyTerms, PrivacyUnit
from fedcredit.planning import BudgetShares
from server.coordinator import Coordinator
from simulations.federation import Federation, Institution, JobSpec, custodian_of, found

DICTIONARY = b"""
schema_version: 1
name: tiny
title: A tiny dictionary
source: made up
licence: none needed
blocks: [applicant, bank, hospital]
institution_types:
  bank:
    owns: [applicant, bank]
    target: {name: bad, definition: made up}
    id_column: id
  hospital:
    owns: [applicant, hospital]
    target: {name: bad, definition: made up}
    id_column: id
features:
  - {name: age, block: applicant, type: integer, unit: years, range: [18, 80], grid: {kind: linear, cells: 6},
     data_class: private, purpose: test, basis: test, reason: age}
  - {name: status, block: bank, type: integer, unit: months, range: [-2, 8], grid: {kind: integers},
     monotone: increasing, data_class: private, purpose: test, basis: test, reason: status}
  - {name: bill, block: bank, type: number, unit: TWD, range: [-100, 100000], atoms: [0],
     grid: {kind: signed_log, cells: 8, unit: 10}, data_class: private, purpose: test, basis: test, reason: bill}
  - {name: paid, block: hospital, type: number, unit: TWD, range: [0, 100000], atoms: [0],
     grid: {kind: signed_log, cells: 8, unit: 10}, monotone: decreasing,
     data_class: private, purpose: test, basis: test, reason: paid}
"""
LOCAL = PrivacyTerms(placement=Placement.LOCAL, unit=PrivacyUnit.RECORD, epsilon=4.0, delta=1e-5, masks=True)
SHARED = LOCAL.model_copy(update={"placement": Placement.DISTRIBUTED})
NONE = PrivacyTerms(placement=Placement.NONE, unit=PrivacyUnit.RECORD)


def dictionary() -> DataDictionary:
    return parse_dictionary(DICTIONARY)


def rows(kind: str, n: int, seed: int) -> Rows:
    generator = np.random.default_rng(seed)
    features = dictionary().owned_features(kind)
    cells = np.stack([generator.integers(0, feature.n_cells, n) for feature in features], axis=1).astype(np.uint16)
    bad = (generator.random(n) < 0.15 + 0.5 * (cells[:, 1] > features[1].n_cells // 2)).astype(np.uint8)
    return single(cells, bad)


def institution(name: str, kind: str, n: int = 400, seed: int = 0) -> Institution:
    return Institution(
        name, kind, Dataset(kind, rows(kind, n, seed), rows(kind, n // 4, seed + 1000), bytes([seed]) * 32)
    )


def spec(privacy: PrivacyTerms = LOCAL, rounds: int = 2, name: str = "tiny") -> JobSpec:
    return JobSpec(
        name=name,
        model=ScorecardSpec(rounds=rounds),
        privacy=privacy,
        shares=BudgetShares(),
        evaluation=EvaluationTerms(score_bins=10),
    )


def federation(job: JobSpec | None = None) -> Federation:
    members = (
        institution("bank-1", "bank", 400, 1),
        institution("bank-2", "bank", 500, 2),
        institution("hospital-1", "hospital", 300, 3),
    )
    return found(dictionary(), members, job or spec())


def custodians(consortium: Federation, job: JobSpec, folder=None) -> dict[str, Custodian]:
    return {
        one.id: custodian_of(consortium, one, job, folder / f"{one.id}.sqlite" if folder else None)
        for one in consortium.institutions
    }


def coordinator(consortium: Federation, path=None, **options) -> Coordinator:
    store = JobStore(path, consortium.plan.to_bytes())
    return Coordinator(consortium.plan.to_bytes(), consortium.dictionary, consortium.coordinator_key, store, **options)


def run(driver: Coordinator, members: dict[str, Custodian], until: str | None = None) -> None:
    """Drive a job until it is done, or until a phase is about to be asked."""
    while (step := driver.next_step()) is not None and step.phase != until:
        driver.receive({name: members[name].handle(request) for name, request in step.requests.items()})


def with_privacy(job: JobSpec, **changes) -> JobSpec:
    return replace(job, privacy=job.privacy.model_copy(update=changes))
