"""What a format holds survives there and back, and conversions compose; what it drops is told."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.formats.examples import READABLE, any_results, example, write_results
from tests.people import poses_of, with_ids
from tracker.boxes import boxes_around
from tracker.formats import FORMATS, FrameResult, Header, Results, read_results
from tracker.formats.record import AT_FIRST, FILES, convert_people
from tracker.skeletons import COCO_17, HALPE_26, POSETRACK_17, WHOLEBODY_133, Skeleton
from tracker.types import Poses, TrackedPoses

few = settings(max_examples=15, deadline=None, derandomize=True, database=None)

# Half of the last decimal, and what single precision takes.
PIXELS, SCORES, TIMES = 0.0055, 1e-4, 1e-6
PIXELS_OF = {"openpose": 6e-4, "npz": 0, "parquet": 0}
# posetrack18 is another name of posetrack.
NAMES = sorted({*READABLE} - {"posetrack18"})
POSETRACK = {"posetrack", "posetrack17"}
# Of Halpe's keypoints BODY_25 lacks the head.
HEADLESS = Skeleton("headless", tuple({*HALPE_26.keypoint_names, *WHOLEBODY_133.keypoint_names} - {"head"}))


def there_and_back(results: Results, name: str) -> Results:
    with tempfile.TemporaryDirectory() as folder:
        return read_results(write_results(Path(folder) / f"out{FORMATS[name].suffix}", results, name))


def what_is_held(results: Results, name: str) -> Results:
    """The results with what a reader assumes in place of all that the format drops."""
    writer = FORMATS[name].writer(Path("unwritten"), results.header)
    drops, header = writer.drops, results.header
    skeleton = writer.skeleton or header.skeleton
    if name == "openpose":
        skeleton = _smallest_of_openpose(results.in_skeleton(skeleton))
    numbers: dict[int, int] = {}
    frames = []
    for frame in results.frames:
        tracked = convert_people(frame.tracked, header.skeleton, skeleton)
        if name == "openpose":
            tracked = convert_people(convert_people(tracked, skeleton, HEADLESS), HEADLESS, skeleton)
        tracked = _held_of_people(tracked, drops)
        if name in ("coco", "coco-video", "posetrack"):
            tracked = _with_boxes(tracked)
        if name == "cvat":
            tracked = tracked[np.argsort(tracked.track_ids)]
        if "the original track ids" in drops:
            ids = [numbers.setdefault(track_id, len(numbers)) for track_id in tracked.track_ids.tolist()]
            tracked = replace(tracked, track_ids=np.array(ids, np.int64))
        if len(tracked) or "frames without people" not in drops:
            file = None if FILES in drops else frame.file
            has_size = not drops & {"the picture's size", "sizes of single pictures"}
            size_wh = frame.size_wh if has_size else None
            time_s = np.nan if "times" in drops else frame.time_s
            frames.append(FrameResult(frame.index, time_s, tracked, file, size_wh))
    if "the source" in drops:
        has_size = "the picture's size" not in drops
        header = Header(skeleton, "", header.size_wh if has_size else None, None)
    if name == "mot":
        frames = [replace(frame, tracked=_in_coco(frame.tracked)) for frame in frames]
        header = replace(header, skeleton=COCO_17)
    return Results(header, tuple(frames))


def _smallest_of_openpose(results: Results) -> Skeleton:
    """COCO's keypoints; of somebody with a foot Halpe's, with a face or a hand COCO-WholeBody's."""
    scores = [frame.tracked.poses.scores.any(axis=0) for frame in results.frames]
    names = np.array(results.header.skeleton.keypoint_names)[np.logical_or.reduce(scores)]
    if any(re.search("face|hand|thumb|finger", name) for name in names):
        return WHOLEBODY_133
    return HALPE_26 if any(re.search("toe|heel", name) for name in names) else COCO_17


