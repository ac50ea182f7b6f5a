import itertools
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from tracker.boxes import box_areas, iou
from tracker.evaluation.figures import WALK
from tracker.evaluation.scenes import SCENARIOS, Actor, People, SceneFrame, TrueMotion, render_scene
from tracker.skeletons import COCO_17
from tracker.tracking.oks import oks

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
        pytest.param("exercise", 0.99, id="seen from the front: no limb behind the own body"),
        pytest.param("shake", 0.99, id="the same under a shaking camera"),
        pytest.param("crossing", 0.85, id="in three-quarter view the far wrist and hip are behind the torso"),
        pytest.param("pan", 0.85, id="the same under a moving camera"),
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


@pytest.mark.parametrize("name", ["crossing", "pan", "fast", "shake"])
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


def test_the_flow_explains_far_more_than_standing_still_does():
    previous, frame = list(pairs("pan", num_frames=3))[-1]
    at = np.stack(np.meshgrid(np.arange(640), np.arange(360)), axis=-1).astype(np.float32) + frame.flow
    followed = cv2.remap(frame.image, at[..., 0], at[..., 1], cv2.INTER_LINEAR)
    inside = (at[..., 0] < 639) & (at[..., 0] > 0)
    error = np.abs(followed.astype(int) - previous.image)[inside].mean()
    still = np.abs(frame.image.astype(int) - previous.image)[inside].mean()
    assert error < still / 4


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
    assert TrueMotion(np.zeros((4, 6, 2), np.float32)).move(np.zeros((0, 2), np.float32)).points.shape == (
        0,
        2,
    )


# --- truth about people ---


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_arrays_have_their_shapes_and_people_their_rows(name):
    for frame in render_scene(name, SMALL, 8, seed=3):
        people = frame.people
        n = len(people)
        assert frame.image.shape == (180, 320, 3)
        assert frame.flow.shape == (180, 320, 2)
        assert frame.time_s == pytest.approx(frame.index / 25)
        assert people.keypoints.shape == (n, 17, 2)
        assert people.visible.shape == (n, 17)
        assert people.boxes.shape == (n, 4)
        assert [people.keypoints.dtype, people.boxes.dtype, frame.flow.dtype] == [np.float32] * 3
        assert len(set(people.track_ids)) == len(set(people.depth_ranks)) == n


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_boxes_hold_the_keypoints_inside_the_picture(name):
    for people in people_of(name, num_frames=8):
        clipped = np.clip(people.keypoints, 0, SMALL)
        assert (clipped >= people.boxes[:, None, :2] - 0.01).all()
        assert (clipped <= people.boxes[:, None, 2:] + 0.01).all()
        assert (people.boxes >= 0).all()
        assert (people.boxes <= [*SMALL, *SMALL]).all()


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_only_nearer_people_hide_keypoints(name):
    for people in people_of(name, num_frames=40)[::3]:
        pixels = np.rint(people.keypoints)
        inside = ((pixels >= 0) & (pixels < SMALL)).all(axis=2)
        assert not people.visible[~inside].any()
        for row in range(len(people)):
            hidden = pixels[row][inside[row] & ~people.visible[row]]
            nearer = people.boxes[people.depth_ranks < people.depth_ranks[row]]
            covered = (hidden[:, None] >= nearer[:, :2] - 1) & (hidden[:, None] <= nearer[:, 2:] + 1)
            assert covered.all(axis=2).any(axis=1).all()


def test_nearer_people_are_larger_and_stand_lower():
    people = people_of("crowd", num_frames=1)[0]
    order = np.argsort(people.depth_ranks)
    assert (np.diff(people.boxes[order, 3]) < 3).all()
    heights = people.boxes[order, 3] - people.boxes[order, 1]
    assert heights[0] > 2 * heights[-1]


def test_everybody_keeps_id_and_depth():
    first, *rest = people_of("crowd")
    for people in rest:
        np.testing.assert_array_equal(people.track_ids, first.track_ids)
        np.testing.assert_array_equal(people.depth_ranks, first.depth_ranks)


# --- rendering ---


def test_the_same_arguments_give_the_same_frames():
    for one, other in zip(render_scene("crowd", SMALL, 4, 7), render_scene("crowd", SMALL, 4, 7), strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.flow, other.flow)
        np.testing.assert_array_equal(one.people.keypoints, other.people.keypoints)


