from dataclasses import replace

import numpy as np
import pytest

from tracker.scenes.hard import HARD
from tracker.scenes.rendering import People, render_scene
from tracker.scenes.scripts import SCENARIOS

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


# --- what walks where ---


@pytest.mark.parametrize("name", list(HARD))
def test_a_variant_of_a_hard_scene_is_the_same_each_time_and_unlike_others(name):
    scene = replace(HARD[name], size_wh=SMALL)
    first, again, other = (list(scene.frames(seed, 3))[-1] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.image, again.image)
    assert (first.image != other.image).any()
    assert first.time_s == pytest.approx(2 / scene.fps)
