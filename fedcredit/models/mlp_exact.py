r"""Arithmetic that gives a record the same bits in any batch, in any order and on any machine.

A float64 matrix product rounds in an order that the library picks by the shape of the batch, so that a record's
activations would depend, in their last bits, on who else was sampled. Here every sum is taken over whole numbers so
small that no partial sum exceeds 2^53: float64 then holds each of them exactly, and the order says nothing. A layer
reads at most `MOST_UNITS` numbers of `VALUE_BITS` bits and weights have `descent.WEIGHT_BITS`; 8 + 22 + 23 = 53.

Everything else is elementwise: + − × ÷ √, rounding and table look-ups, which IEEE 754 fixes to the bit. The tanh is a
public table, worked out in decimal arithmetic, with a Taylor step: no library's tanh touches a record.

References
----------
Ozaki, Ogita, Oishi, Rump, "Error-free transformations of matrix multiplication by using fast routines of matrix
multiplication and its applications", Numerical Algorithms 59, 2012, on products without rounding.
"""

from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

VALUE_BITS = 22
"""Activations and signals are whole numbers within ±2^22."""
MOST_UNITS = 2**8
"""Widest layer whose numbers are of `VALUE_BITS`."""
MOST_INPUTS = 2**18
"""Most inputs, whose numbers have 12 bits, of which so many are summed exactly."""
TANH_LARGEST = 10
TANH_CELLS = 512  # per unit
_WORK = Context(prec=40, rounding=ROUND_HALF_EVEN)


def exact_product(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrix product of whole numbers within the bounds above: without any rounding, whatever order BLAS adds in."""
    product: NDArray[np.float64] = left @ right
    return product


def squared_norms(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Exact squared norm of each column of at most `MOST_UNITS` whole numbers of `VALUE_BITS`."""
    norms: NDArray[np.float64] = np.einsum("kn,kn->n", columns, columns)
    return norms


def tanh(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hyperbolic tangent to within 2^-30, and ±1 to within 2^-27 beyond ±10.

    With t = tanh(z₀) and h = z − z₀, |h| ≤ 2^-10, it is t + h(1 − ht)(1 − t²) to within h³/3.
    """
    rest = np.clip(values, -TANH_LARGEST, TANH_LARGEST)
    rest *= TANH_CELLS
    cells = np.rint(rest)
    rest -= cells
    rest /= TANH_CELLS
    cells += TANH_LARGEST * TANH_CELLS
    near = tanh_table().take(cells.astype(np.intp), mode="clip")  # NumPy's fastest mode
    slope = near * near
    np.subtract(1.0, slope, out=slope)
    slope *= rest
    rest *= near
    np.subtract(1.0, rest, out=rest)
    slope *= rest
    near += slope
    return near


@lru_cache(maxsize=1)
def tanh_table() -> NDArray[np.float64]:
    """Correctly rounded tanh at −10, −10 + 1/512, …, 10."""
    with localcontext(_WORK):
        step = (Decimal(-2) / TANH_CELLS).exp()
        decay, upper = Decimal(1), []
        for _ in range(TANH_LARGEST * TANH_CELLS + 1):
            upper.append(float((1 - decay) / (1 + decay)))
            decay *= step
    half = np.array(upper)
    table = np.concatenate([-half[:0:-1], half])
    table.setflags(write=False)
    return table
