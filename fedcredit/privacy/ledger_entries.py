"""What a ledger is asked about: the account that it was opened for, stored messages, and jobs."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

from fedcredit.privacy.accounting import Accountant

_LONGEST_DENOMINATOR_BITS = 4096


@dataclass(frozen=True, slots=True)
class Account:
    """What a ledger is for and how much it may spend.

    Attributes
    ----------
    population
        Name of the population whose records it protects.
    unit
        ``record`` or ``person``.
    accountant
        The unit of cost and its budget.
    """

    population: str
    unit: str
    accountant: Accountant


@dataclass(frozen=True, slots=True)
class Stored:
    """A message that was charged: the request that it answered and its exact bytes."""

    request_hash: bytes
    message: bytes


@dataclass(frozen=True, slots=True)
class Job:
    """A job's place in the ledger: its exact plan and terms, what it reserved, spent, whether it is over, its epoch."""

    plan: bytes
    terms: dict[str, Any]
    reserved: Fraction
    retry_reserve: Fraction
    spent: Fraction
    closed: bool
    epoch: int


def kept_short(total: Fraction) -> Fraction:
    """Round a sum up once its denominator is so long that many cheap jobs could make adding to it take hours."""
    if total.denominator.bit_length() <= _LONGEST_DENOMINATOR_BITS:
        return total
    unit = 2 ** (_LONGEST_DENOMINATOR_BITS // 2)
    return Fraction(ceil(total * unit), unit)
