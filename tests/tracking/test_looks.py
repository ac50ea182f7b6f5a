"""Lost people who come back are told apart by what they look like, where that is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.tracking.test_tracker import Shift, follow, ids_by_x, people
from tracker.skeletons import COCO_17
from tracker.tracking.tracker import PoseTracker
from tracker.types import FloatArray, Poses

RED, BLUE, UNKNOWN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (np.nan,) * 3
PINK = (0.8, 0.6, 0.0)
NOBODY = [people()] * 12


def looking(poses: Poses, *features: tuple[float, ...]) -> Poses:
    return replace(poses, features=np.array(features, np.float32).reshape(len(poses), -1))


@pytest.mark.parametrize(
    ("before", "after", "ids"),
    [
        pytest.param((RED, BLUE), (BLUE, RED), [2, 1], id="they changed places"),
        pytest.param((RED, BLUE), (RED, BLUE), [1, 2], id="they did not"),
        pytest.param((RED, RED), (RED, RED), [1, 2], id="alike: by place"),
        pytest.param((RED, BLUE), (UNKNOWN, UNKNOWN), [1, 2], id="not seen again: by place"),
        pytest.param((UNKNOWN, UNKNOWN), (BLUE, RED), [1, 2], id="not seen before: by place"),
    ],
)
def test_who_comes_back_is_told_by_looks_and_else_by_place(before, after, ids):
    frames = [looking(people((100, 100), (130, 100)), *before)] * 8
    back = [looking(people((100, 100), (130, 100)), *after)] * 2
    assert ids_by_x(follow(PoseTracker(COCO_17), [*frames, *NOBODY, *back], Shift())[-1]) == ids


@pytest.mark.parametrize(("after", "ids"), [((BLUE, RED), [2, 1]), ((RED, BLUE), [1, 2]), ((UNKNOWN, UNKNOWN), [1, 2])])
def test_who_may_be_either_of_two_is_told_by_looks(after, ids):
    apart = [looking(people((100, 100), (300, 100)), RED, BLUE)] * 8
    close = [looking(people((100, 100), (108, 100)), RED, BLUE)] * 4
    met = [looking(people((100, 100), (108, 100)), *after)]
    assert ids_by_x(follow(PoseTracker(COCO_17), [*apart, *NOBODY, *close, *met], Shift())[-1]) == ids


@pytest.mark.parametrize(
    ("others", "looks", "found"),
    [
        pytest.param((), RED, True, id="the same"),
        pytest.param((), PINK, False, id="alike is not enough"),
        pytest.param((RED,), RED, False, id="two look like that"),
        pytest.param((BLUE,), RED, True, id="the others look otherwise"),
        pytest.param((), UNKNOWN, False, id="not seen"),
    ],
)
def test_somebody_out_of_reach_is_known_by_looks_without_doubt(others, looks, found):
    places = [(100.0, 100.0), (400.0, 100.0)][: 1 + len(others)]
    frames = [looking(people(*places), RED, *others)] * 8
    back = [looking(people((1500, 100)), looks)]
    tracked = follow(PoseTracker(COCO_17), [*frames, *NOBODY, *back], Shift())
    assert (tracked[-1].track_ids[0] == tracked[0].track_ids[0]) == found


def test_only_those_are_looked_at_whose_looks_matter():
    """Everybody once a second, and who comes while somebody is lost; not who is half hidden by somebody in front."""
    asked: list[list[float]] = []

    def look(poses: Poses) -> FloatArray:
        asked.append(poses.boxes[:, 0].tolist())
        return np.tile(np.array(RED, np.float32), (len(poses), 1))

    def run(tracker: PoseTracker, poses: Poses, num_frames: int) -> int:
        asked.clear()
        for _ in range(num_frames):
            tracker.predict(Shift())
            tracker.update(poses, look)
        return sum(map(len, asked))

    tracker = PoseTracker(COCO_17)
    assert run(tracker, people((100, 100), (300, 100)), 95) == 2 * 4
    assert run(tracker, people((100, 100)), 2) == 0
    assert run(tracker, people((100, 100), (900, 100)), 1) == 1  # who may be the lost one
    hidden = PoseTracker(COCO_17)
    assert run(hidden, people((100, 100), (110, 110)), 20) == 1
    assert asked == [[90.0]]


def test_looks_are_forgotten_with_people_and_at_cuts():
    frames = [looking(people((100, 100)), RED)] * 8
    back = looking(people((1500, 100)), RED)
    tracker = PoseTracker(COCO_17)
    follow(tracker, frames, Shift())
    tracker.predict(Shift(is_cut=True))
    assert tracker.update(back).track_ids.tolist() == [2]


def test_features_that_some_lack_are_unknown_in_a_joint_table():
    joint = Poses.join([looking(people((0, 0)), RED), people((50, 0))])
    np.testing.assert_array_equal(joint.features, [RED, UNKNOWN])
    assert Poses.join([people((0, 0)), people()]).features.shape == (1, 0)
    np.testing.assert_array_equal(joint[[1, 0]].features, [UNKNOWN, RED])
