"""Whether each institution's signed receipt is for this plan, this model, and exactly the messages of this job."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from fedcredit.errors import ConfigError, FedcreditError, PrivacyError, RefusalError, WireError
from fedcredit.job.admission import authenticated
from fedcredit.plan import Placement, Plan
from fedcredit.privacy.accounting import Accountant
from fedcredit.privacy.job_statement import stated_accountant, statement_values
from fedcredit.privacy.statement import mechanism, planned_cost
from fedcredit.verify.checks import Check, all_or, failed, unchecked
from fedcredit.verify.released import differences
from fedcredit.verify.replay import Place
from fedcredit.verify.run_files import RunFiles
from fedcredit.wire.canonical import digest, parse_json
from fedcredit.wire.envelope import open_envelope
from fedcredit.wire.messages import Receipt, Role, decode_message

_ROLES = {role.name.lower(): role for role in Role}


@dataclass(frozen=True, slots=True)
class Transcript:
    """What the signed messages of a job say that an institution was charged for.

    Attributes
    ----------
    sent
        Vector hash by place, by institution; None where there is no store.
    failed_attempts
        Attempts that were given up.
    """

    sent: Mapping[str, Mapping[Place, str]] | None
    failed_attempts: frozenset[Place] = frozenset()


def receipts_of(files: RunFiles, stored: Mapping[str, bytes]) -> dict[str, bytes]:
    """Signed receipts by institution: the store's, and files for which the store has none."""
    return {**files.receipts(".envelope"), **stored}


def check_receipts(
    files: RunFiles, plan: Plan, model: bytes, stored: Mapping[str, bytes], transcript: Transcript
) -> list[Check]:
    """Check every receipt of a run.

    Parameters
    ----------
    model
        The model that was released.
    stored
        Envelopes in the job's store.
    """
    envelopes, found, statements = receipts_of(files, stored), [*_unequal(files, stored)], {}
    for name, envelope in envelopes.items():
        try:
            receipt = _opened(plan, name, envelope, digest("model", model))
            statements[name] = _statement(receipt)
        except (RefusalError, WireError, ConfigError) as error:
            found.append(failed("receipts", name, str(error)))
    found += [
        unchecked("receipts", name, "gave no receipt, or it was left out; ask this member")
        for name in plan.members
        if name not in envelopes
    ]
    for name, statement in statements.items():
        found += _check_statement(plan, name, statement, transcript)
    return [
        *all_or(found, "receipts", f"{len(statements)} receipts, each signed for this plan and model"),
        *all_or(found, "messages", "each receipt is for exactly the messages of its institution"),
        *all_or(found, "epsilons", "every number of each receipt follows from the plan; no spent above its planned"),
    ]


def check_others(plan: Plan, run: Mapping[str, bytes], others: Mapping[str, bytes]) -> list[Check]:
    """Compare receipts that members gave out themselves with those in the run.

    Parameters
    ----------
    run, others
        Envelopes by institution.
    """
    found = []
    for name, envelope in others.items():
        try:
            authenticated(plan, name, envelope)
        except (RefusalError, WireError) as error:
            found.append(failed("members' receipts", name, str(error)))
            continue
        if name not in run:
            found.append(failed("members' receipts", name, "the run lacks this receipt, which the member signed"))
        elif run[name] != envelope:
            found.append(failed("members' receipts", name, "the member signed another receipt than the run holds"))
    return all_or(found, "members' receipts", f"{len(others)} receipts are those of the run")


def _unequal(files: RunFiles, stored: Mapping[str, bytes]) -> Iterator[Check]:
    """Receipts that stand in the run's folder, against those in its store."""
    released, statements = files.receipts(".envelope"), files.receipts(".json")
    for name in sorted({*released, *statements} - ({*stored} or {*released})):
        yield failed("receipts", name, "the store holds no receipt of this name")
    for name, envelope in released.items():
        if name in stored and stored[name] != envelope:
            yield failed("receipts", f"receipts/{name}.envelope", "it is not the receipt in the store")
    for name, statement in statements.items():
        signed = {**released, **stored}.get(name)
        if signed is not None and not _carries(signed, statement):
            yield failed("receipts", f"receipts/{name}.json", "it is not the statement that was signed")
    for name in sorted({*stored} - {*statements}):
        yield failed("receipts", f"receipts/{name}.json", "it is missing")


def _carries(envelope: bytes, statement: bytes) -> bool:
    try:
        opened = open_envelope(envelope)
        message = decode_message(opened.kind, opened.payload)
    except WireError:
        return True  # named when it is opened with its key
    return not isinstance(message, Receipt) or message.statement == statement