def _held_of_people(tracked: TrackedPoses, drops: Iterable[str]) -> TrackedPoses:
    if "people without a box" in drops:
        tracked = tracked[np.flatnonzero(np.isfinite(tracked.poses.boxes[:, 0]))]
    if "people without keypoints" in drops:
        tracked = tracked[np.flatnonzero(tracked.poses.scores.any(axis=1))]
    count = len(tracked)
    poses = tracked.poses
    keypoints, scores = poses.keypoints.copy(), poses.scores.copy()
    is_lost = np.full(scores.shape, "keypoints" in drops)
    if "keypoints beyond the left or upper edge" in drops:
        is_lost |= (keypoints.round(2) <= 0).any(axis=2)
    keypoints[is_lost], scores[is_lost] = np.nan, 0
    scores = np.ceil(scores) if "scores" in drops else scores
    poses = Poses(
        keypoints=keypoints,
        scores=scores,
        boxes=boxes_around(keypoints) if "boxes" in drops else poses.boxes,
        box_scores=np.ones(count, np.float32) if "box scores" in drops else poses.box_scores,
        origin=np.zeros(count, np.int8) if "who was carried by flow" in drops else poses.origin,
    )
    return TrackedPoses(
        poses=poses,
        track_ids=tracked.track_ids,
        similarities=np.full(count, np.nan, np.float32) if "similarities" in drops else tracked.similarities,
        confirmed=np.ones(count, np.bool_) if "who is unconfirmed" in drops else tracked.confirmed,
        original_ids=None if AT_FIRST in drops else tracked.original_ids,
        raw=None if AT_FIRST in drops else tracked.raw,
    )


def _with_boxes(tracked: TrackedPoses) -> TrackedPoses:
    """People of whom those without a box have one around their keypoints."""
    boxes = np.where(np.isnan(tracked.poses.boxes), boxes_around(tracked.poses.keypoints), tracked.poses.boxes)
    return replace(tracked, poses=replace(tracked.poses, boxes=boxes))


def _in_coco(tracked: TrackedPoses) -> TrackedPoses:
    """People of whom only the box is known."""
    missing = np.full((len(tracked), 17, 2), np.nan, np.float32)
    return replace(tracked, poses=replace(tracked.poses, keypoints=missing, scores=np.zeros_like(missing[..., 0])))


def check_same(found: Results, held: Results, names: tuple[str, ...], source: Results) -> None:
    """Equal up to the decimals of the formats.

    Not compared: the ends of the head where they are estimated for PoseTrack, with the boxes around them, and the box
    scores of people without a sure keypoint, which do not follow from the pose scores that COCO's forms hold.
    """
    assert found.header == held.header
    places = [[(frame.index, frame.file, frame.size_wh) for frame in results.frames] for results in (found, held)]
    assert places[0] == places[1]
    times = [[frame.time_s for frame in results.frames] for results in (found, held)]
    np.testing.assert_allclose(*times, atol=TIMES)
    is_estimated = np.zeros(held.header.skeleton.num_keypoints, bool)
    have_boxes = True
    if POSETRACK & set(names) and source.header.skeleton is not POSETRACK_17:
        is_estimated = np.array([name.startswith("head_") for name in held.header.skeleton.keypoint_names])
        have_boxes = not {"posetrack17", "mot"} & set(names) and not is_estimated.any()  # mot has no head that tells
    for frame, expected in zip(found.frames, held.frames, strict=True):
        _check_people(frame.tracked, expected.tracked, names, ~is_estimated, have_boxes=have_boxes)


