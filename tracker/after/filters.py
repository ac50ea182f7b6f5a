"""Filters over time: One-Euro as people come; Hampel and Butterworth over what is there as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from tracker.types import BoolArray, DoubleArray, Frame, RowTable, TrackedPoses

F = TypeVar("F", bound=Frame)
# Who was not seen for so long begins anew, as somebody does who was never seen.
_RESET_S = 0.5
# Of One-Euro: the cut-off of who stands still, by how much it rises with each person size per second, and that of the
# speed itself. With these a swing of 2 Hz over a fifth of a person's size keeps 98 % of its amplitude at 25 frames per
# second, and a still pose loses 76 % of the variance of noise of 0.6 % of its size.
_LEAST_HZ, _RISE, _SPEED_HZ = 0.5, 26.0, 1.5
# Of a swing of 2 Hz, which takes half a second, a longer window would take the turns for outliers.
_HAMPEL_WINDOW, _HAMPEL_SIGMAS, _HAMPEL_MOST_S = 7, 2.0, 0.49
_BLOCK = 1000
# Frames that a segment must have to be filtered at all.
LEAST_FRAMES = 4


@dataclass(frozen=True)
class _State(RowTable):
    """Of M people and P points: when each was seen last, where it was, was smoothed to, and how fast it moved.

    last_s: (M, P), −inf for never. points, smoothed: (M, P, 2) pixels. speeds: (M, P, 2) person sizes per second.
    """

    ids: npt.NDArray[np.int64]
    last_s: DoubleArray
    points: DoubleArray
    smoothed: DoubleArray
    speeds: DoubleArray

    @classmethod
    def unseen(cls, num_points: int) -> _State:
        """One person of whom nothing is known."""
        nothing = np.zeros((1, num_points, 2))
        return cls(np.array([-1]), np.full((1, num_points), -np.inf), nothing, nothing, nothing)


class OneEuro:
    """Smooths people as they come, keypoints and boxes, each id for itself.

    A point follows at once where it moves fast and slowly where it rests (Casiez, Roussel, Vogel, CHI 2012). Speeds are
    in person sizes, the mean of the box's sides, per second, so that they do not depend on the resolution; times are
    those of the frames. keypoint_threshold: keypoints under it stay as they are; they neither move what is remembered
    nor end it, unless nothing better comes for half a second. Who is new, comes back after that or comes after a cut,
    where ids start anew, begins anew.
    """

    def __init__(self, keypoint_threshold: float) -> None:
        self._threshold = keypoint_threshold
        self._state: _State | None = None

    def add(self, frame: F, people: TrackedPoses) -> Iterator[tuple[F, TrackedPoses]]:
        """The next frame with its people, smoothed, at once; the form of `AheadSmoother`."""
        yield frame, self.smooth(people, frame.time_s)

    def rest(self) -> Iterator[tuple[Any, TrackedPoses]]:
        """No frame waits."""
        yield from ()

    def smooth(self, people: TrackedPoses, time_s: float) -> TrackedPoses:
        """The people of the next frame, smoothed; time_s: of the frame. When it goes back, all begin anew."""
        poses = people.poses
        points, is_good = good_points(people, self._threshold)
        sizes = np.maximum((points[:, -1] - points[:, -2]).mean(axis=1), 1)
        smoothed = self._follow(people.track_ids, points, is_good, sizes, time_s).astype(np.float32)
        return replace(people, poses=replace(poses, keypoints=smoothed[:, :-2], boxes=smoothed[:, -2:].reshape(-1, 4)))

    def _follow(
        self, ids: npt.NDArray[np.int64], points: DoubleArray, is_good: BoolArray, sizes: DoubleArray, time_s: float
    ) -> DoubleArray:
        """Where points (N, P, 2) are smoothed to; those that are not good stay."""
        known = self._state or _State.unseen(points.shape[1])
        if (known.last_s > time_s).any():
            known = _State.unseen(points.shape[1])
        places = {track_id: row for row, track_id in enumerate(known.ids.tolist())}
        rows = np.array([places.get(track_id, places[-1]) for track_id in ids.tolist()], np.int64)
        old = known[rows]
        step_s = time_s - old.last_s
        goes_on = ((step_s > 0) & (step_s < _RESET_S) & is_good)[..., None]
        rate = 1 / np.where(goes_on, step_s[..., None], 1.0)
        with np.errstate(invalid="ignore"):  # what is not good may be NaN
            velocity = (points - old.points) * rate / np.nan_to_num(sizes, nan=np.inf)[:, None, None]
            speeds = old.speeds + _gain(_SPEED_HZ, rate) * (velocity - old.speeds)
            pace = np.hypot(speeds[..., :1], speeds[..., 1:])
            gain = _gain(_LEAST_HZ + _RISE * pace, rate)
            smoothed = np.where(goes_on, old.smoothed + gain * (points - old.smoothed), points)
        good = is_good[..., None]
        new = _State(
            ids,
            np.where(is_good, time_s, old.last_s),
            np.where(good, points, old.points),
            np.where(good, smoothed, old.smoothed),
            np.where(goes_on, speeds, np.where(good, 0, old.speeds)),
        )
        is_away = ~np.isin(known.ids, ids) & (known.last_s.max(axis=1, initial=-np.inf) > time_s - _RESET_S)
        is_away |= known.ids == -1
        self._state = _State.join([known[is_away], new])
        return smoothed


def good_points(people: TrackedPoses, keypoint_threshold: float) -> tuple[DoubleArray, BoolArray]:
    """Keypoints and corners of the boxes, as points (N, K + 2, 2), and which are there and sure, (N, K + 2)."""
    poses = people.poses
    points = np.concatenate([poses.keypoints, poses.boxes.reshape(-1, 2, 2)], axis=1).astype(np.float64)
    is_sure = np.pad(poses.scores >= keypoint_threshold, ((0, 0), (0, 2)), constant_values=True)
    is_good: BoolArray = np.isfinite(points).all(axis=2) & is_sure
    return points, is_good


def hampel(values: DoubleArray, times_s: DoubleArray) -> DoubleArray:
    """Values (T, C) with outliers replaced by the median of seven: those more than 2 σ off, by the median deviation.

    times_s: (T,), rising. Where seven last for half a second, at 12 frames per second, values stay as they are.
    """
    half = _HAMPEL_WINDOW // 2
    if len(values) <= half or 2 * half * np.median(np.diff(times_s)) > _HAMPEL_MOST_S:
        return values
    padded = np.pad(values, ((half, half), (0, 0)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, _HAMPEL_WINDOW, axis=0)
    filtered = values.copy()
    for start in range(0, len(values), _BLOCK):  # the windows of a long video would fill the memory
        part = slice(start, start + _BLOCK)
        median = np.median(windows[part], axis=2)
        sigma = np.median(np.abs(windows[part] - median[..., None]), axis=2) / 0.6745
        is_off = np.abs(values[part] - median) > _HAMPEL_SIGMAS * sigma
        filtered[part][is_off] = median[is_off]
    return filtered


def butterworth(values: DoubleArray, times_s: DoubleArray, cutoff_hz: float) -> DoubleArray:
    """Values (T, C) at rising times (T,) after a Butterworth filter of second order, forwards and backwards.

    Together it is one of fourth order without a shift in time, as biomechanics has it; at the cut-off half the
    amplitude is left. At times that are not even, values are brought to even ones and back, by curves: straight lines
    between them would flatten a swing. Fewer than four stay as they are, and so do all where the cut-off is not below
    half the rate.
    """
    from scipy.interpolate import CubicSpline, PchipInterpolator
    from scipy.signal import butter, sosfiltfilt

    steps_s = np.diff(times_s)
    if len(values) < LEAST_FRAMES or cutoff_hz >= (limit_hz := 0.5 / float(np.median(steps_s))):
        return values
    is_even = bool(np.ptp(steps_s) < 0.02 * steps_s.mean())
    num_even = round((times_s[-1] - times_s[0]) * 2 * limit_hz) + 1
    even_s = np.linspace(times_s[0], times_s[-1], max(num_even, LEAST_FRAMES))
    if not is_even:
        values = PchipInterpolator(times_s, values)(even_s)
    # Mirrored through its ends, the longer the lower the cut-off; what is short has no more to be mirrored.
    padding = min(round(2 * limit_hz / cutoff_hz) * 2 + 2, len(values) - 1)
    values = sosfiltfilt(butter(2, cutoff_hz / limit_hz, output="sos"), values, axis=0, padlen=padding)
    return values if is_even else CubicSpline(even_s, values)(times_s)


def _gain(cutoff_hz: Any, rate_hz: DoubleArray) -> Any:
    """The share of a new value in an exponential low-pass filter."""
    return cutoff_hz / (cutoff_hz + rate_hz / (2 * np.pi))
