"""Ids over frames: kept, never shared, never reused; people carried, found again, and let go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.people import STANDING
from tracker.boxes import box_areas
from tracker.skeletons import COCO_17, WHOLEBODY_133
from tracker.tracking.config import SIMILARITIES, TrackerConfig
from tracker.tracking.oks import oks
from tracker.tracking.propagation import QueueEntry
from tracker.tracking.tracker import PoseTracker
from tracker.types import Candidates, Detections, FloatArray, MovedPoints, Origin, Poses, TrackedPoses


class Shift:
    """A flow that moves every point by the same step; unreliable where the mask function says so."""

    def __init__(self, step: tuple[float, float] = (0, 0), *, is_cut: bool = False, reliable: bool = True) -> None:
        self.step = np.array(step, np.float32)
        self.is_cut = is_cut
        self.reliable = reliable

    def move(self, points: FloatArray) -> MovedPoints:
        return MovedPoints(points + self.step, ~np.isnan(points[:, 0]) & self.reliable)


def people(
    *centres: tuple[float, float],
    score: float = 0.9,
    box_score: float = 0.9,
    origin: Origin = Origin.DETECTED,
) -> Poses:
    at = np.array(centres, np.float32).reshape(-1, 2)
    half = np.array([20, 52], np.float32)
    boxes, box_scores = np.concatenate([at - half, at + half], axis=1), np.full(len(at), box_score, np.float32)
    found = Candidates(boxes, box_scores, np.full(len(at), origin, np.int8))
    return Poses.in_boxes(found, STANDING + at[:, None], np.full((len(at), 17), score, np.float32))


def dropped(poses: Poses, number: int) -> Poses:
    """The same people, their first keypoints under the threshold."""
    scores = poses.scores.copy()
    scores[:, :number] = 0.1
    return replace(poses, scores=scores)


def follow(
    tracker: PoseTracker, frames: Sequence[Poses], motion: Shift | None = None, fps: float | None = None
) -> list[TrackedPoses]:
    results = []
    for number, poses in enumerate(frames):
        tracker.predict(motion if number else None, time_s=fps and number / fps)
        results.append(tracker.update(poses))
    return results


def ids_by_x(tracked: TrackedPoses) -> list[int]:
    """Ids from left to right."""
    return tracked.track_ids[np.argsort(tracked.poses.boxes[:, 0])].tolist()


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_standing_people_keep_their_ids(similarity: str) -> None:
    tracker = PoseTracker(COCO_17, TrackerConfig(similarity=similarity))
    frames = [people((100, 100), (300, 100))] * 6
    assert {tuple(ids_by_x(t)) for t in follow(tracker, frames, Shift())} == {(1, 2)}


@pytest.mark.parametrize(
    ("similarity", "kept"), [("bbox", False), ("pose", False), ("flow", True), ("multi-flow", True)]
)
def test_only_flow_follows_a_jump_of_a_whole_body(similarity: str, kept: bool) -> None:
    tracker = PoseTracker(COCO_17, TrackerConfig(similarity=similarity, forget_after_s=0))
    frames = [people((100 + 60 * k, 100)) for k in range(4)]
    ids = [int(t.track_ids[0]) for t in follow(tracker, frames, Shift((60, 0)))]
    assert (ids == [1] * 4) is kept


def test_multi_flow_bridges_a_gap_that_flow_cannot() -> None:
    frames = [people((100, 100)), people((110, 100)), *[people()] * 3, people((150, 100))]
    for similarity, kept in (("flow", False), ("multi-flow", True)):
        config = TrackerConfig(similarity=similarity, forget_after_s=0, propagation=False)
        last = follow(PoseTracker(COCO_17, config), frames, Shift((10, 0)))[-1]
        assert (last.track_ids.tolist() == [1]) is kept


def test_a_gap_longer_than_the_queue_is_not_bridged_by_it() -> None:
    config = TrackerConfig(queue_length=3, forget_after_s=0, propagation=False)
    for gap, expected in ((2, 1), (3, 2)):
        frames = [people((100, 100)), *[people()] * gap, people((100, 100))]
        assert follow(PoseTracker(COCO_17, config), frames, Shift())[-1].track_ids.tolist() == [expected]


def test_memory_finds_a_person_again_near_the_place() -> None:
    gone = [people()] * 20
    for place, forget_after_s, expected in (
        ((110, 100), 2.4, 1),  # near
        ((110, 100), 0.4, 2),  # near, but forgotten
        ((400, 100), 2.4, 2),  # too far away
    ):
        config = TrackerConfig(forget_after_s=forget_after_s)
        frames = [*[people((100, 100))] * 4, *gone, people(place)]
        assert follow(PoseTracker(COCO_17, config), frames, Shift())[-1].track_ids.tolist() == [expected]


@pytest.mark.parametrize(("num_frames", "expected"), [(20, 1), (30, 2)])
def test_memory_keeps_who_is_not_confirmed_for_a_second(num_frames: int, expected: int) -> None:
    frames = [people((100, 100)), *[people()] * num_frames, people((100, 100))]
    assert follow(PoseTracker(COCO_17), frames, Shift())[-1].track_ids.tolist() == [expected]


def test_ids_are_never_shared_nor_reused_and_count_per_tracker() -> None:
    rng = np.random.default_rng(0)
    for _ in range(2):
        tracker = PoseTracker(COCO_17, TrackerConfig(forget_after_s=0.2))
        first_seen: dict[int, int] = {}
        last_seen: dict[int, int] = {}
        for frame in range(60):
            tracker.predict(Shift() if frame else None)
            centres = rng.uniform(0, 600, (rng.integers(0, 7), 2))
            tracked = tracker.update(people(*map(tuple, centres)))
            for track_id in tracked.track_ids.tolist():
                assert track_id in first_seen or track_id > max(first_seen, default=0)
                first_seen.setdefault(track_id, frame)
                assert frame - last_seen.get(track_id, frame) <= 8
                last_seen[track_id] = frame
        assert min(first_seen) == 1


def test_a_new_id_has_no_similarity_and_a_kept_one_has() -> None:
    first, second = follow(PoseTracker(COCO_17), [people((100, 100))] * 2, Shift())
    assert np.isnan(first.similarities).all()
    np.testing.assert_allclose(second.similarities, 1, atol=1e-5)


@pytest.mark.parametrize(
    ("confirm_after_s", "fps", "num_frames"),
    [(0, 25, 1), (0.05, 25, 3), (0.05, 30, 3), (0.05, 24, 3), (0.05, 5, 3), (0.05, 120, 7), (0.5, 10, 6)],
)
def test_people_are_confirmed_once_they_were_detected_for_a_while(
    confirm_after_s: float, fps: float, num_frames: int
) -> None:
    tracker = PoseTracker(COCO_17, TrackerConfig(confirm_after_s=confirm_after_s))
    confirmed = [bool(t.confirmed[0]) for t in follow(tracker, [people((100, 100))] * 8, Shift(), fps=fps)]
    assert confirmed.index(True) + 1 == num_frames
    assert all(confirmed[num_frames:])


@pytest.mark.parametrize(
    ("other", "has_looked", "rests"),
    [
        pytest.param(115, False, False, id="where somebody was lost"),
        pytest.param(400, False, True, id="somebody was lost elsewhere"),
        pytest.param(115, True, True, id="looked for since"),
    ],
)
def test_nobody_rests_where_the_flow_lost_somebody(other: float, has_looked: bool, rests: bool) -> None:
    tracker = PoseTracker(COCO_17)
    follow(tracker, [people((100, 100), (other, 100))] * 4, Shift())
    for decay in (False, *[True] * (2 * has_looked)):
        tracker.predict(Shift(), decay=decay)
        tracker.update(people((100, 100)))
    tracker.predict(Shift(), decay=False, pose_s=1)
    assert len(tracker.resting) == rests


def test_without_a_motion_nobody_rests() -> None:
    """However many there were in the last frame whose motion was known."""
    tracker = PoseTracker(COCO_17)
    follow(tracker, [people((100, 100), (400, 100))] * 4, Shift())
    for _ in range(2):
        assert len(tracker.predict(None, pose_s=1)) >= 1
        assert len(tracker.resting) == 0
        tracker.update(people((100, 100)))


class Bend(Shift):
    """A flow that moves everybody by a step, and the first of the keypoints farther."""

    def __init__(self, step: tuple[float, float], farther: float) -> None:
        super().__init__(step)
        self.farther = farther

    def move(self, points: FloatArray) -> MovedPoints:
        moved = super().move(points)
        moved.points[::17, 1] += self.farther
        return moved


@pytest.mark.parametrize(("step", "farther", "num_frames"), [(0, 0, 5), (9, 0, 5), (9, 0.5, 3), (0, 2, 1), (0, 3, 0)])
def test_the_less_somebody_moves_but_as_a_whole_the_longer_they_rest(
    step: float, farther: float, num_frames: int
) -> None:
    tracker = PoseTracker(COCO_17)
    follow(tracker, [people((100, 100))] * 4, Shift())
    rested = []
    for _ in range(8):
        looked_at = tracker.predict(Bend((step, 0), farther), decay=False, still_s=0.25)
        rested.append(len(tracker.resting) == 1)
        tracker.update(tracker.resting if rested[-1] else Poses.in_boxes(looked_at, *seen_in(looked_at)))
    assert rested.index(False) == num_frames


@pytest.mark.parametrize(
    ("other", "farther", "rests"),
    [
        pytest.param(112, 0, True, id="together, still"),
        pytest.param(112, 0.8, False, id="together, moving"),
        pytest.param(200, 0.8, True, id="apart, moving as much"),
    ],
)
def test_people_who_meet_rest_only_while_they_move_less_than_others(other: float, farther: float, rests: bool) -> None:
    tracker = PoseTracker(COCO_17)
    follow(tracker, [people((100, 100), (other, 100))] * 4, Shift())
    tracker.predict(Bend((0, 0), farther), decay=False, still_s=1)
    assert len(tracker.resting) == 2 * rests


def test_newcomers_rest_as_others_do_and_the_detector_goes_on_looking() -> None:
    tracker = PoseTracker(COCO_17)
    follow(tracker, [people((100, 100))] * 2, Shift())
    tracker.predict(Shift(), decay=False, pose_s=1)
    tracked = tracker.update(tracker.resting)
    assert (tracked.track_ids.tolist(), tracked.confirmed.tolist()) == ([1], [False])
    assert not tracker.is_calm


@pytest.mark.parametrize(("aside", "rests"), [pytest.param(5, True, id="there"), pytest.param(9, False, id="beside")])
def test_who_is_detected_where_the_flow_carried_them_rests_in_the_new_box(aside: float, rests: bool) -> None:
    tracker = PoseTracker(COCO_17)
    follow(tracker, [people((100, 100), (200, 100))] * 2, Shift())
    seen = people((400, 100), (100 + aside, 100), box_score=0.7)
    detections = Detections(seen.boxes, seen.box_scores)
    to_look_at = tracker.predict(Shift(), pose_s=1, detections=detections)
    assert tracker.recognised.tolist() == [False, rests]
    assert len(to_look_at) == 2 - rests  # who is not detected is looked for, always
    tracked = tracker.update(Poses.join([seen[[0]], tracker.resting]))
    resting = tracked[tracked.track_ids == 1]
    assert len(resting) == rests
    if rests:
        np.testing.assert_array_equal(resting.poses.boxes, detections.boxes[1:])
        assert resting.poses.origin == Origin.DETECTED
        assert resting.poses.box_scores == np.float32(0.7)
        assert resting.confirmed  # by the third detection
        np.testing.assert_allclose(resting.poses.keypoints[0], STANDING + 100)


def test_resting_goes_on_while_the_detector_looks_but_no_longer_than_it_may() -> None:
    tracker = PoseTracker(COCO_17)
    follow(tracker, [people((100, 100))] * 4, Shift())
    seen = people((100, 100))
    rested = []
    for frame in range(5):
        detections = Detections(seen.boxes, seen.box_scores) if frame % 2 else None
        tracker.predict(Shift(), decay=frame % 2 == 1, pose_s=0.17, detections=detections)
        rested.append(len(tracker.resting))
        tracker.update(tracker.resting if rested[-1] else seen)
    assert rested == [1, 1, 1, 0, 1]


def seen_in(boxes: Candidates) -> tuple[FloatArray, FloatArray]:
    """Keypoints and scores of people who stand in the middle of boxes."""
    middles = boxes.boxes.reshape(-1, 2, 2).mean(axis=1)
    return STANDING + middles[:, None], np.full((len(boxes), 17), 0.9, np.float32)


def test_who_is_carried_is_confirmed_no_sooner() -> None:
    origins = [Origin.DETECTED, *[Origin.PROPAGATED] * 5, Origin.DETECTED, *[Origin.CARRIED] * 3, Origin.DETECTED]
    frames = [people((100, 100), origin=origin) for origin in origins]
    confirmed = [bool(t.confirmed[0]) for t in follow(PoseTracker(COCO_17), frames, Shift())]
    assert confirmed == [False] * 10 + [True]


class Pan(Shift):
    """A flow that knows how the background moves; nothing else is followed reliably."""

    def __init__(self, step: tuple[float, float]) -> None:
        super().__init__(step, reliable=False)

    def background(self, boxes: FloatArray) -> FloatArray:
        assert boxes.shape[1] == 4
        return self.step


def scaled(poses: Poses, factor: float) -> Poses:
    """The same people about their feet, larger."""
    feet = np.stack([poses.boxes[:, ::2].mean(axis=1), poses.boxes[:, 3]], axis=1)
    boxes = (poses.boxes.reshape(-1, 2, 2) - feet[:, None]) * factor + feet[:, None]
    keypoints = (poses.keypoints - feet[:, None]) * factor + feet[:, None]
    return replace(poses, boxes=boxes.reshape(-1, 4).astype(np.float32), keypoints=keypoints.astype(np.float32))


@pytest.mark.parametrize(("sizes", "expected"), [(True, [1, 2]), (False, [2, 1])])
def test_of_several_who_are_near_the_one_of_like_size_comes_first(sizes: bool, expected: list[int]) -> None:
    """Two stand one before the other; the next picture shows both a step on, and each nearer to the other's place."""
    tracker = PoseTracker(COCO_17, TrackerConfig(sizes=sizes))

    def both(large: float, small: float) -> Poses:
        return Poses.join([scaled(people((large, 100)), 1.1), scaled(people((small, 100)), 0.9)])

    first, then = follow(tracker, [both(100, 112), both(112, 100)], Shift())
    assert first.track_ids[np.argsort(-box_areas(first.poses.boxes))].tolist() == [1, 2]
    assert then.track_ids[np.argsort(-box_areas(then.poses.boxes))].tolist() == expected


