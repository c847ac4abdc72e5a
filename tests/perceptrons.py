"""Perceptrons for tests: random stacks and records, and the closed form once more, one record at a time.

The slow twin is written in Python's integers and floats. It shares no code with `fedcredit.models.mlp_*` but the
constants that a plan or the wire fixes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import mpmath
import numpy as np

from fedcredit.models.mlp_layout import Layer

WEIGHT, INPUT, VALUE = 2**20, 2**10, 2**22


@dataclass(frozen=True)
class Case:
    """A stack in weight units and records in input units, a record a column."""

    layers: tuple[Layer, ...]
    inputs: np.ndarray
    bad: np.ndarray


def random_case(seed: int, n: int, hidden: Sequence[int], n_inputs: int = 6, size: float = 1.0) -> Case:
    """Normal weights of a size, inputs up to the public bound with the indicator last."""
    rng = np.random.default_rng(seed)
    layers, width = [], n_inputs
    for outputs in (*hidden, 1):
        weights, biases = size * rng.standard_normal((outputs, width)), size * rng.standard_normal(outputs)
        layers.append(Layer(on_grid(weights), on_grid(biases) if layers else None))
        width = outputs
    inputs = np.clip(np.rint(INPUT * rng.standard_normal((n_inputs, n))), -3 * INPUT, 3 * INPUT)
    inputs[-1] = INPUT
    return Case(tuple(layers), inputs, rng.integers(0, 2, n).astype(np.uint8))


def on_grid(values: np.ndarray) -> np.ndarray:
    """Whole weight units within ±8."""
    return np.clip(np.rint(values * WEIGHT), -8 * WEIGHT, 8 * WEIGHT)


def encoder_case(
    seed: int, owned: Sequence[Sequence[bool]], units: int, hidden: Sequence[int], size: float = 1.0
) -> Case:
    """Encoders of blocks with 1, 2, 3, 1, … features; `owned` says per record which blocks are there, at least one."""
    rng = np.random.default_rng(seed)
    layers, inputs = [], []
    for block, there in enumerate(zip(*owned, strict=True)):
        part = np.clip(np.rint(INPUT * rng.standard_normal((block % 3 + 2, len(owned)))), -3 * INPUT, 3 * INPUT)
        part[-1] = INPUT
        inputs.append(part * np.array(there))
        layers.append(Layer(on_grid(size * rng.standard_normal((units, len(part)))), None))
    width = units * len(layers)
    for outputs in (*hidden, 1):
        weights, biases = size * rng.standard_normal((outputs, width)), size * rng.standard_normal(outputs)
        layers.append(Layer(on_grid(weights), on_grid(biases)))
        width = outputs
    return Case(tuple(layers), np.concatenate(inputs), rng.integers(0, 2, len(owned)).astype(np.uint8))


def dense(values: Sequence[np.ndarray], signals: Sequence[np.ndarray], record: int, n_first: int = 1) -> list[int]:
    """One record's integer gradient from its factors, in the plan's order; the parts of the first layer are first."""
    flat: list[int] = []
    for index, (read, signal) in enumerate(zip(values, signals, strict=True)):
        a, d = [int(v) for v in read[:, record]], [int(v) for v in signal[:, record]]
        flat += [x * y for x in d for y in a]
        flat += [x * INPUT for x in d] if index >= n_first else []
    return flat


def slow_sum(case: Case, scale: int, radius: int) -> list[int]:
    """Sum of the clipped integer gradients."""
    rows = [slow_record(case, record, scale, radius) for record in range(len(case.bad))]
    return [sum(column) for column in zip(*rows, strict=True)]


def slow_record(case: Case, record: int, scale: int, radius: int) -> list[int]:
    """One record's clipped integer gradient."""
    first = [layer for layer in case.layers if layer.biases is None]
    given = iter([int(v) for v in case.inputs[:, record]])
    inputs = [[next(given) for _ in layer.weights.T] for layer in first]
    sums = [z for layer, part in zip(first, inputs, strict=True) for z in slow_sums(layer, part, INPUT)]
    read = []
    for layer in case.layers[len(first) :]:
        read.append([round(slow_tanh(z) * VALUE) for z in sums])
        sums = slow_sums(layer, read[-1], VALUE)
    signals = slow_signals(case.layers, read, sums[0], int(case.bad[record]))
    lattice = [*inputs, *([round(a / (VALUE // INPUT)) for a in part] for part in read)]
    sizes = [sum(a * a for a in part) + (INPUT**2 if i >= len(first) else 0) for i, part in enumerate(lattice)]
    per_signal = scale // INPUT
    norm = math.sqrt(
        sum(
            float(sum(m * m for m in ms)) * ((step * per_signal) ** 2 * size)
            for (ms, step), size in zip(signals, sizes, strict=True)
        )
    )
    within = radius * (1 - 2.0**-40)
    factor = per_signal * (within / max(norm, within))
    clipped = [[math.trunc(m * (step * factor)) for m in ms] for ms, step in signals]
    if sum(sum(d * d for d in part) * size for part, size in zip(clipped, sizes, strict=True)) > radius**2:
        clipped = [[0] * len(part) for part in clipped]
    columns = ([np.array(part)[:, None] for part in parts] for parts in (lattice, clipped))
    return dense(*columns, 0, len(first))


def slow_sums(layer: Layer, read: list[int], unit: int) -> list[float]:
    """What enters the units of a layer."""
    exact = [sum(int(w) * a for w, a in zip(row, read, strict=True)) for row in layer.weights]
    biases = [0.0] * len(exact) if layer.biases is None else [float(b) / WEIGHT for b in layer.biases]
    return [total / (unit * WEIGHT) + bias for total, bias in zip(exact, biases, strict=True)]


def slow_signals(
    layers: Sequence[Layer], read: list[list[int]], logit: float, bad: int
) -> list[tuple[list[int], float]]:
    """Per layer the integers and the power of two that one stands for."""
    first = [layer for layer in layers if layer.biases is None]
    pulls, signals = [0.5 + 0.5 * slow_tanh(0.5 * logit) - bad], []
    for layer, activations in zip(layers[: len(first) - 1 : -1], read[::-1], strict=True):
        signals.append(slow_grid(pulls))
        ms, step = signals[-1]
        pulled = [sum(int(w) * m for w, m in zip(column, ms, strict=True)) for column in layer.weights.T]
        slopes = [1.0 - (a / VALUE) * (a / VALUE) for a in activations]
        pulls = [float(p) * (step / WEIGHT) * s for p, s in zip(pulled, slopes, strict=True)]
    units = len(pulls) // len(first)
    by_part = [slow_grid(pulls[units * part : units * (part + 1)]) for part in range(len(first))]
    return [*by_part, *signals[::-1]]


def slow_grid(values: list[float]) -> tuple[list[int], float]:
    """Round to the record's own power of two."""
    step = math.ldexp(1.0, math.frexp(max(abs(v) for v in values))[1] - 22)
    return [round(v / step) for v in values], step


def slow_tanh(z: float) -> float:
    """The nearest table entry and a Taylor step."""
    scaled = min(max(z * 512, -5120.0), 5120.0)
    h, t = (scaled - round(scaled)) / 512, slow_entry(round(scaled))
    return t + (1.0 - t * t) * h * (1.0 - h * t)


@cache
def slow_entry(cell: int) -> float:
    """Correctly rounded tanh(cell / 512)."""
    with mpmath.workprec(200):
        return float(mpmath.tanh(mpmath.mpf(cell) / 512))
