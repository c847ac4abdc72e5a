"""The model as an ONNX graph, from raw values to margin, points and probability; extra ``export``.

One input per feature, each of shape (n,): a float64 in the dictionary's unit (NaN where missing) for a number, an int64
position among the dictionary's codes (anything else where unknown) for a category. A number is compared with every cut
and the results are counted, as `fedcredit.scoring.kernel` does; tables are integers, so any runtime gives equal sums.
"""

from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import ConfigError
from fedcredit.package.contents import ModelPackage
from fedcredit.scoring.card import FeatureTable, card_of

OPSET, IR_VERSION = 17, 8


def onnx_model(package: ModelPackage, view: str) -> bytes:
    """Write the graph.

    Parameters
    ----------
    view
        Institution type whose customers are scored.

    Returns
    -------
    bytes
        A serialised ``ModelProto`` with outputs ``margin`` (int64, 1/1024 logit), ``points`` (int64) and ``pd``
        (float64), each of shape (n,).

    Raises
    ------
    ConfigError
        If ``onnx`` is not installed.
    """
    if find_spec("onnx") is None:
        raise ConfigError("an ONNX export needs onnx; run: pip install 'fedcredit[export]'")
    onnx: Any = import_module("onnx")
    card = card_of(package, view)
    graph = _Graph(onnx)
    weights, points = [], []
    for table in card.features:
        slot = graph.slots(table)
        weights.append(graph.looked_up(table.feature.name, "weight", table.weights, slot))
        points.append(graph.looked_up(table.feature.name, "points", table.points, slot))
    graph.add("Sum64", "margin", [graph.constant("base_weight", np.int64(card.base_weight)), *weights])
    graph.add("Sum64", "points", [graph.constant("base_points", np.int64(card.base_points)), *points])
    graph.node("Cast", "margin_float", ["margin"], to=onnx.TensorProto.DOUBLE)
    graph.node("Div", "logit", ["margin_float", graph.constant("units", np.float64(1024))])
    graph.node("Sigmoid", "pd", ["logit"])
    return graph.model(package)


class _Graph:
    """Nodes and constants in the making."""

    def __init__(self, onnx: Any) -> None:  # noqa: ANN401 - loaded when it is needed
        self._onnx, self._helper = onnx, onnx.helper
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []

    def constant(self, name: str, value: NDArray[Any] | np.generic) -> str:
        self._constants.append(self._onnx.numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, kind: str, output: str, inputs: Sequence[str], **attributes: object) -> str:
        self._nodes.append(self._helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def add(self, prefix: str, output: str, parts: Sequence[str]) -> None:
        """A chain of sums: the operator Sum takes no integers."""
        total = parts[0]
        for number, part in enumerate(parts[1:], start=1):
            last = number == len(parts) - 1
            total = self.node("Add", output if last else f"{prefix}_{output}_{number}", [total, part])

    def slots(self, table: FeatureTable) -> str:
        """Slot of each row's value; beside it the feature's input is declared."""
        proto, feature = self._onnx.TensorProto, table.feature
        name, missing = feature.name, self.constant(f"{feature.name}_missing", np.int64(table.missing))
        number = feature.range is not None
        kind = proto.DOUBLE if number else proto.INT64
        self._inputs.append(self._helper.make_tensor_value_info(name, kind, ["n"]))
        if not number:
            return self._code_slots(name, missing)
        reached = self._reached(name, table.cuts)
        odd = self.node("IsNaN", f"{name}_nan", [name])
        odd = self.node("Or", f"{name}_not_finite", [odd, self.node("IsInf", f"{name}_infinite", [name])])
        for place, code in enumerate(_numbers(feature.missing_codes)):
            equal = self.node(
                "Equal", f"{name}_is_{place}", [name, self.constant(f"{name}_code_{place}", np.float64(code))]
            )
            odd = self.node("Or", f"{name}_odd_{place}", [odd, equal])
        return self.node("Where", f"{name}_slot", [odd, missing, reached])

    def _reached(self, name: str, cuts: NDArray[np.float64]) -> str:
        """How many cuts are not above the value."""
        rows = self.node("Unsqueeze", f"{name}_column", [name, self.constant(f"{name}_axis", np.array([1]))])
        # Where a feature has one bin, a cut that nothing reaches keeps the shape.
        ends = cuts if len(cuts) else np.array([np.inf])
        above = self.node("GreaterOrEqual", f"{name}_reached", [rows, self.constant(f"{name}_cuts", ends[None, :])])
        ones = self.node("Cast", f"{name}_ones", [above], to=self._onnx.TensorProto.INT64)
        return self.node("ReduceSum", f"{name}_count", [ones, f"{name}_axis"], keepdims=0)

    def _code_slots(self, name: str, missing: str) -> str:
        zero = self.constant(f"{name}_zero", np.int64(0))
        below = self.node("Less", f"{name}_below", [name, zero])
        beyond = self.node("Greater", f"{name}_beyond", [name, missing])
        return self.node("Where", f"{name}_slot", [self.node("Or", f"{name}_odd", [below, beyond]), missing, name])

    def looked_up(self, name: str, what: str, values: NDArray[np.int64], slot: str) -> str:
        table = self.constant(f"{name}_{what}_table", values)
        return self.node("Gather", f"{name}_{what}", [table, slot], axis=0)

    def model(self, package: ModelPackage) -> bytes:
        proto, info = self._onnx.TensorProto, self._helper.make_tensor_value_info
        outputs = [info(name, proto.INT64, ["n"]) for name in ("margin", "points")] + [info("pd", proto.DOUBLE, ["n"])]
        graph = self._helper.make_graph(self._nodes, "scorecard", self._inputs, outputs, self._constants)
        opset = [self._helper.make_opsetid("", OPSET)]
        model = self._helper.make_model(graph, opset_imports=opset, producer_name="fedcredit", ir_version=IR_VERSION)
        hashes = {"package_hash": package.digest, "dictionary_hash": package.head.dictionary}
        self._helper.set_model_props(model, hashes)
        self._onnx.checker.check_model(model)
        content: bytes = model.SerializeToString(deterministic=True)
        return content


def _numbers(codes: Sequence[str]) -> Iterator[float]:
    for code in codes:
        try:
            yield float(code)
        except ValueError:
            continue
