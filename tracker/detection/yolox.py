"""YOLOX (Ge et al. 2021): as its authors export it, or as MMDeploy does, with NMS in the graph."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from tracker.boxes import cxcywh_to_xyxy
from tracker.detection.family import (
    PERSON,
    DetectionNetwork,
    DetectorFamily,
    Outputs,
    decode_dets,
    fits_dets,
)
from tracker.detection.letterbox import letterbox
from tracker.detection.maps import STRIDES
from tracker.types import BoolArray, FloatArray, Image

_OBJECTNESS = 4
_NUM_COLUMNS = (6, 85)  # centre, size, objectness, then one class or those of COCO


def _fits(network: DetectionNetwork) -> bool:
    if len(network.outputs) != 1:
        return False
    height, width = network.inputs[0].shape[2:]
    num_cells = len(_grid((width, height))[0]) if width and height else None
    match network.outputs[0].shape:
        case (_, num_rows, num_columns):
            return num_columns in _NUM_COLUMNS and num_rows in (None, num_cells)
    return False


def _prepare(image: Image, size_wh: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    picture, scale_wh = letterbox(image, size_wh)
    return np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32), scale_wh


def decode_classes(
    outputs: Outputs, input_wh: tuple[int, int], score_threshold: float
) -> tuple[FloatArray, FloatArray]:
    """Boxes (N, 4) xyxy in input pixels and scores (N, classes) of what is of any class with that score or more."""
    (rows,) = outputs
    scores = rows[:, _OBJECTNESS : _OBJECTNESS + 1] * rows[:, _OBJECTNESS + 1 :]
    kept = ~(scores.max(axis=1) < score_threshold)
    return _boxes(rows, input_wh, kept), scores[kept]


def _decode(outputs: Outputs, input_wh: tuple[int, int], score_threshold: float) -> tuple[FloatArray, FloatArray]:
    (rows,) = outputs
    scores = rows[:, _OBJECTNESS] * rows[:, _OBJECTNESS + 1 + PERSON]
    kept = ~(scores < score_threshold)
    return _boxes(rows, input_wh, kept), scores[kept]


def _boxes(rows: FloatArray, input_wh: tuple[int, int], kept: BoolArray) -> FloatArray:
    """Boxes (N, 4) xyxy in input pixels of the kept rows; ValueError unless there is a row for each cell."""
    cells, strides = _grid(input_wh)
    if len(rows) != len(cells):
        raise ValueError(f"{len(rows)} rows for {len(cells)} cells")
    centres, sizes = rows[kept, :2], rows[kept, 2:4]
    if not _is_in_pixels(rows):
        centres = (centres + cells[kept]) * strides[kept]
        with np.errstate(over="ignore"):  # an infinite box is found out by the caller
            sizes = np.exp(sizes) * strides[kept]
    return cxcywh_to_xyxy(np.concatenate([centres, sizes], axis=1))


def _is_in_pixels(rows: FloatArray) -> bool:
    """Whether centres are pixels of the input (an export with --decode_in_inference), not cells from their own cell.

    Half of the centres are then in the right half of the input; those from a cell stay within a few cells.
    """
    return bool(np.median(rows[:, 0]) > STRIDES[0])


@lru_cache(maxsize=8)
def _grid(input_wh: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Column and row (N, 2) of each cell, fine to coarse, row by row, and its stride (N, 1)."""
    width, height = input_wh
    cells = [np.indices((height // stride, width // stride))[::-1].reshape(2, -1).T for stride in STRIDES]
    strides = np.repeat(STRIDES, [len(level) for level in cells])[:, None]
    return np.concatenate(cells).astype(np.float32), strides.astype(np.float32)


YOLOX = DetectorFamily(
    name="YOLOX",
    signature="YOLOX (one output [b, cells, 6 or 85])",
    nms_iou=0.5,
    fits=_fits,
    prepare=_prepare,
    decode=_decode,
)
YOLOX_NMS = replace(
    YOLOX,
    signature="YOLOX with NMS in the graph (dets [b, n, 5], labels [b, n], and yolox in the file's name)",
    nms_iou=None,
    fits=fits_dets,
    decode=decode_dets,
)
