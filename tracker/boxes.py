"""Boxes as arrays (N, 4) of xyxy pixels: overlap, suppression, other forms, the box around keypoints; sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tracker.types import BoolArray, FloatArray, IntArray


def box_areas(boxes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Areas (N,) of xyxy boxes in square pixels; a box turned inside out has area 0."""
    sizes = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return sizes[:, 0] * sizes[:, 1]


def iou(boxes: npt.NDArray[Any], others: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Intersection over union (N, M) of two sets of xyxy boxes, 0 where both are empty.

    >>> iou(np.array([[0.0, 0, 2, 2]]), np.array([[0.0, 0, 2, 2], [1, 0, 3, 2]])).round(3).tolist()
    [[1.0, 0.333]]
    """
    # One axis at a time: NumPy is slow on arrays whose last axis has two elements.
    widths, heights = (
        np.minimum(boxes[:, None, axis + 2], others[None, :, axis + 2])
        - np.maximum(boxes[:, None, axis], others[None, :, axis])
        for axis in (0, 1)
    )
    intersection = np.maximum(widths, 0) * np.maximum(heights, 0)
    union = box_areas(boxes)[:, None] + box_areas(others)[None] - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def nms(boxes: npt.NDArray[Any], scores: npt.NDArray[Any], iou_threshold: float) -> IntArray:
    """Indices of the boxes to keep, best first: each drops those that overlap it by more than the threshold.

    boxes: (N, 4) xyxy pixels. scores: (N,); equal scores keep their order.
    Source: `py_cpu_nms` of the official code, whose boxes reach a pixel farther.
    """
    order = np.argsort(-scores, kind="stable")
    return order[are_left(iou(boxes[order], boxes[order]) > iou_threshold)]


def are_left(clash: BoolArray) -> BoolArray:
    """Who (N,) is left, best first, where each who is left drops those behind that clash (N, N) with them."""
    alive = np.ones(len(clash), bool)
    for row in range(len(clash)):
        if alive[row]:
            alive[row + 1 :] &= ~clash[row, row + 1 :]
    return alive


def xyxy_to_xywh(boxes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """xyxy boxes (N, 4) as left, top, width, height."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def cxcywh_to_xyxy(boxes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Boxes (N, 4) of centre, width and height as xyxy."""
    centres, halves = boxes[:, :2], boxes[:, 2:] / 2
    return np.concatenate([centres - halves, centres + halves], axis=1)


def clip_boxes(boxes: FloatArray, size_wh: tuple[int, int]) -> FloatArray:
    """xyxy boxes (N, 4) cut to an image of that width and height."""
    limit = np.array([*size_wh, *size_wh], np.float32)
    return np.clip(boxes, 0, limit)


def boxes_around(keypoints: FloatArray, expansion: float = 1.0) -> FloatArray:
    """Smallest boxes (N, 4) around keypoints (N, K, 2), grown about their centre by a factor.

    NaN keypoints are left out; a person without any gets a NaN box. Flow propagation grows the box by
    1.15 (Xiao et al. 2018, section 3.2).
    """
    first = np.ascontiguousarray(keypoints.transpose(1, 2, 0))  # keypoints: NumPy is slow on axes of two elements
    low, high = (extreme.reduce(first, axis=0, initial=np.nan) for extreme in (np.fmin, np.fmax))
    centre, half = (low + high) / 2, (high - low) / 2 * expansion
    return np.concatenate([centre - half, centre + half]).T.astype(np.float32, order="C")


def padded_size_wh(image_wh: tuple[int, int], longest: int, stride: int) -> tuple[int, int]:
    """Smallest multiples of the stride that hold the image when its longer side is scaled to `longest`.

    >>> padded_size_wh((1920, 1080), 416, 32)
    (416, 256)
    """
    # In whole numbers: a rounding error must neither add a stride nor shrink the image.
    width, height = (stride * -(-side * longest // (max(image_wh) * stride)) for side in image_wh)
    return width, height
