"""Scenes as a pipeline sees them: an oracle for networks, scripts for a reader, motions that are known before."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from itertools import pairwise
from typing import cast

from tracker.flow import create_flow
from tracker.pace import EXACT, Pace
from tracker.pipeline import Pipeline
from tracker.scenes.oracle import OracleEstimator
from tracker.scenes.rendering import FRAMES_PER_SECOND, People, SceneFrame
from tracker.tracking.config import TrackerConfig
from tracker.types import (
    Appearance,
    Candidates,
    Detections,
    FlowEstimator,
    Frame,
    Image,
    Motion,
    Poses,
    TrackedPoses,
)
from tracker.video.source import Reader


class SceneNetworks:
    """Lets an oracle stand in for the detector and the pose network of a `Pipeline`.

    A pipeline hands its networks pictures alone; `watch` notes whose picture each is, until its poses are
    estimated.
    """

    name = "the truth of the scene, with noise"
    engine = "NumPy"
    note: str | None = None

    def __init__(self, oracle: OracleEstimator | None = None) -> None:
        self._oracle = oracle or OracleEstimator()
        self.skeleton = self._oracle.skeleton
        self._frames: dict[int, SceneFrame] = {}

    def pipeline(
        self,
        flow: str | FlowEstimator,
        config: TrackerConfig,
        detect_every: int = 1,
        detector_batch: int = 1,
        pace: Pace = EXACT,
        appearance: Appearance | None = None,
    ) -> Pipeline:
        """Put together with flow, one of that name or an object, and tracker."""
        flow = create_flow(flow)
        return Pipeline(self, self, flow, config, detect_every, detector_batch, pace=pace, appearance=appearance)

    def watch(self, frames: Iterable[SceneFrame]) -> Iterator[SceneFrame]:
        """The same frames, known from now on."""
        for frame in frames:
            self._frames[id(frame.image)] = frame
            yield frame

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """What the oracle detects in each picture."""
        return [self._oracle.detect(self._frames[id(image)]) for image in images]

    def estimate(self, image: Image, candidates: Candidates) -> Poses:
        """The poses that the oracle sees in a picture; called once for each."""
        return self._oracle.estimate(self._frames.pop(id(image)), candidates)


class SceneReader(Reader):
    """A scene played as a video, whose pictures the networks know.

    people: the truth about each frame that was read.
    """

    is_live = False
    fps = Fraction(FRAMES_PER_SECOND)
    warning: str | None = None
    place: int | None = None
    file: str | None = None
    pictures = None

    def __init__(self, name: str, frames: Iterable[SceneFrame], num_frames: int, networks: SceneNetworks) -> None:
        self.name = name
        self.num_frames = num_frames
        self.people: list[People] = []
        self._frames = networks.watch(frames)

    def read(self, start_s: float) -> Iterator[tuple[float, Image]]:
        """Time and picture of each frame, once."""
        for frame in self._frames:
            self.people.append(frame.people)
            yield frame.time_s, frame.image

    def stop(self) -> None:
        """Nothing is waited for."""

    def close(self) -> None:
        """Nothing is held."""


def track_scene(
    frames: Iterable[SceneFrame],
    flow: FlowEstimator,
    config: TrackerConfig,
    oracle: OracleEstimator,
    appearance: Appearance | None = None,
) -> Generator[tuple[SceneFrame, TrackedPoses]]:
    """Track the people of a rendered scene: the oracle sees them, all else is the real pipeline."""
    networks = SceneNetworks(oracle)
    pipeline = networks.pipeline(flow, config, appearance=appearance)
    with closing(pipeline.run(networks.watch(frames))) as tracked:
        yield from cast("Iterator[tuple[SceneFrame, TrackedPoses]]", tracked)


class RecordedFlow:
    """A flow estimator that repeats the motions of a scene, so that several settings share one computation."""

    def __init__(self, frames: Sequence[Frame], flow: FlowEstimator) -> None:
        """Computes the motion between each two consecutive frames."""
        prepared = [flow.prepare(frame.image) for frame in frames]
        self._motions = [flow.between(a, b) for a, b in pairwise(prepared)]
        self._next = 0

    def prepare(self, image: Image) -> None:
        """Nothing: the motions are known."""

    def between(self, previous: None, current: None) -> Motion:
        """The next motion; after the last one the first, for the next run over the scene."""
        motion = self._motions[self._next]
        self._next = (self._next + 1) % len(self._motions)
        return motion
