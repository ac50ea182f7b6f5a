"""RTMDet (Lyu et al. 2022) as MMDeploy exports it, with the suppression of overlapping boxes in the graph."""

from __future__ import annotations

from tracker.detection.family import DetectionNetwork, DetectorFamily, Outputs, takes_images
from tracker.detection.letterbox import letterbox, normalized_planes
from tracker.types import FloatArray, Image

_PERSON = 0
_MEAN_BGR = (103.53, 116.28, 123.675)
_STD_BGR = (57.375, 57.12, 58.395)


def _fits(network: DetectionNetwork) -> bool:
    if len(network.inputs) != 1 or [info.name for info in network.outputs] != ["dets", "labels"]:
        return False
    image, dets = network.inputs[0], network.outputs[0]
    return takes_images(image) and len(dets.shape) == 3 and dets.shape[2] in (None, 5)


def _prepare(image: Image, size_wh: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    picture, scale_wh = letterbox(image, size_wh)
    return normalized_planes(picture, _MEAN_BGR, _STD_BGR), scale_wh


def _decode(outputs: Outputs, _score_threshold: float) -> tuple[FloatArray, FloatArray]:
    dets, labels = outputs
    people = dets[labels == _PERSON]
    return people[:, :4], people[:, 4]


RTMDET = DetectorFamily(
    name="RTMDet",
    signature="RTMDet with NMS in the graph (image [b, 3, h, w] → dets [b, n, 5], labels [b, n])",
    stride=32,
    fits=_fits,
    prepare=_prepare,
    decode=_decode,
)