@pytest.mark.parametrize(("usual_share", "expected"), [(0.5, 2), (0.0, 1)])
def test_who_comes_out_from_behind_somebody_does_not_take_their_id(usual_share: float, expected: int) -> None:
    """Somebody smaller stands there all of a sudden, less like the first one than the first one was all the time."""
    tracker = PoseTracker(COCO_17, TrackerConfig(usual_share=usual_share))
    follow(tracker, [people((100, 100))] * 6, Shift())
    tracker.predict(Shift())
    assert tracker.update(scaled(people((100, 100)), 0.65)).track_ids.tolist() == [expected]


@pytest.mark.parametrize(("forget_newcomer_s", "expected"), [(1.0, {1}), (0.0, {1, 2, 3, 4, 5, 6})])
def test_who_runs_too_fast_for_the_flow_keeps_one_id_from_the_start(
    forget_newcomer_s: float, expected: set[int]
) -> None:
    tracker = PoseTracker(COCO_17, TrackerConfig(forget_newcomer_s=forget_newcomer_s))
    run = follow(tracker, [people((45 * k, 100)) for k in range(6)], Shift(reliable=False), fps=12.5)
    assert {int(tracked.track_ids[0]) for tracked in run} == expected


@pytest.mark.parametrize(("background", "expected"), [(True, 1), (False, 2)])
def test_lost_people_are_looked_for_where_the_camera_has_left_them(background: bool, expected: int) -> None:
    """Somebody walks for six frames, is hidden for a second in which the camera turns away, and stands there."""
    tracker = PoseTracker(COCO_17, TrackerConfig(background=background))
    follow(tracker, [people((100 + 2 * k, 100)) for k in range(6)], Pan((0, 0)))
    follow(tracker, [people()] * 26, Pan((12, 0)))
    tracker.predict(Pan((0, 0)))
    assert tracker.update(people((430, 100))).track_ids.tolist() == [expected]


