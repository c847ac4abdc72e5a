"""Per-record gradients of the logistic loss, by Opacus' hooks on a torch module that is ours.

Only linear layers and tanh occur, so records never mix (no batch normalisation) and a record's gradient
depends on that record alone. Opacus is used for nothing else: its sampler, sampling rate, divisor and noise
come from the data set or a seedable generator, and the plan fixes all four.

References
----------
Abadi et al., "Deep Learning with Differential Privacy", CCS 2016, arXiv 1607.00133.
Yousefpour et al., "Opacus: User-Friendly Differential Privacy Library in PyTorch", 2021, arXiv 2109.12298.
Papernot et al., "Tempered Sigmoid Activations for Deep Learning with Differential Privacy", AAAI 2021,
arXiv 2007.14191, on tanh.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import ConfigError
from fedcredit.models.mlp_layout import Layer

try:
    import torch
    from opacus.grad_sample import GradSampleModule
    from torch import nn
except ImportError as error:
    raise ConfigError(
        f"the neural models need torch and opacus ({error}); run: pip install 'fedcredit[neural]'"
    ) from error


def build_module(layers: Sequence[Layer]) -> nn.Sequential:
    """Torch module with the given weights, in float64.

    Built on torch's `meta` device, it draws nothing from torch's global generator.
    """
    modules: list[nn.Module] = []
    for layer in layers:
        outputs, inputs = layer.weights.shape
        linear = nn.Linear(inputs, outputs, bias=layer.biases is not None, device="meta")
        linear.weight = nn.Parameter(torch.tensor(layer.weights, dtype=torch.float64))
        if layer.biases is not None:
            linear.bias = nn.Parameter(torch.tensor(layer.biases, dtype=torch.float64))
        modules += [linear, nn.Tanh()]
    return nn.Sequential(*modules[:-1])


def per_record_gradients(
    layers: Sequence[Layer], inputs: NDArray[np.float64], bad: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Gradient of each record's own loss, before clipping.

    Parameters
    ----------
    inputs
        Shape (n, n_inputs), n at least 1.
    bad
        Shape (n,): 1 = bad, 0 = good.

    Returns
    -------
    ndarray of float64, shape (n, vector_length)
    """
    module = GradSampleModule(build_module(layers), loss_reduction="sum")
    # An input that requires its gradient lets torch's full backward hook fire without a warning.
    records = torch.tensor(inputs, dtype=torch.float64, requires_grad=True)
    target = torch.tensor(bad, dtype=torch.float64)
    with torch.enable_grad():
        logits = module(records)[:, 0]
        loss = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="sum")
        torch.autograd.backward(loss)
    parts = [parameter.grad_sample.flatten(start_dim=1) for parameter in module.parameters()]
    gradients: NDArray[np.float64] = torch.cat(parts, dim=1).numpy()
    return gradients
