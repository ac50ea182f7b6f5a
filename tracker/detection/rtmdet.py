"""RTMDet (Lyu et al. 2022): as MMDeploy exports it, with NMS in the graph, or its three heads as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tracker.detection.family import (
    DetectionNetwork,
    DetectorFamily,
    Outputs,
    decode_dets,
    fits_dets,
)
from tracker.detection.letterbox import letterbox, normalized_planes
from tracker.detection.maps import NUM_CHANNELS, STRIDES, decode_maps
from tracker.nets import IMAGENET_MEAN, IMAGENET_STD
from tracker.types import FloatArray, Image

MEAN_BGR, STD_BGR = IMAGENET_MEAN[::-1], IMAGENET_STD[::-1]


def _fits_heads(network: DetectionNetwork) -> bool:
    shapes = [info.shape for info in network.outputs]
    return len(shapes) == len(STRIDES) and all(len(s) == 4 and s[3] == NUM_CHANNELS for s in shapes)


def prepare(image: Image, size_wh: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """An image in a letterbox, normalised, and its scale, as of `DetectorFamily.prepare`."""
    picture, scale_wh = letterbox(image, size_wh)
    return normalized_planes(picture, MEAN_BGR, STD_BGR), scale_wh


def _decode_heads(outputs: Outputs, input_wh: tuple[int, int], score_threshold: float) -> tuple[FloatArray, FloatArray]:
    return decode_maps([np.moveaxis(head, 2, 0) for head in outputs], input_wh, score_threshold)


RTMDET = DetectorFamily(
    name="RTMDet",
    signature="RTMDet with NMS in the graph (dets [b, n, 5], labels [b, n])",
    nms_iou=None,
    fits=fits_dets,
    prepare=prepare,
    decode=decode_dets,
)
RTMDET_RAW = replace(
    RTMDET,
    signature="RTMDet's heads for people alone (three of [b, h / stride, w / stride, 5])",
    nms_iou=0.6,
    fits=_fits_heads,
    decode=_decode_heads,
)
