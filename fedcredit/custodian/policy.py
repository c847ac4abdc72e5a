"""The institution's own policy: what it lets out, to whom, when, and how much over the life of its data.

A plain YAML file that the institution writes and only it can change. What the policy does not allow is refused;
without a policy everything is refused. A jurisdiction pack can only make it stricter.
"""

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fedcredit.custodian.jurisdiction import (
    Approval,
    CrossBorder,
    Jurisdiction,
    Pack,
    Regions,
    load_pack,
    stricter_regions,
)
from fedcredit.custodian.working_hours import Window, Zone
from fedcredit.dictionary.problems import validation_problems
from fedcredit.dictionary.schema import DataClass, Name
from fedcredit.dictionary.strict_yaml import parse_yaml
from fedcredit.errors import ConfigError
from fedcredit.plan import Placement, PrivacyUnit
from fedcredit.roster import UNSPECIFIED_REGION

_STRICTEST_LAST = (CrossBorder.ALLOW, CrossBorder.RECORDED, CrossBorder.REFUSE)


class Policy(BaseModel):
    """Limits that no plan can widen.

    Attributes
    ----------
    jurisdiction
        A pack whose demands are added to these; see `fedcredit.custodian.jurisdiction`.
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
    bias_examination
        Group labels that may be counted in evaluation, by name; whatever their class, they are no features, and no
        pack refuses them here.
    require_basis
        Refuse a dictionary in which one of the institution's columns states no purpose or no legal basis.
    min_institutions
        Fewest institutions over which a sum may be taken that includes this one.
    min_owners
        Under distributed noise, fewest institutions that a plan may let share one of this one's blocks: with fewer,
        the released sums of a block are nearly one institution's own.
    max_drops
        Most members of a roster that a plan may leave out of its sums.
    assume_no_colluders
        Accept distributed noise that is sized for no colluding institution at all.
    working_hours, timezone
        Windows outside of which no new plan is joined and no new contribution is made; none means always.
    approval
        Whether the policy alone lets a plan in, or a person has to approve each (`fedcredit jobs`).
    regions
        Regions in which the other members and the coordinator may be, as the roster writes them; None means any.
    cross_border
        What is done with a plan whose members and coordinator are in more than one region: refused, allowed, or
        allowed with its route and `cross_border_basis` recorded in the ledger.
    cross_border_basis
        The basis on which this institution takes part in such a plan, in its own words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    jurisdiction: Jurisdiction | None = None
    epsilon: float = Field(gt=0, allow_inf_nan=False)
    delta: float = Field(gt=0, lt=1, allow_inf_nan=False)
    max_epsilon_per_job: float = Field(gt=0, allow_inf_nan=False)
    unit: PrivacyUnit
    max_records_per_person: int = Field(default=1, ge=1)
    placements: tuple[Literal[Placement.LOCAL, Placement.DISTRIBUTED], ...] = (Placement.LOCAL,)
    purposes: tuple[str, ...] = Field(min_length=1)
    refused_classes: tuple[DataClass, ...] = ("sensitive-health",)
    bias_examination: tuple[Name, ...] = ()
    require_basis: bool = False
    min_institutions: int = Field(default=3, ge=1)
    min_owners: int = Field(default=3, ge=1)
    max_drops: int = Field(default=1, ge=0)
    assume_no_colluders: bool = False
    working_hours: tuple[Window, ...] | None = Field(default=None, min_length=1)
    timezone: Zone | None = None
    approval: Approval = Approval.AUTOMATIC
    regions: Regions | None = None
    cross_border: CrossBorder = CrossBorder.REFUSE
    cross_border_basis: str | None = Field(default=None, min_length=1, max_length=500, pattern=r"\S")

    @model_validator(mode="after")
    def _joinable(self) -> Self:
        if self.unit is PrivacyUnit.RECORD and self.max_records_per_person != 1:
            raise ValueError("max_records_per_person is for unit: person; leave it out for unit: record")
        if self.max_epsilon_per_job > self.epsilon:
            raise ValueError("max_epsilon_per_job is above epsilon, the budget of all jobs; lower it")
        return self

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        """Rules that mean nothing without one another."""
        if (self.working_hours is None) != (self.timezone is None):
            raise ValueError("working_hours and timezone belong together; give both or neither")
        if self.regions is not None and UNSPECIFIED_REGION in self.regions:
            raise ValueError(f"regions lists {UNSPECIFIED_REGION!r}, which could be anywhere; list named regions")
        if (self.cross_border is CrossBorder.RECORDED) != (self.cross_border_basis is not None):
            raise ValueError("cross_border_basis belongs to cross_border: recorded; give both or neither")
        return self


def stricter(policy: Policy, pack: Pack) -> Policy:
    """The policy with a pack's demands added: for each field the stricter of the two.

    The unit of privacy is the one field that is never changed here: whose each record is, is for the institution to
    say, and its ledger counts in that unit.

    Raises
    ------
    ConfigError
        If the two leave nothing to allow, or the pack needs a statement that only the institution can make.
    """
    if pack.unit is PrivacyUnit.PERSON and policy.unit is not PrivacyUnit.PERSON:
        raise ConfigError(
            f"jurisdiction {policy.jurisdiction} protects persons, the policy records; write unit: person, with the "
            "person's id as the mapping's id_column."
        )
    regions = stricter_regions(policy.regions, pack.regions)
    if regions == ():
        raise ConfigError(
            f"regions allows none of {', '.join(pack.regions or ())}, the ones of jurisdiction {policy.jurisdiction}; "
            "write the regions as the roster does."
        )
    cross_border = max(policy.cross_border, pack.cross_border, key=_STRICTEST_LAST.index)
    if cross_border is CrossBorder.RECORDED and policy.cross_border_basis is None:
        raise ConfigError(
            f"jurisdiction {policy.jurisdiction} wants the route of a cross-border round recorded; write cross_border: "
            "recorded and cross_border_basis, or cross_border: refuse."
        )
    added = tuple(one for one in pack.refused_classes if one not in policy.refused_classes)
    return policy.model_copy(
        update={
            "refused_classes": policy.refused_classes + added,
            "require_basis": policy.require_basis or pack.require_basis,
            "approval": Approval.MANUAL if Approval.MANUAL in (policy.approval, pack.approval) else policy.approval,
            "min_institutions": max(policy.min_institutions, pack.min_institutions),
            "regions": regions,
            "cross_border": cross_border,
            "cross_border_basis": policy.cross_border_basis if cross_border is CrossBorder.RECORDED else None,
        }
    )


def load_policy(path: Path) -> Policy:
    """Read a policy file and add its jurisdiction's pack.

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
        policy = Policy.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"policy {path}: {'; '.join(validation_problems(error, document))}.") from error
    if policy.jurisdiction is None:
        return policy
    try:
        return stricter(policy, load_pack(policy.jurisdiction))
    except ConfigError as error:
        raise ConfigError(f"policy {path}: {error}") from error


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
