"""What a ledger is asked about: the account that it was opened for, stored messages, and jobs."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from fedcredit.privacy.accounting import Accountant


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
    """A job's place in the ledger: its exact plan and terms, what it reserved, spent, and whether it is over."""

    plan: bytes
    terms: dict[str, Any]
    reserved: Fraction
    retry_reserve: Fraction
    spent: Fraction
    closed: bool
