"""Four banks with one record each, three jobs, and what every released sum must then be.

Bank number i has a single record, in cell i of the only feature. Its exact contribution to each sum is therefore a
public vector that no other bank has, and a sum tells who is in it and how often. The models are fixed beforehand, one
per round, so that the contributions to two rounds differ too. Noise is drawn as zero; everything else is the
custodian's own code, on a private ledger with real costs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import BaseModel

from fedcredit.custodian import contribute as contribute_module
from fedcredit.custodian import custodian as custodian_module
from fedcredit.custodian import guard, open_jobs, peer_keys, witness
from fedcredit.custodian.site import NotPrivate, Site
from fedcredit.data.rows import Dataset, single
from fedcredit.dictionary.schema import DataDictionary, parse_dictionary
from fedcredit.evaluation.phase import MARGIN_SCALE, ScoredModel
from fedcredit.evaluation.score_grid import DEFAULT_RANGE
from fedcredit.models import scorecard_model
from fedcredit.models.scorecard_family import ScorecardFamily
from fedcredit.models.scorecard_layout import layout
from fedcredit.models.scorecard_model import ScorecardModel
from fedcredit.models.scorecard_spec import ScorecardSpec
from fedcredit.plan import EvaluationTerms, Placement, Plan, PrivacyTerms, PrivacyUnit
from fedcredit.planning import BudgetShares, JobRequest, make_plan
from fedcredit.privacy import gdp, ledger_read
from fedcredit.privacy import statement as statement_module
from fedcredit.privacy.accounting import GaussianAccountant
from fedcredit.privacy.bits import OsBitSource
from fedcredit.privacy.ledger_entries import Account
from fedcredit.privacy.statement import mechanism, planned_cost
from fedcredit.roster import Member, Roster
from fedcredit.secure_aggregation import transcript
from fedcredit.wire import heads
from fedcredit.wire.envelope import Envelope, SigningKey
from fedcredit.wire.messages import Role
from server import coordinator as coordinator_module

NAMES = ("bank-3", "bank-1", "bank-10", "bank-2")  # not sorted: rosters need not be
COORDINATOR = "coordinator"
JOBS = ("first", "second", "renewed")
QUORUM = 3
ROUNDS = 2
MOST_KNOWN = 20_000
START = datetime(2030, 1, 1, tzinfo=UTC)
# The first roster's last day, and the second's.
EXPIRIES = (date(2030, 2, 1), date(2031, 2, 1))
DICTIONARY = b"""
schema_version: 1
name: places
title: One feature with a cell for each bank
source: made up
licence: none needed
blocks: [bank]
institution_types:
  bank: {owns: [bank], target: {name: bad, definition: made up}, id_column: id}
features:
  - {name: place, block: bank, type: integer, unit: one, range: [0, 3], grid: {kind: integers},
     data_class: private, purpose: test, basis: test, reason: place}
"""
TERMS = PrivacyTerms(
    placement=Placement.DISTRIBUTED, unit=PrivacyUnit.RECORD, epsilon=4.0, delta=1e-5, masks=True, max_attempts=4
)
# The released base rate is 1, outside of what score bins are put around.
SCORES = tuple(round(bound * MARGIN_SCALE) for bound in DEFAULT_RANGE)
SPEC = ScorecardSpec(rounds=ROUNDS, max_bins=8)


@dataclass(frozen=True)
class Consortium:
    """Keys, rosters and plans; custodians and coordinators are each world's own.

    Attributes
    ----------
    coordinator_keys
        The coordinator's key under the first roster, and the one that replaced it.
    plans
        Two jobs under the first roster, one under the second.
    """

    dictionary: DataDictionary
    keys: dict[str, SigningKey]
    coordinator_keys: tuple[SigningKey, SigningKey]
    rosters: tuple[Roster, Roster]
    plans: tuple[Plan, Plan, Plan]

    def version(self, job: int) -> int:
        """Which roster and coordinator key a job is under: 0 or 1."""
        return self.plans[job].roster.version - 1


@cache
def consortium() -> Consortium:
    dictionary = parse_dictionary(DICTIONARY)
    keys = {name: SigningKey.generate() for name in NAMES}
    leaders = (SigningKey.generate(), SigningKey.generate())
    members = tuple(Member(id=name, kind="bank", public_size=100, public_key=keys[name].public.hex()) for name in NAMES)
    older = Roster(version=1, previous=None, expires=EXPIRIES[0], members=members)
    newer = Roster(version=2, previous=older.digest().hex(), expires=EXPIRIES[1], members=members)
    plans = tuple(
        make_plan(
            JobRequest(
                job=name,
                purpose="joint credit scorecard",
                coordinator=COORDINATOR,
                coordinator_key=key.public,
                roster=roster,
                privacy=TERMS,
                shares=BudgetShares(preflight=20, train=30, evaluate=20),
                model=SPEC,
                evaluation=EvaluationTerms(score_bins=5, groupings=("type", "place")),
                evaluation_percent=20,
            ),
            dictionary,
        )
        for name, roster, key in zip(JOBS, (older, older, newer), (leaders[0], *leaders), strict=True)
    )
    return Consortium(dictionary, keys, leaders, (older, newer), plans)


def site(name: str, version: int, now: Callable[[], datetime]) -> Site:
    """A bank's site under one of the rosters."""
    one = consortium()
    record = single(np.array([[1 + NAMES.index(name)]], dtype=np.uint16), np.array([1], dtype=np.uint8))
    return Site(
        institution=name,
        kind="bank",
        dictionary=one.dictionary,
        data=Dataset("bank", record, record, bytes([NAMES.index(name)]) * 32),
        key=one.keys[name],
        roster=one.rosters[version],
        coordinators={COORDINATOR: one.coordinator_keys[version].public},
        policy=NotPrivate("synthetic"),
        now=now,
    )


