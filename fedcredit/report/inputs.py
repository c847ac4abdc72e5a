"""What a report is computed from: the released files of a job, read, and the reader's own assumptions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.evaluation.decision import Economics
from fedcredit.evaluation.fairness import FEWEST_RECORDS
from fedcredit.job.released_counts import ReleasedCounts
from fedcredit.models.joint_release import JointView
from fedcredit.models.points import PointsScale
from fedcredit.plan import Plan


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What a reader may set; every one is printed.

    Attributes
    ----------
    cut_off_pd
        PD from which on applicants are declined; None takes the break-even PD.
    fewest_records
        Records that a group needs in order to be judged.
    """

    economics: Economics = field(default_factory=Economics)
    scale: PointsScale = field(default_factory=PointsScale)
    cut_off_pd: float | None = None
    fewest_records: int = FEWEST_RECORDS

    @property
    def cut_off(self) -> float:
        """The cut-off as a PD."""
        return self.economics.break_even_pd if self.cut_off_pd is None else self.cut_off_pd


@dataclass(frozen=True, slots=True)
class ReportInputs:
    """One job's released files.

    Attributes
    ----------
    model
        JSON value of the released model.
    job
        JSON value of ``job.json``: who took part to the end.
    statements
        By institution the JSON value that it signed in its receipt.
    hashes
        SHA-256 of every file of the folder, as hex, by name.
    earlier
        Released counts of an earlier job to compare with, or None.
    metrics
        JSON value of a simulation's exact figures, or None for a deployed job.
    segments
        JSON value of a simulation's figures by segment of a drawn population, or None.
    joint_view
        The view of persons known to two institution types, released by a linked job of the same run; None if there
        was none.
    settings
        What a simulation was asked to run; empty for a deployed job.
    simulated
        Whether the folder says that it is a simulation's.
    """

    plan: Plan
    dictionary: DataDictionary
    model: Mapping[str, Any]
    counts: ReleasedCounts
    job: Mapping[str, Any]
    statements: Mapping[str, Mapping[str, Any]]
    hashes: Mapping[str, str]
    earlier: ReleasedCounts | None = None
    metrics: Mapping[str, Any] | None = None
    segments: Mapping[str, Any] | None = None
    joint_view: JointView | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    simulated: bool = False
    assumptions: Assumptions = field(default_factory=Assumptions)
