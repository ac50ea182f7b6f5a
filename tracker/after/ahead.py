"""Smoothing for display with a glance ahead: nothing lags, and frames wait for a moment only."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from tracker.after.filters import good_points
from tracker.types import BoolArray, DoubleArray, Frame, TrackedPoses

F = TypeVar("F", bound=Frame)
# A parabola is laid through where a point was and will be, so many seconds back and ahead, if it was there so often.
_REACH_S, _LEAST_POINTS = 0.135, 4


def smooth_ahead(
    frames: Iterable[tuple[F, TrackedPoses]], keypoint_threshold: float
) -> Iterator[tuple[F, TrackedPoses]]:
    """Frames with their people as an `AheadSmoother` gives them."""
    smoother = AheadSmoother[F](keypoint_threshold)
    for frame, people in frames:
        yield from smoother.add(frame, people)
    yield from smoother.rest()


@dataclass(frozen=True)
class _Moment:
    """People who wait or are looked back at; points (N, P, 2) and is_good (N, P) of them.

    seen: points, 0 where they are not good, weights, 1 or 0, and scores (N + 1, K); the last row is nobody's.
    """

    people: TrackedPoses
    time_s: float
    points: DoubleArray
    is_good: BoolArray
    rows: dict[int, int]
    seen: tuple[DoubleArray, ...]

    @classmethod
    def of(cls, people: TrackedPoses, time_s: float, keypoint_threshold: float) -> _Moment:
        points, is_good = good_points(people, keypoint_threshold)
        rows = {track_id: row for row, track_id in enumerate(people.track_ids.tolist())}
        known = (np.where(is_good[..., None], points, 0.0), is_good, people.poses.scores)
        seen = (np.concatenate([values, np.zeros((1, *values.shape[1:]))]) for values in known)
        return cls(people, time_s, points, is_good, rows, tuple(seen))


class AheadSmoother(Generic[F]):
    """Smooths keypoints and boxes of each person by parabolas through the tenth of a second on either side.

    Frames come out, with their people, once what follows within 0.135 s is known; between them is nothing that lags
    (Savitzky and Golay's filter, by the frames' real times). Keypoints under the threshold stay as they are, but
    where sure ones stand on either side they are filled in. Where more frames would wait than their
    `most_waiting`, the oldest come out by what is known.
    """

    def __init__(self, keypoint_threshold: float) -> None:
        self._threshold = keypoint_threshold
        self._moments: deque[_Moment] = deque()
        self._waiting: deque[F] = deque()  # of the last moments

    def add(self, frame: F, people: TrackedPoses) -> Iterator[tuple[F, TrackedPoses]]:
        """Take the next frame; those that are ready come out."""
        self._moments.append(_Moment.of(people, frame.time_s, self._threshold))
        self._waiting.append(frame)
        yield from self._ready(frame.time_s - _REACH_S + 1e-6, frame.most_waiting)

    def rest(self) -> Iterator[tuple[F, TrackedPoses]]:
        """The frames that still wait, when no more come."""
        yield from self._ready(np.inf, 0)

    def _ready(self, before_s: float, most: int) -> Iterator[tuple[F, TrackedPoses]]:
        moments, waiting = self._moments, self._waiting
        while waiting and (waiting[0].time_s < before_s or len(waiting) > most):
            now = moments[-len(waiting)]
            while moments[0].time_s < now.time_s - _REACH_S - 1e-6:
                moments.popleft()
            yield waiting.popleft(), _smoothed(now, moments)


def _smoothed(now: _Moment, moments: deque[_Moment]) -> TrackedPoses:
    """The people of a moment by what is around it."""
    near = [moment for moment in moments if abs(moment.time_s - now.time_s) <= _REACH_S + 1e-6]
    if not now.rows or len(near) < _LEAST_POINTS:
        return now.people
    points, weights, scores = (
        np.stack(parts) for parts in zip(*(_seen_in(moment, now) for moment in near), strict=True)
    )
    times = np.array([moment.time_s - now.time_s for moment in near]) / _REACH_S
    fitted, is_fitted = _parabolas(points, weights, times)
    before, after = (weights[side].any(axis=0) for side in (times < 0, times > 0))
    is_filled = (is_fitted & before & after & ~now.is_good)[:, :-2]
    smoothed = np.where((is_fitted & now.is_good)[..., None], fitted, now.points)
    smoothed[:, :-2][is_filled] = fitted[:, :-2][is_filled]
    poses = now.people.poses
    filled_scores = np.where(weights[..., :-2] > 0, scores, np.inf).min(axis=0)
    poses = replace(
        poses,
        keypoints=smoothed[:, :-2].astype(np.float32),
        scores=np.where(is_filled, filled_scores, poses.scores).astype(np.float32),
        boxes=smoothed[:, -2:].reshape(-1, 4).astype(np.float32),
    )
    return replace(now.people, poses=poses)


def _seen_in(moment: _Moment, now: _Moment) -> Iterator[DoubleArray]:
    """What is seen of the people of now in another moment."""
    if moment.rows == now.rows:
        return (values[:-1] for values in moment.seen)
    rows = [moment.rows.get(track_id, -1) for track_id in now.rows]
    return (values[rows] for values in moment.seen)


def _parabolas(points: DoubleArray, weights: DoubleArray, times: DoubleArray) -> tuple[DoubleArray, BoolArray]:
    """Of points (W, N, P, 2) at times (W,) the parabolas' values (N, P, 2) at 0, and which (N, P) are determined."""
    powers = times ** np.arange(5)[:, None]
    moments = np.tensordot(powers, weights, axes=1)
    sums = np.einsum("kw,wnpc->npkc", powers[:3], points * weights[..., None])
    matrix = moments[np.add.outer(np.arange(3), np.arange(3))].transpose(2, 3, 0, 1)
    is_fitted: BoolArray = weights.sum(axis=0) >= _LEAST_POINTS
    matrix = np.where(is_fitted[..., None, None], matrix, np.eye(3))
    return np.linalg.solve(matrix, sums)[..., 0, :], is_fitted
