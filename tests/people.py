"""People of whom a test states what it is about alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tracker.types import Origin, Poses, TrackedPoses

# A standing person, 100 px tall, centred on (0, 0).
STANDING = np.array(
    [
        (0, -45), (2, -47), (-2, -47), (5, -45), (-5, -45), (12, -30), (-12, -30), (15, -12), (-15, -12),
        (16, 5), (-16, 5), (8, 5), (-8, 5), (8, 27), (-8, 27), (8, 48), (-8, 48),
    ],
    np.float32,
)  # fmt: skip


def poses_of(
    keypoints: npt.ArrayLike,
    *,
    scores: npt.ArrayLike = 1.0,
    boxes: npt.ArrayLike = 0.0,
    box_scores: npt.ArrayLike = 1.0,
    origin: npt.ArrayLike = Origin.DETECTED,
) -> Poses:
    """Poses with those keypoints (N, K, 2); all else is of one for all, or of each."""
    points = np.array(keypoints, np.float32)
    num_people, num_keypoints = points.shape[:2]

    def filled(values: npt.ArrayLike, *shape: int) -> npt.NDArray[np.float32]:
        return np.full(shape, values, np.float32)

    return Poses(
        keypoints=points,
        scores=filled(scores, num_people, num_keypoints),
        boxes=filled(boxes, num_people, 4),
        box_scores=filled(box_scores, num_people),
        origin=np.full(num_people, origin, np.int8),
    )


def with_ids(
    poses: Poses, track_ids: Sequence[int], *, confirmed: npt.ArrayLike = True, similarities: npt.ArrayLike = np.nan
) -> TrackedPoses:
    """The people under those ids."""
    count = len(poses)
    return TrackedPoses(
        poses, np.array(track_ids, np.int64), np.full(count, similarities, np.float32), np.full(count, confirmed, bool)
    )
