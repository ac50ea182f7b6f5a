"""Hand-made sequences. A head is 30 px, so that a keypoint is right within 15 px."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tracker.evaluation.posetrack.measure import MeasuredSequence, measure_sequence
from tracker.formats.posetrack import PoseTrackFrame, PoseTrackSequence
from tracker.skeletons import POSETRACK_15, POSETRACK_17

HEAD = 30.0
HEAD_BOX = (0.0, 0.0, 30.0, 40.0)  # 0.6 of its diagonal
FIRST_ID = 10000010000

Array = np.ndarray[Any, Any]
# Where each track id is, on a line; every keypoint of a person at the same place.
Places = Mapping[int, float]


class Person(NamedTuple):
    """Somebody in a frame. keypoints: (17, 2). scores: (17,)."""

    track_id: int
    keypoints: Array
    scores: Array
    head_box: tuple[float, ...] = HEAD_BOX
    has_points: bool = True


def person(
    track_id: int, x: float = 100, y: float = 100, *, score: Any = 0.5, only: Sequence[str] | None = None, **more: Any
) -> Person:
    """All keypoints but the ears, or only some, at one place."""
    rows = [POSETRACK_17.index(name) for name in (POSETRACK_15.keypoint_names if only is None else only)]
    keypoints, scores = np.full((17, 2), np.nan), np.full(17, np.nan)
    keypoints[rows], scores[rows] = (x, y), score
    return Person(track_id, keypoints, scores, **more)


def frame(
    people: Iterable[Person] = (), regions: Iterable[Any] = (), *, number: int = 0, **more: Any
) -> PoseTrackFrame:
    people = list(people)
    settings: dict[str, Any] = {"image_id": FIRST_ID + number, "name": f"{number:06d}.jpg", "is_labeled": True}
    return PoseTrackFrame(
        **settings | more,
        ignore_regions=tuple(np.array(region, float) for region in regions),
        track_ids=np.array([one.track_id for one in people], np.int64),
        keypoints=np.array([one.keypoints for one in people]).reshape(-1, 17, 2),
        visibilities=np.array([np.where(np.isnan(one.keypoints[:, 0]), np.nan, 1) for one in people]).reshape(-1, 17),
        scores=np.array([one.scores for one in people]).reshape(-1, 17),
        pose_scores=np.full(len(people), np.nan),
        boxes=np.full((len(people), 4), np.nan),
        head_boxes=np.array([one.head_box for one in people], float).reshape(-1, 4),
        has_points=np.array([one.has_points for one in people], np.bool_),
    )


def sequence(frames: Iterable[PoseTrackFrame], name: str = "000001_bonn_train") -> PoseTrackSequence:
    return PoseTrackSequence(name, "18", tuple(frames))


def on_a_line(frames: Iterable[Places]) -> PoseTrackSequence:
    """People at those places, 1000 px from the picture's edge."""
    return sequence(
        frame([person(track_id, 1000 + x) for track_id, x in places.items()], number=number)
        for number, places in enumerate(frames)
    )


def measure(truth: Iterable[PoseTrackFrame], predicted: Iterable[PoseTrackFrame]) -> MeasuredSequence:
    return measure_sequence(sequence(truth), sequence(predicted))


def crowd(seed: int, num_frames: int = 6, num_people: int = 4) -> tuple[PoseTrackSequence, PoseTrackSequence]:
    """A truth that walks about, and predictions with noise, misses, false alarms and wrong ids; scores are unique."""
    rng = np.random.default_rng(seed)
    start, pace = rng.uniform(100, 400, (num_people, 17, 2)), rng.normal(0, 12, (num_people, 1, 2))
    region = [(150, 150), (260, 140), (240, 260)]
    truth, predicted = [], []
    for number in range(num_frames):
        places = start + number * pace
        places[:, 3:5] = np.nan
        places[rng.random((num_people, 17)) < 0.2] = np.nan
        found = np.concatenate([places, rng.uniform(100, 400, (2, 17, 2))]) + rng.normal(0, 6, (num_people + 2, 17, 2))
        found[rng.random((num_people + 2, 17)) < 0.1] = np.nan
        ids = rng.permutation(num_people + 2) if rng.random() < 0.3 else np.arange(num_people + 2)
        scores = np.where(np.isnan(found[..., 0]), np.nan, rng.random(found.shape[:2]))
        rows = np.flatnonzero(rng.random(num_people + 2) < 0.85)
        truth.append(
            frame((Person(row, places[row], np.full(17, np.nan)) for row in range(num_people)), [region], number=number)
        )
        predicted.append(frame((Person(ids[row] + 50, found[row], scores[row]) for row in rows), number=number))
    return sequence(truth, f"{seed:06d}_mpii_test"), sequence(predicted, f"{seed:06d}_mpii_test")