def test_another_seed_gives_other_looks_and_phases():
    one, other = (next(render_scene("crossing", SMALL, 1, seed)) for seed in (0, 1))
    assert (one.image != other.image).mean() > 0.5
    assert not np.allclose(one.people.keypoints, other.people.keypoints)


def test_a_frame_does_not_depend_on_how_many_follow():
    *_, short = render_scene("pan", SMALL, 5)
    long = list(render_scene("pan", SMALL, 9))[4]
    np.testing.assert_array_equal(short.image, long.image)


def test_scenes_scale_with_the_picture():
    small, large = (next(render_scene("crossing", size_wh, 1)).people for size_wh in ((320, 180), (1280, 720)))
    np.testing.assert_allclose(large.keypoints, 4 * small.keypoints, rtol=1e-4)


@pytest.mark.parametrize("size_wh", [(180, 320), (64, 64), (321, 181)])
def test_any_size_is_rendered(size_wh):
    for frame in render_scene("pan", size_wh, 2):
        assert frame.size_wh == size_wh


def test_frames_are_made_one_by_one():
    frames = render_scene("crossing", SMALL, 10**9)
    assert [next(frames).index for _ in range(3)] == [0, 1, 2]


def test_an_unknown_scene_is_refused_at_once():
    with pytest.raises(ValueError, match=r"unknown scene 'street'; known: crossing, hidden"):
        render_scene("street")


def test_people_do_not_blend_into_the_background():
    with_people = next(render_scene("crossing", SMALL, 1))
    left, top, right, bottom = with_people.people.boxes[0].astype(int)
    person = with_people.image[top:bottom, left:right].reshape(-1, 3)
    around = with_people.image[top:bottom, right : right + 20].reshape(-1, 3)
    assert np.abs(person.mean(axis=0) - around.mean(axis=0)).max() > 10


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


def test_a_step_is_as_long_as_the_way():
    actor = Actor(0, 600, speed=12)
    frames_per_stride = WALK.stride * actor.height / 12
    assert actor.phase_at(1, 0.5) - 0.5 == pytest.approx(2 * np.pi / frames_per_stride)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_crossing_people_overlap_and_change_sides(seed):
    scene = people_of("crossing", seed)
    overlaps = [iou(people.boxes[:1], people.boxes[1:])[0, 0] for people in scene]
    assert overlaps[0] == overlaps[-1] == 0
    assert max(overlaps) > 0.5
    assert x_of(scene[0], 1) < x_of(scene[0], 2)
    assert x_of(scene[-1], 1) > x_of(scene[-1], 2)


@pytest.mark.parametrize("seed", range(6))
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


def test_a_pan_moves_the_background():
    flows = [frame.flow[5, 5] for frame in render_scene("pan", SMALL, 20)][1:]
    steps = np.array(flows)
    assert (steps[:, 0] < -10 * UNIT).all()
    np.testing.assert_allclose(steps[:, 0].sum(), -440 * UNIT * np.sin(2 * np.pi * 19 / 200), rtol=1e-3)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_crowd_is_twelve_people(seed):
    assert {len(people) for people in people_of("crowd", seed)} == {12}


def similarities(name: str) -> dict[str, np.ndarray]:
    """IoU and OKS without flow from frame to frame, of the same people and of different ones."""
    found: dict[str, list[np.ndarray]] = {"iou": [], "oks": [], "iou other": [], "oks other": []}
    scene = people_of(name)
    for old, new in itertools.pairwise(scene):
        same = old.track_ids[:, None] == new.track_ids[None]
        overlap = iou(old.boxes, new.boxes)
        pose = oks(old.keypoints, box_areas(old.boxes), new.keypoints, box_areas(new.boxes), COCO_17.sigmas)
        found["iou"].append(overlap[same])
        found["oks"].append(pose[same])
        found["iou other"].append(overlap[~same])
        found["oks other"].append(pose[~same])
    return {key: np.concatenate(values) for key, values in found.items()}


def test_in_exercise_only_poses_tell_people_apart():
    found = similarities("exercise")
    assert found["oks"].min() > found["oks other"].max() + 0.3
    assert (found["iou other"] > np.median(found["iou"])).mean() > 0.1


def test_in_shake_only_boxes_connect_people():
    found = similarities("shake")
    assert np.quantile(found["iou"], 0.05) > 0.25
    assert np.quantile(found["oks"], 0.25) < 0.2
    assert found["iou other"].max() == 0
