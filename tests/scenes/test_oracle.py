import numpy as np
import pytest

from tracker.scenes.oracle import Noise, OracleEstimator
from tracker.scenes.rendering import People, SceneFrame
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