def test_whom_the_camera_follows_is_expected_in_the_middle() -> None:
    tracker = PoseTracker(COCO_17)
    follow(tracker, [people((100, 100))] * 6, Pan((-5, 0)))
    box = tracker.predict(Pan((-5, 0))).boxes[0]
    np.testing.assert_allclose(box.reshape(2, 2).mean(axis=0), [100, 100.5], atol=0.5)


@pytest.mark.parametrize("fps", [5, 10, 25, 60, 120])
def test_people_are_carried_remembered_and_expected_by_seconds(fps: int) -> None:
    """Somebody walks for a second at 40 px/s, is missed, and found again a second later where their pace led."""
    tracker = PoseTracker(COCO_17)
    walk = [people((100 + 40 * k / fps, 100)) for k in range(fps + 1)]
    follow(tracker, walk, Shift((40 / fps, 0)), fps=fps)
    carried = 0
    for k in range(1, fps):
        boxes = tracker.predict(Shift((0, 0), reliable=False), time_s=1 + k / fps)
        if len(boxes):
            carried += 1
            middle = boxes.boxes[0].reshape(2, 2).mean(axis=0)
            assert middle[0] == pytest.approx(140 + 40 * k / fps, abs=1)
        score = float(boxes.scores[0]) if len(boxes) else 0
        tracker.update(people((140 + 40 * k / fps, 100), origin=Origin.PROPAGATED, box_score=score)[: len(boxes)])
    assert carried / fps == pytest.approx(0.4, abs=0.2)
    tracker.predict(None, time_s=2)
    assert tracker.update(people((180, 100))).track_ids.tolist() == [1]


