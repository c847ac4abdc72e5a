"""Differential privacy of whole institutions, for contrast: what federated learning often calls client-level.

Each institution's whole vector is clipped to a public norm, and a trusted server adds one noise to the sum, of the size
that hides whether one institution is there. It is a promise about institutions, not about their records: for a single
record it implies twice the μ, and only against those who see no more than what is released, since the server holds
every institution's own sums.

Phases, models, sampler and accountant are the joint job's. The unit is another one, and so is the sensitivity: the
clipped norm. Neighbours are two federations of which one has an institution's vectors replaced by zeros; sizes stay
public. The noise does not shrink with the number of records, so it takes hundreds of institutions to see through it.

References
----------
McMahan, Ramage, Talwar, Zhang, "Learning Differentially Private Recurrent Language Models", ICLR 2018, arXiv
1710.06963.
Geyer, Klein, Nabi, "Differentially Private Federated Learning: A Client Level Perspective", arXiv 1712.07557.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from fedcredit.custodian.contribute import exact_sums
from fedcredit.custodian.noise import message_context, rounded_gaussian_noise
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import ConfigError
from fedcredit.job.progress import Progress, advance, owned_by, request_model, start
from fedcredit.job.store import Decided, Outcome
from fedcredit.models.family import Kernel
from fedcredit.plan import Phases, PhaseTerms, Placement, Plan
from fedcredit.planning import accountant_for
from fedcredit.privacy import gdp
from fedcredit.privacy.bits import BitSource, OsBitSource
from fedcredit.privacy.rounded_gaussian import check_noise_variance
from fedcredit.privacy.statement import PrivacyStatement, mechanism, planned_cost, statement
from fedcredit.wire.canonical import digest
from fedcredit.wire.messages import NO_TRANSCRIPT, Role, RoundRequest
from server.deciding import ROLES
from simulations.cohort_rows import OfKind, blocks, of_institutions, of_kind
from simulations.federation import Federation, Institution, JobOutcome, JobSpec, found, site_of
from simulations.seeded_bits import SeededBitSource

FAMILIES = ("scorecard", "additive")
"""Families whose sums are of all records at once, in one step."""
NAME = "client-level"
UNIT = "institution"
CLIP_SHARES = {Role.PREFLIGHT: Fraction(1, 2), Role.TRAIN: Fraction(1, 40), Role.EVALUATE: Fraction(1, 2)}
"""Clipped norm of each phase, in parts of the most that an institution of mean public size could send."""


@dataclass(frozen=True, slots=True)
class ClientLevel:
    """What the job released, and what each institution as a whole is promised."""

    outcome: JobOutcome
    privacy: PrivacyStatement


def run_client_level(
    dictionary: DataDictionary,
    institutions: tuple[Institution, ...],
    spec: JobSpec,
    clip_shares: Mapping[Role, Fraction] = CLIP_SHARES,
) -> ClientLevel:
    """Run the joint job with the same ε for institutions as it has for records.

    Raises
    ------
    ConfigError
        If there is no ε to keep.
    PrivacyError
        If the δ is no promise among so few institutions, or the noise is beyond the sampler's range.
    """
    terms = spec.privacy
    if terms.epsilon is None or terms.delta is None:
        raise ConfigError("a promise to institutions needs an epsilon and a delta; set privacy.epsilon.")
    gdp.check_delta(terms.delta, len(institutions))
    central = terms.model_copy(update={"placement": Placement.CENTRAL, "masks": False})
    own = replace(spec, name=NAME, privacy=central)
    federation = found(dictionary, institutions, own)
    plan = plan_of_institutions(federation.plan, own, clip_shares)
    progress = _trained(plan, federation, own)
    accountant, kind = accountant_for(plan.privacy, 1.0), plan.roster.members[0].kind
    spent = sum(
        (accountant.cost(mechanism(plan, kind, role)) * plan.phases.of(role).rounds for role in Role), Fraction(0)
    )
    stated = statement(plan, kind, accountant, planned_cost(plan, kind, accountant), spent)
    privacy = replace(stated, unit=UNIT)
    return ClientLevel(JobOutcome(plan, progress, dict.fromkeys(plan.members, privacy)), privacy)


def plan_of_institutions(plan: Plan, spec: JobSpec, clip_shares: Mapping[Role, Fraction]) -> Plan:
    """The plan with an institution's clipped norm as its sensitivity, and noise for that; public constants only.

    Parameters
    ----------
    plan
        Of a model of `FAMILIES`.

    Raises
    ------
    PrivacyError
        If the noise is beyond the sampler's range.
    """
    terms = {role: _terms(plan, spec, role, clip_shares[role]) for role in Role}
    phases = Phases(preflight=terms[Role.PREFLIGHT], train=terms[Role.TRAIN], evaluate=terms[Role.EVALUATE])
    return plan.model_copy(update={"phases": phases})


def _terms(plan: Plan, spec: JobSpec, role: Role, clip_share: Fraction) -> PhaseTerms:
    terms, privacy = plan.phases.of(role), plan.privacy
    percent = plan.evaluation_percent if role is Role.EVALUATE else 100 - plan.evaluation_percent
    mean_rows = Fraction(plan.roster.total_size * percent, 100 * len(plan.members))
    squared = math.ceil((clip_share * mean_rows) ** 2 * max(terms.sensitivity_squared.values()))
    accountant = accountant_for(privacy, 1.0)
    cost = accountant.target(privacy.epsilon or 0.0, privacy.delta or 0.0) * spec.shares.of(role) / terms.rounds
    variance = gdp.noise_variance_for(squared, cost)
    check_noise_variance(variance)
    both = {"sensitivity_squared": squared, "noise_variance": variance}
    return terms.model_copy(update={name: dict.fromkeys(terms.noise_variance, value) for name, value in both.items()})


def clipped(vectors: NDArray[np.int64], norm_squared: int) -> NDArray[np.int64]:
    """Each row no longer than the norm: scaled down where it is, and truncated towards zero.

    Parameters
    ----------
    vectors
        Shape (m, length), each entry below 2^53.
    norm_squared
        Largest squared L2 norm of a row.
    """
    exact = vectors.astype(np.float64)
    # A trifle shorter than asked: no rounding of the norm or of the product reaches beyond it.
    within = math.sqrt(norm_squared) * (1 - 2**-40)
    norms = np.sqrt((exact * exact).sum(axis=1))
    factors = np.minimum(1.0, within / np.maximum(norms, within))
    return np.where((factors < 1.0)[:, None], np.trunc(exact * factors[:, None]), exact).astype(np.int64)


def _trained(plan: Plan, federation: Federation, spec: JobSpec) -> Progress:
    """All steps of the job; everybody always answers."""
    server, progress = _server(plan, federation, spec), start(plan)
    while progress.next_phase != "done":
        role, model = ROLES.get(progress.next_phase), request_model(plan, progress)
        sums = np.zeros(0, dtype=np.int64) if role is None else server.released(role, progress.next_round, model)
        place = (progress.next_phase, progress.next_round, progress.attempt)
        step = Decided(*place, Outcome.DONE, progress.members, (), sums)
        progress = advance(plan, federation.dictionary, progress, step)
    return progress


def _server(plan: Plan, federation: Federation, spec: JobSpec) -> "_Server":
    first = {one.kind: one for one in reversed(federation.institutions)}
    kinds = tuple(
        of_kind(federation.dictionary, site_of(federation, one, spec), federation.institutions)
        for one in first.values()
    )
    bits: BitSource = OsBitSource() if spec.noise_seed is None else SeededBitSource(spec.noise_seed, NAME)
    return _Server(plan, spec.kernel, kinds, bits)


@dataclass(frozen=True, slots=True)
class _Server:
    """Who sees every institution's sums, clips and adds them, and adds the one noise."""

    plan: Plan
    kernel: Kernel
    kinds: tuple[OfKind, ...]
    bits: BitSource

    def released(self, role: Role, number: int, model: bytes) -> NDArray[np.int64]:
        """The noised sum of all clipped vectors; zeros where nobody owns a coordinate."""
        plan, terms = self.plan, self.plan.phases.of(role)
        request = RoundRequest(plan.digest(), role, number, 1, plan.members, model, NO_TRANSCRIPT, (), ())
        context = message_context(plan.job, request, plan.roster.attempt_digest(plan.members), digest("model", model))
        variance = max(terms.noise_variance.values())
        total = rounded_gaussian_noise(role, variance, terms.vector_length, self.bits, context)
        for one in self.kinds:
            total += self._clipped_sum(one, role, model)
        return np.where(owned_by(plan, self.kinds[0].site.dictionary, role, plan.members), total, 0)

    def _clipped_sum(self, one: OfKind, role: Role, model: bytes) -> NDArray[np.int64]:
        """The sum over the institutions of one type, some at a time."""
        terms, site = self.plan.phases.of(role), one.site
        rows = one.evaluate if role is Role.EVALUATE else one.train
        total = np.zeros(terms.vector_length, dtype=np.int64)
        for part in blocks(len(one.members), total.size):
            own = of_institutions(rows, part)
            vectors = exact_sums(self.plan, site.dictionary, site.kind, self.kernel, (role, model), own)
            total += clipped(vectors, terms.sensitivity_squared[site.kind]).sum(axis=0)
        return total