def _check_people(
    found: TrackedPoses, held: TrackedPoses, names: tuple[str, ...], compared: Any, *, have_boxes: bool
) -> None:
    pixels = sum(PIXELS_OF.get(name, PIXELS) for name in names) + 1e-3
    assert found.track_ids.tolist() == held.track_ids.tolist()
    assert found.confirmed.tolist() == held.confirmed.tolist()
    assert found.poses.origin.tolist() == held.poses.origin.tolist()
    np.testing.assert_allclose(found.similarities, held.similarities, atol=SCORES)
    for worked, expected, atol in ((found.original_ids, held.original_ids, 0), (found.raw, held.raw, pixels)):
        if expected is not None and len(expected):
            np.testing.assert_allclose(worked, expected, atol=atol)
    keypoints, scores = found.poses.keypoints[:, compared], found.poses.scores[:, compared]
    np.testing.assert_allclose(keypoints, held.poses.keypoints[:, compared], atol=pixels)
    np.testing.assert_allclose(scores, held.poses.scores[:, compared], atol=SCORES)
    is_sure = np.ones(len(held), bool)
    if ({"coco", "coco-video"} | POSETRACK) & set(names):
        # PoseTrack17 has no score of 0
        is_sure = (scores > 0.2).any(axis=1) & (held.poses.box_scores > SCORES)
    if have_boxes:
        np.testing.assert_allclose(found.poses.boxes, held.poses.boxes, atol=pixels)
    np.testing.assert_allclose(found.poses.box_scores[is_sure], held.poses.box_scores[is_sure], atol=2 * SCORES)


@pytest.mark.parametrize("name", NAMES)
@given(results=any_results())
@few
def test_there_and_back(name: str, results: Results) -> None:
    held = what_is_held(results, name)
    if held.frames or name in ("jsonl", "npz"):
        check_same(there_and_back(results, name), held, (name,), results)


@pytest.mark.parametrize("name", NAMES)
@given(results=any_results())
@few
def test_the_second_time_nothing_changes(name: str, results: Results) -> None:
    if not what_is_held(results, name).frames:
        return
    once = there_and_back(results, name)
    twice = there_and_back(once, name)
    assert twice.header == once.header
    for frame, other in zip(twice.frames, once.frames, strict=True):
        np.testing.assert_array_equal(frame.tracked.poses.keypoints, other.tracked.poses.keypoints)
        np.testing.assert_array_equal(frame.tracked.poses.scores, other.tracked.poses.scores)
        np.testing.assert_allclose(frame.tracked.poses.boxes, other.tracked.poses.boxes, atol=1e-3)


@given(
    results=any_results(),
    first=st.sampled_from(NAMES),
    second=st.sampled_from(NAMES),
)
@settings(few, max_examples=100)
def test_conversions_compose(results: Results, first: str, second: str) -> None:
    held = what_is_held(what_is_held(results, first), second)
    if held.frames:
        found = there_and_back(there_and_back(results, first), second)
        check_same(found, held, (first, second), results)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "mot"])
def test_no_keypoint_scores_more_than_one(name: str) -> None:
    results = example()
    frame = results.frames[0]
    scores = np.where(frame.tracked.poses.scores > 0, np.float32(1.14), np.float32(0))
    high = replace(frame.tracked, poses=replace(frame.tracked.poses, scores=scores))
    found = there_and_back(replace(results, frames=(replace(frame, tracked=high),)), name)
    assert found.frames[0].tracked.poses.scores.max() == 1


OWN = Skeleton(
    "mouse4", ("snout", "left_ear", "right_ear", "tail_base"), ((0, 1), (0, 2), (0, 3)), sigmas=np.full(4, 0.1)
)


@pytest.mark.parametrize("name", ["jsonl", "npz", "csv", "csv-long", "coco"])
def test_a_skeleton_of_ones_own_is_read_back_by_the_names_of_its_keypoints(name: str) -> None:
    keypoints = np.arange(8, dtype=np.float32).reshape(1, 4, 2) + 1
    tracked = with_ids(poses_of(keypoints, scores=0.5, boxes=[0, 0, 9, 9]), [7])
    found = there_and_back(Results(replace(example().header, skeleton=OWN), (FrameResult(0, 0.0, tracked),)), name)
    skeleton = found.header.skeleton
    assert skeleton.keypoint_names == OWN.keypoint_names
    assert skeleton.flip_pairs == ((1, 2),)
    assert skeleton.edges == (() if "csv" in name else OWN.edges)
    if name in ("jsonl", "npz"):
        assert skeleton.name == "mouse4"
        np.testing.assert_array_equal(skeleton.sigmas, OWN.sigmas)
    np.testing.assert_array_equal(found.frames[0].tracked.poses.keypoints, keypoints)
