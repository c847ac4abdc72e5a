"""Federations in one process, comparisons and sweeps; no training, aggregation or noise code of its own."""

from simulations.results import RunResult
from simulations.simulate import simulate

__all__ = ["RunResult", "simulate"]
