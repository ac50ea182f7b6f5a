"""Object keypoint similarity between poses, and suppression of duplicate poses by it."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from tracker.boxes import are_left
from tracker.tracking.matching import Pairs
from tracker.types import BoolArray, IntArray

# Of fewer keypoints the spread says little of the size, and their mean little of the place.
FEWEST = 4

# What is less like than by this exponent counts for nothing; processors are slow in still smaller numbers.
_FAINT = -80

# Added to the areas of both poses, so that none is divided by 0.
_LEAST_AREA = 2 * float(np.spacing(1.0))

# From so many pairs on it takes less time to look first which of them are near.
_MANY = 800


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
    dtype = np.result_type(keypoints, np.float32)
    first, second = _by_keypoint(keypoints, dtype), _by_keypoint(others, dtype)
    return _of_steps(first[..., None] - second[:, :, None], areas[:, None] + other_areas, sigmas)


def near_pairs(
    keypoints: npt.NDArray[Any],
    areas: npt.NDArray[Any],
    others: npt.NDArray[Any],
    other_areas: npt.NDArray[Any],
    sigmas: npt.NDArray[Any],
    least: float,
) -> Pairs:
    """All pairs whose `oks` is not less, and some others; of many people it takes a fraction of the time.

    Most are so far apart that no keypoint can be near enough.
    """
    if not least or len(keypoints) * len(others) < _MANY:
        return Pairs.of(oks(keypoints, areas, others, other_areas, sigmas), least)
    # A little farther than OKS allows, so that rounding leaves nobody out.
    reach = 2.001 * math.sqrt(-math.log(least)) * sigmas.max() * np.sqrt(areas.max() + other_areas)
    rows, columns = _pairs_within(reach.astype(keypoints.dtype), keypoints, others)
    return _of_pairs(keypoints, areas, others, other_areas, sigmas, rows, columns)


def _of_pairs(
    keypoints: npt.NDArray[Any],
    areas: npt.NDArray[Any],
    others: npt.NDArray[Any],
    other_areas: npt.NDArray[Any],
    sigmas: npt.NDArray[Any],
    rows: IntArray,
    columns: IntArray,
) -> Pairs:
    """The `oks` of these rows (P,) and columns (P,) alone."""
    steps = keypoints.take(rows, axis=0) - others.take(columns, axis=0)
    similarity = _of_steps(_by_keypoint(steps, steps.dtype), areas[rows] + other_areas[columns], sigmas)
    return Pairs(rows, columns, similarity)


def _by_keypoint(keypoints: npt.NDArray[Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Poses (N, K, 2) as (2, K, N): the innermost loops of NumPy run over the longest axis."""
    return np.ascontiguousarray(keypoints.transpose(2, 1, 0), dtype)


def _of_steps(steps: npt.NDArray[Any], areas: npt.NDArray[Any], sigmas: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The `oks` (...) of poses that are so far apart, (2, K, ...) pixels, overwritten; areas: (...), of both."""
    steps *= steps
    exponent = steps[0]
    exponent += steps[1]
    exponent *= (-0.25 / sigmas**2).astype(steps.dtype).reshape(-1, *[1] * areas.ndim)
    exponent /= areas + _LEAST_AREA
    in_both = (exponent <= 0).sum(axis=0, dtype=np.int16)
    np.fmax(exponent, _FAINT, out=exponent)  # NaN goes there, too
    similarity = np.exp(exponent, out=exponent).sum(axis=0)
    return np.where(in_both, similarity / np.maximum(in_both, 1), 0).astype(steps.dtype)


def _pairs_within(
    reach: npt.NDArray[Any], keypoints: npt.NDArray[Any], others: npt.NDArray[Any]
) -> tuple[IntArray, IntArray]:
    """Rows (P,) and columns (P,) of the pairs whose keypoints' boxes are no farther apart than the reach (M,)."""
    (low, high), (lows, highs) = _extents(keypoints), _extents(others)
    may = low[:, :, None] <= (highs + reach)[:, None]
    may &= high[:, :, None] >= (lows - reach)[:, None]
    return np.divmod(np.flatnonzero(may[0] & may[1]), len(reach))


def _extents(keypoints: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Lowest and highest x and y (2, N) of poses (N, K, 2); NaN without any keypoint."""
    first = _by_keypoint(keypoints, keypoints.dtype)
    return np.fmin.reduce(first, axis=1), np.fmax.reduce(first, axis=1)


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
    return np.where(count[:, 0] >= FEWEST, np.log(larger / smaller) / 2, 0)


def mean_steps(steps: npt.NDArray[Any], otherwise: Callable[[], npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """How far (..., 2) poses are from others: the mean of the keypoints' steps (..., K, 2), in pixels as these.

    It is what `otherwise` gives (..., 2) where fewer than four are in both. NaN is a keypoint that is not.
    """
    known = np.isfinite(steps[..., :1])
    count = known.sum(axis=-2)
    mean = np.einsum("...kc->...c", np.where(known, steps, 0)) / np.maximum(count, 1)
    enough = count >= FEWEST
    return mean if enough.all() else np.where(enough, mean, otherwise())


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
    return order[are_distinct(keypoints[order], areas[order], sigmas, threshold)]


def are_distinct(
    keypoints: npt.NDArray[Any], areas: npt.NDArray[Any], sigmas: npt.NDArray[Any], threshold: float
) -> BoolArray:
    """Which poses (N,), best first, `oks_nms` keeps."""
    couples = _of_pairs(keypoints, areas, keypoints, areas, sigmas, *_every_two(len(keypoints)))
    if not (couples.similarities > threshold).any():
        return np.ones(len(keypoints), np.bool_)
    return are_left(couples.table((len(keypoints), len(keypoints))) > threshold)


@lru_cache(maxsize=64)
def _every_two(count: int) -> tuple[IntArray, IntArray]:
    """Rows and columns of each two of so many."""
    rows, columns = np.triu_indices(count, 1)
    return rows, columns
