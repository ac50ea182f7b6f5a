"""People on a line, whose every place is known, pictures that only tell their number, and networks that read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.evaluation.posetrack.people import Person, frame, sequence
from tests.people import STANDING
from tracker.evaluation.recording import Networks, Recording
from tracker.formats.posetrack import PoseTrackFrame, PoseTrackSequence
from tracker.formats.posetrack_dataset import DatasetSequence
from tracker.skeletons import COCO_17, POSETRACK_17, convert_keypoints
from tracker.types import Candidates, Detections, FloatArray, Image, MovedPoints, Poses

Y = 100.0
# 0.6 of its diagonal is 24 px, and a keypoint is right within 12.
HEAD_BOX = (0.0, 0.0, 24.0, 32.0)

# Where each person is, by track id.
Places = Mapping[int, float]


def standing(x: float) -> FloatArray:
    """(17, 2) of COCO_17."""
    return STANDING + np.array([x, Y], np.float32)


def true_person(track_id: int, x: float) -> Person:
    """Somebody with all keypoints but the ears, the ends of the head where they are estimated."""
    keypoints, _ = convert_keypoints(standing(x), np.ones(17), COCO_17, POSETRACK_17)
    ends = {"head_bottom": -34.5, "head_top": -52.5}  # 0.3 and 1.5 of the way from the shoulders to the nose
    for name, y in ends.items():
        keypoints[POSETRACK_17.index(name)] = x, Y + y
    keypoints[[POSETRACK_17.index("left_ear"), POSETRACK_17.index("right_ear")]] = np.nan
    return Person(track_id, keypoints.astype(np.float64), np.full(17, np.nan), HEAD_BOX)


def true_frame(places: Places, number: int = 0, **more: Any) -> PoseTrackFrame:
    return frame([true_person(track_id, x) for track_id, x in places.items()], number=number, **more)


def true_sequence(story: Sequence[Places]) -> PoseTrackSequence:
    return sequence(true_frame(places, number) for number, places in enumerate(story))


@dataclass
class Clock:
    """Stands in for `time.perf_counter`; moves when networks say that they took some time."""

    now_s: float = 0.0

    def perf_counter(self) -> float:
        return self.now_s


@dataclass
class Stage:
    """A detector, a pose network and a flow that know a story, and note what they are asked.

    story: who is where in each picture. missed: whom the detector misses, by picture. wrong_px: how far off all
    keypoints are. score: of keypoints. asked, boxes, motions: pictures, (picture, box) and pairs of pictures.
    """

    story: Sequence[Places]
    missed: Mapping[int, set[int]] = field(default_factory=dict)
    wrong_px: float = 0.0
    score: float = 0.9
    clock: Clock = field(default_factory=Clock)
    asked: list[int] = field(default_factory=list)
    boxes: list[tuple[int, tuple[float, ...]]] = field(default_factory=list)
    motions: list[tuple[int, int]] = field(default_factory=list)

    name = "stage"
    engine = "NumPy"
    note: str | None = None
    skeleton = COCO_17

    @property
    def networks(self) -> Networks:
        return Networks([self], self, self)

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        return [self._detect(number_of(image)) for image in images]

    def _detect(self, number: int) -> Detections:
        self.asked.append(number)
        self.clock.now_s += 0.1
        found = {k: x for k, x in self.story[number].items() if k not in self.missed.get(number, ())}
        boxes = [[x - 20, Y - 55, x + 20, Y + 55] for x in found.values()]
        return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.full(len(boxes), 0.8, np.float32))

    def estimate(self, image: Image, candidates: Candidates) -> Poses:
        """In each box whoever is nearest to its middle, within 40 px; nothing where nobody is."""
        number = number_of(image)
        self.clock.now_s += 0.01 * len(candidates)
        self.boxes += [(number, tuple(box)) for box in candidates.boxes.tolist()]
        keypoints = np.full((len(candidates), 17, 2), np.nan, np.float32)
        places = np.array(list(self.story[number].values()))
        for row, middle in enumerate(candidates.boxes[:, [0, 2]].mean(axis=1)):
            near = np.abs(places - middle)
            if len(places) and near.min() <= 40:
                keypoints[row] = standing(places[near.argmin()]) + self.wrong_px
        scores = np.where(np.isnan(keypoints[..., 0]), 0, self.score).astype(np.float32)
        return Poses.in_boxes(candidates, keypoints, scores)

    def prepare(self, image: Image) -> int:
        return number_of(image)

    def between(self, previous: int, current: int) -> Walk:
        self.motions.append((previous, current))
        self.clock.now_s += 0.05
        return Walk(self.story[previous], self.story[current])


@dataclass(frozen=True)
class Walk:
    """Points go with the person who is nearest."""

    before: Places
    after: Places
    is_cut = False

    def move(self, points: FloatArray) -> MovedPoints:
        known = [track_id for track_id in self.before if track_id in self.after]
        if not known:
            return MovedPoints(points, np.zeros(len(points), np.bool_))
        steps = np.array([self.after[track_id] - self.before[track_id] for track_id in known])
        away = np.abs(points[:, :1] - np.array([self.before[track_id] for track_id in known]))
        moved = points.astype(np.float32)
        is_known = np.isfinite(points).all(axis=1)
        moved[is_known, 0] += steps[away[is_known].argmin(axis=1)]
        return MovedPoints(moved, is_known)


def number_of(image: Image) -> int:
    return int(image[0, 0, 0])


def write_images(folder: Path, count: int) -> list[Path]:
    """Pictures of one colour, which is their number."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:06d}.png" for number in range(count)]
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), np.full((200, 400, 3), number, np.uint8))
    return paths


@dataclass(frozen=True)
class StagedSequence(DatasetSequence):
    """A sequence whose truth is given. Its images are as many pictures in its folder."""

    truth: PoseTrackSequence = field(default_factory=lambda: sequence([]))

    def read(self) -> PoseTrackSequence:
        return self.truth

    def image_paths(self, truth: PoseTrackSequence) -> list[Path]:
        return write_images(self.annotation, len(truth.frames))


def staged(folder: Path, truth: PoseTrackSequence) -> StagedSequence:
    return StagedSequence(folder.name, folder, (), truth=truth)


def recorder(networks: Networks) -> Callable[[DatasetSequence, PoseTrackSequence], Recording]:
    """What networks give for a sequence."""
    return lambda sequence, truth: Recording(sequence.image_paths(truth), networks)
