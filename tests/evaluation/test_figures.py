import itertools

import numpy as np
import pytest

from tracker.evaluation.figures import (
    EXERCISE,
    FLAP,
    NUM_PARTS,
    RUN,
    STAND,
    WALK,
    Figure,
    Placement,
    composite,
    make_look,
)
from tracker.skeletons import COCO_17

HEIGHT = 200.0
NAME = COCO_17.index


def figure(turn: float, **options: object) -> Figure:
    rng = np.random.default_rng(1)
    return Figure(make_look(0, rng), HEIGHT, turn=turn, rng=rng, **options)  # type: ignore[arg-type]


def place(gait=WALK, phase=0.7, turn=0.5, facing=1) -> Placement:
    return figure(turn).place(gait.stance(phase), (150.0, 220.0), facing)


def paint(placed: Placement, label: int = 1) -> tuple[np.ndarray, np.ndarray]:
    image, surfaces = np.zeros((260, 300, 3), np.uint8), np.zeros((260, 300), np.int16)
    figure(0.5).paint(image, surfaces, placed, label)
    return image, surfaces


@pytest.mark.parametrize("gait", [WALK, RUN, STAND, EXERCISE, FLAP])
@pytest.mark.parametrize("phase", [0.0, 1.1, 2.9, 4.4])
def test_limbs_keep_their_lengths_in_profile(gait, phase):
    keypoints = figure(0.0).place(gait.stance(phase), (0, 0), 1).keypoints
    lifts = gait.stance(phase).leg_lifts
    for side, lift in zip(("left", "right"), lifts, strict=True):
        shin = keypoints[NAME(f"{side}_ankle")] - keypoints[NAME(f"{side}_knee")]
        # A leg that is lifted sideways is seen shorter in profile.
        assert np.linalg.norm(shin) == pytest.approx(0.235 * HEIGHT * np.cos(lift), rel=0.01)


@pytest.mark.parametrize("gait", [WALK, RUN, STAND, EXERCISE])
@pytest.mark.parametrize("phase", np.linspace(0, 2 * np.pi, 5))
def test_a_figure_stands_on_the_ground_and_is_as_tall_as_asked(gait, phase):
    placed = place(gait, phase)
    top, bottom = placed.box[[1, 3]]
    assert bottom == pytest.approx(220, abs=0.03 * HEIGHT)
    assert bottom - top == pytest.approx(HEIGHT, rel=0.13)


def test_gaits_are_periodic_and_their_sides_half_a_period_apart():
    now, later = WALK.stance(0.8), WALK.stance(0.8 + 2 * np.pi)
    np.testing.assert_allclose(now.knee_bends, later.knee_bends)
    np.testing.assert_allclose(WALK.stance(0.8 + np.pi).leg_swings, now.leg_swings[::-1])


@pytest.mark.parametrize(("facing", "sign"), [(1, 1), (-1, -1)])
def test_the_nose_points_where_the_figure_walks(facing, sign):
    keypoints = place(facing=facing).keypoints
    ears = keypoints[[NAME("left_ear"), NAME("right_ear")], 0]
    assert sign * (keypoints[NAME("nose"), 0] - ears.mean()) > 0


def test_a_figure_seen_from_the_front_has_its_left_on_the_right_of_the_picture():
    keypoints = place(STAND, turn=np.pi / 2).keypoints
    for part in ("eye", "ear", "shoulder", "wrist", "hip", "ankle"):
        assert keypoints[NAME(f"left_{part}"), 0] > keypoints[NAME(f"right_{part}"), 0]


def test_mirrored_figures_swap_left_and_right():
    right = place(STAND, phase=0.0, facing=1).keypoints
    left = place(STAND, phase=np.pi, facing=-1).keypoints[COCO_17.flip_order]
    np.testing.assert_allclose(left[:, 0] - 150, -(right[:, 0] - 150), atol=0.5)
    np.testing.assert_allclose(left[:, 1], right[:, 1], atol=0.5)


@pytest.mark.parametrize(("facing", "near_arm"), [(1, (8, 9)), (-1, (3, 4))])
def test_every_part_is_drawn_once_and_the_near_arm_last(facing, near_arm):
    order = place(facing=facing).order
    assert sorted(order) == list(range(NUM_PARTS))
    assert order[-2:] == near_arm


def test_surfaces_lie_within_the_box_and_carry_the_labels_of_all_parts():
    placed = place()
    image, surfaces = paint(placed, label=25)
    rows, columns = np.nonzero(surfaces)
    left, top, right, bottom = placed.box
    assert columns.min() >= left - 1
    assert columns.max() <= right + 1
    assert rows.min() >= top - 1
    assert rows.max() <= bottom + 1
    assert set(np.unique(surfaces)) - {0} <= set(range(25, 25 + NUM_PARTS))
    assert len(np.unique(surfaces)) >= 10
    assert not image[surfaces == 0].any(axis=1).mean() > 0.03  # soft rims only


def test_keypoints_lie_on_the_figure():
    for gait in (WALK, RUN, STAND, EXERCISE):
        placed = place(gait)
        surfaces = paint(placed)[1]
        columns, rows = np.rint(placed.keypoints).astype(int).T
        assert (surfaces[rows, columns] > 0).all(), gait


def test_a_figure_outside_of_the_picture_leaves_it_alone():
    placed = figure(0.5).place(WALK.stance(0), (-500.0, 220.0), 1)
    image, surfaces = paint(placed)
    assert not image.any()
    assert not surfaces.any()


def test_a_coat_and_breadth_make_a_wider_figure():
    def width(**options: object) -> float:
        placed = figure(1.2, **options).place(STAND.stance(0), (0, 0), 1)
        return float(placed.box[2] - placed.box[0])

    assert width(coat=True) >= width()
    assert width(breadth=1.4) > width()


def test_neighbouring_looks_differ():
    looks = [make_look(i, np.random.default_rng(3)) for i in range(6)]
    for one, other in itertools.pairwise(looks):
        assert one.pattern != other.pattern
        assert np.abs(one.shirt[0] - other.shirt[0]).max() > 40


@pytest.mark.parametrize(
    ("below", "colour", "alpha", "result"),
    [
        pytest.param(100, 0, 0, 100, id="nothing over something"),
        pytest.param(100, 200, 255, 200, id="opaque"),
        pytest.param(100, 100, 128, 150, id="half: 100·127/255 + 100, rounded"),
        pytest.param(255, 0, 0, 255, id="white stays white"),
        pytest.param(255, 255, 255, 255, id="white on white"),
    ],
)
def test_composite(below, colour, alpha, result):
    image = np.full((1, 2, 3), below, np.uint8)
    composite(image, np.full((1, 2, 4), [colour] * 3 + [alpha], np.uint8))
    assert (image == result).all()
