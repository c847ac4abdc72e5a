"""Monotone weights by pooling adjacent violators: free post-processing of what was released.

References
----------
Barlow, Bartholomew, Bremner and Brunk, "Statistical Inference under Order Restrictions", Wiley, 1972, ch. 1.
"""

from collections.abc import Sequence


def pool_adjacent_violators(
    values: Sequence[float], masses: Sequence[float], *, increasing: bool = True
) -> list[float]:
    """Nearest monotone sequence in the weighted least-squares sense.

    Parameters
    ----------
    values
        Shape (n,).
    masses
        Shape (n,): weight of each value, all positive.
    increasing
        Direction; False gives a non-increasing sequence.

    Returns
    -------
    list of float
        Shape (n,); its weighted mean is that of `values`.
    """
    sign = 1.0 if increasing else -1.0
    pools: list[tuple[float, float, int]] = []
    for value, mass in zip(values, masses, strict=True):
        pool = (sign * value, mass, 1)
        while pools and pools[-1][0] > pool[0]:
            mean, weight, length = pools.pop()
            total = weight + pool[1]
            pool = ((mean * weight + pool[0] * pool[1]) / total, total, length + pool[2])
        pools.append(pool)
    return [sign * mean for mean, _, length in pools for _ in range(length)]
