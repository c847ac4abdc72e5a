"""The institution's own policy: what it lets out, to whom, and how much over the life of its data.

A plain YAML file that the institution writes and only it can change. What the policy does not allow is refused;
without a policy everything is refused.
"""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

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
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epsilon: float = Field(gt=0, allow_inf_nan=False)
    delta: float = Field(gt=0, lt=1, allow_inf_nan=False)
    max_epsilon_per_job: float = Field(gt=0, allow_inf_nan=False)
    unit: PrivacyUnit
    max_records_per_person: int = Field(default=1, ge=1)
    placements: tuple[Literal[Placement.LOCAL], ...] = (Placement.LOCAL,)
    purposes: tuple[str, ...] = Field(min_length=1)
    refused_classes: tuple[str, ...] = ("sensitive-health",)


def load_policy(path: Path) -> Policy:
    """Read a policy file.

    Raises
    ------
    ConfigError
        If it is missing, writable by others, or not a policy.
    """
    if not path.is_file():
        raise ConfigError(f"policy {path} does not exist; without a policy everything is refused.")
    if path.stat().st_mode & 0o022:
        raise ConfigError(f"policy {path} is writable by others; run: chmod go-w {path}")
    try:
        return Policy.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        raise ConfigError(f"policy {path} is not usable: {error}") from error
