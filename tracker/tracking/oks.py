"""Object keypoint similarity between poses, and suppression of duplicate poses by it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tracker.boxes import are_left
from tracker.types import IntArray

# Stands in for missing keypoints: so far apart that exp(−distance²) is exactly 0, and finite, so that no NaN
# arises from a difference. The two sides get opposite signs.
_FAR = 1e15

# Of fewer keypoints the spread says little of the size, and their mean little of the place.
_FEWEST = 4


def oks(
    keypoints: npt.NDArray[Any],
    areas: npt.NDArray[Any],
    others: npt.NDArray[Any],
    other_areas: npt.NDArray[Any],
    sigmas: npt.NDArray[Any],
) -> npt.NDArray[Any]:
    """Similarity (N, M) in 0–1 of two sets of poses: 1 where equal, 0 where no keypoint is in both.

    keypoints: (N, K, 2), others: (M, K, 2) pixels; NaN is a missing keypoint. areas: (N,), other_areas: (M,)
    square pixels; a pair is scaled by their mean. sigmas: (K,). Only keypoints that are in both poses are compared.
    Computed in the precision of `keypoints`. Source: `oks_iou` of the official code (vectors SB-7), with its
    mask of visible keypoints put right.
    """
    return compare(keypoints, areas, others, other_areas, sigmas)[0]


def compare(
    keypoints: npt.NDArray[Any],
    areas: npt.NDArray[Any],
    others: npt.NDArray[Any],
    other_areas: npt.NDArray[Any],
    sigmas: npt.NDArray[Any],
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """`oks`, and in how many keypoints (N, M) the similarities consist: those that are in both poses."""
    dtype = np.result_type(keypoints, np.float32)
    scale = np.asarray(1 / (np.sqrt(8) * sigmas), dtype)[:, None]
    near, mine = _scaled(keypoints, scale, _FAR)
    far, theirs = _scaled(others, scale, -_FAR)
    exponent, squared_dy = near[:, :, :, None] - far[:, :, None]
    exponent *= exponent
    squared_dy *= squared_dy
    exponent += squared_dy
    exponent *= (-2 / (areas[:, None] + other_areas + 2 * np.spacing(1.0))).astype(dtype)
    similarity = np.exp(exponent, out=exponent).sum(axis=0)
    in_both = mine.T @ theirs
    similarity /= np.maximum(in_both, 1)
    return similarity, in_both


def size_ratios(keypoints: npt.NDArray[Any], others: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Logarithms (P,) of how much larger poses (P, K, 2) are than others: by the spread of the keypoints in both.

    It is 0 where fewer than four are in both. NaN is a missing keypoint.

    >>> square = np.array([[[0, 0], [0, 1], [1, 1], [1, 0]]])
    >>> np.exp(size_ratios(20.0 * square, 10.0 * square + 3)).tolist()
    [2.0]
    """
    both = np.isfinite(keypoints[..., :1] + others[..., :1])
    count = both.sum(axis=1)
    spreads = []
    for points in (keypoints, others):
        shown = np.where(both, points, 0)
        mean = shown.sum(axis=1) / np.maximum(count, 1)
        spreads.append(np.einsum("pkc,pkc->p", shown, shown) - count[:, 0] * np.einsum("pc,pc->p", mean, mean))
    larger, smaller = np.maximum(spreads, 1)
    return np.where(count[:, 0] >= _FEWEST, np.log(larger / smaller) / 2, 0)


def mean_steps(keypoints: npt.NDArray[Any], others: npt.NDArray[Any], otherwise: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """How far (..., 2) poses (..., K, 2) are from others: the mean over the keypoints in both.

    It is `otherwise` (..., 2) where fewer than four are in both. NaN is a missing keypoint.
    """
    steps = keypoints - others
    known = np.isfinite(steps[..., :1])
    count = known.sum(axis=-2)
    mean = np.where(known, steps, 0).sum(axis=-2) / np.maximum(count, 1)
    return np.where(count >= _FEWEST, mean, otherwise)


def _scaled(
    keypoints: npt.NDArray[Any], scale: npt.NDArray[Any], missing: float
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Keypoints (2, K, N) in sigmas, and which (K, N) are not missing, as numbers.

    Keypoints come first and the people last: the innermost loops of NumPy run over the longest axis.
    """
    scaled = np.multiply(keypoints.transpose(2, 1, 0), scale, order="C", dtype=scale.dtype)
    absent = np.isnan(scaled[0])
    np.copyto(scaled, missing, where=absent)
    return scaled, (~absent).astype(scale.dtype)


def oks_nms(
    keypoints: npt.NDArray[Any],
    areas: npt.NDArray[Any],
    scores: npt.NDArray[Any],
    sigmas: npt.NDArray[Any],
    threshold: float,
) -> IntArray:
    """Indices of the poses to keep, best first: each drops those more similar to it than the threshold.

    keypoints: (N, K, 2) pixels, NaN where they do not count. areas, scores: (N,).
    Source: `oks_nms` of the official code (vectors SB-7).
    """
    order = np.argsort(-scores, kind="stable")
    keypoints, areas = keypoints[order], areas[order]
    doubles = oks(keypoints, areas, keypoints, areas, sigmas) > threshold
    np.fill_diagonal(doubles, False)
    return order[are_left(doubles)] if doubles.any() else order
