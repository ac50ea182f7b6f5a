"""Types check what they are given, index by rows, and keep their promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.people import poses_of
from tracker.types import Detections, Frame, Origin, Poses, TrackedPoses


def make_poses(number: int, num_keypoints: int = 3) -> Poses:
    rng = np.random.default_rng(number)
    return poses_of(
        rng.uniform(0, 100, (number, num_keypoints, 2)),
        scores=rng.uniform(0, 1, (number, num_keypoints)),
        boxes=rng.uniform(0, 100, (number, 4)),
        box_scores=rng.uniform(0, 1, number),
    )


def test_nobody_is_rows_of_zero_length() -> None:
    assert len(Detections.empty()) == len(Poses.empty(17)) == len(TrackedPoses.empty(17)) == 0
    assert Poses.empty(17).keypoints.shape == (0, 17, 2)
    assert Poses.empty(17).pose_scores().shape == (0,)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (np.array([True, False, True]), [0, 2]),
        (np.array([2, 0]), [2, 0]),
        ([1], [1]),
        (slice(1, None), [1, 2]),
        ([], []),
        (np.zeros(3, bool), []),
    ],
    ids=["mask", "indices keep their order", "list", "slice", "empty list", "empty mask"],
)
def test_rows_are_indexed_together(rows: object, expected: list[int]) -> None:
    poses = make_poses(3)
    chosen = poses[rows]
    assert len(chosen) == len(expected)
    np.testing.assert_array_equal(chosen.keypoints, poses.keypoints[expected])
    np.testing.assert_array_equal(chosen.box_scores, poses.box_scores[expected])


def test_tracked_poses_index_their_poses_too() -> None:
    tracked = TrackedPoses(
        make_poses(2), np.array([4, 7]), np.array([0.5, np.nan], np.float32), np.array([True, False])
    )
    assert tracked[tracked.confirmed].track_ids.tolist() == [4]
    assert len(tracked[tracked.confirmed].poses) == 1
    assert [person.track_id for person in tracked] == [4, 7] == [tracked[0].track_id, tracked[-1].track_id]
    assert (tracked[1].keypoints == tracked.poses.keypoints[1]).all()
    assert (tracked[0].origin, tracked[0].similarity, tracked[1].confirmed) == (Origin.DETECTED, 0.5, False)


def test_rows_that_name_somebody_twice_are_refused() -> None:
    tracked = TrackedPoses(make_poses(2), np.array([4, 7]), np.ones(2, np.float32), np.ones(2, np.bool_))
    with pytest.raises(ValueError, match="unique"):
        tracked[[1, 1]]


def test_rows_that_fit_no_table_are_refused() -> None:
    with pytest.raises(IndexError, match="mask of 3 rows does not fit 2 people"):
        make_poses(2)[np.ones(3, np.bool_)]
    with pytest.raises(ValueError, match=r"one axis, got \(1, 2\)"):
        make_poses(2)[np.array([[0, 1]])]
    with pytest.raises(IndexError):
        make_poses(2)[[2]]


def test_a_single_row_of_other_tables_is_told_how_to_be_written() -> None:
    with pytest.raises(TypeError, match=r"Poses has a row per person: write rows\[\[1\]\] for one"):
        make_poses(2)[1]
    with pytest.raises(TypeError, match="Detections has a row per person"):
        list(Detections.empty())


@pytest.mark.parametrize(
    ("boxes", "scores"),
    [
        (np.zeros((2, 4), np.float64), np.zeros(2, np.float32)),
        (np.zeros((2, 5), np.float32), np.zeros(2, np.float32)),
        (np.zeros((2, 4), np.float32), np.zeros(3, np.float32)),
        (np.zeros(4, np.float32), np.zeros(4, np.float32)),
    ],
    ids=["wrong dtype", "wrong columns", "lengths differ", "one dimension missing"],
)
def test_wrong_arrays_are_refused(boxes: np.ndarray, scores: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"must be float32 \(.*\), got"):
        Detections(boxes, scores)


@pytest.mark.parametrize("boxes", [[[0, 0, 1, 1]], [], ()])
def test_lists_are_no_arrays(boxes: Any) -> None:
    with pytest.raises(ValueError, match=r"boxes must be a NumPy array, got (list|tuple)"):
        Detections(boxes, np.zeros(len(boxes), np.float32))


def test_a_frame_is_bgr_bytes() -> None:
    assert Frame(0, 0.0, np.zeros((4, 6, 3), np.uint8)).size_wh == (6, 4)
    with pytest.raises(ValueError, match="image must be uint8"):
        Frame(0, 0.0, np.zeros((4, 6), np.uint8))


def test_two_people_never_share_an_id() -> None:
    with pytest.raises(ValueError, match="unique"):
        TrackedPoses(make_poses(2), np.array([1, 1]), np.zeros(2, np.float32), np.ones(2, bool))


def test_pose_score_is_box_score_times_mean_of_the_scores_above_the_threshold() -> None:
    scores = [[0.4, 0.6, 0.1], [0.2, 0.2, 0.2], [0.9, 0.9, 0.9]]
    poses = poses_of(np.zeros((3, 3, 2)), scores=scores, box_scores=[0.5, 0.9, 1.0])
    np.testing.assert_allclose(poses.pose_scores(), [0.25, 0.0, 0.9], rtol=1e-6)
