"""The plan: every public constant of a job, fixed before a single record is read.

A custodian that joins has checked the plan against its own policy, roster and dictionary, has derived the
sensitivities itself, and has reserved the whole cost. Nothing in a plan comes from private data, and nothing
outside the plan is answered.
"""

from enum import StrEnum
from fractions import Fraction
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fedcredit.errors import ConfigError
from fedcredit.models.specs import ModelSpec
from fedcredit.roster import HashHex, Member, Region, Roster
from fedcredit.wire.canonical import PROTOCOL_VERSION, canonical_json, digest, parse_json
from fedcredit.wire.messages import MAX_MESSAGE_BYTES, Role
from fedcredit.wire.public_keys import PublicKeyHex

MAX_PLAN_BYTES = 16 * 2**20
# A vector must fit a message together with what surrounds it.
MAX_VECTOR_LENGTH = (MAX_MESSAGE_BYTES - 2**16) // 8


class Placement(StrEnum):
    """Who adds the noise: each institution all of it, all of them a share each, or (simulation only) one for all."""

    DISTRIBUTED = "distributed"
    LOCAL = "local"
    CENTRAL = "central"
    NONE = "none"


class PrivacyUnit(StrEnum):
    """What one unit of privacy is: a record, or all kept records of one person."""

    RECORD = "record"
    PERSON = "person"


class PrivacyTerms(BaseModel):
    """The promise of the job, for every institution.

    Attributes
    ----------
    epsilon, delta
        Target of the whole job, all phases plus the retry reserve; None without privacy.
    max_records_per_person
        Cap k under ``unit: person``; every sensitivity is multiplied by it.
    reserve_percent
        Share of the privacy cost that is kept for retries.
    colluders
        Number t of institutions that the coordinator may be in league with.
    max_drops
        Most members of the roster that may be left out of the job's sums.
    min_owners
        Under ``distributed``, fewest members of an attempt behind each block and intercept that any of them owns.
    masks
        Whether vectors are masked, so that the coordinator learns sums over three institutions or more only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    placement: Placement
    unit: PrivacyUnit
    max_records_per_person: int = Field(default=1, ge=1, le=1000)
    epsilon: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    delta: float | None = Field(default=None, gt=0, lt=1, allow_inf_nan=False)
    reserve_percent: int = Field(default=10, ge=0, le=50)
    max_attempts: int = Field(default=3, ge=1, le=10)
    colluders: int = Field(default=1, ge=0, le=10_000)
    max_drops: int = Field(default=1, ge=0, le=10_000)
    min_owners: int = Field(default=3, ge=1, le=10_000)
    masks: bool = False

    @model_validator(mode="after")
    def _complete(self) -> Self:
        stated = self.epsilon is not None and self.delta is not None
        if (self.placement is not Placement.NONE) != stated:
            raise ValueError("epsilon and delta must both be given with noise, and neither without")
        if self.unit is PrivacyUnit.RECORD and self.max_records_per_person != 1:
            raise ValueError("max_records_per_person is for unit: person; leave it at 1 for unit: record")
        return self


class PhaseTerms(BaseModel):
    """One kind of contribution.

    Attributes
    ----------
    rounds
        Number of charged messages per institution, retries aside.
    vector_length
        Number of int64 coordinates of each message.
    scale
        Lattice units per unit of the released quantity (a count, or a residual of 1).
    sampling_rate
        Probability q with which a unit takes part in a step.
    local_steps
        Noised sums that one message is made of, each on a sample of its own.
    sensitivity_squared
        Per institution type, the squared L2 change of the integer vector when one unit is zeroed out.
    noise_variance
        Per institution type, the variance of its rounded Gaussian per step, in squared lattice units; 0 without
        privacy. Under ``distributed`` it is the same for all types and that of the honest members' summed shares.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rounds: int = Field(ge=1, le=10_000)
    vector_length: int = Field(ge=1, le=MAX_VECTOR_LENGTH)
    scale: int = Field(ge=1, le=2**20)
    sampling_rate: float = Field(default=1.0, gt=0, le=1, allow_inf_nan=False)
    local_steps: int = Field(default=1, ge=1, le=1000)
    sensitivity_squared: dict[str, int]
    noise_variance: dict[str, Annotated[int, Field(ge=0)]]


