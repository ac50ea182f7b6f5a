"""A crowd of any number as a clip in any size, and networks that do their work in it but see the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tracker.pace import EXACT
from tracker.pipeline import Pipeline
from tracker.scenes.oracle import OracleEstimator
from tracker.scenes.rendering import FRAMES_PER_SECOND, People, SceneFrame, render_scene
from tracker.scenes.scripts import crowd_of
from tracker.types import Candidates, Detections, Image, Poses
from tracker.video.writer import VideoWriter

_RENDERED_WH = (1280, 720)
# So many pictures are painted; longer clips go through them to and fro.
_MOST_PAINTED = 60


def write_crowd(path: Path, num_people: int, height: int, num_frames: int) -> list[People]:
    """Write a clip of people who walk to and fro, in 16:9; the truth about each frame."""
    painted = list(render_scene(crowd_of(num_people), _RENDERED_WH, min(num_frames, _MOST_PAINTED)))
    scale = np.float32(height / _RENDERED_WH[1])
    size_wh = (round(height * _RENDERED_WH[0] / _RENDERED_WH[1]), height)
    people = [
        replace(one.people, keypoints=one.people.keypoints * scale, boxes=one.people.boxes * scale) for one in painted
    ]
    there_and_back = [*range(len(painted)), *range(len(painted) - 2, 0, -1)]
    places = [there_and_back[index % len(there_and_back)] for index in range(num_frames)]
    with VideoWriter(path) as video:
        for index, place in enumerate(places):
            picture = cv2.resize(painted[place].image, size_wh, interpolation=cv2.INTER_LINEAR)
            video.write(np.asarray(picture, np.uint8), index / FRAMES_PER_SECOND)
    return [people[place] for place in places]


class CrowdNetworks:
    """Runs the networks of a pipeline on a clip, and answers with the truth about its frames, which come in order.

    So every network has its cost, and every person is there, whatever the networks make of drawn people.
    """

    def __init__(self, like: Pipeline, truth: Sequence[People], size_wh: tuple[int, int]) -> None:
        self._like, self._oracle = like, OracleEstimator()
        self._networks: Any = (like.detector, like.estimator)
        self._truth, self._blank = truth, np.broadcast_to(np.uint8(0), (*size_wh[::-1], 3))
        self._detected = self._estimated = 0
        self.skeleton, self.name = self._oracle.skeleton, f"{like.estimator.name} and the truth"
        self.engine, self.note = like.estimator.engine, like.estimator.note

    def pipeline(self) -> Pipeline:
        """The pipeline with these in the place of its networks; they look at every frame, since they count them."""
        return replace(self._like, detector=self, estimator=self, pace=EXACT)

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Who is in the next frames that are looked at."""
        self._networks[0].detect(images)
        step = self._like.detect_every
        first, self._detected = self._detected, self._detected + len(images) * step
        return [self._oracle.detect(self._frame(index)) for index in range(first, self._detected, step)]

    def estimate(self, image: Image, candidates: Candidates) -> Poses:
        """The poses in the next frame."""
        self._networks[1].estimate(image, candidates)
        self._estimated += 1
        return self._oracle.estimate(self._frame(self._estimated - 1), candidates)

    def _frame(self, index: int) -> SceneFrame:
        return SceneFrame(index, index / FRAMES_PER_SECOND, self._blank, self._truth[index])
