"""Part 12: what this report is about, by hash, and who is to sign for it."""

from collections.abc import Mapping
from dataclasses import dataclass

from fedcredit import __version__
from fedcredit.report.inputs import ReportInputs

ROLES = (
    ("model owner", "states purpose, materiality tier and the people it is used on"),
    ("developer", "built the plan and chose its constants"),
    ("independent validator", "is not the developer; challenged the figures above"),
    ("data protection officer", "has seen part 3 and the record of purposes"),
    ("approver", "decides on use, conditions and review date"),
)


@dataclass(frozen=True, slots=True)
class SignOff:
    """A line to sign."""

    role: str
    duty: str


@dataclass(frozen=True, slots=True)
class Signatures:
    """The part.

    Attributes
    ----------
    plan, roster, dictionary
        Digests, as hex, as the protocol computes them.
    files
        SHA-256 of each file, as hex, by name.
    receipts, no_receipt
        Institutions that signed a receipt, and those that did not.
    """

    version: str
    plan: str
    roster: str
    dictionary: str
    files: Mapping[str, str]
    receipts: tuple[str, ...]
    no_receipt: tuple[str, ...]
    sign_offs: tuple[SignOff, ...]


def signatures_of(inputs: ReportInputs) -> Signatures:
    """Compute the part."""
    plan = inputs.plan
    return Signatures(
        version=__version__,
        plan=plan.digest().hex(),
        roster=plan.roster.digest().hex(),
        dictionary=plan.dictionary,
        files=dict(inputs.hashes),
        receipts=tuple(name for name in plan.members if name in inputs.statements),
        no_receipt=tuple(name for name in plan.members if name not in inputs.statements),
        sign_offs=tuple(SignOff(*one) for one in ROLES),
    )