@pytest.mark.parametrize(("pause_s", "expected"), [(8, 1), (29, 1), (31, 2)])
def test_a_pause_in_which_nobody_was_looked_for_counts_as_a_second(pause_s: float, expected: int) -> None:
    tracker = PoseTracker(COCO_17)
    follow(tracker, [people((100, 100))] * 4, Shift(), fps=25)
    tracker.predict(Shift(), time_s=3 / 25 + pause_s)
    assert tracker.update(people((130, 100))).track_ids.tolist() == [expected]


def test_clocks_that_stand_still_or_go_back_do_no_harm() -> None:
    tracker = PoseTracker(COCO_17)
    for time_s in (0.0, 0.04, 0.04, 0.0, 0.04, 0.08):
        tracker.predict(Shift(), time_s=time_s)
        tracked = tracker.update(people((100, 100)))
    assert tracked.track_ids.tolist() == [1]


def test_at_high_rates_the_queue_spans_the_same_time() -> None:
    tracker = PoseTracker(COCO_17)
    follow(tracker, [people((100, 100))] * 100, Shift(), fps=120)
    assert np.diff(tracker._queue.times_s)[:-1] == pytest.approx([4 / 120] * 6)


def test_a_cut_forgets_everybody() -> None:
    tracker = PoseTracker(COCO_17)
    follow(tracker, [people((100, 100))] * 5, Shift())
    assert len(tracker.predict(Shift(is_cut=True))) == 0
    assert tracker.update(people((100, 100))).track_ids.tolist() == [2]


