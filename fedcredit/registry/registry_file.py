"""REGISTRY.yaml: who may move a model through its life, and the thresholds at which a released figure suspends it.

Whoever can write this file can name themselves an approver, so it has to be as unshared as a policy, and every entry of
the registry names the hash of the file under which it was made.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fedcredit.custodian.policy import require_unshared
from fedcredit.dictionary.problems import listed, validation_problems
from fedcredit.dictionary.strict_yaml import parse_yaml
from fedcredit.errors import ConfigError
from fedcredit.wire.canonical import canonical_json, digest
from fedcredit.wire.public_keys import PublicKeyHex

PersonRole = Literal["developer", "validator", "approver"]
PersonName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9._-]{0,62}$")]


class Person(BaseModel):
    """Somebody who signs entries.

    Attributes
    ----------
    key
        Public half of the person's signing key.
    roles
        What the person may do now.
    former_roles
        What the person was allowed once; old entries stay provable, new ones need `roles`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: PublicKeyHex
    roles: tuple[PersonRole, ...] = ()
    former_roles: tuple[PersonRole, ...] = ()


class Thresholds(BaseModel):
    """At which released figures a model is suspended.

    Attributes
    ----------
    psi, csi
        Stability index of the score, and of any feature, above what sampling and noise explain.
    watch
        The same for a warning.
    approval_ratio
        Lowest ratio of a group's approval rate to the reference group's.
    cut_off_pd
        PD from which on applicants are declined; without one no approval ratio is judged.
    calibration_slope
        Band in which the calibration slope has to be.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    psi: float = Field(default=0.25, gt=0)
    csi: float = Field(default=0.25, gt=0)
    watch: float = Field(default=0.1, gt=0)
    approval_ratio: float = Field(default=0.8, gt=0, le=1)
    cut_off_pd: float | None = Field(default=None, gt=0, lt=1)
    calibration_slope: tuple[float, float] = (0.7, 1.3)

    @model_validator(mode="after")
    def _band(self) -> Self:
        if not 0 < self.calibration_slope[0] < 1 < self.calibration_slope[1]:
            raise ValueError("calibration_slope must be a band around 1, such as [0.7, 1.3]")
        return self


class RegistryFile(BaseModel):
    """The fields of REGISTRY.yaml.

    Attributes
    ----------
    name
        What the institution calls this registry; it stands in every entry, so that none counts in another registry.
    registry
        The registry's SQLite file.
    people
        By name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
    registry: Path
    people: dict[PersonName, Person] = Field(min_length=1)
    thresholds: Thresholds = Thresholds()

    @model_validator(mode="after")
    def _one_key_each(self) -> Self:
        names: dict[str, str] = {}
        for name, person in self.people.items():
            if person.key in names:
                raise ValueError(f"{names[person.key]} and {name} have the same key; each person signs with their own")
            names[person.key] = name
        return self

    def digest(self) -> str:
        """Hash of what the file says, as hex."""
        return digest("registry-file", canonical_json(self.model_dump(mode="json", exclude={"registry"}))).hex()


def load_registry_file(path: Path) -> RegistryFile:
    """Read REGISTRY.yaml and resolve its path against its folder.

    Raises
    ------
    ConfigError
        If the file is missing, somebody else's, writable by others, or holds a wrong, unknown or missing field.
    """
    what = f"registry file {path}"
    if not path.is_file():
        raise ConfigError(f"{what} does not exist; docs/lifecycle.md shows one.")
    require_unshared(path, "registry file")
    document = parse_yaml(path.read_bytes(), what)
    try:
        file = RegistryFile.model_validate(document)
    except ValidationError as error:
        raise ConfigError(listed(what, validation_problems(error, document))) from error
    return file.model_copy(update={"registry": path.resolve().parent / file.registry})
