import numpy as np
import pytest

from tracker.scenes.figures import EXERCISE, FLAP, RUN, STAND, WALK, Figure, Placement, make_look
from tracker.skeletons import COCO_17

HEIGHT = 200.0
NAME = COCO_17.index
GAITS = (WALK, RUN, STAND, EXERCISE, FLAP)


def figure(turn: float) -> Figure:
    rng = np.random.default_rng(1)
    return Figure(make_look(0, rng), HEIGHT, turn=turn, rng=rng)


def place(gait=WALK, phase=0.7, turn=0.5, facing=1) -> Placement:
    return figure(turn).place(gait.stance(phase), (150.0, 220.0), facing)


@pytest.mark.parametrize(("facing", "sign"), [(1, 1), (-1, -1)])
def test_the_nose_points_where_the_figure_walks(facing, sign):
    keypoints = place(facing=facing).keypoints
    ears = keypoints[[NAME("left_ear"), NAME("right_ear")], 0]
    assert sign * (keypoints[NAME("nose"), 0] - ears.mean()) > 0


@pytest.mark.parametrize("gait", GAITS[:4])
def test_a_painted_figure_is_where_its_truth_says(gait):
    placed = place(gait)
    image, seen = np.zeros((260, 300, 3), np.uint8), np.zeros((260, 300), np.int16)
    figure(0.5).paint(image, seen, placed, 25)
    columns, rows = np.rint(placed.keypoints).astype(int).T
    assert set(seen[rows, columns]) == {25}
    rows, columns = np.nonzero(seen)
    box = np.array([columns.min(), rows.min(), columns.max(), rows.max()])
    np.testing.assert_allclose(placed.box, box, atol=2)
    assert placed.box[3] - placed.box[1] == pytest.approx(HEIGHT, rel=0.13)
