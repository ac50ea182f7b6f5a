"""Annotated people made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tracker.skeletons import COCO_17, Skeleton
from tracker.training.annotations import Annotations

Points = dict[str, tuple[float, float]]


def annotate(
    paths: Sequence[Path],
    people: Sequence[tuple[int, Sequence[float], Points]],
    skeleton: Skeleton = COCO_17,
    negatives: Sequence[int] = (),
) -> Annotations:
    """People as picture, box and keypoints by name, all sure; some pictures show nobody."""
    keypoints = np.full((len(people), skeleton.num_keypoints, 2), np.nan, np.float32)
    for row, (_, _, points) in enumerate(people):
        for name, point in points.items():
            keypoints[row, skeleton.index(name)] = point
    return Annotations(
        skeleton=skeleton,
        paths=tuple(paths),
        is_negative=np.isin(np.arange(len(paths)), negatives),
        picture=np.array([picture for picture, _, _ in people], np.int64),
        boxes=np.array([box for _, box, _ in people], np.float32).reshape(-1, 4),
        box_scores=np.ones(len(people), np.float32),
        certainties=np.ones(len(people), np.float32),
        keypoints=keypoints,
        weights=(~np.isnan(keypoints[..., 0])).astype(np.float32),
    )
