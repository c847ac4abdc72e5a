"""A federation in one process: the same custodians and the same coordinator as in a deployment, over function calls.

What differs from a deployment is the channel (a call), the data source (a partition) and where files go. Nothing
here trains, aggregates or adds noise.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from fedcredit.custodian.custodian import Custodian
from fedcredit.custodian.noise import NoiseLaw, no_noise, rounded_gaussian_noise
from fedcredit.custodian.policy import Policy
from fedcredit.custodian.site import NotPrivate, Site
from fedcredit.data.rows import Dataset
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.job.progress import Progress
from fedcredit.job.store import Decided, JobStore
from fedcredit.models.family import Kernel
from fedcredit.models.module_spec import ModuleSpec
from fedcredit.models.specs import ModelSpec
from fedcredit.ownership import fewest_owners
from fedcredit.plan import EvaluationTerms, Placement, Plan, PrivacyTerms
from fedcredit.planning import BudgetShares, JobRequest, accountant_for, make_plan
from fedcredit.privacy.bits import BitSource, OsBitSource
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_entries import Account
from fedcredit.privacy.statement import PrivacyStatement, statement
from fedcredit.roster import FEWEST_MEMBERS, Member, Roster
from fedcredit.wire.envelope import SigningKey
from server.coordinator import Coordinator
from simulations.central_noise import central_noise_of
from simulations.placement import mask_label
from simulations.seeded_bits import SeededBitSource, seeded_identity
from simulations.virtual_clock import VirtualTime

NoiseLabel = Literal["os", "seeded (simulation)", "none"]
COORDINATOR = "coordinator"
PURPOSE = "joint credit scorecard (simulation)"


@dataclass(frozen=True, slots=True)
class Institution:
    """One simulated institution."""

    id: str
    kind: str
    data: Dataset

    @property
    def size(self) -> int:
        """Its public size N_i: in a simulation, the partition's."""
        return self.data.train.n_rows + self.data.evaluate.n_rows


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What to run: the same fields that a deployment's job has, and where simulated noise comes from.

    Attributes
    ----------
    noise_seed
        None draws from the operating system; a number makes the noise repeatable and the run not private.
    kernel
        What computes the sums of training.
    """

    name: str
    model: ModelSpec
    privacy: PrivacyTerms
    shares: BudgetShares
    evaluation: EvaluationTerms
    noise_seed: int | None = None
    kernel: Kernel = "numpy"


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """A finished job, and what it would take over a network where that was simulated."""

    plan: Plan
    progress: Progress
    statements: Mapping[str, PrivacyStatement]
    virtual: VirtualTime | None = None


@dataclass(frozen=True, slots=True)
class Federation:
    """Keys, roster and plan of a simulated consortium, before any custodian runs."""

    dictionary: DataDictionary
    institutions: tuple[Institution, ...]
    keys: Mapping[str, SigningKey]
    coordinator_key: SigningKey
    plan: Plan


def found(dictionary: DataDictionary, institutions: tuple[Institution, ...], spec: JobSpec) -> Federation:
    """Draw keys, write the roster and calibrate the plan.

    Simulated institutions consent to sharing a block with fewer owners than the job asks for, where there are no more.
    """
    keys = {institution.id: _identity(spec, institution.id) for institution in institutions}
    # Taken as they are: the keys were drawn here, and to check a thousand takes longer than to count their rows.
    members = tuple(
        Member.model_construct(id=one.id, kind=one.kind, public_size=one.size, public_key=keys[one.id].public.hex())
        for one in institutions
    )
    coordinator_key = _identity(spec, COORDINATOR)
    roster = Roster(version=1, previous=None, expires=date.max, members=members)
    owners = fewest_owners(roster, dictionary, tuple(keys))
    request = JobRequest(
        job=spec.name,
        purpose=PURPOSE,
        coordinator=COORDINATOR,
        coordinator_key=coordinator_key.public,
        roster=roster,
        privacy=spec.privacy.model_copy(update={"min_owners": min(spec.privacy.min_owners, owners)}),
        shares=spec.shares,
        model=spec.model,
        evaluation=spec.evaluation,
        evaluation_percent=20,
    )
    return Federation(dictionary, institutions, keys, coordinator_key, make_plan(request, dictionary))


def custodian_of(
    federation: Federation, institution: Institution, spec: JobSpec, ledger_path: Path | None
) -> Custodian:
    """Build one institution's custodian, private unless the job cannot be."""
    plan, key = federation.plan, federation.keys[institution.id]
    accountant = accountant_for(plan.privacy, plan.phases.train.sampling_rate)
    account = Account(institution.id, plan.privacy.unit.value, accountant)
    return Custodian(
        site_of(federation, institution, spec),
        Ledger.create(ledger_path, key, account),
        new_noise_key=_noise_key(spec, institution.id),
        noise_law=_noise_law(federation, institution),
    )


