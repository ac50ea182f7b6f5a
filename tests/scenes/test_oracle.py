from dataclasses import replace

import numpy as np
import pytest

from tracker.scenes.oracle import Noise, OracleEstimator
from tracker.scenes.rendering import People, SceneFrame, render_scene
from tracker.scenes.scripts import Actor, Stage
from tracker.types import Candidates, Detections

EXACT = Noise(keypoint_std=0, box_std=0, miss_rate=0)


def scene_frame(people: People, index: int = 0) -> SceneFrame:
    return SceneFrame(
        index=index,
        time_s=index / 25,
        image=np.zeros((100, 400, 3), np.uint8),
        people=people,
    )


def people(*places: tuple[int, float], visible: float = 1.0) -> People:
    """People of (id, x): 30 wide and 80 high, the first one nearest; a share of their keypoints visible."""
    n = len(places)
    rng = np.random.default_rng(5)
    pose = rng.uniform((0, 10), (30, 90), (17, 2))
    keypoints = np.stack([pose + np.array([x, 0]) for _, x in places]) if n else np.zeros((0, 17, 2))
    boxes = [[x, 10, x + 30, 90] for _, x in places]
    return People(
        keypoints=keypoints.astype(np.float32),
        visible=np.tile(np.arange(17) < round(17 * visible), (n, 1)),
        boxes=np.array(boxes, np.float32).reshape(n, 4),
        track_ids=np.array([track_id for track_id, _ in places], np.int64),
        depth_ranks=np.arange(n, dtype=np.int64),
    )


def candidates(*xs: float) -> Candidates:
    boxes = np.array([[x, 10, x + 30, 90] for x in xs], np.float32).reshape(-1, 4)
    return Candidates.from_detections(Detections(boxes, np.full(len(xs), 0.8, np.float32)))


def test_without_noise_detections_are_the_truth():
    frame = scene_frame(people((1, 20), (2, 200)))
    found = OracleEstimator(EXACT).detect(frame)
    assert sorted(found.boxes.tolist()) == frame.people.boxes.tolist()
    assert (np.diff(found.scores) <= 0).all()
    assert ((found.scores >= 0.5) & (found.scores <= 1)).all()


@pytest.mark.parametrize(
    ("x", "owner"),
    [
        pytest.param(20, 0, id="exactly the first"),
        pytest.param(36, 1, id="nearer to the second"),
        pytest.param(30, 0, id="as near to both: the front one"),
        pytest.param(30.5, 0, id="almost as near to both: the front one"),
        pytest.param(5, 0, id="at the left, IoU 1/3"),
    ],
)
def test_a_box_gives_the_person_it_covers_best(x, owner):
    frame = scene_frame(people((1, 20), (2, 40)))
    poses = OracleEstimator(EXACT).estimate(frame, candidates(x))
    np.testing.assert_array_equal(poses.keypoints[0], frame.people.keypoints[owner])


def test_a_box_that_covers_nobody_gives_a_weak_random_pose_inside_it():
    estimator = OracleEstimator()
    frame = scene_frame(people((1, 20)))
    poses = estimator.estimate(frame, candidates(300, 340))
    assert (poses.scores <= 0.15).all()
    assert (poses.keypoints[0] >= [300, 10]).all()
    assert (poses.keypoints[0] <= [330, 90]).all()
    assert not np.allclose(poses.keypoints[0] + [40, 0], poses.keypoints[1])
    np.testing.assert_array_equal(estimator.estimate(frame, candidates(340)).keypoints[0], poses.keypoints[1])


def test_noise_does_not_depend_on_what_was_asked_before():
    frame = scene_frame(people((1, 20), (2, 200)), index=7)
    fresh, used = OracleEstimator(seed=3), OracleEstimator(seed=3)
    for i in range(5):
        used.detect(scene_frame(people((2, 200)), i))
    alone = fresh.estimate(frame, candidates(200))
    together = used.estimate(frame, candidates(20, 210, 200))
    np.testing.assert_array_equal(together.keypoints[2], alone.keypoints[0])
    np.testing.assert_array_equal(together.keypoints[1], alone.keypoints[0])
    np.testing.assert_array_equal(used.detect(frame).boxes, fresh.detect(frame).boxes)


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        pytest.param(5 / 17, 0, id="five of 17 keypoints: under 30 %"),
        pytest.param(6 / 17, 1, id="six of 17"),
        pytest.param(0, 0, id="nothing visible"),
    ],
)
def test_people_who_are_mostly_hidden_are_missed(visible, found):
    assert len(OracleEstimator(EXACT).detect(scene_frame(people((1, 20), visible=visible)))) == found


def standing(turned: float) -> SceneFrame:
    """Somebody who stands, turned on from facing the camera."""
    stage = Stage((Actor(640, 600, speed=0, turn=np.pi / 2, spin=((0, turned), (1, turned))),))
    return next(iter(render_scene(lambda _: stage, (640, 360), 1)))


@pytest.mark.parametrize(
    ("turned", "exchanged"),
    [
        pytest.param(0.0, 0.0, id="from the front"),
        pytest.param(1.0, 0.0, id="half from the front"),
        pytest.param(np.pi / 2, 0.5, id="from the side"),
        pytest.param(np.pi, 0.5, id="from behind"),
    ],
)
def test_left_and_right_are_exchanged_for_some_frames_of_who_is_turned_away(turned, exchanged):
    frame = standing(turned)
    oracle = OracleEstimator(replace(EXACT, exchange_rate=0.5))
    box = Candidates.from_detections(Detections(frame.people.boxes, np.ones(1, np.float32)))
    frames = [replace(frame, time_s=index / 100) for index in range(1600)]
    seen = np.array([oracle.estimate(one, box).keypoints[0, 15] for one in frames])
    is_other = np.isclose(seen, frame.people.keypoints[0, 16]).all(axis=1)
    assert is_other.mean() == pytest.approx(exchanged, abs=0.15)
    assert (np.diff(is_other.astype(int)) != 0).sum() <= 100  # it stays for 16 frames


@pytest.mark.parametrize(("low_scores", "some", "most"), [((0.2, 0.49), 0.1, 0.9), ((0.5, 0.55), 1.0, 1.0)])
def test_low_scores_hide_people_from_a_detector_with_a_threshold(low_scores, some, most):
    oracle = OracleEstimator(replace(EXACT, low_rate=0.6, low_scores=low_scores))
    frames = [replace(scene_frame(people((1, 20))), time_s=index / 2) for index in range(60)]
    found = np.mean([len(oracle.detect(frame)) for frame in frames])
    assert some <= found <= most


def test_false_people_stand_still_for_a_while_and_are_as_many_as_stated():
    oracle = OracleEstimator(replace(EXACT, false_people=1.0, low_scores=(0.5, 0.55)))
    frames = [replace(scene_frame(people()), time_s=index / 25) for index in range(1000)]
    found = [oracle.detect(frame) for frame in frames]
    assert np.mean([len(one) for one in found]) == pytest.approx(1, abs=0.3)
    boxes = [{tuple(box) for box in one.boxes.tolist()} for one in found]
    assert len(set().union(*boxes)) < 120
    box = Candidates.from_detections(next(one for one in found if len(one)))
    poses = oracle.estimate(next(frame for frame, one in zip(frames, found, strict=True) if len(one)), box)
    assert (poses.scores >= 0.3).all()
    assert (poses.scores <= 0.65).all()
