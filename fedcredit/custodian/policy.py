"""The institution's own policy: what it lets out, to whom, and how much over the life of its data.

A plain YAML file that the institution writes and only it can change. What the policy does not allow is refused;
without a policy everything is refused.
"""

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fedcredit.dictionary.problems import validation_problems
from fedcredit.dictionary.schema import DataClass
from fedcredit.dictionary.strict_yaml import parse_yaml
from fedcredit.errors import ConfigError
from fedcredit.plan import Placement, PrivacyUnit


class Policy(BaseModel):
    """Limits that no plan can widen.

    Attributes
    ----------
    epsilon, delta
        Budget over the life of the population's ledger.
    max_epsilon_per_job
        The most that one plan may reserve.
    unit, max_records_per_person
        The unit of privacy that every plan must state, and the most records of one person that take part.
    placements
        Noise placements that the institution accepts.
    purposes
        Purposes that it takes part in, word for word as plans state them.
    refused_classes
        Classes of columns that never take part.
    min_institutions
        Fewest institutions over which a sum may be taken that includes this one.
    min_owners
        Under distributed noise, fewest institutions that a plan may let share one of this one's blocks: with fewer,
        the released sums of a block are nearly one institution's own.
    max_drops
        Most members of a roster that a plan may leave out of its sums.
    assume_no_colluders
        Accept distributed noise that is sized for no colluding institution at all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epsilon: float = Field(gt=0, allow_inf_nan=False)
    delta: float = Field(gt=0, lt=1, allow_inf_nan=False)
    max_epsilon_per_job: float = Field(gt=0, allow_inf_nan=False)
    unit: PrivacyUnit
    max_records_per_person: int = Field(default=1, ge=1)
    placements: tuple[Literal[Placement.LOCAL, Placement.DISTRIBUTED], ...] = (Placement.LOCAL,)
    purposes: tuple[str, ...] = Field(min_length=1)
    refused_classes: tuple[DataClass, ...] = ("sensitive-health",)
    min_institutions: int = Field(default=3, ge=1)
    min_owners: int = Field(default=3, ge=1)
    max_drops: int = Field(default=1, ge=0)
    assume_no_colluders: bool = False

    @model_validator(mode="after")
    def _joinable(self) -> Self:
        if self.unit is PrivacyUnit.RECORD and self.max_records_per_person != 1:
            raise ValueError("max_records_per_person is for unit: person; leave it out for unit: record")
        if self.max_epsilon_per_job > self.epsilon:
            raise ValueError("max_epsilon_per_job is above epsilon, the budget of all jobs; lower it")
        return self


def load_policy(path: Path) -> Policy:
    """Read a policy file.

    Raises
    ------
    ConfigError
        If it is missing, somebody else's, writable by others, or not a policy.
    """
    if not path.is_file():
        raise ConfigError(f"policy {path} does not exist; without a policy everything is refused.")
    require_unshared(path, "policy")
    document = parse_yaml(path.read_bytes(), f"policy {path}")
    try:
        return Policy.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"policy {path}: {'; '.join(validation_problems(error, document))}.") from error


def require_unshared(path: Path, what: str) -> None:
    """Refuse a file that another account than this one and the system's could have written.

    Raises
    ------
    ConfigError
        If it is somebody else's, or writable by others.
    """
    status = path.stat()
    if status.st_mode & 0o022:
        raise ConfigError(f"{what} {path} is writable by others; run: chmod go-w {path}")
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigError(f"{what} {path} belongs to another account (uid {status.st_uid}); take it over and read it.")