@cache
def cost_of_a_job() -> Fraction:
    return planned_cost(consortium().plans[0], "bank", GaussianAccountant(Fraction(1)))


@cache
def cost_of_a_message(role: Role) -> Fraction:
    return GaussianAccountant(Fraction(1)).cost(mechanism(consortium().plans[0], "bank", role))


def account(name: str, tenths: int) -> Account:
    """A ledger's account whose budget is worth so many tenths of a job."""
    return Account(name, "record", GaussianAccountant(cost_of_a_job() * tenths / 10))


@cache
def fixed_model(trained: int) -> ScorecardModel:
    """The model after so many rounds: a bin per cell, and weights that name the round."""
    plan = layout(SPEC.max_bins, consortium().dictionary)
    bins = tuple(np.arange(feature.n_cells, dtype=np.int64) for feature in consortium().dictionary.features)
    weights = np.zeros(plan.length, dtype=np.int64)
    weights[:5] = 700 * trained
    return ScorecardModel(bins, weights)


@cache
def own_part(name: str, job: int, role: Role, trained: int) -> NDArray[np.int64]:
    """A bank's exact contribution to the sum that follows so many rounds of training."""
    one = consortium()
    model = {
        Role.PREFLIGHT: b"",
        Role.TRAIN: fixed_model(trained).encode(),
        Role.EVALUATE: ScoredModel(*SCORES, fixed_model(trained).encode()).encode(),
    }
    own_site = site(name, one.version(job), lambda: START)
    return contribute_module.contribute(own_site, one.plans[job], role, model[role], OsBitSource(), b"")


def prepare(patch: pytest.MonkeyPatch) -> None:
    """Fixed models in place of trained ones, and pure functions computed once per argument."""
    patch.setattr(ScorecardFamily, "init", lambda *_: 0)
    patch.setattr(ScorecardFamily, "update", lambda _, state, __: state + 1)
    patch.setattr(ScorecardFamily, "broadcast", lambda _, state: fixed_model(state).encode())
    patch.setattr(ScorecardFamily, "final", lambda _, state: fixed_model(state).encode())
    patch.setattr(ScorecardFamily, "release", lambda _, state: {"rounds": state})
    for owner, name in PURE:
        patch.setattr(owner, name, once(getattr(owner, name)))


def once(function: Callable[..., Any]) -> Callable[..., Any]:
    """A pure function of frozen values, computed once per argument; plans are told apart by which object they are."""
    known: dict[Any, tuple[Any, Any]] = {}

    def wrapped(*arguments: Any) -> Any:
        key = tuple(id(one) if isinstance(one, BaseModel) else one for one in arguments)
        if key not in known:
            if len(known) > MOST_KNOWN:
                known.clear()
            # The arguments are kept, so that no other object gets their identity.
            known[key] = function(*arguments), arguments
        return known[key][0]

    return wrapped


# Signatures, plans, accounts and rows on paper: their values follow from their arguments and nothing else.
PURE = (
    (Envelope, "verify"),
    (heads, "verify_signature"),
    (heads.Head, "holds"),
    (heads.Head, "witnessed"),
    (witness, "read_head"),
    (coordinator_module, "parse_plan"),
    (custodian_module, "parse_plan"),
    (open_jobs, "parse_plan"),
    (gdp, "epsilon_of"),
    (gdp, "delta_of"),
    (gdp, "budget_mu_squared"),
    (guard, "derive"),
    (guard, "planned_cost"),
    (Plan, "digest"),
    (Plan, "to_bytes"),
    (Roster, "digest"),
    (Roster, "attempt_digest"),
    (DataDictionary, "digest"),
    (ledger_read, "decode_body"),
    (ledger_read, "read_fraction"),
    (scorecard_model, "decode"),
    (Roster, "member"),
    (guard, "_delta_of_integers"),
    (GaussianAccountant, "target"),
    (contribute_module, "public_rows"),
    (statement_module, "planned_cost"),
    (open_jobs, "statement"),
    (peer_keys, "secret_class"),
    (transcript, "secret_class"),
)
