"""Jurisdiction packs: what an institution under some law will usually refuse or demand, as readable YAML.

A pack only ever adds to the institution's own policy (`fedcredit.custodian.policy.stricter`). It is a starting point
for those who answer for the law, and no legal advice; nothing here says that a job is lawful.
"""

from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from fedcredit.dictionary.schema import DataClass
from fedcredit.dictionary.strict_yaml import parse_yaml
from fedcredit.plan import PrivacyUnit
from fedcredit.roster import UNSPECIFIED_REGION, Region

Jurisdiction = Literal["eu", "us", "cn", "research"]
Regions = Annotated[tuple[Region, ...], Field(min_length=1)]


class Approval(StrEnum):
    """Who lets a plan in that the policy allows: the policy alone, or a person for each plan."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


class CrossBorder(StrEnum):
    """What is done with a plan whose members and coordinator are in more than one region."""

    REFUSE = "refuse"
    RECORDED = "recorded"
    ALLOW = "allow"


class Pack(BaseModel):
    """What a jurisdiction adds to a policy; a field that is left out adds nothing. See `Policy` for their meaning.

    Attributes
    ----------
    as_of
        Month of the law that the pack was written from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: str = Field(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$")
    unit: PrivacyUnit | None = None
    refused_classes: tuple[DataClass, ...] = ()
    require_basis: bool = False
    approval: Approval = Approval.AUTOMATIC
    min_institutions: int = Field(default=1, ge=1)
    regions: Regions | None = None
    cross_border: CrossBorder = CrossBorder.ALLOW


@cache
def load_pack(jurisdiction: Jurisdiction) -> Pack:
    """Read a pack of the installed wheel."""
    path = files("fedcredit.custodian").joinpath("packs", f"{jurisdiction}.yaml")
    return Pack.model_validate(parse_yaml(path.read_bytes(), f"pack {jurisdiction}"))


def stricter_regions(first: Regions | None, second: Regions | None) -> Regions | None:
    """The regions that both allow, in the first one's order; None allows any."""
    if first is None or second is None:
        return second if first is None else first
    return tuple(region for region in first if region in second)


def is_named(region: str) -> bool:
    """Tell whether a member's region was stated."""
    return region != UNSPECIFIED_REGION
