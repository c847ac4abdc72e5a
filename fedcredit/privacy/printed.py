"""Epsilons and deltas in digits: what is promised or spent rounds up, what is left rounds down.

Rounding to the nearest digit prints half of all bounds below what was proved. Somebody reads such a number, adds it to
another, or charges a recovered ledger with it.

A sum that meets its target to the last bit is 1e-14 of it more or less as a double; one part in 10^12 is forgiven, or
an epsilon of 1 would be printed as 1.001.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

_FORGIVEN = Decimal("1e-12")


def at_most(value: float, decimals: int = 3) -> str:
    """Print an upper bound, at least 0, with so many decimals, rounded up."""
    return _fixed(Decimal(value) * (1 - _FORGIVEN), decimals, ROUND_CEILING)


def at_least(value: float, decimals: int = 3) -> str:
    """Print a lower bound, at least 0, with so many decimals, rounded down."""
    return _fixed(Decimal(value) * (1 + _FORGIVEN), decimals, ROUND_FLOOR)


def at_most_digits(value: float, digits: int = 3) -> str:
    """Print an upper bound, at least 0, with so many significant digits, rounded up, as ``g`` does."""
    exact = Decimal(value) * (1 - _FORGIVEN)
    last = Decimal(1).scaleb(exact.adjusted() - digits + 1)
    return f"{float(exact.quantize(last, ROUND_CEILING)):.{digits}g}"


def _fixed(value: Decimal, decimals: int, rounding: str) -> str:
    return f"{value.quantize(Decimal(1).scaleb(-decimals), rounding):f}"