def test_propagated_boxes_follow_the_flow_grow_and_decay() -> None:
    tracker = PoseTracker(COCO_17)
    follow(tracker, [people((100, 100), box_score=0.8)])
    candidates = tracker.predict(Shift((7, -3)))
    half = np.array([16, 47.5]) * 1.15  # of the keypoints' extent: 32 × 95
    centre = np.array([107, 97.5])
    np.testing.assert_allclose(candidates.boxes[0], [*(centre - half), *(centre + half)], atol=1e-3)
    assert candidates.scores.tolist() == pytest.approx([0.72])
    assert candidates.origin.tolist() == [Origin.PROPAGATED]


def test_the_score_of_a_carried_person_decays_until_they_are_let_go() -> None:
    tracker = PoseTracker(COCO_17, TrackerConfig(score_decay=0.5, min_box_score=0.2))
    tracker.update(people((100, 100), box_score=0.8))
    scores = []
    while len(candidates := tracker.predict(Shift())):
        scores.append(float(candidates.scores[0]))
        tracker.update(people((100, 100), box_score=scores[-1], origin=Origin.PROPAGATED))
    assert scores == pytest.approx([0.4, 0.2])


def test_carried_poses_follow_the_flow_with_a_falling_score_until_they_are_let_go() -> None:
    tracker = PoseTracker(COCO_17, TrackerConfig(score_decay=0.5, propagation_score=0.3))
    tracker.update(people((100, 100), score=0.8, box_score=0.6))
    steps = []
    while len(poses := tracker.predict_poses(Shift((5, 0)))):
        tracked = tracker.update(poses)
        assert tracked.track_ids.tolist() == [1]
        assert tracked.poses.origin.tolist() == [Origin.PROPAGATED]
        steps.append((float(poses.scores[0, 0]), float(poses.box_scores[0])))
        assert poses.boxes[0, 0] == pytest.approx(80 + 5 * len(steps))
        assert poses.keypoints[0, :, 0] == pytest.approx(STANDING[:, 0] + 100 + 5 * len(steps))
    assert steps == [pytest.approx((0.4, 0.3))]


