import numpy as np
import pytest

from tracker.scenes.oracle import Noise, OracleEstimator, count_switches
from tracker.scenes.rendering import People, SceneFrame
from tracker.types import Candidates, Detections, Poses, TrackedPoses

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


def tracked(*places: tuple[int, float]) -> TrackedPoses:
    """Poses of (id, x), exactly where `people` puts them."""
    truth = people(*places)
    n = len(truth)
    poses = Poses(
        keypoints=truth.keypoints,
        scores=np.ones((n, 17), np.float32),
        boxes=truth.boxes,
        box_scores=np.ones(n, np.float32),
        origin=np.zeros(n, np.int8),
    )
    return TrackedPoses(poses, truth.track_ids, np.full(n, np.nan, np.float32), np.ones(n, np.bool_))


# --- the observer ---


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


# --- switches ---


def test_ids_that_stay_are_no_switch():
    count = count_switches([(people((1, 20), (2, 200)), tracked((7, 20), (8, 200)))] * 3)
    assert count.switches == 0
    assert count.ids == {1: (7,), 2: (8,)}
    assert count.num_matched == count.num_people == 6


def test_a_gap_is_no_switch_but_another_id_after_it_is():
    truth, nobody = people((1, 20)), people()
    same = [(truth, tracked((7, 20))), (truth, tracked()), (nobody, tracked()), (truth, tracked((7, 20)))]
    other = [*same[:3], (truth, tracked((9, 20)))]
    assert count_switches(same).switches == 0
    assert count_switches(other).switches == 1
    assert count_switches(same).num_matched == 2
    assert count_switches(same).num_people == 3


def test_a_match_is_kept_while_it_is_good_enough():
    # Both tracks are near person 1; id 7 had it and keeps it although id 8 is nearer now.
    count = count_switches([(people((1, 20)), tracked((7, 20))), (people((1, 20)), tracked((7, 21), (8, 20)))])
    assert count.switches == 0


def test_far_poses_and_missing_keypoints_do_not_match():
    far = count_switches([(people((1, 20)), tracked((7, 200)))])
    assert far.num_matched == 0
    assert far.ids == {}
    missing = tracked((7, 20))
    missing.poses.keypoints[...] = np.nan
    assert count_switches([(people((1, 20)), missing)]).num_matched == 0
