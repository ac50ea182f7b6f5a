"""Results to write: two people by hand, and any by chance."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.people import poses_of, with_ids
from tracker.formats import FORMATS, FrameResult, Header, Results, open_writer
from tracker.skeletons import BODY_19, COCO_17, HALPE_26, POSETRACK_17, WHOLEBODY_133, Skeleton
from tracker.types import Origin, Poses, TrackedPoses

# The formats that are read back, if what reads them is installed.
READABLE = tuple(
    name for name, form in FORMATS.items() if form.is_read and (not form.library or find_spec(form.library))
)
HEADER = Header(COCO_17, "clip.mp4", (64, 48), 29.97, {"flow": "dis"})


def two_people() -> TrackedPoses:
    """Person 3, new, and person 8, carried, whose left ear is missing."""
    keypoints = np.arange(68, dtype=np.float32).reshape(2, 17, 2) + np.float32(0.125)
    scores = np.full((2, 17), 0.5, np.float32)
    keypoints[1, 3], scores[1, 3] = np.nan, 0
    poses = poses_of(
        keypoints,
        scores=scores,
        boxes=[[0, 1, 20, 40], [30, 1, 50, 40.256]],
        box_scores=[0.9, 0.8],
        origin=[Origin.DETECTED, Origin.PROPAGATED],
    )
    return with_ids(poses, [3, 8], similarities=[np.nan, 0.75], confirmed=[False, True])


def example() -> Results:
    """Two people, nobody, and two people again."""
    people = (two_people(), TrackedPoses.empty(17), two_people())
    return Results(HEADER, tuple(FrameResult(index, index / 25, tracked) for index, tracked in enumerate(people)))


def write_results(path: Path, results: Results, name: str | None = None) -> Path:
    """A file of those results, in the format of that name or of the suffix."""
    with open_writer(path, results.header, name) as writer:
        for frame in results.frames:
            writer.write(frame, frame.tracked)
    return path


def people_with_ids(ids: list[int]) -> TrackedPoses:
    """People of those ids, one beside the other."""
    keypoints = np.tile(np.arange(1, 35).reshape(1, 17, 2), (len(ids), 1, 1))
    return with_ids(poses_of(keypoints, scores=0.5, boxes=[1, 2, 30, 40]), ids)


@st.composite
def any_results(draw: st.DrawFn) -> Results:
    """Up to five frames of up to four people, some of whom have no keypoints or no box; facts may be unknown.

    The shape is drawn, and the seed of the numbers.
    """
    skeleton = draw(st.sampled_from([COCO_17, BODY_19, POSETRACK_17, HALPE_26, WHOLEBODY_133]))
    numbers = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    indices = sorted(draw(st.sets(st.integers(0, 10**6), min_size=1, max_size=5)))
    header = Header(
        skeleton,
        draw(st.sampled_from(["", "clip.mp4", "Zürich 1.mp4", "\udcff.mp4"])),
        draw(st.sampled_from([None, (640, 480)])),
        draw(st.sampled_from([None, 25.0, 29.97002997002997])),
        draw(st.sampled_from([{}, {"flow": "dis", "gate": 0.3, "paths": [None, "a"]}])),
        draw(st.sampled_from([{}, {3: "Anna", 12: "Zoë B."}])),
        draw(st.sampled_from([(), ("stitch 9 -> 3", "drop 4")])),
    )
    is_worked = draw(st.booleans())
    has_times, name = draw(st.booleans()), draw(st.sampled_from([None, "{}.jpg", "a,b/ü {}7.png"]))
    frames = [
        FrameResult(
            index,
            index / 29.97 if has_times else np.nan,
            _people(numbers, draw(st.integers(0, 4)), skeleton, is_worked=is_worked),
            name and name.format(index),
            draw(st.sampled_from([None, (50, 200)])) if header.size_wh and index > indices[0] else None,
        )
        for index in indices
    ]
    return Results(header, tuple(frames))


def _people(numbers: np.random.Generator, count: int, skeleton: Skeleton, *, is_worked: bool) -> TrackedPoses:
    shape = (count, skeleton.num_keypoints)
    is_missing = numbers.random(shape) < numbers.choice([0, 0.3, 1], (count, 1), p=[0.4, 0.5, 0.1])
    corner = numbers.uniform(-50, 2000, (count, 2))
    poses = Poses(
        keypoints=_without(numbers.uniform(-20, 2000, (*shape, 2)), is_missing),
        # of 3 decimals, so that rounding moves none over the threshold of the pose's score
        scores=np.where(is_missing, 0, numbers.integers(1, 1001, shape) / 1000).astype(np.float32),
        boxes=_without(
            np.concatenate([corner, corner + numbers.uniform(1, 500, (count, 2))], axis=1), numbers.random(count) < 0.1
        ),
        box_scores=numbers.random(count).astype(np.float32),
        origin=numbers.integers(0, 2, count).astype(np.int8),
    )
    return TrackedPoses(
        poses=poses,
        track_ids=numbers.choice(2000, count, replace=False).astype(np.int64),
        similarities=_without(numbers.random(count), numbers.random(count) < 0.3),
        confirmed=numbers.random(count) < 0.7,
        original_ids=numbers.integers(-1, 2000, count) if is_worked else None,
        raw=_worked_from(numbers, poses) if is_worked else None,
    )


def _worked_from(numbers: np.random.Generator, poses: Poses) -> Any:
    """What the network may have given of those poses: some keypoints moved, some missing."""
    raw = np.concatenate([poses.keypoints + numbers.normal(0, 2, poses.keypoints.shape), poses.scores[..., None]], 2)
    raw[numbers.random(raw.shape[:2]) < 0.2] = np.nan, np.nan, 0
    return raw.astype(np.float32)


def _without(values: Any, is_missing: Any) -> Any:
    values = values.astype(np.float32)
    values[is_missing] = np.nan
    return values
