"""PicoDet (Yu et al. 2021) as PaddleDetection exports it, without NMS in the graph."""

from __future__ import annotations

import cv2
import numpy as np

from tracker.detection.family import PERSON, DetectionNetwork, DetectorFamily, Outputs
from tracker.detection.letterbox import normalized_planes
from tracker.types import FloatArray, Image

_MEAN_RGB = (123.675, 116.28, 103.53)
_STD_RGB = (58.395, 57.12, 57.375)
_NUM_CLASSES = (1, 80)  # people, or COCO


def _fits(network: DetectionNetwork) -> bool:
    match [info.shape for info in network.outputs]:
        case [(_, num_boxes, 4), (_, num_classes, num_scores)]:
            return num_classes in _NUM_CLASSES and num_boxes == num_scores
    return False


def _prepare(image: Image, size_wh: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Stretched to the input: the network was trained so."""
    picture = cv2.resize(image, size_wh, interpolation=cv2.INTER_LINEAR)
    scale_wh = np.array(size_wh, np.float32) / (image.shape[1], image.shape[0])
    return normalized_planes(picture[..., ::-1], _MEAN_RGB, _STD_RGB), scale_wh.astype(np.float32)


def _decode(outputs: Outputs, _input_wh: tuple[int, int], score_threshold: float) -> tuple[FloatArray, FloatArray]:
    boxes, scores = outputs
    kept = ~(scores[PERSON] < score_threshold)
    return boxes[kept], scores[PERSON, kept]


PICODET = DetectorFamily(
    name="PicoDet",
    signature="PicoDet (boxes [b, n, 4], scores [b, 1 or 80, n])",
    nms_iou=0.5,
    fits=_fits,
    prepare=_prepare,
    decode=_decode,
)
