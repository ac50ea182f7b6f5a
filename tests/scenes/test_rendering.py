from dataclasses import replace

import numpy as np
import pytest

from tracker.scenes.hard import HARD
from tracker.scenes.rendering import People, render_scene
from tracker.scenes.scripts import SCENARIOS, Actor, Camera, Pillar, Stage

SMALL = (320, 180)


# --- truth about people ---


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_the_truth_fits_the_picture(name):
    """Arrays have a row per person, boxes hold the keypoints inside, and only nearer people hide keypoints."""
    for frame in list(render_scene(name, SMALL, 40, seed=3))[::5]:
        people = frame.people
        n = len(people)
        assert frame.image.shape == (180, 320, 3)
        assert frame.time_s == pytest.approx(frame.index / 25)
        assert [a.shape for a in (people.keypoints, people.visible, people.boxes)] == [(n, 17, 2), (n, 17), (n, 4)]
        assert [a.dtype for a in (people.keypoints, people.boxes)] == [np.float32] * 2
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


# --- rendering ---


def test_the_same_arguments_give_the_same_frames_however_many_follow():
    for one, other in zip(render_scene("crowd", SMALL, 4, 7), render_scene("crowd", SMALL, 10**9, 7), strict=False):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.people.keypoints, other.people.keypoints)


def test_an_unknown_scene_is_refused_at_once():
    with pytest.raises(ValueError, match=r"unknown scene 'street'; known: crossing, hidden"):
        render_scene("street")


@pytest.mark.parametrize("name", list(HARD))
def test_a_variant_of_a_hard_scene_is_the_same_each_time_and_unlike_others(name):
    scene = replace(HARD[name], size_wh=SMALL)
    first, again, other = (list(scene.frames(seed, 3))[-1] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.image, again.image)
    assert (first.image != other.image).any()
    assert first.time_s == pytest.approx(2 / scene.fps)


@pytest.mark.parametrize(("ground", "hides"), [(640, True), (560, False)])
def test_a_pillar_hides_who_is_behind_it(ground, hides):
    stage = Stage((Actor(640, 600, speed=0),), pillars=(Pillar(640, ground, 400),))
    (frame,) = render_scene(lambda _: stage, SMALL, 1)
    assert frame.people.visible.all() != hides
    assert frame.people.visible.any() != hides


def test_a_camera_on_its_way_moves_everybody_by_as_much():
    stage = Stage((Actor(640, 600, speed=0), Actor(300, 500, speed=0)), Camera(route_x=((0, 0), (10, 200))))
    frames = list(render_scene(lambda _: stage, SMALL, 6))
    moved = frames[5].people.keypoints - frames[0].people.keypoints
    np.testing.assert_allclose(moved, np.broadcast_to([-25, 0], moved.shape), atol=1e-3)


# --- what walks where ---


def test_who_turns_round_shows_left_and_right_exchanged_at_half_a_turn():
    stage = Stage((Actor(640, 600, speed=0, turn=np.pi / 2, spin=((0, 0), (4, 2 * np.pi))),))
    keypoints = [frame.people.keypoints[0] for frame in render_scene(lambda _: stage, SMALL, 5)]
    widths = [points[5, 0] - points[6, 0] for points in keypoints]  # of the shoulders
    np.testing.assert_allclose(np.array(widths) / widths[0], [1, 0, -1, 0, 1], atol=1e-3)


def test_a_route_is_walked_from_place_to_place_facing_the_way():
    actor = Actor(0, 600, route=((2, 100.0), (6, 180.0), (9, 180.0), (10, 160.0)))
    places = [actor.at(moment) for moment in (0, 4, 6, 8, 9.5, 20)]
    assert places == [(100, 1), (140, 1), (180, 1), (180, 1), (170, -1), (160, -1)]
    assert actor.phase_at(8, 0.5) == actor.phase_at(6, 0.5) < actor.phase_at(10, 0.5)


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
