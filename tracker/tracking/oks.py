"""Object keypoint similarity between poses, and suppression of duplicate poses by it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tracker.types import IntArray

# Stands in for missing keypoints: so far apart that exp(−distance²) is exactly 0, and finite, so that no NaN
# arises from a difference. The two sides get opposite signs.
_FAR = 1e15


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
    mine, theirs = ~np.isnan(keypoints[..., 0]), ~np.isnan(others[..., 0])
    # Keypoints come first and the others last: the innermost loops of NumPy run over the longest axis.
    scale = np.asarray(1 / (np.sqrt(8) * sigmas), np.result_type(keypoints, np.float32))[:, None]
    near = np.ascontiguousarray(np.where(mine.T, keypoints.transpose(2, 1, 0) * scale, _FAR), scale.dtype)
    far = np.ascontiguousarray(np.where(theirs.T, others.transpose(2, 1, 0) * scale, -_FAR), scale.dtype)
    exponent, squared_dy = near[:, :, :, None] - far[:, :, None]
    exponent *= exponent
    squared_dy *= squared_dy
    exponent += squared_dy
    exponent *= (-2 / (areas[:, None] + other_areas[None] + 2 * np.spacing(1.0))).astype(scale.dtype)
    similarity = np.exp(exponent, out=exponent).sum(axis=0)
    in_both = mine.astype(scale.dtype) @ theirs.astype(scale.dtype).T
    return similarity / np.maximum(in_both, 1)


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
    similarity = oks(keypoints, areas, keypoints, areas, sigmas)
    alive = np.ones(len(order), bool)
    for row in range(len(order)):
        if alive[row]:
            alive[row + 1 :] &= ~(similarity[row, row + 1 :] > threshold)
    return order[alive]
