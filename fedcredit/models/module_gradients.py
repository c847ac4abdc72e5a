"""Gradients and scores of any torch module, each record alone: a batch of one, by plain autograd in float64.

A library picks the order of a sum by the shape of the batch, so that in a batch a record's last bits, and with them
its integers, would depend on who else was sampled. Alone, in memory of its own and on one thread, it computes the same
whoever else is there, on the same machine with the same libraries. Other processors may round otherwise; the
sensitivity does not depend on it, since each record's norm is held on integers (`fedcredit.models.module_clipping`).

A module runs in evaluation mode. `fedcredit.models.module_check` has refused every module that it knows to behave
otherwise in training mode.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fedcredit.models.module_clipping import clip_to_lattice

_LOG = logging.getLogger(__name__)
# The weights are the module's and the number of threads is the process's: one caller at a time.
_TURN = threading.Lock()


class _Failures:
    """Says the first failure of a caller's turn: a line for each would count records in the log."""

    def __init__(self) -> None:
        self.said = False

    def first(self) -> bool:
        said, self.said = self.said, True
        return not said


_FAILURES = _Failures()


@contextmanager
def holding(module: nn.Module, weights: NDArray[np.float64]) -> Iterator[Callable[[], None]]:
    """Let a module hold some weights, and torch use one thread, until the end of the block.

    Yields what puts parameters and buffers back. Call it before each record: code that leaves them alone on public rows
    at the initial weights may change them at others, which are the coordinator's choice.

    Parameters
    ----------
    module
        With float64 parameters.
    weights
        Flat, in the order of ``module.parameters()``.
    """
    with _TURN:
        _FAILURES.said = False
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        module.eval()
        try:
            _load(module, weights)
            afresh = _kept(module)
            try:
                yield afresh
            finally:
                afresh()
        finally:
            torch.set_num_threads(threads)


def clipped_gradient(
    module: nn.Module, record: NDArray[np.float64], bad: int, scale: int, radius: int
) -> NDArray[np.int64]:
    """One record's gradient of the logistic loss, clipped, as integers; zeros if the module fails on the record.

    Parameters
    ----------
    record
        Shape (n_inputs,).
    bad
        1 = bad, 0 = good.
    scale, radius
        As in `clip_to_lattice`.
    """
    try:
        gradient = record_gradient(module, record, bad)
    except Exception:  # noqa: BLE001  (whatever a user's code raises, no refusal may depend on a record)
        if _FAILURES.first():
            _LOG.exception("the module failed on a record, which counts as zeros")
        gradient = np.zeros(sum(parameter.numel() for parameter in module.parameters()))
    return clip_to_lattice(gradient, scale, radius)


def record_gradient(module: nn.Module, record: NDArray[np.float64], bad: int) -> NDArray[np.float64]:
    """Gradient of one record's logistic loss, before clipping; in the order of ``module.parameters()``."""
    with torch.enable_grad():
        logit = module(_alone(record)).reshape(())
        loss = nn.functional.binary_cross_entropy_with_logits(logit, logit.new_tensor(float(bad)))
    parameters = list(module.parameters())
    parts = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    flat: NDArray[np.float64] = torch.cat([part.reshape(-1) for part in parts]).numpy()
    return flat


def log_odds(module: nn.Module, record: NDArray[np.float64]) -> float:
    """One record's log-odds of the bad class; 0 if the module fails on it or gives no number."""
    try:
        with torch.no_grad():
            logit = float(module(_alone(record)).reshape(()))
    except Exception:  # noqa: BLE001  (as above)
        if _FAILURES.first():
            _LOG.exception("the module failed on a record, which scores 0")
        logit = 0.0
    return float(np.nan_to_num(logit))


def _alone(record: NDArray[np.float64]) -> torch.Tensor:
    """A batch of one with memory of its own: a view's alignment would depend on the record's place."""
    return torch.tensor(record[None, :], dtype=torch.float64)


def _kept(module: nn.Module) -> Callable[[], None]:
    tables: list[dict[str, Any]] = [
        table
        for layer in module.modules()
        for table in (layer._parameters, layer._buffers)  # noqa: SLF001
    ]
    held = [
        (table, name, tensor, None if tensor is None else tensor.detach().clone())
        for table in tables
        for name, tensor in table.items()
    ]

    def afresh() -> None:
        with torch.no_grad():
            for table, name, tensor, value in held:
                if tensor is not None and value is not None:
                    tensor.copy_(value)
                table[name] = tensor

    return afresh


def _load(module: nn.Module, weights: NDArray[np.float64]) -> None:
    start = 0
    with torch.no_grad():
        for parameter in module.parameters():
            end = start + parameter.numel()
            parameter.copy_(torch.from_numpy(weights[start:end].copy()).reshape(parameter.shape))
            start = end
