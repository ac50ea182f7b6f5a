"""Person detectors from files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tracker.boxes import clip_boxes
from tracker.detection.family import DetectionNetwork, DetectorFamily, Outputs
from tracker.detection.letterbox import padded_size_wh
from tracker.detection.person_detector import PERSON_DETECTOR, TorchDetectionNetwork
from tracker.detection.rtmdet import RTMDET
from tracker.errors import ModelError, UsageError
from tracker.runtime import OnnxNetwork
from tracker.types import Detections, FloatArray, Image
from tracker.weights import load_network

FAMILIES: tuple[DetectorFamily, ...] = (PERSON_DETECTOR, RTMDET)
DEFAULT_SIZE = 416


def load_detector(
    path: Path,
    device: str = "auto",
    score_threshold: float = 0.5,
    size: int | None = None,
    num_threads: int = 0,
) -> NetworkDetector:
    """The person detector in an .onnx file, of whichever family it is, or in a .safetensors file of ours.

    device, num_threads: as for `OnnxNetwork`; torch, which runs .safetensors, keeps its own number.
    score_threshold: people with this score or more are kept, 0–1. size: longer side of the input in pixels, for a
    network that leaves it open; None stands for 416 there.
    Raises ModelError for a file that is damaged or of no known family, UsageError for a size that does not
    suit the network or a threshold outside 0–1, DeviceError for a CUDA device that does not work.
    """
    if not 0 <= score_threshold <= 1:
        raise UsageError(f"a detector's score threshold is between 0 and 1, not {score_threshold}")
    network = open_network(path, device, num_threads)
    return NetworkDetector(network, _recognise(network), score_threshold, size)


def open_network(path: Path, device: str = "auto", num_threads: int = 0) -> DetectionNetwork:
    """The network in an .onnx file, or in a .safetensors file of ours; arguments and errors as for `load_detector`."""
    if path.suffix == ".safetensors":
        return TorchDetectionNetwork(load_network(path, "detector"), path, device)
    return OnnxNetwork(path, device, num_threads)


class NetworkDetector:
    """A `PersonDetector` on a network of a known family; note: why device auto took the CPU, or None."""

    def __init__(
        self, network: DetectionNetwork, family: DetectorFamily, score_threshold: float, size: int | None
    ) -> None:
        self._network = network
        self._family = family
        self._score_threshold = score_threshold
        self._fixed_wh = _fixed_size_wh(network)
        self._longest = _longest_side(network, family, size)
        self._batches = network.inputs[0].shape[0] is None
        self.name = f"{network.path.name} ({family.name}, {self._longest} px)"
        self.engine = network.engine
        self.note = network.note

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """One `Detections` per image (H, W, 3) uint8 BGR: boxes inside the image, best first.

        Raises ModelError when the engine fails or the network gives NaN.
        """
        prepared = [self._family.prepare(image, self._input_wh(image)) for image in images]
        outputs = self._run([tensor for tensor, _ in prepared])
        return [
            self._read(image_outputs, scale_wh, image)
            for image_outputs, (_, scale_wh), image in zip(outputs, prepared, images, strict=True)
        ]

    def _input_wh(self, image: Image) -> tuple[int, int]:
        return self._fixed_wh or padded_size_wh(_size_wh(image), self._longest, self._family.stride)

    def _run(self, tensors: Sequence[FloatArray]) -> list[Outputs]:
        """The outputs for each input, without their batch axis."""
        if len(tensors) > 1 and self._batches and len({tensor.shape for tensor in tensors}) == 1:
            if outputs := self._run_batch(np.stack(tensors)):
                return outputs
            # Some exporters leave the batch open at the input and still write a batch of one into the graph.
            self._batches = False
        return [[output[0] for output in self._network.run(tensor[None])] for tensor in tensors]

    def _run_batch(self, batch: FloatArray) -> list[Outputs]:
        """Nothing if the graph does not really take more than one image."""
        try:
            outputs = self._network.run(batch)
        except ModelError:
            return []
        if any(len(output) != len(batch) for output in outputs):
            return []
        return list(zip(*outputs, strict=True))

    def _read(self, outputs: Outputs, scale_wh: FloatArray, image: Image) -> Detections:
        boxes, scores = self._family.decode(outputs, self._score_threshold)
        kept = scores >= self._score_threshold
        if np.isnan(scores).any() or not np.isfinite(boxes[kept]).all():
            raise ModelError(f"{self.name} gave NaN on {self.engine}; try --device cpu or another file")
        return _best_first(boxes[kept] / np.concatenate([scale_wh, scale_wh]), scores[kept], _size_wh(image))


def _size_wh(image: Image) -> tuple[int, int]:
    return image.shape[1], image.shape[0]


def _best_first(boxes: FloatArray, scores: FloatArray, image_wh: tuple[int, int]) -> Detections:
    """Boxes cut to the image, best first, without those of which nothing is left."""
    clipped = clip_boxes(boxes, image_wh)
    left = np.flatnonzero((clipped[:, 2:] > clipped[:, :2]).all(axis=1))
    order = left[np.argsort(-scores[left], kind="stable")]
    return Detections(clipped[order].astype(np.float32), scores[order].astype(np.float32))


def _recognise(network: DetectionNetwork) -> DetectorFamily:
    for family in FAMILIES:
        if family.fits(network):
            return family
    inputs, outputs = (", ".join(map(str, infos)) for infos in (network.inputs, network.outputs))
    supported = "; ".join(family.signature for family in FAMILIES)
    raise ModelError(
        f"{network.path} is no detector of a known kind: its inputs are {inputs}, its outputs {outputs}; "
        f"supported: {supported}"
    )


def _fixed_size_wh(network: DetectionNetwork) -> tuple[int, int] | None:
    height, width = network.inputs[0].shape[2:]
    return (width, height) if width and height else None


def _longest_side(network: DetectionNetwork, family: DetectorFamily, size: int | None) -> int:
    if fixed_wh := _fixed_size_wh(network):
        if size not in (None, max(fixed_wh)):
            fixed = "×".join(map(str, fixed_wh))
            raise UsageError(f"detector size {size}: {network.path.name} takes {fixed} only; leave the size out")
        return max(fixed_wh)
    longest = DEFAULT_SIZE if size is None else size
    if longest <= 0 or longest % family.stride:
        raise UsageError(f"detector size {longest} is no multiple of {family.stride}, such as {DEFAULT_SIZE}")
    return longest
