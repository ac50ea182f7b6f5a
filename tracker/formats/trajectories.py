"""Where each person's keypoints were over time, on a clock of one rate, and how tall people are in pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from tracker.errors import OutputError
from tracker.formats.record import Moment, Results
from tracker.skeletons import Skeleton
from tracker.types import BoolArray, DoubleArray, FloatArray, IntArray, TrackedPoses

# Where a moment is so near to a frame, in frames, it is that frame's: clocks of containers round.
_SAME = 0.05
# Between frames farther apart nothing is known.
_LONGEST_GAP_S = 0.2
# Lengths of segments as shares of a person's height (Drillis and Contini 1966, in Winter's Biomechanics, figure 4.1).
_SHARES = {("hip", "shoulder"): 0.288, ("knee", "hip"): 0.245, ("ankle", "knee"): 0.246}
# Segments that point towards the camera are short: three in four frames may have them so.
_LONG = 0.75


@dataclass(frozen=True)
class Trajectory:
    """A person from the first frame with them to the last.

    frames: (T,) int64 indices, after `resampled` counts of the rate. times_s: (T,) float64. keypoints: (T, K, 2)
    float64 pixels, NaN where missing, also where the person is. scores: (T, K) float64, 0 there.
    """

    track_id: int
    frames: IntArray
    times_s: DoubleArray
    keypoints: DoubleArray
    scores: DoubleArray

    def resampled(self, start_s: float, rate: float) -> tuple[Trajectory, bool]:
        """The same at start_s + k / rate for whole k, and whether anything lies between the frames.

        There x, y and scores are interpolated linearly, unless a frame is within 5 % of the step; a keypoint that is
        missing before or after is missing then, and so is everything between frames over 0.2 s, or a step, apart.
        """
        first, last = np.round((self.times_s[[0, -1]] - start_s) * rate).astype(np.int64)
        counts = np.arange(first, last + 1)
        times_s = start_s + counts / rate
        after = np.clip(np.searchsorted(self.times_s, times_s), 1, max(len(self.times_s) - 1, 1))
        after = np.minimum(after, len(self.times_s) - 1)
        before = np.maximum(after - 1, 0)
        step_s = self.times_s[after] - self.times_s[before]
        share = np.clip((times_s - self.times_s[before]) / np.where(step_s > 0, step_s, 1), 0, 1)
        near = _SAME / rate
        share[np.abs(times_s - self.times_s[before]) <= near] = 0
        share[np.abs(times_s - self.times_s[after]) <= near] = 1
        is_between = (share > 0) & (share < 1)
        is_lost = is_between & (step_s > max(_LONGEST_GAP_S, 1.01 / rate))
        keypoints = _mixed(self.keypoints, before, after, share, is_lost)
        scores = np.nan_to_num(_mixed(self.scores, before, after, share, is_lost))
        scores[np.isnan(keypoints[..., 0])] = 0
        found = replace(self, frames=counts, times_s=times_s, keypoints=keypoints, scores=scores)
        return found, bool(is_between.any())

    def height_px(self, skeleton: Skeleton) -> float:
        """How tall the person is: long ones of the lengths of shank, thigh and trunk, by their shares of a height.

        NaN where none of these can be measured.
        """
        lengths = {pair: self._length_px(skeleton, *pair) for pair in _SHARES}
        known = {pair: length for pair, length in lengths.items() if length > 0}
        return sum(known.values()) / sum(_SHARES[pair] for pair in known) if known else float("nan")

    def _length_px(self, skeleton: Skeleton, one: str, other: str) -> float:
        """A long one of the lengths of a segment of both sides, 0 if it is never seen."""
        found = [np.zeros(0)]
        for side in ("left", "right"):
            ends = (f"{side}_{one}", f"{side}_{other}")
            if set(ends) <= set(skeleton.keypoint_names):
                a, b = (self.keypoints[:, skeleton.index(end)] for end in ends)
                found.append(np.linalg.norm(a - b, axis=1))
        lengths = np.concatenate(found)
        lengths = lengths[np.isfinite(lengths)]
        return float(np.quantile(lengths, _LONG)) if len(lengths) else 0.0


class Trajectories:
    """Collects people frame by frame, about a kilobyte for each of 17 keypoints at the end.

    fps: of the video, which stands in for unknown times.
    """

    def __init__(self, num_keypoints: int, fps: float | None) -> None:
        self._num_keypoints, self._fps = num_keypoints, fps
        self._frames: list[tuple[int, float]] = []
        self._people: list[tuple[IntArray, FloatArray, FloatArray]] = []

    def add(self, moment: Moment, tracked: TrackedPoses) -> None:
        """The people of the next frame."""
        self._frames.append((moment.index, moment.time_s))
        self._people.append((tracked.track_ids, tracked.poses.keypoints, tracked.poses.scores))

    def clock(self) -> tuple[IntArray, DoubleArray]:
        """Index and time of each frame; OutputError where neither times nor a frame rate are known."""
        table = np.array(self._frames, np.float64).reshape(-1, 2)
        if np.isnan(table[:, 1]).any():
            if not self._fps:
                raise OutputError("neither times nor a frame rate are known; pass --fps R")
            table[:, 1] = table[:, 0] / self._fps
        return table[:, 0].astype(np.int64), table[:, 1]

    @property
    def rate(self) -> float:
        """Frames per second: as stated, unless the usual step between frames is another; 25 of a single frame."""
        steps_s = np.diff(self.clock()[1])
        if not (steps_s > 0).any():
            return self._fps or 25.0
        step_s = np.median(steps_s)
        usual = float(1 / steps_s[np.abs(steps_s / step_s - 1) < _SAME].mean())  # more exact than times of 6 decimals
        return self._fps if self._fps and abs(self._fps / usual - 1) < _SAME else usual

    def __iter__(self) -> Iterator[Trajectory]:
        """By rising id."""
        frames, times_s = self.clock()
        if not self._people:
            return
        ids, keypoints, scores = (np.concatenate(parts) for parts in zip(*self._people, strict=True))
        rows = np.repeat(np.arange(len(frames)), [len(one) for one, *_ in self._people])
        order = np.argsort(ids, kind="stable")
        for mine in np.split(order, np.flatnonzero(np.diff(ids[order])) + 1) if len(ids) else []:
            span = slice(rows[mine[0]], rows[mine[-1]] + 1)
            at = rows[mine] - span.start
            shape = (span.stop - span.start, self._num_keypoints)
            found, how_sure = np.full((*shape, 2), np.nan), np.zeros(shape)
            found[at], how_sure[at] = keypoints[mine], scores[mine]
            yield Trajectory(int(ids[mine[0]]), frames[span], times_s[span], found, how_sure)


def trajectories_of(results: Results) -> Trajectories:
    """Of everybody in results."""
    found = Trajectories(results.header.skeleton.num_keypoints, results.header.fps)
    for frame in results.frames:
        found.add(frame, frame.tracked)
    return found


def _mixed(
    values: DoubleArray, before: IntArray, after: IntArray, share: DoubleArray, is_lost: BoolArray
) -> DoubleArray:
    """Values (T, …) between those at `before` and `after`; where the share is 0 or 1 the other one does not matter."""
    weights = share.reshape(-1, *[1] * (values.ndim - 1))
    found = np.where(weights == 0, values[before], (1 - weights) * values[before] + weights * values[after])
    found = np.where(weights == 1, values[after], found)
    found[is_lost] = np.nan
    return found