def test_poses_are_not_carried_where_propagation_is_off_after_a_cut_or_at_the_start() -> None:
    tracker = PoseTracker(COCO_17)
    assert len(tracker.predict_poses(None)) == 0
    tracker.update(people((100, 100)))
    assert len(tracker.predict_poses(Shift(is_cut=True))) == 0
    tracker = PoseTracker(COCO_17, TrackerConfig(propagation=False))
    tracker.update(people((100, 100)))
    assert len(tracker.predict_poses(Shift())) == 0


def test_dropped_keypoints_are_not_carried_nor_poses_of_fewer_than_three() -> None:
    tracker = PoseTracker(COCO_17)
    tracker.update(dropped(people((100, 100)), 14))
    poses = tracker.predict_poses(Shift(), decay=False)
    assert np.isnan(poses.keypoints[0, :14]).all()
    assert poses.scores[0].tolist() == pytest.approx([0] * 14 + [0.9] * 3)
    tracker.update(dropped(people((100, 100)), 15))
    assert len(tracker.predict_poses(Shift())) == 0


@pytest.mark.parametrize(
    ("poses", "carried"),
    [
        pytest.param(people((100, 100), score=0.5), True, id="mean score exactly at its threshold"),
        pytest.param(people((100, 100), score=0.49), False, id="keypoints score low on average"),
        pytest.param(people((100, 100), score=0.39), False, id="all keypoints dropped"),
        pytest.param(people((100, 100), box_score=0.3), False, id="box score too low after decay"),
        pytest.param(dropped(people((100, 100)), 14), True, id="three keypoints kept"),
        pytest.param(dropped(people((100, 100)), 15), False, id="two keypoints kept"),
    ],
)
def test_who_is_worth_carrying(poses: Poses, carried: bool) -> None:
    tracker = PoseTracker(COCO_17, TrackerConfig(propagation_score=0.5))
    tracker.update(poses)
    assert (len(tracker.predict(Shift())) == 1) is carried


def test_a_propagated_pose_continues_its_person_but_opens_no_id() -> None:
    tracker = PoseTracker(COCO_17)
    follow(tracker, [people((100, 100))])
    tracker.predict(Shift())
    carried = tracker.update(people((102, 100), (400, 100), origin=Origin.PROPAGATED))
    assert carried.track_ids.tolist() == [1]
    assert carried.poses.origin.tolist() == [Origin.PROPAGATED]


def test_a_weak_propagated_pose_is_dropped() -> None:
    tracker = PoseTracker(COCO_17)
    follow(tracker, [people((100, 100))])
    tracker.predict(Shift())
    assert len(tracker.update(people((100, 100), score=0.3, origin=Origin.PROPAGATED))) == 0


def test_of_two_poses_of_one_person_the_stronger_stays() -> None:
    tracker = PoseTracker(COCO_17)
    weak, strong = people((101, 100), box_score=0.5), people((100, 100), box_score=0.9)
    tracked = tracker.update(Poses.join([weak, strong]))
    assert tracked.poses.box_scores.tolist() == pytest.approx([0.9])


def test_unreliable_keypoints_go_with_the_rest_of_their_person() -> None:
    class Half(Shift):
        def move(self, points: FloatArray) -> MovedPoints:
            reliable = np.arange(len(points)) % 2 == 0
            steps = np.where(reliable[:, None], self.step, np.float32(500))
            return MovedPoints(points + steps, reliable)

    tracker = PoseTracker(COCO_17)
    follow(tracker, [people((100, 100))])
    centre = tracker.predict(Half((10, 0))).boxes[0].reshape(2, 2).mean(axis=0)
    np.testing.assert_allclose(centre, [110, 100.5], atol=1e-3)


def test_people_with_faces_and_hands_are_followed_by_their_bodies() -> None:
    """Fingers and faces that are found somewhere else in each frame change no id, nor are they carried."""
    rng = np.random.default_rng(0)
    tracker = PoseTracker(WHOLEBODY_133, TrackerConfig(similarity="pose", propagation_score=0.5))
    for step in range(6):
        poses = people((100 + 4 * step, 100), (300, 100)).spread(np.arange(17), 133)
        poses.keypoints[:, 17:] = rng.uniform(50, 350, (2, 116, 2))
        poses.scores[:, 17:] = 1.08
        carried = tracker.predict_poses(Shift())
        tracked = tracker.update(poses)
        assert ids_by_x(tracked) == [1, 2]
        assert (tracked.poses.scores[:, 17:] == 1).all()
        assert carried.keypoints.shape == ((2, 133, 2) if step else (0, 133, 2))
        assert np.isfinite(carried.keypoints[:, :17]).all()
        assert np.isnan(carried.keypoints[:, 17:]).all()


