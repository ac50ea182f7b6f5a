"""What networks and flow give for the images of a sequence: computed once, and recalled with the time that it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracker.flow import NoFlow
from tracker.pipeline import StageTimes
from tracker.skeletons import Skeleton
from tracker.types import (
    Candidates,
    Detections,
    FloatArray,
    FlowEstimator,
    Image,
    Motion,
    PersonDetector,
    PoseEstimator,
    Poses,
)
from tracker.video.images import read_image


@dataclass(frozen=True)
class Networks:
    """What runs on pictures. detectors: at least one, with the lowest score that is to be asked for."""

    detectors: Sequence[PersonDetector]
    estimator: PoseEstimator
    flow: FlowEstimator


class Recording:
    """The results of networks and flow on the images of one sequence, which are numbered from 0.

    Each is computed when it is first asked for. Whoever asks hands in times, to which the seconds of the computation
    are added, whenever that was: so they tell how long a run would have taken that had nothing to recall. A pose takes
    its share of the batch that it was in.
    """

    def __init__(self, paths: Sequence[Path], networks: Networks) -> None:
        self._paths = paths
        self._networks = networks
        self._last: tuple[int, Image] | None = None
        self._decode_s: dict[int, float] = {}
        # By stage, image and what else matters.
        self._known: dict[tuple[str, int, int], tuple[Any, float]] = {}
        self._poses: dict[tuple[int, bytes], tuple[FloatArray, FloatArray, float]] = {}

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def skeleton(self) -> Skeleton:
        """Of the poses."""
        return self._networks.estimator.skeleton

    def detect(self, number: int, detector: int, min_score: float, times: StageTimes) -> Detections:
        """People of that score or more in an image; detector: which of them. The image's decoding is counted here."""
        network = self._networks.detectors[detector]
        found: Detections = self._recall(("detect", number, detector), lambda image: network.detect([image])[0], times)
        times.busy_s["decode"] += self._decode_s[number]
        return found[found.scores >= min_score]

    def motion(self, number: int, needs_motion: bool, times: StageTimes) -> Motion | None:
        """The motion from the image before, None for the first; without need of it, as `NoFlow` has it.

        To be asked for one image after the other.
        """
        flow: FlowEstimator = self._networks.flow if needs_motion else NoFlow()

        def compute(image: Image) -> tuple[Any, Motion | None]:
            current = flow.prepare(image)
            if number == 0:
                return current, None
            previous, _ = self._known["flow", number - 1, needs_motion][0]
            return current, flow.between(previous, current)

        return self._recall(("flow", number, needs_motion), compute, times)[1]

    def estimate(self, number: int, candidates: Candidates, times: StageTimes) -> Poses:
        """The poses in those boxes of an image, in the same order."""
        keys = [(number, box.tobytes()) for box in candidates.boxes]
        rows = {key: row for row, key in enumerate(keys) if key not in self._poses}
        if rows:
            self._estimate_new(number, rows, candidates)
        results = [self._poses[key] for key in keys]
        times.busy_s["pose"] += sum(seconds for _, _, seconds in results)
        num_keypoints = self.skeleton.num_keypoints
        keypoints = np.array([keypoints for keypoints, _, _ in results], np.float32).reshape(-1, num_keypoints, 2)
        scores = np.array([scores for _, scores, _ in results], np.float32).reshape(-1, num_keypoints)
        return Poses.in_boxes(candidates, keypoints, scores)

    def forget_pictures(self) -> None:
        """Drop flow and picture, which take most of the memory: 1.7 MB an image."""
        self._known = {key: known for key, known in self._known.items() if key[0] != "flow"}
        self._last = None

    def _recall(self, key: tuple[str, int, int], compute: Callable[[Image], Any], times: StageTimes) -> Any:
        stage, number, _ = key
        if key not in self._known:
            image = self._read(number)
            start = time.perf_counter()
            self._known[key] = compute(image), time.perf_counter() - start
        result, seconds = self._known[key]
        times.busy_s[stage] += seconds
        return result

    def _estimate_new(self, number: int, rows: dict[tuple[int, bytes], int], candidates: Candidates) -> None:
        image = self._read(number)
        start = time.perf_counter()
        poses = self._networks.estimator.estimate(image, candidates[list(rows.values())])
        share_s = (time.perf_counter() - start) / len(rows)
        for row, key in enumerate(rows):
            self._poses[key] = poses.keypoints[row], poses.scores[row], share_s

    def _read(self, number: int) -> Image:
        """An image; the last one is at hand."""
        if self._last is None or self._last[0] != number:
            start = time.perf_counter()
            self._last = number, read_image(self._paths[number])
            self._decode_s.setdefault(number, time.perf_counter() - start)
        return self._last[1]
