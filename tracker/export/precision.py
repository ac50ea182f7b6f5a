"""An ONNX graph in single precision as one in half precision, for GPUs, or in 8 bits, for CPUs."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tracker.errors import load_extra
from tracker.types import FloatArray

# What ONNX Runtime computes in integers on CPUs; a layer between that is not named would be reached by two conversions.
_QUANTISED = (
    *("Conv", "Relu", "Sigmoid", "Mul", "Add", "MaxPool", "GlobalAveragePool"),
    *("Concat", "Split", "Gather", "Resize"),
)
# Of the values of a feature that its range holds: the largest of all make it too coarse for the others.
_PERCENTILE = 99.99


def fold(path: Path, folded: Path) -> Any:
    """Write a graph whose constants, and batch norms, are what they come to; the ONNX model of it.

    So are weights stored in half precision constants in single precision.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folded)
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return load_extra("onnx").load(folded)


def halve(model: Any) -> Any:
    """The ONNX model in half precision, with inputs and outputs in single precision."""
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    halved = OnnxModel(convert_float_to_float16(model, keep_io_types=True))
    # The conversion puts casts at the end, some of them twice, and names some alike.
    nodes = {tuple(node.output): node for node in halved.model.graph.node}
    del halved.model.graph.node[:]
    halved.model.graph.node.extend(nodes.values())
    halved.topological_sort()
    for number, node in enumerate(halved.model.graph.node):
        node.name = f"{node.op_type}_{number}"
    return halved.model


def quantise(plain: Path, inputs: Sequence[FloatArray], path: Path) -> Any:
    """Write a graph in 8 bits, the ranges of whose features are those seen on the inputs; the ONNX model of it.

    Weights are quantised by channel, to 7 bits, so that sums do not saturate on CPUs without VNNI; the last layers,
    whose outputs are heights of peaks or distances in pixels, stay in single precision. inputs: (b, 3, H, W).
    """
    from onnxruntime import quantization

    onnx = load_extra("onnx")
    folded_path = path.with_name("folded.onnx")
    folded = fold(plain, folded_path)
    # Otherwise it logs that graphs had better be optimised first, as this one is.
    onnx.helper.set_model_props(folded, {"onnx.quant.pre_process": "onnxruntime.quant"})
    onnx.save(folded, folded_path)
    with contextlib.redirect_stdout(io.StringIO()):  # it tells what it does
        quantization.quantize_static(
            str(folded_path),
            str(path),
            _Reader(inputs, folded.graph.input[0].name),
            op_types_to_quantize=list(_QUANTISED),
            nodes_to_exclude=_last_layers(folded.graph),
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.Percentile,
            # One input at a time, whatever its size: the features of all together can be more than memory holds.
            extra_options={"CalibPercentile": _PERCENTILE, "CalibStridedMinMax": 1},
        )
    return onnx.load(path)


class _Reader:
    """ONNX Runtime's CalibrationDataReader."""

    def __init__(self, inputs: Sequence[FloatArray], name: str) -> None:
        self._inputs = inputs
        self._name = name
        self._left: list[FloatArray] = []

    def __len__(self) -> int:
        return len(self._inputs)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Begin with this input, and end before that one."""
        self._left = list(self._inputs[start_index:end_index])

    def get_next(self) -> dict[str, FloatArray] | None:
        """The next input by its name, None after the last."""
        return {self._name: self._left.pop(0)} if self._left else None


def _last_layers(graph: Any) -> list[str]:
    """The names of a graph's nodes from its outputs back to the first convolutions."""
    makers = {output: node for node in graph.node for output in node.output}
    found, tensors = set(), [output.name for output in graph.output]
    while tensors:
        node = makers.get(tensors.pop())
        if node is not None and node.name not in found:
            found.add(node.name)
            tensors += [] if node.op_type == "Conv" else node.input
    return sorted(found)
