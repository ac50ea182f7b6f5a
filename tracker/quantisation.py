"""A network of ours in 8 bits for CPUs: weights and features are integers, whose ranges are those seen on pictures."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracker.boxes import padded_size_wh, xyxy_to_xywh
from tracker.detection import load_detector
from tracker.detection.detector import DEFAULT_SIZE
from tracker.detection.person_detector import PERSON_DETECTOR
from tracker.errors import InputError, ModelError
from tracker.export import export_network
from tracker.nets.build import NETWORKS
from tracker.outputs import check_output, partial_path, publish
from tracker.pose.crops import centres_and_scales, crop_matrices, warp_crops
from tracker.pose.networks import normalization_of
from tracker.pose.settings import stated_settings
from tracker.runtime import OnnxNetwork
from tracker.types import FloatArray, Image
from tracker.weights import read_metadata

# What ONNX Runtime computes in integers on CPUs; a layer between that is not named would be reached by two conversions.
_QUANTISED = (
    *("Conv", "Relu", "Sigmoid", "Mul", "Add", "MaxPool", "GlobalAveragePool"),
    *("Concat", "Split", "Gather", "Resize"),
)
# Pictures, and people in them, that show the ranges, at most.
MOST_INPUTS = 100
_ROUNDS = 20


@dataclass(frozen=True)
class Comparison:
    """A network before and after, on the inputs that showed the ranges.

    largest, typical: difference of an output, as a share of the largest value of the same channel: the worst of all,
    and the root of the mean square. num_bytes: of both files. cpu_ms: of both, of one thread for one input, medians.
    """

    num_inputs: int
    largest: float
    typical: float
    num_bytes: tuple[int, int]
    cpu_ms: tuple[float, float]

    def __str__(self) -> str:
        before, after = self.cpu_ms
        return (
            f"{self.num_inputs} inputs: outputs differ by at most {self.largest:.1%} of the channel's largest value, "
            f"typically by {self.typical:.2%}; {self.num_bytes[0]} bytes before, {self.num_bytes[1]} after; "
            f"{before:.1f} ms of CPU before, {after:.1f} after: {before / after:.2f} times as fast"
        )


def export_int8(
    weights: Sequence[Path],
    stem: Path,
    pictures: Iterable[Image],
    detector: Path | None = None,
    overwrite: bool = False,
) -> tuple[Path, Comparison]:
    """Write STEM.onnx of trained .safetensors files, in 8 bits; returns its name, and how it differs.

    Weights are quantised by channel, to 7 bits, so that sums do not saturate on CPUs without VNNI; the last layers,
    whose outputs are heights of peaks or distances in pixels, stay in single precision. pictures: (H, W, 3) uint8 BGR,
    read when they are needed; a detector is shown all of each, a pose network the people that `detector` finds, None
    being the included one. The file states what the one of `export_network` does.
    Raises what `export_network` does, ModelError for a bottom-up network, InputError if no picture shows anybody.
    """
    kind = NETWORKS.get(read_metadata(weights[0]).get("network", ""))
    if kind == "bottom-up":
        raise ModelError(f"{weights[0]} is a bottom-up network, which int8 does not suit; export it in fp16")
    path = stem.with_name(f"{stem.name}.onnx")
    check_output(path, overwrite)
    with tempfile.TemporaryDirectory() as folder:
        plain, _ = export_network(weights, Path(folder) / "plain")
        network = OnnxNetwork(plain, "cpu", num_threads=1)
        inputs = [_frame(image) for image in pictures] if kind == "detector" else _people(pictures, network, detector)
        try:
            _quantise(plain, inputs, network, partial_path(path))
            comparison = _compare(network, OnnxNetwork(partial_path(path), "cpu", num_threads=1), inputs)
            publish(path)
        finally:
            partial_path(path).unlink(missing_ok=True)
    return path, comparison


def _frame(image: Image) -> FloatArray:
    """The input (1, 3, H, W) of a detector."""
    size_wh = padded_size_wh((image.shape[1], image.shape[0]), DEFAULT_SIZE, PERSON_DETECTOR.stride)
    return PERSON_DETECTOR.prepare(image, size_wh)[0][None]


def _people(pictures: Iterable[Image], network: OnnxNetwork, detector: Path | None) -> list[FloatArray]:
    """Inputs (1, 3, H, W) of a pose network: the people that the detector finds."""
    settings = stated_settings(network.metadata, network.path)
    height, width = settings["input_size"]
    finder = load_detector(detector, "cpu")
    crops: list[Image] = []
    for image in pictures:
        regions = centres_and_scales(xyxy_to_xywh(finder.detect([image])[0].boxes), (width, height))
        crops.extend(warp_crops(image, crop_matrices(*regions, (width, height)), (width, height)))
    if not crops:
        raise InputError(f"{finder.name} finds nobody in the pictures for --calibrate; name pictures of people")
    normalization = normalization_of(settings)
    return [normalization.apply(crop[None]) for crop in crops[:: -(-len(crops) // MOST_INPUTS)]]


class _Reader:
    """ONNX Runtime's CalibrationDataReader."""

    def __init__(self, inputs: Sequence[FloatArray], name: str) -> None:
        self._feeds = iter([{name: image} for image in inputs])

    def get_next(self) -> dict[str, FloatArray] | None:
        """The next input by its name, None after the last."""
        return next(self._feeds, None)


