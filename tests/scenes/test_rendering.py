from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from tracker.boxes import iou
from tracker.scenes.rendering import People, SceneFrame, TrueMotion, render_scene
from tracker.scenes.scripts import SCENARIOS, Actor

SMALL = (320, 180)
# Pixels of the small size per pixel of a 720-line picture.
UNIT = SMALL[1] / 720


def people_of(name: str, seed: int = 0, num_frames: int = 60) -> list[People]:
    return [frame.people for frame in render_scene(name, SMALL, num_frames, seed)]


def pairs(name: str, size_wh=(640, 360), num_frames: int = 12) -> Iterator[tuple[SceneFrame, SceneFrame]]:
    frames = render_scene(name, size_wh, num_frames)
    previous = next(frames)
    for frame in frames:
        yield previous, frame
        previous = frame


def row_of(people: People, track_id: int) -> int:
    return people.track_ids.tolist().index(track_id)


def x_of(people: People, track_id: int) -> float:
    """Middle of the hips: limbs swing, hips do not."""
    return float(people.keypoints[row_of(people, track_id), 11:13, 0].mean())


# --- flow ---


@pytest.mark.parametrize(
    ("name", "share"),
    [
        pytest.param("shake", 0.99, id="seen from the front: no limb behind the own body"),
        pytest.param("pan", 0.85, id="in three-quarter view the far wrist and hip are behind the torso"),
        pytest.param("fast", 0.85, id="the same at 30 pixels per frame"),
    ],
)
def test_visible_keypoints_move_by_the_flow_at_their_pixel(name, share):
    errors = []
    for previous, frame in pairs(name):
        kept = np.isin(previous.people.track_ids, frame.people.track_ids)
        moved = frame.motion.move(previous.people.keypoints[kept].reshape(-1, 2)).points.reshape(-1, 17, 2)
        now = frame.people.keypoints[np.isin(frame.people.track_ids, previous.people.track_ids)]
        errors.append(np.linalg.norm(moved - now, axis=2)[previous.people.visible[kept]])
    assert np.quantile(np.concatenate(errors), share) < 0.8


@pytest.mark.parametrize("name", ["pan", "fast"])
def test_following_the_flow_shows_the_previous_picture(name):
    for previous, frame in pairs(name, num_frames=5):
        columns, rows = np.meshgrid(np.arange(640), np.arange(360))
        at = np.stack([columns, rows], axis=-1).astype(np.float32) + frame.flow
        followed = cv2.remap(frame.image, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        inside = ((at >= 0) & (at <= [639, 359])).all(axis=2)
        error = np.abs(followed.astype(int) - previous.image).mean(axis=2)
        # The rest is newly hidden.
        assert np.quantile(error[inside], 0.75) < 3
        boxes = previous.people.boxes.astype(int)
        for box in boxes[boxes[:, 2] - boxes[:, 0] > 20]:
            on_person = (slice(box[1], box[3]), slice(box[0], box[2]))
            assert np.median(error[on_person][inside[on_person]]) < 4


def test_the_first_frame_has_no_motion():
    assert not next(render_scene("fast", SMALL, 1)).flow.any()


def test_true_motion_answers_for_points_inside_only():
    flow = np.zeros((4, 6, 2), np.float32)
    flow[2, 3] = 5, -1
    points = np.array([[3.4, 1.6], [0, 0], [5.4, 3.4], [5.6, 0], [-0.6, 0], [np.nan, np.nan]], np.float32)
    moved = TrueMotion(flow).move(points)
    np.testing.assert_allclose(moved.points[:2], [[8.4, 0.6], [0, 0]], atol=1e-5)
    assert moved.reliable.tolist() == [True, True, True, False, False, False]
    assert np.isnan(moved.points[5]).all()
    assert moved.points.dtype == np.float32


def test_true_motion_of_no_points_is_no_points():
    nothing = np.zeros((0, 2), np.float32)
    assert TrueMotion(np.zeros((4, 6, 2), np.float32)).move(nothing).points.shape == (0, 2)


# --- truth about people ---


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_the_truth_fits_the_picture(name):
    """Arrays have a row per person, boxes hold the keypoints inside, and only nearer people hide keypoints."""
    for frame in list(render_scene(name, SMALL, 40, seed=3))[::5]:
        people = frame.people
        n = len(people)
        assert (frame.image.shape, frame.flow.shape) == ((180, 320, 3), (180, 320, 2))
        assert frame.time_s == pytest.approx(frame.index / 25)
        assert [a.shape for a in (people.keypoints, people.visible, people.boxes)] == [(n, 17, 2), (n, 17), (n, 4)]
        assert [a.dtype for a in (people.keypoints, people.boxes, frame.flow)] == [np.float32] * 3
        assert len(set(people.track_ids)) == len(set(people.depth_ranks)) == n
        clipped = np.clip(people.keypoints, 0, SMALL)
        assert (clipped >= people.boxes[:, None, :2] - 0.01).all()
        assert (clipped <= people.boxes[:, None, 2:] + 0.01).all()
        check_hidden(people)


def check_hidden(people: People) -> None:
    pixels = np.rint(people.keypoints)
    inside = ((pixels >= 0) & (pixels < SMALL)).all(axis=2)
    assert not people.visible[~inside].any()
    for row in range(len(people)):
        hidden = pixels[row][inside[row] & ~people.visible[row]]
        nearer = people.boxes[people.depth_ranks < people.depth_ranks[row]]
        covered = (hidden[:, None] >= nearer[:, :2] - 1) & (hidden[:, None] <= nearer[:, 2:] + 1)
        assert covered.all(axis=2).any(axis=1).all()


def test_twelve_people_keep_id_and_depth_in_a_crowd_and_the_nearer_ones_are_larger():
    first, *rest = people_of("crowd", num_frames=20)
    assert len(first) == 12
    for people in rest:
        np.testing.assert_array_equal(people.track_ids, first.track_ids)
        np.testing.assert_array_equal(people.depth_ranks, first.depth_ranks)
    heights = (first.boxes[:, 3] - first.boxes[:, 1])[np.argsort(first.depth_ranks)]
    assert heights[0] > 2 * heights[-1]


# --- rendering ---


def test_the_same_arguments_give_the_same_frames_however_many_follow():
    for one, other in zip(render_scene("crowd", SMALL, 4, 7), render_scene("crowd", SMALL, 10**9, 7), strict=False):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.flow, other.flow)
        np.testing.assert_array_equal(one.people.keypoints, other.people.keypoints)


