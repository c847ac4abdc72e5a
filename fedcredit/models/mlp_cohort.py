r"""One gradient step of many simulated institutions at once, each on weights of its own, on a processor or a GPU.

Local steps lead every institution to its own weights, so that one matrix product no longer serves all of them. Here
their products are one batched product: a simulation of thousands of institutions costs few large operations instead of
many small ones. Ragged institutions are padded with records that count for nothing.

The integers are those of `fedcredit.models.mlp_family`, institution by institution. Matrix products and squared norms
add whole numbers below 2^53, hence exactly, whatever order a device adds in; the rest is elementwise + − × ÷, rounding
and table look-ups in the same order as in `mlp_gradients` and `mlp_clipping`, which IEEE 754 fixes to the bit; factors
that are powers of two may stand elsewhere. Four things would not be the same: a fused product and bias (`baddbmm`), an
integer tensor times a float and torch's `ldexp`, which are single precision, and torch's square root, whose last bit
differs on some processors. So biases are added by themselves, integers converted first, powers of two made of their
bits, and NumPy draws the root.

An institution's custodian never runs this; it is for those who hold all rows because they made them up.

References
----------
Ozaki, Ogita, Oishi, Rump, Numerical Algorithms 59, 2012, on matrix products without rounding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedcredit.data.rows import Rows
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import DataError
from fedcredit.models.descent import WEIGHT_SCALE
from fedcredit.models.descent_spec import INPUT_SCALE
from fedcredit.models.mlp_clipping import SHAVED
from fedcredit.models.mlp_exact import TANH_CELLS, TANH_LARGEST, VALUE_BITS, tanh_table
from fedcredit.models.mlp_gradients import ACTIVATION_SCALE
from fedcredit.models.mlp_inputs import design
from fedcredit.models.mlp_layout import input_parts, layer_shapes, vector_length
from fedcredit.models.mlp_model import MlpModel, decode
from fedcredit.models.mlp_spec import MlpSpec

# Records of one batched product: on a processor what its cache holds, on a GPU what fills it.
_CPU_RECORDS = 2**11
_GPU_RECORDS = 2**19
_TINIEST = 2.0**-400  # below any derivative but 0: 2^-53, and at most 2^-64 more a layer; its square does not underflow
_EXPONENT = 0x7FF << 52
_EXPONENT_OF_TWO = 2046 << 52  # of a double whose reciprocal has the difference as its bits


@dataclass(frozen=True, slots=True)
class CohortRecords:
    """Records of m institutions of one type on a device; one more row, of zeros, pads.

    Attributes
    ----------
    inputs
        Shape (n + 1, n_inputs), in input units.
    sizes
        Shape (n + 1, parts of the first layer): squared norm of what each reads.
    bad
        Shape (n + 1,): 1 = bad, 0 = good.
    radii
        Shape (n + 1,), int64: largest L2 norm of each record's integer gradient, in lattice units.
    offsets
        Shape (m + 1,): institution i has records ``offsets[i]:offsets[i + 1]``.
    """

    inputs: Tensor
    sizes: Tensor
    bad: Tensor
    radii: Tensor
    offsets: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Layer:
    """Weights, shape (m, outputs, inputs), and biases, shape (m, outputs, 1) or None, in weight units."""

    weights: Tensor
    biases: Tensor | None


@dataclass(frozen=True, slots=True)
class _Signals:
    """As `mlp_gradients.Signals`: integers, shape (m, outputs, n), and what one stands for, shape (m, 1, n)."""

    integers: Tensor
    steps: Tensor


def cohort_contribute(
    spec: MlpSpec, dictionary: DataDictionary, kind: str, models: Sequence[bytes], rows: Rows, device: str
) -> NDArray[np.int64]:
    """Sum of clipped integer gradients of each institution at its own model; shape (m, vector_length).

    Parameters
    ----------
    models
        Model bytes of each institution.
    rows
        Records of all institutions.
    device
        A torch device that knows float64, such as ``cpu`` or ``cuda``.

    Raises
    ------
    DataError
        If there are not as many models as institutions.
    WireError
        If a model's bytes do not fit the plan.
    """
    received = [decode(spec, dictionary, model) for model in models]
    records = load(spec, dictionary, kind, received, rows, device)
    units = np.array([model.units for model in received]).reshape(len(received), vector_length(spec, dictionary))
    return step_sums(spec, dictionary, units, records, np.ones(rows.n_rows, dtype=np.bool_))


def load(
    spec: MlpSpec, dictionary: DataDictionary, kind: str, models: Sequence[MlpModel], rows: Rows, device: str
) -> CohortRecords:
    """Bring the records of a cohort to a device, once for all steps of a round.

    Parameters
    ----------
    models
        Of each institution; only their input values are read.

    Raises
    ------
    DataError
        If there are not as many models as institutions.
    """
    if len(models) != rows.n_institutions:
        raise DataError(f"{rows.n_institutions} institutions need as many models, got {len(models)}.")
    spans = zip(rows.offsets[:-1], rows.offsets[1:], models, strict=True)
    parts = [design(spec, dictionary, kind, model.values, rows.cells[start:end]) for start, end, model in spans]
    inputs = np.concatenate([*parts, np.zeros((1, parts[0].shape[1]))])
    starts = np.cumsum([0, *(part.width for part in input_parts(spec, dictionary))])[:-1]
    sizes = np.add.reduceat(inputs * inputs, starts, axis=1)
    radii = np.append(spec.clip_radius // rows.records_of_unit(), 1)
    bad = np.append(rows.bad, 0).astype(np.float64)
    on_device = [torch.from_numpy(part).to(device) for part in (inputs, sizes, bad, radii)]
    return CohortRecords(on_device[0], on_device[1], on_device[2], on_device[3], rows.offsets)


def step_sums(
    spec: MlpSpec,
    dictionary: DataDictionary,
    units: NDArray[np.int32],
    records: CohortRecords,
    chosen: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Sum of clipped integer gradients of each institution at its own weights; shape (m, vector_length).

    Parameters
    ----------
    units
        Shape (m, vector_length): weights in weight units.
    chosen
        Shape (n,): the records that take part, whole persons at a time.
    """
    device = records.inputs.device
    sums = np.zeros((len(records.offsets) - 1, vector_length(spec, dictionary)), dtype=np.int64)
    table = torch.tensor(tanh_table() * ACTIVATION_SCALE, device=device)
    limit = _CPU_RECORDS if device.type == "cpu" else _GPU_RECORDS
    for members, places in _groups(records.offsets, chosen, limit):
        layers = _layers(spec, dictionary, torch.from_numpy(units[members]).to(device))
        batch = _Batch(records, torch.from_numpy(places).to(device))
        sums[members] = _group_sums(spec, layers, batch, table).to(torch.int64).cpu().numpy()
    return sums


