"""The oracle: clipped integer gradients of any torch module whose records do not mix, through Opacus' hooks.

For stacks of linear layers there is a faster way without torch (`fedcredit.models.mlp_clipping`), for which this is
the oracle. Opacus is used for nothing else: its sampler, sampling rate, divisor and noise come from the data set or a
seedable generator, and the plan fixes all four.

References
----------
Yousefpour et al., "Opacus: User-Friendly Differential Privacy Library in PyTorch", 2021, arXiv 2109.12298.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.grad_sample import GradSampleModule
from opacus.validators import ModuleValidator
from torch import nn

from fedcredit.errors import ConfigError

# Shorter by more than the rounding of a float64 norm (2^-45), and by less than a thousandth of a lattice unit.
_SHAVED = 1 - 2.0**-40


def refuse_mixed_records(module: nn.Module, n_inputs: int) -> None:
    """Refuse a module in which a record's output depends on others, or that Opacus cannot take apart.

    Opacus knows its layers by name only, so the module is also tried on two public rows, together and alone.

    Raises
    ------
    ConfigError
        Naming the layer, the reason and what to use instead.
    """
    for name, layer in reversed(list(module.named_modules())):  # inner layers before what holds them
        if getattr(layer, "track_running_stats", False) and not isinstance(layer, nn.modules.batchnorm._BatchNorm):
            raise ConfigError(f"layer {name!r} keeps running statistics of records; set track_running_stats=False.")
        problems = [str(problem) for problem in ModuleValidator.validate(layer, strict=False)]
        if problems:
            raise ConfigError(
                f"layer {name!r} ({type(layer).__name__}) gives no gradient of single records: {problems[0]}; "
                "replace it, batch normalisation by nn.LayerNorm or nn.GroupNorm for instance."
            )
    rows = torch.stack([torch.zeros(n_inputs, dtype=torch.float64), torch.ones(n_inputs, dtype=torch.float64)])
    with torch.no_grad():
        if not torch.allclose(module(rows)[:1], module(rows[:1]), rtol=1e-9, atol=1e-12):
            raise ConfigError(
                "a public row gives another output alone than beside a second row: the module mixes records, or draws "
                "at random as nn.Dropout does; let each output depend on its own row only."
            )


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
        If `refuse_mixed_records` does.
    """
    refuse_mixed_records(module, inputs.shape[1])
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


def clip_to_lattice(gradients: NDArray[np.float64], scale: int, radius: int) -> NDArray[np.int64]:
    """Clip each record's gradient and truncate it towards zero.

    The bound is decided on integers, after truncation: floats only choose the direction. Nothing is raised and no
    path is taken for the sake of one record.

    Parameters
    ----------
    gradients
        Shape (n, d); a record with NaN or infinities contributes zeros.
    scale
        Lattice units per unit of gradient.
    radius
        Largest L2 norm of an integer row, in lattice units; below 2^31.

    Returns
    -------
    ndarray of int64, shape (n, d)
        Every row has squared norm at most ``radius**2``.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        units = gradients * scale
        norms = np.sqrt(np.sum(units * units, axis=1, keepdims=True))
        clipped = units * np.minimum(1.0, radius * _SHAVED / norms)
    # A norm of 0 gives the factor min(1, inf) = 1; one that overflowed or is NaN has no direction to keep.
    usable = np.where(np.isfinite(norms), clipped, 0.0)
    return hold_rows(np.trunc(usable).astype(np.int64), radius)


def hold_rows(rows: NDArray[np.int64], radius: int) -> NDArray[np.int64]:
    """Zero every row whose integer norm exceeds the radius.

    After `clip_to_lattice`'s own clipping there is none; the sensitivity must not rest on floating point.
    """
    within = np.sum(rows * rows, axis=1, keepdims=True) <= radius * radius
    return np.where(within, rows, 0)
