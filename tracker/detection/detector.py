"""Person detectors from files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from tracker.boxes import clip_boxes, iou, nms, padded_size_wh
from tracker.detection.family import DetectionNetwork, DetectorFamily, Outputs, takes_images
from tracker.detection.letterbox import margins
from tracker.detection.person_detector import PERSON_DETECTOR, TorchDetectionNetwork
from tracker.detection.picodet import PICODET
from tracker.detection.rtmdet import RTMDET, RTMDET_RAW
from tracker.detection.yolo import YOLO, YOLO_NMS
from tracker.detection.yolox import YOLOX, YOLOX_NMS
from tracker.engines import open_onnx, refuse_engine
from tracker.errors import ModelError, UsageError
from tracker.runtime import SplittingRunner
from tracker.types import Detections, FloatArray, Image, IntArray
from tracker.weights import find_default, load_network, refuse_ultralytics

# By the names of --detector-type; of those that fit a network alike, the first is taken.
FAMILIES: Mapping[str, DetectorFamily] = MappingProxyType(
    {
        "person-detector": PERSON_DETECTOR,
        "rtmdet": RTMDET,
        "rtmdet-raw": RTMDET_RAW,
        "yolox": YOLOX,
        "yolox-nms": YOLOX_NMS,
        "yolo": YOLO,
        "yolo-nms": YOLO_NMS,
        "picodet": PICODET,
    }
)
DEFAULT_SIZE = 416
# More than a crowd has; a threshold of 0 would compare all cells with one another.
_MAX_CANDIDATES = 1000
# Cells from this score on have a say in how surely a person is there.
_LEAST_VOTE = 0.02


def load_detector(
    path: Path | None,
    device: str = "auto",
    score_threshold: float = 0.5,
    size: int | None = None,
    num_threads: int = 0,
    detector_type: str | None = None,
    engine: str = "auto",
) -> NetworkDetector:
    """The person detector in an .onnx file, of whichever family it is, or in a .safetensors file of ours.

    path: None stands for what is shipped. device, num_threads, engine: as for `open_onnx`; torch, which runs
    .safetensors, keeps its own number. score_threshold: people with this score or more are kept, 0–1. size: longer side
    of the input in pixels, for a network that leaves it open; None stands for 416 there. detector_type: a name of
    FAMILIES; None has the family told by the network's inputs and outputs, and by the name of the file or its
    folder where several have the same.
    Raises ModelError for a file that is damaged or of no known family, UsageError for a size that does not
    suit the network, a threshold outside 0–1 or a type that does not exist, DeviceError for a CUDA device that does
    not work.
    """
    if detector_type is not None and detector_type not in tuple(FAMILIES):
        raise UsageError(f"there is no detector type {detector_type!r}; use {', '.join(FAMILIES)}")
    if not 0 <= score_threshold <= 1:
        raise UsageError(f"a detector's score threshold is between 0 and 1, not {score_threshold}")
    network = open_network(path or find_default("detector", device, engine=engine), device, num_threads, engine)
    return NetworkDetector(network, recognise(network, detector_type), score_threshold, size)


def open_network(path: Path, device: str = "auto", num_threads: int = 0, engine: str = "auto") -> DetectionNetwork:
    """The network in an .onnx file, or in a .safetensors file of ours; arguments and errors as for `load_detector`."""
    if path.suffix == ".safetensors":
        refuse_engine(path, engine)
        return TorchDetectionNetwork(load_network(path, "detector"), path, device)
    if path.suffix != ".onnx":
        refuse_ultralytics(path)
        raise ModelError(f"{path} is no detector by its name; supported are files ending in .onnx, .safetensors")
    return open_onnx(path, device, num_threads, engine)


class NetworkDetector:
    """A `PersonDetector` on a network of a known family; note: why device auto took the CPU, or None."""

    def __init__(
        self, network: DetectionNetwork, family: DetectorFamily, score_threshold: float, size: int | None
    ) -> None:
        self._network = network
        self._family = family
        self._score_threshold = score_threshold
        self._least_score = min(score_threshold, _LEAST_VOTE) if family.num_votes > 1 else score_threshold
        self._fixed_wh = _fixed_size_wh(network)
        self._longest = _longest_side(network, family, size)
        self._batches = network.inputs[0].shape[0] is None
        self._runner = SplittingRunner(network.run)
        self.name = f"{network.path.name} ({family.name}, {self._longest} px)"
        self.engine = network.engine
        self.note = network.note

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """One `Detections` per image (H, W, 3) uint8 BGR: boxes inside the image, best first.

        A batch that the memory does not suffice for is run in parts, and so are all later ones. Raises ModelError
        when the engine fails or the network gives NaN, infinity or arrays of other shapes than its family's,
        DeviceError when the memory does not even suffice for one image.
        """
        prepared = [self._family.prepare(image, self._input_wh(image)) for image in images]
        outputs = self._run([tensor for tensor, _ in prepared])
        return [
            self._read(image_outputs, tensor.shape, scale_wh, image)
            for image_outputs, (tensor, scale_wh), image in zip(outputs, prepared, images, strict=True)
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
            parts = self._runner.run(batch)
        except ModelError:
            return []
        # Each part on its own: with NMS in the graph, the number of boxes is that of the fullest image.
        if any(len(output) != size for size, outputs in parts for output in outputs):
            return []
        return [image_outputs for _, outputs in parts for image_outputs in zip(*outputs, strict=True)]

    def _read(self, outputs: Outputs, shape: tuple[int, ...], scale_wh: FloatArray, image: Image) -> Detections:
        try:
            boxes, scores = self._family.decode(outputs, (shape[2], shape[1]), self._least_score)
        except (ValueError, IndexError) as error:  # what the graph leaves open is known only now
            found = ", ".join(map(str, (output.shape for output in outputs)))
            raise ModelError(
                f"{self.name} gave {found} for an input {shape}, not what its type gives: {self._family.signature}; "
                "name another --detector-type or file"
            ) from error
        kept = scores >= self._least_score
        if np.isnan(scores).any() or not (np.isfinite(scores[kept]).all() and np.isfinite(boxes[kept]).all()):
            raise ModelError(
                f"{self.name} gave values that are not finite on {self.engine}; try --device cpu or another file"
            )
        boxes, scores = _suppress(boxes[kept], scores[kept], self._family, self._score_threshold)
        if self._family.is_centred:
            margin_wh = margins(_size_wh(image), scale_wh, (shape[2], shape[1]))
            boxes = boxes - np.concatenate([margin_wh, margin_wh])
        return _best_first(boxes / np.concatenate([scale_wh, scale_wh]), scores, _size_wh(image))


def _size_wh(image: Image) -> tuple[int, int]:
    return image.shape[1], image.shape[0]


def _best_first(boxes: FloatArray, scores: FloatArray, image_wh: tuple[int, int]) -> Detections:
    """Boxes cut to the image, best first, without those of which nothing is left."""
    clipped = clip_boxes(boxes, image_wh)
    left = np.flatnonzero((clipped[:, 2:] > clipped[:, :2]).all(axis=1))
    order = left[np.argsort(-scores[left], kind="stable")]
    return Detections(clipped[order].astype(np.float32), scores[order].astype(np.float32))


def _suppress(
    boxes: FloatArray, scores: FloatArray, family: DetectorFamily, score_threshold: float
) -> tuple[FloatArray, FloatArray]:
    """The boxes that are kept, and their scores, of which all reach the threshold."""
    if family.nms_iou is None:
        return boxes, scores
    best = np.argsort(-scores, kind="stable")[:_MAX_CANDIDATES]
    boxes, scores = boxes[best], scores[best]
    num_candidates = int((scores >= score_threshold).sum())
    kept = nms(boxes[:num_candidates], scores[:num_candidates], family.nms_iou)
    voted = _vote(boxes, scores, kept, family.nms_iou, family.num_votes) if family.num_votes > 1 else scores[kept]
    is_sure = voted >= score_threshold
    return boxes[kept][is_sure], voted[is_sure]


def _vote(boxes: FloatArray, scores: FloatArray, kept: IntArray, nms_iou: float, num_votes: int) -> FloatArray:
    """Scores (K,) of the kept boxes: means of the best among those that each of them replaces, and itself.

    boxes: (N, 4), scores: (N,), best first. kept: (K,) rows, best first; a box is replaced by the first of them that it
    overlaps enough, so what is kept further down has no influence.
    """
    overlaps = iou(boxes[kept], boxes) > nms_iou
    is_replaced = overlaps & (np.cumsum(overlaps, axis=0) == 1)
    votes = np.zeros((len(kept), max(len(boxes), num_votes)), np.float32)
    votes[:, : len(boxes)] = np.where(is_replaced, scores, 0)
    return np.partition(votes, -num_votes, axis=1)[:, -num_votes:].mean(axis=1)


def recognise(network: DetectionNetwork, detector_type: str | None = None) -> DetectorFamily:
    """The family of a network, as `load_detector` tells it, or as its file states; ModelError for one of no family."""
    stated = FAMILIES.get(detector_type or network.metadata.get("detector_type", ""))
    families = [stated] if stated else list(FAMILIES.values())
    is_fed_images = len(network.inputs) == 1 and takes_images(network.inputs[0])
    fitting = [family for family in families if is_fed_images and family.fits(network)]
    if fitting:
        # Graphs are called end2end.onnx in the folders that MMDeploy names after the network.
        named = f"{network.path.absolute().parent.name}/{network.path.name}".lower()
        return max(fitting, key=lambda family: family.name.lower() in named)
    if network.metadata.get("task") == "pose":
        raise ModelError(f"{network.path} states the task pose, so it needs no detector; name it with --pose-model")
    inputs, outputs = (", ".join(map(str, infos)) for infos in (network.inputs, network.outputs))
    raise ModelError(
        f"{network.path} is no detector of {'type ' + detector_type if detector_type else 'a known kind'}: its inputs "
        f"are {inputs}, its outputs {outputs}; supported: an image [b, 3, h, w] in, and out "
        f"{'; '.join(family.signature for family in families)}"
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