def _opened(plan: Plan, name: str, envelope: bytes, model_hash: bytes) -> Receipt:
    receipt = authenticated(plan, name, envelope)
    if not isinstance(receipt, Receipt):
        raise ConfigError("it is no receipt.")
    if receipt.plan_hash != plan.digest():
        raise ConfigError("it is the receipt of another job.")
    if receipt.model_hash != model_hash:
        raise ConfigError("it is for another model than was released.")
    return receipt


def _statement(receipt: Receipt) -> dict[str, Any]:
    try:
        statement = parse_json(receipt.statement)
    except ValueError as error:
        raise ConfigError(f"its statement cannot be read ({error}).") from error
    if not isinstance(statement, dict):
        raise ConfigError("its statement is no JSON object.")
    return statement


def _check_statement(plan: Plan, name: str, statement: Mapping[str, Any], transcript: Transcript) -> Iterator[Check]:
    try:
        charged = _charged(statement)
        accountant = _accountant(plan, statement)
        true = _recomputed(plan, name, accountant, charged)
    except (KeyError, TypeError, ValueError, FedcreditError) as error:
        yield failed("epsilons", name, f"its statement is not one of this plan ({error})")
        return
    if statement.get("messages") != len(statement["charged"]) or len(charged) != len(statement["charged"]):
        yield failed("messages", name, f"it says {statement.get('messages')} messages and lists {len(charged)}")
    yield from _check_places(plan, name, charged, transcript)
    stated = {key: value for key, value in statement.items() if key not in {"charged", "messages", "epoch"}}
    for path in differences(stated, true):
        detail = f"it states {_at(stated, path)}, and the plan gives {_at(true, path)}"
        yield failed("epsilons", f"{name}, {path}", detail)
    if not isinstance(statement.get("epoch"), int) or statement["epoch"] < 1:
        yield failed("epsilons", f"{name}, epoch", "it states no epoch of its ledger")


def _charged(statement: Mapping[str, Any]) -> dict[Place, str]:
    listed = statement["charged"]
    return {(str(role), int(round_), int(attempt)): str(one) for role, round_, attempt, one in listed}


def _accountant(plan: Plan, statement: Mapping[str, Any]) -> Accountant:
    accountant = stated_accountant(statement)
    if (accountant.mode == "not_private") != (plan.privacy.placement is Placement.NONE):
        raise PrivacyError(f"a ledger that counts as {accountant.mode!r} cannot pay for this plan")
    return accountant


def _recomputed(plan: Plan, name: str, accountant: Accountant, charged: Mapping[Place, str]) -> dict[str, Any]:
    member = plan.roster.member(name)
    if member is None:
        raise ConfigError(f"{name} is no member of the roster")
    costs = (accountant.cost(mechanism(plan, member.kind, _ROLES[role])) for role, _, _ in charged)
    spent, planned = sum(costs, Fraction(0)), planned_cost(plan, member.kind, accountant)
    if spent > planned:
        raise PrivacyError("its messages cost more than the whole plan")
    return statement_values(plan, name, accountant, planned, spent)


def _check_places(plan: Plan, name: str, charged: Mapping[Place, str], transcript: Transcript) -> Iterator[Check]:
    """Every message of the sums is charged, and what else is charged answered an attempt that was given up."""
    for role, round_, attempt in charged:
        inside = 1 <= round_ <= plan.phases.of(_ROLES[role]).rounds and 1 <= attempt <= plan.privacy.max_attempts
        if not inside:
            yield failed("messages", f"{name}, {role} {round_}, attempt {attempt}", "the plan has no such message")
    if transcript.sent is None:
        return
    sent = transcript.sent.get(name, {})
    for place, vector_hash in sent.items():
        where = "{}, {} {}, attempt {}".format(name, *place)
        if place not in charged:
            yield failed("messages", where, "this message is in the sums, and the receipt does not list it")
        elif charged[place] != vector_hash:
            yield failed("messages", where, "the receipt lists another vector than is in the sums")
    for place in charged:
        if place not in sent and place not in transcript.failed_attempts:
            where = "{}, {} {}, attempt {}".format(name, *place)
            yield failed("messages", where, "the receipt lists a message that is in no sum and no failed attempt")


def _at(values: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401  (JSON is any)
    found: Any = values
    for part in path.split("."):
        found = found.get(part, "nothing") if isinstance(found, Mapping) else found
    return found
