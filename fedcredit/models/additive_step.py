"""How far to trust a noisy gradient: one damped Gauss-Newton step per network that knows how much noise there is.

Close by, a network's values are its Jacobian J times a change of its parameters. If the parameters' remaining error is
drawn from N(0, S), the values' error has covariance ``K = J S J'`` (the network's tangent kernel), and the gradient is
the information H times that error plus noise of variance V. The best linear estimate of the parameters' error is
``S J' (K + V / H**2)^-1`` times the gradient over H. Where noise rules, the step is short and smooth over the bins.

S is diagonal. The three parts of a network (gain, hidden layer, offsets) are each believed to miss as much as the
starting curve may lack, so their parameters' units do not matter.

References
----------
Levenberg, "A method for the solution of certain non-linear problems in least squares", Quarterly of Applied
Mathematics 2, 1944. Jacot, Gabriel and Hongler, "Neural Tangent Kernel", NeurIPS 2018.
"""

import numpy as np
from numpy.typing import NDArray

from fedcredit.models.additive_network import Inputs, Network, jacobian
from fedcredit.models.step_filter import product, solve

Floats = NDArray[np.float64]

# A part that moves the values by less than a millionth of its own move does nothing: a flat start, say.
_LEAST_REACH = 1e-12


def newton_step(inputs: Inputs, network: Network, wanted: Floats, variance: Floats, prior_variance: float) -> Floats:
    """Most likely change of the parameters that moves the values as wanted.

    Parameters
    ----------
    wanted
        Shape (B,): change of each value, logits; its mean is left to the intercepts.
    variance
        Shape (B,), positive: how uncertain each is.
    prior_variance
        Variance that the values' error is believed to have, on average over the records.

    Returns
    -------
    Floats
        Shape (P,), in the order of `jacobian`'s columns.
    """
    slopes = jacobian(inputs, network)
    weighted = slopes * _prior(inputs, network, slopes, prior_variance)
    kernel = np.stack([product(weighted, row) for row in slopes])
    seen = kernel + np.eye(len(wanted)) * variance
    return product(weighted.T, solve(seen, inputs.centred(wanted)[:, None])[:, 0])


def _prior(inputs: Inputs, network: Network, slopes: Floats, prior_variance: float) -> Floats:
    """Variance of each parameter's error; shape (P,)."""
    prior = np.full(slopes.shape[1], prior_variance)  # an offset is its bin's value
    hidden = 1 + 3 * len(network.heights)
    for part in (slice(0, 1), slice(1, hidden)):
        reach = float(np.add.reduce(inputs.share * np.add.reduce(slopes[:, part] ** 2, axis=1)))
        prior[part] = prior_variance / reach if reach > _LEAST_REACH else 0.0
    return prior