def test_keypoints_dropped_for_tracking_stay_in_the_output() -> None:
    poses = people((100, 100))
    poses.scores[0, :8] = 0.1
    tracked = PoseTracker(COCO_17).update(poses)
    np.testing.assert_array_equal(tracked.poses.scores, poses.scores)
    np.testing.assert_array_equal(tracked.poses.keypoints, poses.keypoints)


@pytest.mark.parametrize("similarity", ["pose", "multi-flow"])
def test_people_without_a_keypoint_to_compare_are_followed_by_their_boxes(similarity: str) -> None:
    tracker = PoseTracker(COCO_17, TrackerConfig(similarity=similarity, forget_after_s=0))
    frames = [people((100 + 3 * k, 100), score=0.1) for k in range(4)]
    assert [t.track_ids.tolist() for t in follow(tracker, frames, Shift())] == [[1]] * 4


def test_people_without_kept_keypoints_go_on_at_their_pace() -> None:
    tracker = PoseTracker(COCO_17, TrackerConfig(forget_after_s=0))
    steps = [3, 6, 9, 12, 15, 18, 21, 24, 27, 30]
    frames = [people((100 + sum(steps[:k]), 100), score=0.1) for k in range(len(steps))]
    assert {tuple(t.track_ids) for t in follow(tracker, frames, Shift((-30, 0)))} == {(1,)}


def test_missing_keypoints_are_nan_and_do_no_harm() -> None:
    frames = []
    for step in range(4):
        poses = people((100 + step, 100), (250, 100))
        poses.keypoints[:, 5 + step :] = np.nan
        poses.scores[:, 5 + step :] = 0
        frames.append(poses)
    results = follow(PoseTracker(COCO_17), frames, Shift())
    assert {tuple(ids_by_x(t)) for t in results} == {(1, 2)}


def test_the_same_input_gives_the_same_output() -> None:
    rng = np.random.default_rng(3)
    frames = [people(*map(tuple, rng.uniform(0, 300, (6, 2)))) for _ in range(15)]
    one, two = (follow(PoseTracker(COCO_17), frames, Shift((2, 1))) for _ in range(2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.track_ids, b.track_ids)
        np.testing.assert_array_equal(a.similarities, b.similarities)


def test_what_the_caller_handed_in_is_not_changed() -> None:
    poses = people((100, 100), (300, 100))
    before = {name: value.copy() for name, value in vars(poses).items()}
    follow(PoseTracker(COCO_17), [poses] * 3, Shift((5, 5)))
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(poses, name), value)


def test_memory_does_not_grow() -> None:
    tracker = PoseTracker(COCO_17, TrackerConfig(forget_after_s=0.4))
    sizes = []
    for frame in range(200):
        tracker.predict(Shift() if frame else None)
        tracker.update(people((100 + 1000 * (frame % 7), 100), (500 * frame, 400)))
        sizes.append(len(tracker._tracks))
    assert max(sizes[:40]) == max(sizes[40:])
    assert len(tracker._queue) == tracker.config.queue_length


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("similarity", "colour"), ("merge", "never"), ("queue_length", 0), ("confirm_detections", 0),
        ("confirm_after_s", -1),
        ("forget_after_s", float("nan")),
        ("gate", 1.1), ("keypoint_threshold", -0.1), ("box_expansion", 0.9), ("box_expansion", float("nan")),
        ("merge_iou", float("nan")), ("forget_after_s", "2"), ("propagation", "off"), ("similarity", ["flow"]),
        ("gate", [0.2]), ("forget_after_s", None), ("queue_length", None), ("queue_length", 2.5),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(setting: str, value: object) -> None:
    with pytest.raises(ValueError, match=setting):
        TrackerConfig(**{setting: value})


def test_a_tracker_takes_the_name_of_a_skeleton_and_a_config() -> None:
    assert ids_by_x(PoseTracker("coco17").update(people((100, 100)))) == [1]
    with pytest.raises(ValueError, match="unknown skeleton 'coco'; known: coco17, "):
        PoseTracker("coco")
    with pytest.raises(ValueError, match="a skeleton must have keypoint_names"):
        PoseTracker(17)
    with pytest.raises(ValueError, match=r"config must be a TrackerConfig, .*, not {'gate': 0\.2}"):
        PoseTracker(COCO_17, {"gate": 0.2})


