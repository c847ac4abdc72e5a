"""What a torch module must not do, tried before it sees a record; every refusal says why and what to do instead.

A record must be able to move the sums, and the counts of an evaluation, by its own part only. So no output may depend
on other records, on what the module saw before, or on chance. Opacus knows the usual layers by name; for those that it
does not know, a few public rows are tried alone, together and again. This finds mistakes. Against ill will there is
the institution's own list of modules, on which its reviewer puts a file after reading it.

References
----------
Yousefpour et al., "Opacus: User-Friendly Differential Privacy Library in PyTorch", 2021, arXiv 2109.12298.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.validators import ModuleValidator
from torch import nn

from fedcredit.errors import ConfigError
from fedcredit.models.module_gradients import record_gradient
from fedcredit.plan import MAX_VECTOR_LENGTH

_N_ROWS = 8


def public_rows(n_inputs: int) -> torch.Tensor:
    """Rows of zeros, of ones, and of numbers within ±3, as inputs are; shape (8, n_inputs)."""
    row, column = torch.arange(_N_ROWS)[:, None], torch.arange(n_inputs)
    rows = ((row * 7919 + column * 2741) % 6145 - 3072).to(torch.float64) / 1024
    rows[0], rows[1] = 0.0, 1.0
    return rows


def check_module(module: nn.Module, n_inputs: int) -> None:
    """Refuse a module that cannot be trained record by record.

    Parameters
    ----------
    module
        In float64 and training mode.

    Raises
    ------
    ConfigError
        With the first reason found.
    """
    refuse_parameters(module)
    refuse_layers(module)
    rows = public_rows(n_inputs)
    _refuse_output(module, rows)
    _refuse_memory(module, rows)
    _refuse_mixing(module, rows)
    _refuse_modes(module, rows)
    _refuse_no_gradient(module, rows.numpy())


def refuse_parameters(module: nn.Module) -> None:
    """Refuse a module whose parameters are none, frozen, no float64 numbers, or too many for a message.

    Raises
    ------
    ConfigError
        Naming the parameter.
    """
    named = list(module.named_parameters())
    if not named:
        raise ConfigError("the module has no parameter to train; give it nn.Parameter or layers that have some.")
    for name, parameter in named:
        if not parameter.is_floating_point():
            raise ConfigError(f"parameter {name!r} is {parameter.dtype}, not a real number; use floating point.")
        if not parameter.requires_grad:
            raise ConfigError(f"parameter {name!r} is frozen; make it a constant of the class, or trainable.")
    total = sum(parameter.numel() for _, parameter in named)
    if total > MAX_VECTOR_LENGTH:
        raise ConfigError(f"the module has {total} weights; a message holds {MAX_VECTOR_LENGTH}: use narrower layers.")


def refuse_layers(module: nn.Module) -> None:
    """Refuse layers that are known to mix records, to remember them or to draw at random.

    Raises
    ------
    ConfigError
        Naming the layer.
    """
    for name, layer in reversed(list(module.named_modules())):  # inner layers before what holds them
        if getattr(layer, "track_running_stats", False) and not isinstance(layer, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001
            raise ConfigError(f"layer {name!r} keeps running statistics of records; set track_running_stats=False.")
        if isinstance(layer, nn.modules.dropout._DropoutNd):  # noqa: SLF001
            raise ConfigError(
                f"layer {name!r} ({type(layer).__name__}) draws at random; remove it: the noise regularises already."
            )
        problems = [str(problem) for problem in ModuleValidator.validate(layer, strict=False)]
        if problems:
            raise ConfigError(
                f"layer {name!r} ({type(layer).__name__}) gives no gradient of single records: {problems[0]}; "
                "replace it, batch normalisation by nn.LayerNorm or nn.GroupNorm for instance."
            )


def outputs_alone(module: nn.Module, rows: torch.Tensor) -> torch.Tensor:
    """Output of each row by itself.

    Raises
    ------
    ConfigError
        If the module fails on a public row.
    """
    return torch.cat([_forward(module, rows[[index]]) for index in range(len(rows))])


def _forward(module: nn.Module, rows: torch.Tensor) -> torch.Tensor:
    try:
        with torch.no_grad():
            output = module(rows.clone())
    except Exception as error:
        raise ConfigError(
            f"the module fails on public rows of shape {tuple(rows.shape)}: {type(error).__name__}: {error}; "
            "it must take any number of rows."
        ) from error
    if not isinstance(output, torch.Tensor):
        raise ConfigError(f"the module gives {type(output).__name__}; it must give one tensor of shape (n, 1).")
    return output


def _refuse_output(module: nn.Module, rows: torch.Tensor) -> None:
    for part in (rows, rows[:1]):
        output = _forward(module, part)
        if output.shape != (len(part), 1):
            raise ConfigError(
                f"the module gives {tuple(output.shape)} for {len(part)} rows; it must give shape ({len(part)}, 1)."
            )
        if output.dtype != torch.float64:
            raise ConfigError(f"the module computes in {output.dtype}; leave the type to its inputs, torch.float64.")
        if not torch.isfinite(output).all():
            raise ConfigError("the module gives NaN or an infinity on public rows; bound what it computes.")


def _refuse_memory(module: nn.Module, rows: torch.Tensor) -> None:
    before = {name: value.clone() for name, value in module.state_dict().items()}
    first, again = outputs_alone(module, rows), outputs_alone(module, rows.flip(0)).flip(0)
    after = module.state_dict()
    changed = [name for name, value in before.items() if not torch.equal(value, after[name])]
    if changed:
        raise ConfigError(f"a forward pass changes {changed[0]!r}: it would remember records; keep no state.")
    if not torch.equal(first, again):
        raise ConfigError(
            "the module answers the same row in another way the second time: it keeps state, or draws at random as "
            "dropout does; let each output depend on its own row only."
        )


def _refuse_mixing(module: nn.Module, rows: torch.Tensor) -> None:
    if not torch.allclose(_forward(module, rows), outputs_alone(module, rows), rtol=1e-9, atol=1e-12):
        raise ConfigError(
            "a public row gives another output alone than beside other rows: the module mixes records, or draws at "
            "random as dropout does; let each output depend on its own row only."
        )


def _refuse_modes(module: nn.Module, rows: torch.Tensor) -> None:
    training = outputs_alone(module.train(), rows)
    if not torch.equal(training, outputs_alone(module.eval(), rows)):
        raise ConfigError("the module computes otherwise in training than in evaluation mode; let both be the same.")


def _refuse_no_gradient(module: nn.Module, rows: NDArray[np.float64]) -> None:
    for row in rows:
        try:
            gradient = record_gradient(module, row, 1)
        except Exception as error:
            raise ConfigError(
                f"the module gives no gradient on a public row: {type(error).__name__}: {error}; compute with torch "
                "from the inputs and parameters on, and change no tensor in place."
            ) from error
        if not np.isfinite(gradient).all():
            raise ConfigError("the module's gradient is not finite on public rows; bound what it computes.")
