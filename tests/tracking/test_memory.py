"""Lost people are found again by place, pace, size and shape, and by nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tracker.skeletons import COCO_17
from tracker.tracking.config import FRAME_S
from tracker.tracking.memory import Sightings, Tracks, find_again

POSE = np.random.default_rng(5).uniform(10, 90, (17, 2)).astype(np.float32)
BOX = np.array([0, 0, 100, 100], np.float32)


NOBODY = Tracks.begin(np.zeros(0, np.int64), BOX[None][:0], POSE[None][:0], 0)


def lost(pace: tuple[float, float] = (0, 0)) -> Tracks:
    """Somebody 100 px large, last seen in frame 10; pace: pixels per frame."""
    begun = Tracks.begin(np.array([7]), BOX[None], POSE[None], 10 * FRAME_S)
    return replace(begun, paces=np.array([pace], np.float64) / FRAME_S, seen_s=np.ones(1))


def similarity(tracks: Tracks, offset: tuple[float, float], frame: int, pose: np.ndarray = POSE) -> float:
    at = np.array(offset, np.float32)
    ids, values = find_again(tracks, (BOX + np.tile(at, 2))[None], (pose + at)[None], COCO_17.sigmas, frame * FRAME_S)
    assert (ids[0] == 7) == np.isfinite(values[0])
    return float(np.nan_to_num(values[0]))


def test_the_nearer_the_likelier_up_to_a_reach_that_grows() -> None:
    assert similarity(lost(), (0, 0), 11) == pytest.approx(1)
    assert 1 > similarity(lost(), (10, 0), 11) > similarity(lost(), (15, 0), 11) > 0
    assert similarity(lost(), (40, 0), 11) == 0
    assert similarity(lost(), (40, 0), 40) > 0
    assert similarity(lost(), (160, 0), 1000) == 0


def test_who_was_fast_may_be_farther() -> None:
    assert similarity(lost(), (0, 35), 14) == 0
    assert similarity(lost((3, 0)), (0, 35), 14) > 0


def test_who_was_seen_once_may_be_farther() -> None:
    once = replace(lost(), seen_s=np.zeros(1))
    assert similarity(once, (40, 0), 11) > 0
    assert similarity(once, (80, 0), 11) == 0
    assert similarity(once, (160, 0), 1000) == 0


def test_who_is_seen_as_a_whole_is_like_their_part() -> None:
    """Legs out of the picture: the box and its middle are others, what is in both is the same."""
    upper = np.where(POSE[:, 1:] <= 50, POSE, np.float32(np.nan))[None]
    tracks = replace(lost(), boxes=np.array([[0, 0, 50, 50]], np.float32), keypoints=upper)
    assert similarity(tracks, (0, 0), 11) == pytest.approx(1)


def test_boxes_tell_the_size_where_too_few_keypoints_do() -> None:
    few = np.where(np.arange(17)[:, None] < 3, POSE, np.float32(np.nan))[None]
    assert similarity(replace(lost(), keypoints=few), (0, 0), 11) == pytest.approx(1)
    half = np.array([[25, 25, 75, 75]], np.float32)
    assert similarity(replace(lost(), boxes=half, keypoints=few), (0, 0), 11) == 0


def test_the_pace_is_believed_for_a_while() -> None:
    assert similarity(lost((10, 0)), (50, 0), 15) == pytest.approx(1)
    assert similarity(lost(), (50, 0), 15) < 0.5
    # after 15 frames people are expected to have stopped: 150 px on, not 400
    assert similarity(lost((10, 0)), (150, 0), 50) == pytest.approx(1)
    assert similarity(lost((10, 0)), (400, 0), 50) == 0


def test_the_shape_counts_less_the_longer_ago() -> None:
    other = POSE[::-1].copy()
    soon, late = (similarity(lost(), (0, 0), frame, other) for frame in (12, 150))
    assert soon < 0.4
    assert late > soon


def test_another_size_is_somebody_else() -> None:
    small = np.array([[30, 30, 70, 70]], np.float32)
    ids, _ = find_again(lost(), small, (POSE * 0.4 + 30)[None], COCO_17.sigmas, 11 * FRAME_S)
    assert ids.tolist() == [-1]


def test_of_two_who_were_lost_at_a_place_the_one_of_like_size_comes_back() -> None:
    larger = (POSE - 50) * 1.2 + 50
    ids = np.array([7, 8])
    tracks = Tracks.begin(ids, np.stack([BOX, BOX]), np.stack([POSE, larger]), 10 * FRAME_S)
    for pose, expected in ((POSE, 7), (larger, 8)):
        found, _ = find_again(tracks, BOX[None], pose[None], COCO_17.sigmas, 60 * FRAME_S)
        assert found.tolist() == [expected]


def test_pace_follows_the_steps_and_missing_keypoints_go_along() -> None:
    ids, boxes, poses, detected, alike = np.array([4]), BOX[None], POSE[None], np.ones(1, np.bool_), np.full(1, 0.8)
    tracks = Tracks.begin(ids, boxes, poses, 0).see(
        Sightings(ids, boxes + 8, poses + 8, detected, alike), 2 * FRAME_S, FRAME_S
    )
    np.testing.assert_allclose(tracks.paces * FRAME_S, [[4, 4]])
    partial = poses + 10
    partial[0, 3] = np.nan
    tracks = tracks.see(Sightings(ids, boxes + 10, partial, ~detected, np.full(1, np.nan)), 3 * FRAME_S, FRAME_S)
    assert tracks.usual == pytest.approx(0.16)  # 0.2 × 0.8; who did not go on, leaves it
    np.testing.assert_allclose(tracks.paces * FRAME_S, [[3.2, 3.2]])  # 0.6 × 4 + 0.4 × 2
    np.testing.assert_allclose(tracks.keypoints[0, 3], POSE[3] + 10, rtol=1e-6)
    # what was carried counts once it was detected again
    assert (tracks.seen_s[0], tracks.last_s[0], tracks.num_detections[0]) == pytest.approx((FRAME_S, 3 * FRAME_S, 2))
    tracks = tracks.see(Sightings(ids, boxes, poses, detected, alike), 4 * FRAME_S, FRAME_S)
    assert (tracks.seen_s[0], tracks.carried_s[0], tracks.num_detections[0]) == pytest.approx((3 * FRAME_S, 0, 3))


def test_a_box_that_is_cut_moves_nobody() -> None:
    ids, cut, detected = np.array([7]), BOX + np.array([0, 0, -50, 0], np.float32), np.ones(1, np.bool_)
    partial = np.where(POSE[:, :1] <= 50, POSE, np.float32(np.nan))[None]
    assert np.isfinite(partial[0, :, 0]).sum() >= 4
    tracks = lost().see(Sightings(ids, cut[None], partial, detected, np.full(1, 0.8)), 11 * FRAME_S, FRAME_S)
    assert tracks.paces.tolist() == [[0, 0]]
    np.testing.assert_allclose(tracks.keypoints[0], POSE)


def test_people_are_seen_in_any_order_beside_new_ones() -> None:
    offsets, detected = np.array([30, 0, 60], np.float32), np.ones(3, np.bool_)
    boxes, poses = BOX + offsets[:, None], POSE + offsets[:, None, None]
    alike = np.full(3, 0.8)
    tracks = NOBODY.see(Sightings(np.array([1, 2, 3]), boxes, poses, detected, alike), 0, 1)
    tracks = tracks.see(Sightings(np.array([3, 4, 1]), boxes, poses, detected, alike), 1, 1)
    assert tracks.ids.tolist() == [1, 2, 3, 4]
    assert tracks.seen_s.tolist() == [1, 0, 1, 0]
    assert tracks.boxes[:, 0].tolist() == [60, 0, 30, 0]
    assert tracks.paces[:, 0].tolist() == [30, 0, -30, 0]


def test_nobody_lost_or_nobody_to_find() -> None:
    assert find_again(NOBODY, BOX[None], POSE[None], COCO_17.sigmas, 11 * FRAME_S)[0].tolist() == [-1]
    assert len(find_again(lost(), np.zeros((0, 4), np.float32), POSE[None][:0], COCO_17.sigmas, 11 * FRAME_S)[0]) == 0
