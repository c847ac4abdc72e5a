"""The oracle: gradients of single records of any torch module whose records do not mix, through Opacus' hooks.

The families compute them otherwise: stacks of linear layers as exact integers (`fedcredit.models.mlp_clipping`), any
other module one record at a time (`fedcredit.models.module_gradients`). Opacus' sampler, sampling rate, divisor and
noise come from the data set or a seedable generator, and are used nowhere.

References
----------
Yousefpour et al., "Opacus: User-Friendly Differential Privacy Library in PyTorch", 2021, arXiv 2109.12298.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.grad_sample import GradSampleModule
from torch import nn

from fedcredit.models.module_check import _refuse_mixing, public_rows, refuse_layers


def per_record_gradients(module: nn.Module, inputs: NDArray[np.float64], bad: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Gradient of each record's own logistic loss, before clipping.

    Parameters
    ----------
    module
        In float64 and training mode; maps shape (n, n_inputs) to log-odds of the bad class, shape (n, 1).
    inputs
        Shape (n, n_inputs), n at least 1.
    bad
        Shape (n,): 1 = bad, 0 = good.

    Returns
    -------
    ndarray of float64, shape (n, number of trainable parameters)
        In the order of ``module.parameters()``.

    Raises
    ------
    ConfigError
        If a record's output depends on others, or Opacus cannot take the module apart.
    """
    refuse_layers(module)
    _refuse_mixing(module, public_rows(inputs.shape[1]))
    wrapped = GradSampleModule(module, loss_reduction="sum")
    # An input that requires its gradient lets torch's full backward hook fire without a warning.
    records = torch.tensor(inputs, dtype=torch.float64, requires_grad=True)
    target = torch.tensor(bad, dtype=torch.float64)
    try:
        with torch.enable_grad():
            loss = nn.functional.binary_cross_entropy_with_logits(wrapped(records)[:, 0], target, reduction="sum")
            torch.autograd.backward(loss)
        trained = [parameter for parameter in wrapped.parameters() if parameter.requires_grad]
        gradients = torch.cat([parameter.grad_sample.flatten(start_dim=1) for parameter in trained], dim=1)
    finally:
        wrapped.to_standard_module()
    result: NDArray[np.float64] = gradients.detach().numpy()
    return result
