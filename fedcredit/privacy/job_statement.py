"""What an institution signs at the end of a job: its numbers, and each message that they are for.

The messages stand there by place and by the hash of the noised vector, so that whoever holds the signed messages can
tell that none is missing and none was added. How the ledger counts is said, too; what it may spend in all is not.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from fedcredit.errors import ConfigError, PrivacyError
from fedcredit.plan import Plan
from fedcredit.privacy.accounting import Accountant, accountant_from_json
from fedcredit.privacy.ledger_entries import Job
from fedcredit.privacy.statement import statement
from fedcredit.wire.canonical import canonical_json


def job_statement(
    plan: Plan, institution: str, accountant: Accountant, job: Job, charges: Sequence[Mapping[str, Any]]
) -> bytes:
    """The statement's bytes, canonical JSON.

    Parameters
    ----------
    charges
        The job's charge events, oldest first.

    Raises
    ------
    ConfigError
        If the institution is no member of the plan's roster.
    """
    values = statement_values(plan, institution, accountant, job.reserved, job.spent)
    places = [[*(event[name] for name in ("role", "round", "attempt", "vector_hash"))] for event in charges]
    return canonical_json({**values, "epoch": job.epoch, "messages": len(places), "charged": places})


def statement_values(
    plan: Plan, institution: str, accountant: Accountant, reserved: Fraction, spent: Fraction
) -> dict[str, Any]:
    """What follows from the plan and from what was reserved and spent."""
    member = plan.roster.member(institution)
    if member is None:
        raise ConfigError(f"{institution!r} is no member of the plan's roster; use the plan that it joined.")
    return {
        "institution": institution,
        "job": plan.job,
        "placement": plan.privacy.placement.value,
        "adjacency": "zero_out",
        "accountant": {name: value for name, value in accountant.to_json().items() if name != "budget"},
        **statement(plan, member.kind, accountant, reserved, spent).to_json(),
    }


def stated_accountant(statement: Mapping[str, Any]) -> Accountant:
    """The accountant that a statement names, without a budget.

    Raises
    ------
    PrivacyError
        If it names none.
    """
    stated = statement.get("accountant")
    if not isinstance(stated, dict) or not isinstance(stated.get("order", 2), int):
        raise PrivacyError("the statement names no accountant; its writer is of another version.")
    try:
        return accountant_from_json({**stated, "budget": "0/1"})
    except KeyError as error:
        raise PrivacyError(f"the statement's accountant lacks {error}; its writer is foreign.") from error