def site_of(federation: Federation, institution: Institution, spec: JobSpec) -> Site:
    """What one institution's custodian knows."""
    plan = federation.plan
    return Site(
        institution=institution.id,
        kind=institution.kind,
        dictionary=federation.dictionary,
        data=institution.data,
        key=federation.keys[institution.id],
        roster=plan.roster,
        coordinators={COORDINATOR: federation.coordinator_key.public},
        policy=_policy(federation, spec),
        modules=allowed_modules(plan),
        kernel=spec.kernel,
    )


def run_in_process(
    federation: Federation,
    spec: JobSpec,
    *,
    folder: Path | None = None,
    on_decided: Callable[[Decided, Progress], None] | None = None,
) -> JobOutcome:
    """Run a whole job over function calls.

    Parameters
    ----------
    folder
        Where ledgers and the job store go; None keeps them in memory.
    on_decided
        Called after each decided step.
    """
    custodians = {
        one.id: custodian_of(federation, one, spec, _ledger_path(folder, one.id)) for one in federation.institutions
    }
    try:
        with JobStore(folder / "job.sqlite" if folder else None, federation.plan.to_bytes()) as store:
            coordinator = Coordinator(
                federation.plan.to_bytes(),
                federation.dictionary,
                federation.coordinator_key,
                store,
                on_decided=on_decided,
            )
            while (step := coordinator.next_step()) is not None:
                coordinator.receive({name: custodians[name].handle(request) for name, request in step.requests.items()})
        statements = {
            one.id: statement_of(federation.plan, one.kind, custodians[one.id].ledger)
            for one in federation.institutions
        }
    finally:
        for custodian in custodians.values():
            custodian.ledger.close()
    return JobOutcome(federation.plan, coordinator.progress, statements)


def statement_of(plan: Plan, kind: str, ledger: Ledger) -> PrivacyStatement:
    """What a job cost one institution of type `kind`, read from its own ledger."""
    job = ledger.job(plan.digest())
    accountant = ledger.account.accountant
    return statement(
        plan, kind, accountant, job.reserved if job else accountant.budget, job.spent if job else accountant.budget
    )


def allowed_modules(plan: Plan) -> dict[str, str]:
    """Modules that a simulated site lists: the one that the plan asks for."""
    model = plan.model
    return {model.module: model.source_sha256} if isinstance(model, ModuleSpec) else {}


def noise_label(spec: JobSpec) -> NoiseLabel:
    """How artefacts name the noise."""
    if spec.privacy.placement is Placement.NONE:
        return "none"
    return "os" if spec.noise_seed is None else "seeded (simulation)"


def _policy(federation: Federation, spec: JobSpec) -> Policy | NotPrivate:
    """A policy that accepts the plan and no less; none where an institution could not accept it."""
    terms, n_members = federation.plan.privacy, len(federation.plan.members)
    unmasked = mask_label(terms.masks, n_members) == "off (simulation)"
    if unmasked or spec.noise_seed is not None or terms.placement not in (Placement.LOCAL, Placement.DISTRIBUTED):
        return NotPrivate("public")
    if terms.epsilon is None or terms.delta is None:
        return NotPrivate("public")
    return Policy(
        epsilon=terms.epsilon,
        delta=terms.delta,
        max_epsilon_per_job=terms.epsilon,
        unit=terms.unit,
        max_records_per_person=terms.max_records_per_person,
        placements=(Placement.LOCAL, Placement.DISTRIBUTED),
        purposes=(PURPOSE,),
        refused_classes=(),
        bias_examination=tuple(group.name for group in federation.dictionary.groups),
        min_institutions=min(FEWEST_MEMBERS, n_members),
        min_owners=terms.min_owners,
        max_drops=terms.max_drops,
        assume_no_colluders=terms.colluders == 0,
    )


def _identity(spec: JobSpec, name: str) -> SigningKey:
    """An identity key; repeatable where the noise is, since a message's noise depends on the plan and its keys."""
    return SigningKey.generate() if spec.noise_seed is None else seeded_identity(spec.noise_seed, name)


def _noise_key(spec: JobSpec, institution: str) -> Callable[[], BitSource]:
    seed = spec.noise_seed
    return OsBitSource if seed is None else lambda: SeededBitSource(seed, institution)


def _noise_law(federation: Federation, institution: Institution) -> NoiseLaw:
    match federation.plan.privacy.placement:
        case Placement.NONE:
            return no_noise
        case Placement.CENTRAL:
            return central_noise_of(federation.plan, federation.dictionary, institution.id)
        case _:
            return rounded_gaussian_noise


def _ledger_path(folder: Path | None, institution: str) -> Path | None:
    if folder is None:
        return None
    (folder / "ledgers").mkdir(parents=True, exist_ok=True)
    return folder / "ledgers" / f"{institution}.sqlite"
