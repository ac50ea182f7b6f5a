"""Boxes out of maps in which each cell has the logit of a score and its distances to the four sides of a box."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tracker.types import FloatArray

# Input pixels between the cells of each map, fine to coarse.
STRIDES = (8, 16, 32)
NUM_CHANNELS = 5


def decode_maps(
    maps: Sequence[FloatArray], input_wh: tuple[int, int], score_threshold: float
) -> tuple[FloatArray, FloatArray]:
    """Boxes (N, 4) xyxy in input pixels and scores (N,) of maps (5, h, w), one map per stride of STRIDES.

    Channels: logit, then distances to left, top, right and bottom in input pixels, from the point (column ×
    stride, row × stride). Only cells with a score of the threshold or more, or NaN, are kept. Raises ValueError for
    maps of other sizes than the input's width and height divided by the stride.
    """
    width, height = input_wh
    if [cell_map.shape for cell_map in maps] != [(NUM_CHANNELS, height // s, width // s) for s in STRIDES]:
        raise ValueError(f"maps of other shapes than {width}×{height} px has")
    cells = [_candidates(cell_map, stride, score_threshold) for cell_map, stride in zip(maps, STRIDES, strict=True)]
    rows = np.concatenate(cells)
    return rows[:, :4], rows[:, 4]


def _candidates(cell_map: FloatArray, stride: int, score_threshold: float) -> FloatArray:
    """Boxes and scores (N, 5) of the cells that may be people."""
    # The hyperbolic tangent is the logistic function without its overflow.
    scores = 0.5 + 0.5 * np.tanh(0.5 * cell_map[0])
    rows, columns = np.nonzero(~(scores < score_threshold))
    points: npt.NDArray[np.float32] = np.stack([columns, rows], axis=1).astype(np.float32) * stride
    distances = cell_map[1:, rows, columns].T
    boxes = np.concatenate([points - distances[:, :2], points + distances[:, 2:]], axis=1)
    return np.concatenate([boxes, scores[rows, columns, None]], axis=1)