class _Batch:
    """Records of some institutions, shape (m, n) and what a record has; padding has no weight in `real`."""

    __slots__ = ("bad", "inputs", "radii", "real", "sizes")

    def __init__(self, records: CohortRecords, places: Tensor) -> None:
        self.inputs = records.inputs[places]
        self.sizes = records.sizes[places].unbind(dim=2)
        self.bad = records.bad[places]
        self.radii = records.radii[places]
        self.real = places < len(records.bad) - 1


def _groups(
    offsets: NDArray[np.int64], chosen: NDArray[np.bool_], limit: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Institutions of similar size, and their chosen records, shape (members, most), padded with the last one's next.

    A group has at most `limit` places, or one institution.
    """
    records = np.append(np.flatnonzero(chosen), len(chosen))
    starts = np.searchsorted(records[:-1], offsets)
    counts = np.diff(starts)
    order = np.argsort(-counts, kind="stable")
    order = order[: np.count_nonzero(counts)]
    while len(order):
        width = int(counts[order[0]])
        members, order = np.split(order, [max(1, limit // width)])
        columns = np.arange(width)
        inside = columns < counts[members][:, None]
        yield members, records[np.where(inside, starts[members][:, None] + columns, len(records) - 1)]


def _layers(spec: MlpSpec, dictionary: DataDictionary, units: Tensor) -> list[_Layer]:
    """As `mlp_layout.split`, for a vector per institution."""
    vectors = units.to(torch.float64)
    without_biases = len(input_parts(spec, dictionary))
    layers: list[_Layer] = []
    start = 0
    for outputs, inputs in layer_shapes(spec, dictionary):
        middle = start + outputs * inputs
        weights = vectors[:, start:middle].reshape(-1, outputs, inputs)
        start = middle + (outputs if len(layers) >= without_biases else 0)
        layers.append(_Layer(weights, vectors[:, middle:start, None] if start > middle else None))
    return layers


def _group_sums(spec: MlpSpec, layers: Sequence[_Layer], batch: _Batch, table: Tensor) -> Tensor:
    """As `mlp_clipping.clipped_factors` and the sum over all records; shape (m, vector_length)."""
    parts = [layer for layer in layers if layer.biases is None]
    read = torch.split(batch.inputs, [layer.weights.shape[2] for layer in parts], dim=2)
    hidden, logits = _forward(layers, len(parts), read, table)
    above = [(part * (INPUT_SCALE / ACTIVATION_SCALE)).round_() for part in hidden]
    sizes = [*batch.sizes, *((part * part).sum(dim=1) + INPUT_SCALE**2 for part in above)]
    signals = _backward(layers, len(parts), hidden, logits, batch.bad, table)
    for index in range(len(parts)):  # as in `mlp_clipping.drop_unread`; padding reads nothing either
        if len(parts) > 1:
            signals[index].integers.mul_((sizes[index] > 0)[:, None])
        sizes[index] = sizes[index].clamp(min=1.0)
    truncated = _truncate(signals, sizes, spec.gradient_scale // INPUT_SCALE, batch.radii)
    within = _within(truncated, sizes, batch.radii) & batch.real
    sums: list[Tensor] = []
    values = [*read, *(part.transpose(1, 2) for part in above)]
    for layer, signal, value in zip(layers, truncated, values, strict=True):
        signal.mul_(within[:, None])
        sums.append(torch.bmm(signal, value).flatten(1))
        if layer.biases is not None:
            sums.append(signal.sum(dim=2) * INPUT_SCALE)
    return torch.cat(sums, dim=1)


def _forward(
    layers: Sequence[_Layer], n_first: int, read: Sequence[Tensor], table: Tensor
) -> tuple[list[Tensor], Tensor]:
    hidden: list[Tensor] = []
    parts = [_weigh(layer, part.transpose(1, 2), INPUT_SCALE) for layer, part in zip(layers, read, strict=False)]
    sums = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
    for layer in layers[n_first:]:
        hidden.append(_tanh(sums, table).round_())
        sums = _weigh(layer, hidden[-1], ACTIVATION_SCALE)
    return hidden, sums[:, 0]


def _backward(
    layers: Sequence[_Layer], n_first: int, hidden: Sequence[Tensor], logits: Tensor, bad: Tensor, table: Tensor
) -> list[_Signals]:
    pulled = (0.5 + 0.5 / ACTIVATION_SCALE * _tanh(0.5 * logits, table) - bad)[:, None]
    signals: list[_Signals] = []
    for layer, activations in zip(reversed(layers[n_first:]), reversed(hidden), strict=True):
        signals.append(_on_own_grid(pulled))
        pulled = torch.bmm(layer.weights.transpose(1, 2), signals[-1].integers)
        pulled.mul_(signals[-1].steps / WEIGHT_SCALE)
        pulled.mul_(torch.rsub(activations * activations, 1.0, alpha=ACTIVATION_SCALE**-2))
    return [*(_on_own_grid(part) for part in pulled.chunk(n_first, dim=1)), *reversed(signals)]


def _weigh(layer: _Layer, values: Tensor, scale: int) -> Tensor:
    """What enters a layer's units, in cells of the table of tanh."""
    sums = torch.bmm(layer.weights * (TANH_CELLS / (scale * WEIGHT_SCALE)), values)
    return sums if layer.biases is None else sums.add_(layer.biases * (TANH_CELLS / WEIGHT_SCALE))


def _tanh(cells: Tensor, table: Tensor) -> Tensor:
    """As `mlp_exact.tanh`, of values in units of a cell, in units of an activation; overwrites its argument.

    Factors that are powers of two change no digit wherever they stand: here they ride along with sums.
    """
    rest = cells.clamp_(-TANH_LARGEST * TANH_CELLS, TANH_LARGEST * TANH_CELLS)
    cells = rest.round()
    rest.sub_(cells)
    near = table.index_select(0, cells.add_(TANH_LARGEST * TANH_CELLS).to(torch.int32).flatten()).view(cells.shape)
    slope = torch.rsub(near * near, 1.0, alpha=ACTIVATION_SCALE**-2).mul_(rest)
    slope.mul_(torch.rsub(rest.mul_(near), 1.0, alpha=1 / (ACTIVATION_SCALE * TANH_CELLS)))
    return near.add_(slope, alpha=ACTIVATION_SCALE / TANH_CELLS)


def _on_own_grid(values: Tensor) -> _Signals:
    """As in `mlp_gradients`, powers of two made of their bits; zeros get another step, to no effect."""
    largest = values.abs().amax(dim=1, keepdim=True).clamp_(min=_TINIEST)
    powers = largest.view(torch.int64).bitwise_and_(_EXPONENT)
    inverses = (_EXPONENT_OF_TWO - powers).view(torch.float64)
    integers = values * inverses.mul_(2.0 ** (VALUE_BITS - 1))
    return _Signals(integers.round_(), powers.view(torch.float64).mul_(2.0 ** (1 - VALUE_BITS)))


def _truncate(signals: Sequence[_Signals], sizes: Sequence[Tensor], scale: int, radii: Tensor) -> list[Tensor]:
    norms = torch.zeros_like(sizes[0])
    for part, size in zip(signals, sizes, strict=True):
        step = part.steps[:, 0] * scale
        step.mul_(step).mul_(size)
        norms += (part.integers * part.integers).sum(dim=1) * step
    within = radii.to(torch.float64) * SHAVED
    roots = torch.from_numpy(np.sqrt(norms.cpu().numpy())).to(norms.device)
    factors = scale * (within / torch.maximum(roots, within))
    return [(part.integers * (part.steps * factors[:, None])).trunc_() for part in signals]


def _within(signals: Sequence[Tensor], sizes: Sequence[Tensor], radii: Tensor) -> Tensor:
    """The test of `mlp_clipping.hold_norm`: which records' integer norms do not exceed their radii."""
    squares = torch.stack([(part * part).sum(dim=1) for part in signals])
    whole = torch.stack(list(sizes)).to(torch.int64)
    limit = radii * radii
    fits = squares <= torch.div(limit, whole, rounding_mode="floor")
    total = (torch.where(fits, squares, 0.0).to(torch.int64) * whole).sum(dim=0)
    return fits.all(dim=0) & (total <= limit)
