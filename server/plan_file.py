"""PLAN.yaml: what a person asks of a joint job. The roster, the dictionary and the noise of the plan are not in it."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from fedcredit.dictionary.model_file import load_model
from fedcredit.dictionary.problems import listed, validation_problems
from fedcredit.errors import ConfigError
from fedcredit.models.specs import ModelSpec
from fedcredit.plan import EvaluationTerms, Placement, PrivacyTerms, PrivacyUnit
from fedcredit.planning import BudgetShares
from fedcredit.roster import HashHex

_SHARES = BudgetShares()


class PlanPrivacy(BaseModel):
    """The promise that is asked for; see `fedcredit.plan.PrivacyTerms`.

    Attributes
    ----------
    delta
        None stands for the default of the roster's size.
    masks
        Whether vectors are masked; only a consortium of two has a reason to say no.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    placement: Placement = Placement.DISTRIBUTED
    unit: PrivacyUnit = PrivacyUnit.RECORD
    max_records_per_person: int = Field(default=1, ge=1, le=1000)
    epsilon: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    delta: float | None = Field(default=None, gt=0, lt=1, allow_inf_nan=False)
    max_attempts: int = Field(default=3, ge=1, le=10)
    colluders: int = Field(default=1, ge=0, le=10_000)
    max_drops: int = Field(default=1, ge=0, le=10_000)
    min_owners: int = Field(default=3, ge=1, le=10_000)
    masks: bool = True

    @field_validator("placement")
    @classmethod
    def _of_institutions(cls, placement: Placement) -> Placement:
        if placement is Placement.CENTRAL:
            raise ValueError("central noise is for simulations only; choose distributed, local or none")
        return placement


class PlanShares(BaseModel):
    """Percent of the job's privacy cost for each phase; the rest is the reserve for retries."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preflight: int = _SHARES.preflight
    train: int = _SHARES.train
    evaluate: int = _SHARES.evaluate


class PlanFile(BaseModel):
    """The fields of PLAN.yaml.

    Attributes
    ----------
    job
        Name of the job; each job has its own.
    evaluation_percent
        Share of each institution's records that is set aside for evaluation.
    quorum
        Fewest institutions with which the job goes on; None means all of the roster.
    renyi_order
        Order of the members' mixed ledgers, for a plan that must be counted by them.
    dictionary
        Hash of the data dictionary that this was written for; None takes whichever the coordinator has.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")
    purpose: str = Field(min_length=1, max_length=1000)
    model: ModelSpec
    privacy: PlanPrivacy
    shares: PlanShares = PlanShares()
    evaluation: EvaluationTerms
    evaluation_percent: int = Field(default=20, ge=1, le=90)
    quorum: int | None = Field(default=None, ge=1)
    renyi_order: int | None = Field(default=None, ge=2)
    dictionary: HashHex | None = None

    def terms(self, default_delta: float) -> PrivacyTerms:
        """The terms for a plan, with `default_delta` where noise is asked for and no delta is given.

        Raises
        ------
        ConfigError
            If epsilon, delta, unit and placement do not go together.
        """
        asked = self.privacy.model_dump()
        if asked["delta"] is None and self.privacy.placement is not Placement.NONE:
            asked["delta"] = default_delta
        try:
            return PrivacyTerms.model_validate(asked)
        except ValidationError as error:
            raise ConfigError(listed(f"privacy of job {self.job}", validation_problems(error, asked))) from error

    def budget_shares(self) -> BudgetShares:
        """The shares as planning takes them."""
        return BudgetShares(self.shares.preflight, self.shares.train, self.shares.evaluate)


def load_plan_file(path: Path) -> PlanFile:
    """Read PLAN.yaml.

    Raises
    ------
    ConfigError
        If the file cannot be read, or holds a wrong, unknown or missing field.
    """
    return load_model(PlanFile, path, "plan file", "give the path of a PLAN.yaml.")
