"""What a μ-GDP guarantee means to an attacker, for readers to whom ε says nothing.

Somebody who knows every other record, sees everything that was released and has unlimited time still has to
tell "this record was in" from "it was not", which is no easier than telling N(0, 1) from N(μ, 1). Both
numbers are upper bounds over all attacks, membership inference included.

References
----------
Dong, Roth, Su, "Gaussian Differential Privacy", arXiv 1905.02383, Section 2.
"""

import math

from scipy.special import ndtr, ndtri

from fedcredit.errors import PrivacyError
from fedcredit.privacy.gdp import check_mu


def attack_advantage(mu: float) -> float:
    """Return the greatest TPR − FPR of any attack: 2Φ(μ/2) − 1, in [0, 1]; 0 is blind guessing."""
    check_mu(mu)
    return math.erf(mu / math.sqrt(8))


def attack_tpr(false_positive_rate: float, mu: float) -> float:
    """Return the greatest share of members that any attack finds at a given share of wrongly accused others.

    Parameters
    ----------
    false_positive_rate
        Share of non-members accused, strictly between 0 and 1.
    mu
        The guarantee, at least 0.
    """
    check_mu(mu)
    if not 0 < false_positive_rate < 1:
        raise PrivacyError(
            f"false_positive_rate must lie strictly between 0 and 1, got {false_positive_rate}; use 0.01 for 1 %."
        )
    return float(ndtr(ndtri(false_positive_rate) + mu))
