"""`track_poses` takes poses in every shape that Python programs have them in."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.people import poses_of, with_ids
from tests.video.clips import noise_images, write_clip
from tests.video.test_pictures import write_stretched
from tracker import Skeleton, TrackerConfig, track_poses
from tracker.errors import InputError
from tracker.skeletons import COCO_17
from tracker.types import Poses, TrackedPoses

NUM_FRAMES = 6
PLACES = np.array([[10.0, 10.0], [70.0, 20.0]])


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    times_s = [number / 25 for number in range(NUM_FRAMES)]
    return write_clip(tmp_path_factory.mktemp("given") / "clip.mp4", [noise_images(1)[0]] * NUM_FRAMES, times_s=times_s)


def two_people(frame: int, count: int = 17) -> Any:
    """(2, K, 3), the first one second in every other frame."""
    steps = np.linspace(0, 30, count)
    spread = np.stack([steps, steps * 7 % 30], axis=1)
    points = PLACES[:: -1 if frame % 2 else 1, None] + spread
    return np.concatenate([points, np.full((2, count, 1), 0.9)], axis=2)


def as_poses(triples: Any) -> Poses:
    boxes = np.concatenate([triples[..., :2].min(axis=1), triples[..., :2].max(axis=1)], axis=1)
    return poses_of(triples[..., :2], scores=triples[..., 2], boxes=boxes)


def as_tracked(triples: Any) -> TrackedPoses:
    return with_ids(as_poses(triples), range(7, 7 + len(triples)))


ALL = [two_people(frame) for frame in range(NUM_FRAMES)]


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(ALL, id="list of arrays"),
        pytest.param(np.array(ALL), id="an array"),
        pytest.param(dict(enumerate(ALL)), id="mapping"),
        pytest.param([each.tolist() for each in ALL], id="lists of numbers"),
        pytest.param([as_poses(each) for each in ALL], id="Poses"),
        pytest.param([as_tracked(each) for each in ALL], id="TrackedPoses"),
    ],
)
@pytest.mark.parametrize(
    "shape", [lambda given: given, lambda given: iter(given.values() if isinstance(given, dict) else given)]
)
def test_poses_handed_in_get_ids(clip: Path, given: Any, shape: Callable[[Any], Any]) -> None:
    seen = list(track_poses(clip, shape(given)))
    assert len(seen) == NUM_FRAMES
    for (_, people), triples in zip(seen, ALL, strict=True):
        # rows keep their order where nobody scores better
        by_place = {round(float(person.keypoints[0, 0])): person.track_id for person in people}
        assert by_place == {10: 1, 70: 2}
        np.testing.assert_allclose(
            np.sort(people.poses.keypoints, axis=0), np.sort(triples[..., :2], axis=0), rtol=1e-5
        )
        np.testing.assert_allclose(people.poses.scores, 0.9)


def test_frames_without_anybody_are_empty_or_carried(clip: Path) -> None:
    given = {0: ALL[0], 1: [], 2: None, 4: ALL[4]}
    assert [len(people) for _, people in track_poses(clip, given)] == [2, 0, 0, 0, 2, 0]
    assert [people.track_ids.tolist() for _, people in track_poses(clip, given)][4] == [1, 2]
    carried = track_poses(clip, given, config=TrackerConfig())
    assert [len(people) for _, people in carried] == [2] * NUM_FRAMES


def test_a_part_of_the_video_has_the_poses_of_its_own_frames(clip: Path) -> None:
    given = [each if place != 3 else [] for place, each in enumerate(ALL)]
    for shape in (list, iter):
        seen = [
            (round(frame.time_s * 25), len(people)) for frame, people in track_poses(clip, shape(given), start_s=0.08)
        ]
        assert seen == [(2, 2), (3, 0), (4, 2), (5, 2)]


def test_keypoints_of_score_zero_are_missing_and_people_who_score_little_left_out(clip: Path) -> None:
    triples = two_people(0)
    triples[0, 3] = 0
    (_, people), *_ = track_poses(clip, [triples])
    assert np.isnan(people.poses.keypoints[0, 3]).all()
    assert people.poses.scores[0, 3] == 0
    np.testing.assert_allclose(people.poses.boxes[0], [*PLACES[0], *PLACES[0] + 30], atol=3)
    poses = as_poses(two_people(0))
    poses.box_scores[1] = 0.3
    assert [len(next(iter(track_poses(clip, [poses], detector_score=least)))[1]) for least in (0.2, 0.5)] == [2, 1]


def test_people_of_whom_one_keypoint_is_seen_keep_their_ids(clip: Path) -> None:
    given = [each.copy() for each in ALL]
    for each in given:
        each[:, 1:] = 0
    seen = [
        {round(float(person.keypoints[0, 0])): person.track_id for person in people}
        for _, people in track_poses(clip, given)
    ]
    assert seen == [{10: 1, 70: 2}] * NUM_FRAMES


def test_a_skeleton_of_ones_own_goes_through(clip: Path) -> None:
    mouse = Skeleton("mouse5", ("snout", "left_ear", "right_ear", "back", "tail"), edges=((0, 3), (3, 4)))
    given = [two_people(frame, 5) for frame in range(NUM_FRAMES)]
    ids = [sorted(people.track_ids.tolist()) for _, people in track_poses(clip, given, skeleton=mouse)]
    assert ids == [[1, 2]] * NUM_FRAMES


def test_what_cannot_be_tracked_is_told_at_the_call_or_at_its_frame(clip: Path) -> None:
    with pytest.raises(ValueError, match="5 keypoints; say whose by skeleton="):
        track_poses(clip, [two_people(0, 5)])
    with pytest.raises(ValueError, match="unknown skeleton 'cat'"):
        track_poses(clip, ALL, skeleton="cat")
    with pytest.raises(ValueError, match="config must be a TrackerConfig"):
        track_poses(clip, ALL, config={})
    with pytest.raises(ValueError, match=r"detector_score must be a number, not '0\.5'"):
        track_poses(clip, ALL, detector_score="0.5")
    with pytest.raises(ValueError, match=r"poses must be a file, or the people of each frame, .*, not None"):
        track_poses(clip, None)
    with pytest.raises(ValueError, match="frame_index must be a whole number, not '0'"):
        track_poses(clip, {"0": ALL[0]})
    with pytest.raises(ValueError, match=r"frame 0: poses must be \(N, 17, 3\), not \(17, 3\)"):
        list(track_poses(clip, ALL[0]))  # the people of one frame
    with pytest.raises(ValueError, match=r"frame 0: poses must be \(N, 17, 3\), not \(\)"):
        list(track_poses(clip, [2]))
    with pytest.raises(ValueError, match=r"frame 1: poses must be \(N, 17, 3\), not \(2, 5, 3\)"):
        list(track_poses(clip, [ALL[0], two_people(1, 5)]))
    with pytest.raises(ValueError, match="frame 0: poses must have 17 keypoints"):
        list(track_poses(clip, [as_poses(two_people(0, 5))], skeleton=COCO_17))
    with pytest.raises(InputError, match=r"poses goes on to frame 9, counted from 0, but clip\.mp4 has 6 frames"):
        track_poses(clip, {0: ALL[0], 9: ALL[1]})
    with pytest.raises(InputError, match=r"absent\.json cannot be read"):
        track_poses(clip, "absent.json")
    with pytest.raises(InputError, match="nowhere"):
        track_poses("nowhere.mp4", ALL)


def test_poses_are_in_stored_pixels_that_are_not_square(tmp_path: Path) -> None:
    clip = write_stretched(tmp_path / "dv.mp4", Fraction(64, 45))
    seen = list(track_poses(clip, [two_people(0)] * 4, config=TrackerConfig()))
    assert [people.track_ids.tolist() for _, people in seen] == [[1, 2]] * 4
    for _, people in seen:
        np.testing.assert_allclose(people.poses.keypoints, two_people(0)[..., :2], atol=1e-3)
