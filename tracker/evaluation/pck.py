"""Percentage of correct keypoints, in lengths of the torso."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tracker.datasets.coco import Annotation, GroundTruth
from tracker.evaluation.coco import Figures
from tracker.skeletons import BODY_19, Skeleton, convert_keypoints
from tracker.types import BoolArray, DoubleArray, Poses

_LIMBS = [
    BODY_19.index(f"{side}_{part}")
    for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    for side in ("left", "right")
]
_SHOULDERS, _HIPS = _LIMBS[:2], _LIMBS[6:8]


def evaluate_pck(
    truth: GroundTruth, poses: Mapping[int, Poses], skeleton: Skeleton, threshold: float = 0.2
) -> tuple[Figures, int]:
    """PCK of the poses by image id, of the people in `annotated_people` of each picture in that order.

    Returns the figures within 0–1 and the number of people. `pck` is over the twelve limb keypoints, shoulders to
    ankles, `pck_neck` and `pck_head_top` over one each, None where the skeleton has no such keypoint. A keypoint is
    correct within `threshold` of the torso, mid-shoulder to mid-hip; a missing one is wrong. Each figure is the mean
    over people; those without a true torso are left out.
    """
    given = Poses.join([Poses.empty(skeleton.num_keypoints), *(poses[picture.id] for picture in truth.pictures)])
    found, _ = convert_keypoints(given.keypoints.astype(np.float64), given.scores, skeleton, BODY_19)
    true = true_keypoints([person for picture in truth.pictures for person in picture.annotated_people], truth.skeleton)
    torsos = np.linalg.norm(_middles(true[:, _SHOULDERS]) - _middles(true[:, _HIPS]), axis=1)
    measured = torsos > 0
    correct = np.linalg.norm(found - true, axis=2) <= threshold * torsos[:, None]
    visible = ~np.isnan(true[..., 0])
    known = _known_keypoints(skeleton)
    groups = {"pck": _LIMBS, "pck_neck": [BODY_19.index("neck")], "pck_head_top": [BODY_19.index("head_top")]}
    figures = {
        name: _mean_share(correct[measured][:, group], visible[measured][:, group]) if known[group].any() else None
        for name, group in groups.items()
    }
    return figures, int(measured.sum())


def true_keypoints(people: list[Annotation], skeleton: Skeleton) -> DoubleArray:
    """Keypoints (N, 19, 2) of BODY_19 in pixels, NaN where not annotated; skeleton: of the annotations."""
    keypoints = _visible([person["keypoints"] for person in people], skeleton.num_keypoints)
    true, _ = convert_keypoints(keypoints, np.ones(keypoints.shape[:2]), skeleton, BODY_19)
    extra = _visible([person["extra_keypoints"] for person in people], 2)
    true[:, -2:] = np.where(np.isnan(extra), true[:, -2:], extra)
    return true


def _visible(values: list[list[float]], num_keypoints: int) -> DoubleArray:
    """Points (N, K, 2) of x, y and visibility (N, 3 K), NaN where not visible."""
    triples = np.array(values, np.float64).reshape(len(values), num_keypoints, 3)
    return np.where(triples[..., 2:] > 0, triples[..., :2], np.nan)


def _known_keypoints(skeleton: Skeleton) -> BoolArray:
    """(19,): which of BODY_19's keypoints a skeleton has."""
    ones = np.ones(skeleton.num_keypoints)
    return convert_keypoints(np.ones((skeleton.num_keypoints, 2)), ones, skeleton, BODY_19)[1] > 0


def _middles(points: DoubleArray) -> DoubleArray:
    """Means (N, 2) of those points (N, n, 2) that are annotated, NaN where none is."""
    counts = (~np.isnan(points[..., :1])).sum(axis=1)
    return np.where(counts > 0, np.nan_to_num(points).sum(axis=1) / np.maximum(counts, 1), np.nan)


def _mean_share(correct: BoolArray, counted: BoolArray) -> float | None:
    """Mean over rows of the share of the counted entries that are correct; rows without any are left out."""
    rows = counted.any(axis=1)
    shares = (correct & counted)[rows].sum(axis=1) / counted[rows].sum(axis=1)
    return float(shares.mean()) if rows.any() else None
