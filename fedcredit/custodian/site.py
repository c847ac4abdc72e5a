"""What one custodian holds: its identity, its data, the peers that it pinned, and its policy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from fedcredit.custodian.policy import Policy
from fedcredit.data.rows import Dataset
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.models.family import Kernel
from fedcredit.roster import Roster
from fedcredit.wire.envelope import SigningKey


def machine_clock() -> datetime:
    """The machine's own time, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class NotPrivate:
    """Stands where a policy would: this custodian's data are public or synthetic and nothing is promised about them."""

    declared: Literal["public", "synthetic"]


@dataclass(frozen=True, slots=True)
class Site:
    """One institution's side of a consortium.

    Attributes
    ----------
    institution, kind
        Id and type, as in the roster.
    dictionary
        The feature contract.
    data
        The institution's quantised records, frozen for the life of this object.
    key
        Identity key.
    roster
        The consortium that it pinned.
    coordinators
        Public key of each coordinator that it accepts, by name.
    policy
        Its own limits, or the statement that its data need none.
    evaluation_percent
        Share of units that the institution set aside for evaluation; None where a declared column says so.
    modules
        Torch modules that may run here: import path, and SHA-256 of the file that was reviewed.
    jobs_folder
        Where plans wait for an operator's approval; None where the policy asks for none.
    audit_trail
        Where every request and decision is written down; None for a site that was not built from a site file.
    kernel
        What computes the sums of training.
    now
        The clock, in UTC, by which rosters expire and working hours are kept. No budget depends on it.
    """

    institution: str
    kind: str
    dictionary: DataDictionary
    data: Dataset
    key: SigningKey
    roster: Roster
    coordinators: Mapping[str, bytes]
    policy: Policy | NotPrivate
    evaluation_percent: int | None = None
    modules: Mapping[str, str] = field(default_factory=dict)
    jobs_folder: Path | None = None
    audit_trail: Path | None = None
    kernel: Kernel = "numpy"
    now: Callable[[], datetime] = machine_clock
