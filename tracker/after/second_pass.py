"""The second pass over results: stitch tracks, drop short ones, fill gaps, smooth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tracker.after.filters import LEAST_FRAMES, OneEuro, butterworth, hampel
from tracker.after.stitching import stitch
from tracker.after.table import PeopleTable
from tracker.errors import InputError
from tracker.formats.record import Header, Results
from tracker.outputs import counted
from tracker.types import BoolArray, DoubleArray, FloatArray, IntArray, Origin, Poses

SMOOTHERS = ("off", "one-euro", "butterworth")
# How long gaps are filled by default where people are smoothed.
FILL_GAPS_S = 0.2
# Winter's 6 Hz for people who walk; at 4 a swing of 2 Hz keeps 95 % of its amplitude.
_LEAST_CUTOFF_HZ, _MOST_CUTOFF_HZ = 4.0, 6.0
# What the settings say of it.
_SMOOTH, _CUTOFF = "smooth", "cutoff_hz"
# A pause this much longer than the usual step between frames ends a segment, unless it was filled.
_PAUSE = 2.5


@dataclass(frozen=True)
class SecondPass:
    """What is done, in this order; by itself nothing. Raises ValueError for a value out of its range."""

    stitch_s: float = 0.0
    """Tracks that one person must have had, with so many seconds between them at most, become one."""
    drop_shorter_s: float = 0.0
    """Tracks that are shorter than so many seconds are left out."""
    fill_gaps_s: float = 0.0
    """Gaps of up to so many seconds, in a track or a keypoint, are filled linearly; 0.2 with --smooth or --stitch."""
    smooth: str = "off"
    """Filter over time: one-euro lags a little, butterworth, after Hampel's, does not: it looks both ways."""
    cutoff_hz: float | None = None
    """What is faster is noise to butterworth; if not given a sixth of the frame rate, from 4 to 6."""

    def __post_init__(self) -> None:
        if self.smooth not in SMOOTHERS:
            raise ValueError(f"smooth must be one of {', '.join(SMOOTHERS)}, not {self.smooth!r}")
        for name in ("stitch_s", "drop_shorter_s", "fill_gaps_s"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be a number of seconds, 0 or more, not {getattr(self, name)}")
        if self.cutoff_hz is not None and not 0 < self.cutoff_hz < float("inf"):
            raise ValueError(f"cutoff_hz must be more than 0, not {self.cutoff_hz}")

    @property
    def does_something(self) -> bool:
        """Whether results change by it."""
        return self.smooth != "off" or max(self.stitch_s, self.drop_shorter_s, self.fill_gaps_s) > 0

    def cutoff_at(self, rate_hz: float) -> float:
        """The cut-off at so many frames per second; the default leaves less than 30 % of white noise from 24 on.

        >>> SecondPass().cutoff_at(12.5), SecondPass().cutoff_at(30), SecondPass().cutoff_at(60)
        (4.0, 5.0, 6.0)
        """
        return self.cutoff_hz or min(max(rate_hz / 6, _LEAST_CUTOFF_HZ), _MOST_CUTOFF_HZ)


@dataclass(frozen=True)
class Worked:
    """People after a second pass, the header that says what was done to them, and that in one line."""

    table: PeopleTable
    header: Header
    summary: str


def run_second_pass(results: Results, todo: SecondPass, keypoint_threshold: float) -> Results:
    """The results after a second pass; see `work_over`."""
    worked = work_over(PeopleTable.of(results), results.header, todo, keypoint_threshold)
    return worked.table.results(replace(results, header=worked.header))


def work_over(table: PeopleTable, header: Header, todo: SecondPass, keypoint_threshold: float) -> Worked:
    """People after a second pass, which keeps what was there in `original_ids` and `raw`.

    Keypoints under the threshold count as missing, and stay as they are where no gap is filled over them. Smoothing
    that was done before is undone first; the settings say what was done last. The table is changed. InputError where
    the cut-off is not below half the rate.
    """
    settings = header.settings
    if len(table.times_s) >= LEAST_FRAMES:
        check_cutoff(todo, 1 / table.step_s)
    num_joined, lines = stitch(table, todo.stitch_s, keypoint_threshold) if todo.stitch_s else (0, [])
    num_tracks = len(np.unique(table.track_ids))
    if todo.drop_shorter_s:
        table = table.keep(_is_long(table, todo.drop_shorter_s))
    num_dropped = num_tracks - len(np.unique(table.track_ids))
    if todo.fill_gaps_s or todo.smooth != "off":
        table = _unsmoothed(table)
        settings = {name: value for name, value in settings.items() if name not in (_SMOOTH, _CUTOFF)}
    if todo.fill_gaps_s:
        table = _with_filled_gaps(table, todo.fill_gaps_s, keypoint_threshold)
    settings = settings | _smoothed(table, todo, keypoint_threshold)
    header = replace(header, edits=(*header.edits, *lines), settings=settings)
    return Worked(table, header, _summary(table, todo, settings, num_joined, num_dropped))


def without_smoothing(results: Results) -> Results:
    """The results with keypoints as the network gave them, without those who were filled in; ids stay."""
    is_worked = any(frame.tracked.raw is not None for frame in results.frames)
    return _unsmoothed(PeopleTable.of(results, timeless=True)).results(results) if is_worked else results


def _smoothed(table: PeopleTable, todo: SecondPass, threshold: float) -> dict[str, Any]:
    """Smooth the people of the table; what the settings say of it."""
    if todo.smooth == "off":
        return {}
    if todo.smooth == "one-euro":
        _follow(table, threshold)
        return {_SMOOTH: todo.smooth}
    cutoff_hz = todo.cutoff_at(1 / table.step_s)
    _smooth(table, cutoff_hz, threshold)
    return {_SMOOTH: todo.smooth, _CUTOFF: round(cutoff_hz, 3)}


def _summary(table: PeopleTable, todo: SecondPass, settings: dict[str, Any], joined: int, dropped: int) -> str:
    people = int((table.poses.origin == Origin.INTERPOLATED).sum())
    keypoints = int((table.poses.scores > table.raw[..., 2]).sum())
    return (
        f"second pass: {counted(joined, 'track')} stitched, {dropped} dropped, {counted(people, 'person', 'people')} "
        f"and {counted(keypoints, 'keypoint')} filled in{_smoothing_of(todo, settings)}"
    )


def _smoothing_of(todo: SecondPass, settings: dict[str, Any]) -> str:
    if todo.smooth == "off":
        return ""
    cutoff_hz = settings.get(_CUTOFF)
    return f", smoothed by {todo.smooth}" + (f" at {cutoff_hz:.3g} Hz" if cutoff_hz else "")


def check_cutoff(todo: SecondPass, rate_hz: float) -> None:
    """InputError where so many frames per second tell nothing of what is to be filtered."""
    cutoff_hz = todo.cutoff_at(rate_hz)
    if todo.smooth == "butterworth" and cutoff_hz >= rate_hz / 2:
        raise InputError(
            f"{rate_hz:.3g} frames per second tell nothing above {rate_hz / 2:.3g} Hz, so there is nothing to filter "
            f"at {cutoff_hz:g}; pass a lower --cutoff-hz, or --smooth one-euro"
        )


def _is_long(table: PeopleTable, least_s: float) -> BoolArray:
    """(R,): rows of tracks that last for so long; a track of one frame lasts for the time to the next."""
    is_long = np.zeros(len(table), np.bool_)
    for _, rows in table.tracks():
        first, last = table.times_s[table.frames[rows[[0, -1]]]]
        is_long[rows] = last - first + table.step_s >= least_s - 1e-6
    return is_long


def _unsmoothed(table: PeopleTable) -> PeopleTable:
    """Who was in the results at first, with their keypoints as the network gave them."""
    table = table.keep(table.original_ids >= 0)
    raw = table.raw
    return replace(table, poses=replace(table.poses, keypoints=raw[..., :2].copy(), scores=raw[..., 2].copy()))


def _with_filled_gaps(table: PeopleTable, longest_s: float, threshold: float) -> PeopleTable:
    """The table with people where their track has a gap, and keypoints where they are missing, up to so long."""
    added = [
        _between(table, before, after)
        for _, rows in table.tracks()
        for before, after in _gaps(table.times_s, table.frames, rows, longest_s)
        if table.frames[after] - table.frames[before] > 1
    ]
    table = PeopleTable.join([table, *added], table.times_s)
    keypoints, scores = table.poses.keypoints.copy(), table.poses.scores.copy()
    for _, rows in table.tracks():
        is_good = _is_good(table.poses, threshold)[rows]
        for keypoint in range(is_good.shape[1]):
            seen = rows[is_good[:, keypoint]]
            for before, after in _gaps(table.times_s, table.frames, seen, longest_s):
                inside = rows[(rows > before) & (rows < after)]
                share = _shares(table, inside, before, after).astype(np.float32)[:, None]
                ends = table.poses.keypoints[[before, after], keypoint]
                keypoints[inside, keypoint] = (1 - share) * ends[0] + share * ends[1]
                scores[inside, keypoint] = table.poses.scores[[before, after], keypoint].min()
    return replace(table, poses=replace(table.poses, keypoints=keypoints, scores=scores))


def _gaps(times_s: DoubleArray, frames: IntArray, rows: IntArray, longest_s: float) -> Iterator[tuple[int, int]]:
    """Rows before and after each gap among rising rows of one person, if they are no farther apart than that."""
    steps, steps_s = np.diff(frames[rows]), np.diff(times_s[frames[rows]])
    for place in np.flatnonzero((steps > 1) & (steps_s <= longest_s + 1e-6)):
        yield int(rows[place]), int(rows[place + 1])


def _shares(table: PeopleTable, rows: IntArray, before: int, after: int) -> DoubleArray:
    """How far rows are on the way in time from one row to another, 0 to 1."""
    times_s = table.times_s[table.frames]
    return (times_s[rows] - times_s[before]) / (times_s[after] - times_s[before])


def _between(table: PeopleTable, before: int, after: int) -> PeopleTable:
    """The person of two rows in the frames between, with a box and without keypoints."""
    frames = np.arange(table.frames[before] + 1, table.frames[after])
    times_s = table.times_s
    start_s, end_s = times_s[table.frames[before]], times_s[table.frames[after]]
    share = ((times_s[frames] - start_s) / (end_s - start_s)).astype(np.float32)[:, None]
    boxes, box_scores = table.poses.boxes[[before, after]], table.poses.box_scores[[before, after]]
    count, num_keypoints = len(frames), table.poses.scores.shape[1]
    missing = np.full((count, num_keypoints, 2), np.nan, np.float32)
    scores = np.zeros((count, num_keypoints), np.float32)
    poses = Poses(
        keypoints=missing,
        scores=scores,
        boxes=(1 - share) * boxes[0] + share * boxes[1],
        box_scores=np.full(count, box_scores.min(), np.float32),
        origin=np.full(count, Origin.INTERPOLATED, np.int8),
    )
    raw = np.concatenate([missing, scores[..., None]], axis=2)
    is_confirmed = bool(table.confirmed[[before, after]].all())
    return PeopleTable(
        frames,
        times_s,
        poses,
        np.full(count, table.track_ids[before]),
        np.full(count, -1),
        np.full(count, np.nan, np.float32),
        np.full(count, is_confirmed),
        raw,
    )


def _is_good(poses: Poses, threshold: float) -> BoolArray:
    return (poses.scores >= threshold) & np.isfinite(poses.keypoints).all(axis=2)


def _smooth(table: PeopleTable, cutoff_hz: float, threshold: float) -> None:
    """Filter each keypoint of each track, segment by segment: what is missing is never crossed, nor are pauses."""
    keypoints = table.poses.keypoints.copy()
    for _, rows in table.tracks():
        times_s = table.times_s[table.frames[rows]]
        is_good = _is_good(table.poses, threshold)[rows]
        starts = np.flatnonzero(np.diff(times_s) > _PAUSE * table.step_s) + 1
        for part, part_s, good in zip(*(np.split(v, starts) for v in (rows, times_s, is_good)), strict=True):
            _smooth_part(keypoints, part, part_s, good, cutoff_hz)
    table.poses = replace(table.poses, keypoints=keypoints)


def _smooth_part(
    keypoints: FloatArray, rows: IntArray, times_s: DoubleArray, is_good: BoolArray, cutoff_hz: float
) -> None:
    """Filter the keypoints of rows without a pause; those that are there all the time go together."""
    whole = np.flatnonzero(is_good.all(axis=0))
    groups = [(whole, 0, len(rows))] if len(whole) else []
    for keypoint in np.flatnonzero(is_good.any(axis=0) & ~is_good.all(axis=0)).tolist():
        edges = np.flatnonzero(np.diff(is_good[:, keypoint].astype(np.int8), prepend=0, append=0))
        groups += [(np.array([keypoint]), start, stop) for start, stop in edges.reshape(-1, 2).tolist()]
    for places, start, stop in groups:
        if stop - start >= LEAST_FRAMES:
            index = np.ix_(rows[start:stop], places)
            values = keypoints[index].reshape(stop - start, -1).astype(np.float64)
            smoothed = butterworth(hampel(values, times_s[start:stop]), times_s[start:stop], cutoff_hz)
            keypoints[index] = smoothed.reshape(stop - start, len(places), 2).astype(np.float32)


def _follow(table: PeopleTable, threshold: float) -> None:
    """Let One-Euro follow the keypoints of each track; boxes stay."""
    follower = OneEuro(threshold)
    pairs = zip(table.people(), table.times_s.tolist(), strict=True)
    smoothed = [follower.smooth(people, time_s).poses.keypoints for people, time_s in pairs]
    table.poses = replace(table.poses, keypoints=np.concatenate(smoothed))
