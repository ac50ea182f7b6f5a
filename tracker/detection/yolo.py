"""YOLO (5 to 26) as Ultralytics exports it: the cells of its heads, or rows that need no further NMS.

Layouts: `Detect.postprocess` and `NMSModel` of Ultralytics 8.4, seen on graphs that it exported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tracker.boxes import cxcywh_to_xyxy
from tracker.detection.family import PERSON, DetectionNetwork, DetectorFamily, Outputs
from tracker.detection.letterbox import letterbox
from tracker.fields import class_names
from tracker.types import FloatArray, Image

_NUM_CLASSES = (1, 80)  # people, or COCO
_NUM_COLUMNS = 6  # x1, y1, x2, y2, score, class


def _fits_cells(network: DetectionNetwork) -> bool:
    if not _finds_people(network.metadata):
        return False
    match [info.shape for info in network.outputs]:
        case [(_, None, None)]:  # all sizes are left open
            return "task" in network.metadata and not _suppresses(network.metadata)
        case [(_, num_rows, num_cells)]:
            known = (4 + len(names),) if (names := class_names(network.metadata)) else [4 + n for n in _NUM_CLASSES]
            return num_rows in known and num_cells != _NUM_COLUMNS
    return False


def _fits_rows(network: DetectionNetwork) -> bool:
    if not _finds_people(network.metadata):
        return False
    match [info.shape for info in network.outputs]:
        case [(_, _, None)]:
            return "task" in network.metadata and _suppresses(network.metadata)
        case [(_, _, num_columns)]:
            return num_columns == _NUM_COLUMNS
    return False


def _finds_people(metadata: Mapping[str, str]) -> bool:
    """Whether a file's first class is people, as far as it states anything."""
    names = class_names(metadata)
    # RT-DETR has rows of six, too, but other coordinates and another input.
    is_detector = metadata.get("task", "detect") == "detect" and "rtdetr" not in metadata.get("description", "").lower()
    return is_detector and (len(names) == 1 or names.get(PERSON, "person").lower() == "person")


def _suppresses(metadata: Mapping[str, str]) -> bool:
    """Whether the graph gives rows that need no NMS, by its own word."""
    return metadata.get("end2end") == "True" or "'nms': True" in metadata.get("args", "")


def _prepare(image: Image, size_wh: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    picture, scale_wh = letterbox(image, size_wh, is_centred=True)
    return np.divide(picture[..., ::-1].transpose(2, 0, 1), 255, dtype=np.float32, order="C"), scale_wh


def _decode_cells(
    outputs: Outputs, _input_wh: tuple[int, int], score_threshold: float
) -> tuple[FloatArray, FloatArray]:
    """The people among columns (4 + classes, cells): centre, width and height, and a score for each class."""
    (columns,) = outputs
    scores = columns[4 + PERSON]
    kept = ~(scores < score_threshold)
    return cxcywh_to_xyxy(columns[:4, kept].T), scores[kept]


def _decode_rows(outputs: Outputs, _input_wh: tuple[int, int], score_threshold: float) -> tuple[FloatArray, FloatArray]:
    """The people among rows (n, 6); rows of nobody have score 0."""
    (rows,) = outputs
    if rows.shape[1] != _NUM_COLUMNS:
        raise ValueError(f"rows of {rows.shape[1]}")
    people = rows[(rows[:, 5] == PERSON) & ~(rows[:, 4] < max(score_threshold, np.finfo(np.float32).tiny))]
    return people[:, :4], people[:, 4]


YOLO = DetectorFamily(
    name="YOLO",
    signature="YOLO (one output [b, 5 or 84, cells])",
    nms_iou=0.7,
    is_centred=True,
    fits=_fits_cells,
    prepare=_prepare,
    decode=_decode_cells,
)
YOLO_NMS = replace(
    YOLO,
    signature="YOLO that needs no NMS (one output [b, n, 6])",
    nms_iou=None,
    fits=_fits_rows,
    decode=_decode_rows,
)
