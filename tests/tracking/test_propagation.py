"""Detections and carried boxes become one list without doubles."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.skeletons import Skeleton
from tracker.tracking.config import TrackerConfig
from tracker.tracking.propagation import merge_candidates, merge_poses
from tracker.types import Candidates, Detections, Origin, Poses


def boxes_at(*lefts: float) -> np.ndarray:
    """Boxes 10 × 10 at these left edges."""
    return np.array([[x, 0, x + 10, 10] for x in lefts], np.float32).reshape(-1, 4)


def detected(*lefts: float, score: float = 0.6) -> Detections:
    return Detections(boxes_at(*lefts), np.full(len(lefts), score, np.float32))


def propagated(*lefts: float, score: float = 0.8) -> Candidates:
    scores = np.full(len(lefts), score, np.float32)
    return Candidates(boxes_at(*lefts), scores, np.full(len(lefts), Origin.PROPAGATED, np.int8))


@pytest.mark.parametrize(
    ("merge", "detections", "carried", "expected"),
    [
        pytest.param("prefer-detections", (0,), (1,), [(0, Origin.DETECTED)], id="a better carried box yields"),
        pytest.param("plain", (0,), (1,), [(1, Origin.PROPAGATED)], id="plain NMS keeps the higher score"),
        pytest.param("prefer-detections", (0, 1), (), [(0, Origin.DETECTED), (1, Origin.DETECTED)], id="two who hug"),
        pytest.param("plain", (0, 1), (), [(0, Origin.DETECTED)], id="plain NMS deletes one of them"),
        pytest.param(
            "prefer-detections", (0,), (0, 1), [(0, Origin.DETECTED), (1, Origin.PROPAGATED)],
            id="a detection stands for one carried box only",
        ),
        pytest.param(
            "prefer-detections", (), (0, 1), [(0, Origin.PROPAGATED), (1, Origin.PROPAGATED)],
            id="of two who were in one place both are looked for",
        ),
        pytest.param("prefer-detections", (), (), [], id="nobody"),
    ],
)  # fmt: skip
def test_merging(
    merge: str,
    detections: tuple[float, ...],
    carried: tuple[float, ...],
    expected: list[tuple[float, Origin]],
) -> None:
    config = TrackerConfig(merge=merge, merge_iou=0.4)
    merged = merge_candidates(detected(*detections), propagated(*carried), config)
    assert list(zip(merged.boxes[:, 0].tolist(), merged.origin.tolist(), strict=True)) == expected


def test_an_overlap_equal_to_the_threshold_is_kept() -> None:
    # boxes shifted by half their width: intersection 50, union 150
    overlap = float(np.float32(50) / np.float32(150))
    for merge_iou, number in ((overlap, 2), (overlap - 1e-6, 1)):
        config = TrackerConfig(merge_iou=merge_iou)
        assert len(merge_candidates(detected(0), propagated(5), config)) == number


def pose_at(x: float, score: float = 0.8, origin: Origin = Origin.DETECTED) -> Poses:
    """Three keypoints in a row from x on, in a box of 100 × 100."""
    keypoints = np.array([[[x, 50], [x + 20, 50], [x + 40, 50]]], np.float32)
    box = np.array([[x, 0, x + 100, 100]], np.float32)
    scores = np.full((1, 3), score, np.float32)
    return Poses.in_boxes(Candidates(box, scores[:, 0], np.array([origin], np.int8)), keypoints, scores)


def carried(*xs: float) -> Poses:
    return Poses.join([Poses.empty(3), *(pose_at(x, 0.6, Origin.PROPAGATED) for x in xs)])


def found(*xs: float) -> Poses:
    return Poses.join([Poses.empty(3), *(pose_at(x) for x in xs)])


THREE = Skeleton("three", ("a", "b", "c"), (), (), np.full(3, 0.1, np.float32))


@pytest.mark.parametrize(
    ("found", "propagated", "expected"),
    [
        pytest.param(found(0), carried(3), [(0, Origin.DETECTED)], id="found again"),
        pytest.param(found(0), carried(200), [(0, Origin.DETECTED), (200, Origin.PROPAGATED)], id="missed"),
        pytest.param(
            found(0), carried(2, 6), [(0, Origin.DETECTED), (6, Origin.PROPAGATED)], id="of two near one the other"
        ),
        pytest.param(found(), carried(5), [(5, Origin.PROPAGATED)], id="nobody found"),
        pytest.param(found(7), carried(), [(7, Origin.DETECTED)], id="nobody carried"),
        pytest.param(found(), carried(), [], id="nobody"),
    ],
)
def test_carried_poses_stand_in_for_people_who_were_not_found(
    found: Poses, propagated: Poses, expected: list[tuple[float, Origin]]
) -> None:
    merged = merge_poses(found, propagated, THREE, TrackerConfig())
    assert list(zip(merged.boxes[:, 0].tolist(), merged.origin.tolist(), strict=True)) == expected