def test_partly_seen_people_are_carried_with_their_whole_box() -> None:
    tracker = PoseTracker(COCO_17)
    poses = dropped(people((100, 100)), 9)
    tracker.update(poses)
    np.testing.assert_allclose(tracker.predict(Shift((5, 0))).boxes, poses.boxes + np.array([5, 0, 5, 0]), atol=1e-3)


def test_without_reliable_flow_people_go_on_at_their_pace() -> None:
    tracker = PoseTracker(COCO_17)
    follow(tracker, [people((100 + 10 * k, 100)) for k in range(6)], Shift((10, 0)))
    box = tracker.predict(Shift((-40, 0), reliable=False)).boxes[0]
    np.testing.assert_allclose(box.reshape(2, 2).mean(axis=0), [160, 100.5], atol=0.5)


def test_older_poses_count_less() -> None:
    tracker = PoseTracker(COCO_17, TrackerConfig(age_decay=0.5))
    follow(tracker, [people((100, 100))] * 3, Shift())
    tracker.predict(Shift())
    pairs, ids, _ = tracker._similar_pairs(QueueEntry.of(people((100, 100)), 0.4))
    np.testing.assert_allclose(pairs.similarities, [0.25, 0.5, 1], rtol=1e-5)
    assert ids.tolist() == [1, 1, 1]


def test_a_hidden_person_is_not_dragged_along_by_the_one_in_front() -> None:
    # One walks left behind another who walks right; where they overlap the flow is that of the one in front.
    tracker = PoseTracker(COCO_17, TrackerConfig(forget_after_s=0, propagation=False))
    for k in range(10):
        front, behind = (100 + 10 * k, 104), (220 - 10 * k, 100)
        tracker.predict(Front(front[0] - 10) if k else None)
        hidden = 5 <= k <= 8
        tracked = tracker.update(people(front) if hidden else people(front, behind))
        if k == 4:
            known = dict(zip(("behind", "front"), ids_by_x(tracked)[::-1], strict=True))
    assert dict(zip(("behind", "front"), ids_by_x(tracked), strict=True)) == known


class Front(Shift):
    """What is within 20 pixels of a column moves right by ten pixels, all else left."""

    def __init__(self, column: float) -> None:
        super().__init__()
        self.column = column

    def move(self, points: FloatArray) -> MovedPoints:
        steps = np.where(abs(points[:, :1] - self.column) <= 20, 10, -10) * np.array([1, 0])
        return MovedPoints((points + steps).astype(np.float32), ~np.isnan(points[:, 0]))


@pytest.mark.parametrize(
    "first", [people((100, 100)), people()], ids=["known person", "both new: the better one opens an id"]
)
def test_a_second_look_at_somebody_opens_no_id(first: Poses) -> None:
    tracker = PoseTracker(COCO_17)
    follow(tracker, [first])
    tracker.predict(Shift())
    whole, part = people((100, 100)), people((105, 100), box_score=0.6)
    similarity = oks(whole.keypoints, box_areas(whole.boxes), part.keypoints, box_areas(part.boxes), COCO_17.sigmas)
    assert tracker.config.newcomer_oks < similarity < tracker.config.duplicate_oks
    assert tracker.update(Poses.join([whole, part])).track_ids.tolist() == [1]


def test_a_propagated_pose_that_continues_nobody_keeps_no_detection_from_an_id() -> None:
    tracker = PoseTracker(COCO_17)
    follow(tracker, [people((100, 100))])
    tracker.predict(Shift())
    stray, newcomer = people((107, 100), origin=Origin.PROPAGATED), people((114, 100), box_score=0.8)
    assert len(tracker.update(Poses.join([people((100, 100)), stray, newcomer]))) == 2


def test_a_person_with_a_box_that_is_no_number_is_left_out_alone() -> None:
    tracker = PoseTracker(COCO_17)
    frames = [people((100, 100), (300, 100)) for _ in range(3)]
    frames[1].boxes[0] = np.nan
    assert [ids_by_x(t) for t in follow(tracker, frames, Shift())] == [[1, 2], [2], [1, 2]]


@pytest.mark.parametrize("poses", [None, [], np.zeros((1, 17, 3)), Poses.empty(16)])
def test_what_are_no_poses_of_the_skeleton_is_refused(poses: Any) -> None:
    with pytest.raises(ValueError, match=r"poses must be `Poses` of 17 keypoints; for nobody: Poses.empty"):
        PoseTracker(COCO_17).update(poses)