def test_another_seed_gives_other_looks_and_phases():
    one, other = (next(render_scene("crossing", SMALL, 1, seed)) for seed in (0, 1))
    assert (one.image != other.image).mean() > 0.5
    assert not np.allclose(one.people.keypoints, other.people.keypoints)


def test_scenes_scale_with_the_picture():
    small, large = (next(render_scene("crossing", size_wh, 1)).people for size_wh in ((320, 180), (1280, 720)))
    np.testing.assert_allclose(large.keypoints, 4 * small.keypoints, rtol=1e-4)


@pytest.mark.parametrize("size_wh", [(180, 320), (64, 64), (321, 181)])
def test_any_size_is_rendered(size_wh):
    for frame in render_scene("pan", size_wh, 2):
        assert frame.size_wh == size_wh


def test_an_unknown_scene_is_refused_at_once():
    with pytest.raises(ValueError, match=r"unknown scene 'street'; known: crossing, hidden"):
        render_scene("street")


# --- what walks where ---


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        pytest.param(0, (20.0, 1), id="start"),
        pytest.param(8, (100.0, -1), id="at the far turning point: already on the way back"),
        pytest.param(7, (90.0, 1), id="before it"),
        pytest.param(10, (80.0, -1), id="on the way back"),
        pytest.param(18, (0.0, 1), id="at the near turning point"),
        pytest.param(20, (20.0, 1), id="one lap later"),
    ],
)
def test_walkers_turn_round(index, expected):
    assert Actor(20, 600, speed=10, between=(0, 100)).at(index) == pytest.approx(expected)


def test_walkers_to_the_left_face_left():
    assert Actor(20, 600, speed=-10, between=(0, 100)).at(1) == pytest.approx((10.0, -1))
    assert Actor(20, 600, speed=-10, between=(0, 100)).at(3) == pytest.approx((10.0, 1))
    assert Actor(20, 600, speed=-10).at(30) == pytest.approx((-280.0, -1))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_crossing_people_overlap_and_change_sides(seed):
    scene = people_of("crossing", seed)
    overlaps = [iou(people.boxes[:1], people.boxes[1:])[0, 0] for people in scene]
    assert overlaps[0] == overlaps[-1] == 0
    assert max(overlaps) > 0.5
    assert x_of(scene[0], 1) < x_of(scene[0], 2)
    assert x_of(scene[-1], 1) > x_of(scene[-1], 2)


@pytest.mark.parametrize("seed", range(3))
def test_one_is_hidden_for_ten_frames_and_comes_out_again(seed):
    shares = np.array([people.visible[row_of(people, 2)].mean() for people in people_of("hidden", seed)])
    runs = "".join("h" if share < 0.3 else " " for share in shares).split()
    assert len(max(runs)) >= 10
    assert shares[0] == 1
    assert shares[-1] > 0.8


def test_fast_people_move_sixty_pixels_per_frame_of_a_720_line_picture():
    scene = people_of("fast", num_frames=12)
    steps = np.diff([x_of(people, 1) for people in scene])
    np.testing.assert_allclose(steps, 60 * UNIT, rtol=0.02)


def test_one_leaves_and_returns():
    present = [1 in people.track_ids for people in people_of("leaving")]
    gone = np.flatnonzero(~np.array(present))
    assert 5 <= len(gone) <= 25
    assert len(gone) == gone[-1] - gone[0] + 1
    assert present[0]
    assert present[-10:] == [True] * 10
