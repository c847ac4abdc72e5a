"""Requests and replies of the scoring service as JSON; what `scoring.proto` says, in other letters."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fedcredit.errors import DataError
from fedcredit.scoring.service import Decided, require_askable
from fedcredit.scoring.single import Value
from fedcredit.wire.canonical import parse_json


def customers_of(body: bytes) -> list[tuple[str, dict[str, Value]]]:
    """Read a request: id and values of each customer.

    Raises
    ------
    DataError
        If the body is no request, or holds too many customers.
    """
    try:
        customers = parse_json(body)["customers"]
        found = [
            (_text(one.get("id", "")), {name: _value(v) for name, v in one["values"].items()}) for one in customers
        ]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise DataError(
            'the body is not {"customers": [{"id": "…", "values": {feature: number, text or null}}]}; correct it.'
        ) from None
    require_askable([customer for customer, _ in found])
    return found


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _value(value: object) -> Value:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return float(value)


def reply_of(versions: Mapping[str, str], decided: Sequence[Decided]) -> dict[str, Any]:
    """The reply: what decided, and a score for each customer."""
    return {**versions, "scores": [_score(one) for one in decided]}


def _score(one: Decided) -> dict[str, Any]:
    return {
        "id": one.customer,
        "pd": one.score.pd,
        "points": one.score.points,
        "verdict": one.verdict,
        "reasons": [asdict(reason) for reason in one.reasons],
        "flags": list(one.score.flags),
        "decision_id": one.decision_id,
    }
