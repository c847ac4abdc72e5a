"""Summary figures of two public tables of medical expenditure, to which the population's marginals are held.

Only quantiles, shares and rank correlations are kept here, no record. Amounts are divided by the table's median, so
that currency and year do not matter.

References
----------
Medical Expenditure Panel Survey, 10,391 persons of 65 and more, as packaged with linearmodels 7.1 (``meps``, NCSA
licence). RAND Health Insurance Experiment, 20,190 person-years (A. C. Cameron and P. K. Trivedi, "Microeconometrics",
Cambridge 2005), as packaged with statsmodels 0.15.0 (``randhie``, public domain).
"""

LEVELS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Probabilities of the quantiles below."""

INCOME = (
    0.151, 0.345, 0.451, 0.526, 0.593, 0.661, 0.736, 0.818, 0.905, 1.0,
    1.128, 1.265, 1.414, 1.587, 1.797, 2.082, 2.457, 2.941, 3.836,
)  # fmt: skip
"""MEPS ``income`` over its median."""

SPENDING = (
    0.064, 0.131, 0.209, 0.302, 0.392, 0.489, 0.607, 0.733, 0.863, 1.0,
    1.171, 1.358, 1.583, 1.832, 2.124, 2.523, 3.071, 3.827, 5.283,
)  # fmt: skip
"""MEPS ``drugexp`` over its median."""

CHRONIC = (0.134, 0.437, 0.721, 0.891, 0.967, 0.992)
"""MEPS ``totchr``: share with at most 0, 1, … conditions."""

VISITS = (0.312, 0.501, 0.640, 0.733, 0.800, 0.848, 0.882, 0.908, 0.929, 0.943, 0.953, 0.962, 0.968)
"""RAND ``mdvis``: share with at most 0, 1, … visits in a year."""

INSURED = 0.623
"""MEPS ``private``: share with private insurance."""

RANK_CORRELATIONS = {
    ("income", "spending"): -0.007,
    ("income", "chronic"): -0.065,
    ("income", "insured"): 0.198,
    ("income", "rural"): -0.077,
    ("spending", "chronic"): 0.431,
    ("spending", "insured"): 0.023,
    ("visits", "insured"): 0.108,
}
"""Spearman's. MEPS, ``rural`` being 1 - ``msa``; the last RAND, ``insured`` being a low coinsurance rate."""
