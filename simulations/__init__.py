"""Federations in one process, comparisons and sweeps; no training, aggregation or noise code of its own."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulations.results import RunResult
    from simulations.simulation import simulate

__all__ = ["RunResult", "simulate"]
_MODULES = {"RunResult": "simulations.results", "simulate": "simulations.simulation"}


def __getattr__(name: str) -> Any:  # noqa: ANN401, whatever it names
    """Import what the package offers when it is asked for: a module of it need not load all of it."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