def _quantise(plain: Path, inputs: Sequence[FloatArray], network: OnnxNetwork, path: Path) -> None:
    import onnx
    import onnxruntime
    from onnxruntime import quantization

    # Weights that are stored in half precision become constants in single precision.
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(plain.with_name("folded.onnx"))
    onnxruntime.InferenceSession(str(plain), options, providers=["CPUExecutionProvider"])
    folded = onnx.load(options.optimized_model_filepath)
    # Otherwise it logs that graphs had better be optimised first, as this one is.
    onnx.helper.set_model_props(folded, {"onnx.quant.pre_process": "onnxruntime.quant"})
    onnx.save(folded, options.optimized_model_filepath)
    quantization.quantize_static(
        options.optimized_model_filepath,
        str(path),
        _Reader(inputs, network.inputs[0].name),
        op_types_to_quantize=list(_QUANTISED),
        nodes_to_exclude=_last_layers(folded.graph),
        per_channel=True,
        reduce_range=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    quantised = onnx.load(path)
    onnx.helper.set_model_props(quantised, dict(sorted(network.metadata.items())))
    path.write_bytes(quantised.SerializeToString())


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


def _compare(before: OnnxNetwork, after: OnnxNetwork, inputs: Sequence[FloatArray]) -> Comparison:
    pairs = [list(zip(before.run(image), after.run(image), strict=True)) for image in inputs]
    largest, typical = [], []
    for output in zip(*pairs, strict=True):
        expected = np.concatenate([maps[0].reshape(maps.shape[1], -1) for maps, _ in output], axis=1)
        given = np.concatenate([maps[0].reshape(maps.shape[1], -1) for _, maps in output], axis=1)
        shares = np.abs(given - expected) / np.abs(expected).max(axis=1, keepdims=True)
        largest.append(shares.max())
        typical.append(np.sqrt(np.square(shares).mean()))
    times_ms = np.array([[_cpu_ms(network, inputs[0]) for network in (before, after)] for _ in range(_ROUNDS)])
    before_ms, after_ms = np.median(times_ms, axis=0).tolist()
    num_bytes = before.path.stat().st_size, after.path.stat().st_size
    return Comparison(len(inputs), float(max(largest)), float(max(typical)), num_bytes, (before_ms, after_ms))


def _cpu_ms(network: OnnxNetwork, image: FloatArray) -> float:
    start = time.process_time()
    network.run(image)
    return 1e3 * (time.process_time() - start)