class Phases(BaseModel):
    """The three charged phases."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preflight: PhaseTerms
    train: PhaseTerms
    evaluate: PhaseTerms

    def of(self, role: Role) -> PhaseTerms:
        """Terms of a role."""
        return {Role.PREFLIGHT: self.preflight, Role.TRAIN: self.train, Role.EVALUATE: self.evaluate}[role]


class EvaluationTerms(BaseModel):
    """How the released model is judged: public score bins, and groupings with `type` first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    score_bins: int = Field(ge=5, le=1000)
    groupings: tuple[str, ...] = ("type",)

    @model_validator(mode="after")
    def _type_first(self) -> Self:
        if self.groupings[:1] != ("type",) or len(set(self.groupings)) != len(self.groupings):
            raise ValueError("groupings must begin with 'type' and name each grouping once")
        return self


class Plan(BaseModel):
    """Every public constant of a job.

    Attributes
    ----------
    coordinator_region
        Where the coordinator says that it runs, in the roster's words; None where it says nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    protocol_version: int = PROTOCOL_VERSION
    job: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")
    purpose: str = Field(max_length=1000)
    coordinator: str = Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")
    coordinator_key: PublicKeyHex
    coordinator_region: Region | None = None
    dictionary: HashHex
    roster: Roster
    privacy: PrivacyTerms
    phases: Phases
    evaluation: EvaluationTerms
    evaluation_percent: int = Field(default=20, ge=1, le=90)
    model: ModelSpec

    @model_validator(mode="after")
    def _own_steps_have_own_noise(self) -> Self:
        if self.phases.train.local_steps > 1 and self.privacy.placement not in (Placement.LOCAL, Placement.NONE):
            raise ValueError(
                f"local_steps={self.phases.train.local_steps} under {self.privacy.placement.value} noise: a step of an "
                "institution's own needs a whole noise of its own; set placement local, or local_steps 1"
            )
        return self

    def to_bytes(self) -> bytes:
        """Canonical JSON: what is hashed, sent and stored."""
        return canonical_json(self.model_dump(mode="json"))

    def digest(self) -> bytes:
        """SHA-256 of the plan; 32 bytes; names the job's terms in every message."""
        return plan_digest(self.to_bytes())

    @property
    def members(self) -> tuple[str, ...]:
        """Institution ids in roster order."""
        return tuple(member.id for member in self.roster.members)

    def training_records(self, institution: str) -> float:
        """Public number of training records of a member, from its declared size; 0 for a stranger."""
        member = self.roster.member(institution)
        return 0.0 if member is None else self.training_records_of(member)

    def training_records_of(self, member: Member) -> float:
        """Public number of training records of a member."""
        return member.public_size * (100 - self.evaluation_percent) / 100

    @property
    def reserve_factor(self) -> Fraction:
        """Total cost divided by the cost of the planned messages."""
        return Fraction(100, 100 - self.privacy.reserve_percent)


def plan_digest(plan: bytes) -> bytes:
    """Hash of a plan's exact bytes; 32 bytes."""
    return digest("plan", plan)


def parse_plan(data: bytes) -> Plan:
    """Read a plan from its exact bytes.

    Raises
    ------
    ConfigError
        If the bytes are not a plan of this protocol version, or not in canonical form.
    """
    if len(data) > MAX_PLAN_BYTES:
        raise ConfigError(f"a plan of {len(data)} bytes is over the limit of {MAX_PLAN_BYTES}; its writer is foreign.")
    try:
        plan = Plan.model_validate(parse_json(data))
        canonical = plan.to_bytes()
    except ValueError as error:
        raise ConfigError(f"the bytes are not a plan of this version: {error}") from error
    if plan.protocol_version != PROTOCOL_VERSION:
        raise ConfigError(f"plan speaks protocol {plan.protocol_version}, not {PROTOCOL_VERSION}; upgrade one side.")
    if canonical != data:
        raise ConfigError("the plan's bytes are not in canonical form; its writer is foreign.")
    return plan
