"""The report of one job: twelve parts, each a pure function of the released files, and their one JSON form."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from fedcredit.report.calibration import Calibration, calibration_of
from fedcredit.report.decisions import Decisions, decisions_of
from fedcredit.report.discrimination import Discrimination, discrimination_of
from fedcredit.report.drift import Drift, drift_of
from fedcredit.report.explanation import Explanation, explanation_of
from fedcredit.report.groups import Groups, groups_of
from fedcredit.report.inputs import ReportInputs
from fedcredit.report.limits import Limits, limits_of
from fedcredit.report.participants import Participants, participants_of
from fedcredit.report.protection import Protection, protection_of
from fedcredit.report.purpose import Purpose, purpose_of
from fedcredit.report.rivals import Rivals, rivals_of
from fedcredit.report.signatures import Signatures, signatures_of

SCHEMA = "fedcredit-report/1"
"""Raised when a field changes its name or meaning; new fields do not raise it."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is said about one job.

    Attributes
    ----------
    simulated
        Whether exact figures of a simulation are in it, which no deployment can compute.
    """

    schema: str
    title: str
    simulated: bool
    purpose: Purpose
    participants: Participants
    protection: Protection
    discrimination: Discrimination
    calibration: Calibration
    decisions: Decisions
    drift: Drift
    groups: Groups
    explanation: Explanation
    rivals: Rivals
    limits: Limits
    signatures: Signatures

    def to_json(self) -> dict[str, Any]:
        """JSON values, same names."""
        return asdict(self)

    def to_text(self) -> str:
        """The JSON document, with a newline at the end."""
        return json.dumps(self.to_json(), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def report_of(inputs: ReportInputs) -> Report:
    """Compute the report."""
    return Report(
        schema=SCHEMA,
        title=f"{inputs.dictionary.title}: report on job {inputs.plan.job}",
        simulated=inputs.simulated,
        purpose=purpose_of(inputs),
        participants=participants_of(inputs),
        protection=protection_of(inputs),
        discrimination=discrimination_of(inputs),
        calibration=calibration_of(inputs),
        decisions=decisions_of(inputs),
        drift=drift_of(inputs),
        groups=groups_of(inputs),
        explanation=explanation_of(inputs),
        rivals=rivals_of(inputs),
        limits=limits_of(inputs),
        signatures=signatures_of(inputs),
    )
