"""Boxes out of maps in which each cell has the logit of a score and its distances to the four sides of a box."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tracker.boxes import nms
from tracker.types import FloatArray

# Input pixels between the cells of each map, fine to coarse.
STRIDES = (8, 16, 32)
_NMS_IOU = 0.6
# More candidates than a crowd has; a threshold of 0 would compare all cells with one another.
_MAX_CANDIDATES = 1000


def decode_maps(maps: Sequence[FloatArray], score_threshold: float) -> tuple[FloatArray, FloatArray]:
    """Boxes (N, 4) xyxy in input pixels and scores (N,) of maps (5, h, w), one map per stride of STRIDES.

    Channels: logit, then distances to left, top, right and bottom in input pixels, from the point (column ×
    stride, row × stride). Only scores of the threshold or more, NaN too, are kept; of boxes that overlap by an
    IoU of more than 0.6 the best. Best first.
    """
    cells = [_candidates(cell_map, stride, score_threshold) for cell_map, stride in zip(maps, STRIDES, strict=True)]
    rows = np.concatenate(cells)
    rows = rows[np.argsort(-rows[:, 4], kind="stable")[:_MAX_CANDIDATES]]
    kept = rows[nms(rows[:, :4], rows[:, 4], _NMS_IOU)]
    return kept[:, :4], kept[:, 4]


def _candidates(cell_map: FloatArray, stride: int, score_threshold: float) -> FloatArray:
    """Boxes and scores (N, 5) of the cells that may be people."""
    # The hyperbolic tangent is the logistic function without its overflow.
    scores = 0.5 + 0.5 * np.tanh(0.5 * cell_map[0])
    rows, columns = np.nonzero(~(scores < score_threshold))
    points: npt.NDArray[np.float32] = np.stack([columns, rows], axis=1).astype(np.float32) * stride
    distances = cell_map[1:, rows, columns].T
    boxes = np.concatenate([points - distances[:, :2], points + distances[:, 2:]], axis=1)
    return np.concatenate([boxes, scores[rows, columns, None]], axis=1)
