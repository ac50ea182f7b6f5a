"""Moments of results that deserve a look, each with the edit that may be missing there; no pictures are needed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from tracker.after.stitching import find_breaks, rival_costs
from tracker.after.table import PeopleTable
from tracker.skeletons import Skeleton
from tracker.types import BoolArray, DoubleArray, FloatArray, IntArray

# How long somebody may have been away to be thought of.
_LONGEST_S = 6.0
# Between two frames nobody moves by so much of their size, unless they always do: by so many times their usual step.
_LEAST_STEP, _UNUSUAL = 0.15, 5.0
# Sides are exchanged where left and right fit so much better crosswise, for a second at most.
_CROSSWISE, _LONGEST_FLIP_S = 0.6, 1.0
# Matches are weak under this similarity.
_WEAK = 0.4
# The seconds around a meeting by which it is told who left it, and how much boxes overlap who meet.
_AROUND_S, _MEETING = 0.4, 0.2


@dataclass(frozen=True)
class Suggestion:
    """A moment. score: 0 to 1, how much it deserves a look. before, after: places of the frames around it.

    alike_s: worse moments of the same people so near to it make it needless.
    """

    score: float
    line: str
    why: str
    ids: tuple[int, ...]
    before: int
    after: int
    alike_s: float = 0.5


@dataclass(frozen=True)
class _Track:
    """A person's rows in a table, with keypoints (T, K, 2), NaN where not sure, middles (T, 2) and sizes (T,)."""

    track_id: int
    rows: IntArray
    frames: IntArray
    times_s: DoubleArray
    keypoints: FloatArray
    middles: DoubleArray
    sizes: DoubleArray


def find_suggestions(table: PeopleTable, skeleton: Skeleton, keypoint_threshold: float) -> list[Suggestion]:
    """Every moment that deserves a look, worst first; of the same people in general the worst within half a second."""
    tracks = [_track_of(table, track_id, rows, keypoint_threshold) for track_id, rows in table.tracks()]
    found = [
        *_births_near_deaths(table, keypoint_threshold),
        *(moment for pair in _pairs(tracks) for moment in _exchanges(*pair)),
        *(moment for pair in _pairs(tracks) for moment in _meetings(*pair, skeleton)),
        *(moment for track in tracks for moment in _jumps(track, skeleton)),
        *(moment for track in tracks for moment in _weak_matches(table, track)),
        *(moment for track in tracks for moment in _exchanged_sides(track, skeleton)),
    ]
    told: list[Suggestion] = []
    for moment in sorted(found, key=lambda moment: -moment.score):
        at_s = table.times_s[moment.after]
        if not any(
            abs(table.times_s[other.after] - at_s) <= moment.alike_s and set(moment.ids) <= set(other.ids)
            for other in told
        ):
            told.append(moment)
    return told


def time_text(seconds: float) -> str:
    """A time for an edit: rounded down, so that the frame is the first one from there on."""
    return f"{math.floor(seconds * 1000 + 1e-6) / 1000:.3f}"


def _track_of(table: PeopleTable, track_id: int, rows: IntArray, threshold: float) -> _Track:
    boxes = table.poses.boxes[rows].astype(np.float64)
    is_sure = table.poses.scores[rows] >= threshold
    return _Track(
        track_id,
        rows,
        table.frames[rows],
        table.times_s[table.frames[rows]],
        np.where(is_sure[..., None], table.poses.keypoints[rows], np.float32(np.nan)),
        (boxes[:, :2] + boxes[:, 2:]) / 2,
        np.maximum((boxes[:, 2:] - boxes[:, :2]).mean(axis=1), 1),
    )


def _births_near_deaths(table: PeopleTable, threshold: float) -> Iterator[Suggestion]:
    breaks = find_breaks(table, _LONGEST_S, threshold)
    one_person = {track_id: track_id for found in breaks for track_id in found.ids}
    for found, rival in zip(breaks, rival_costs(breaks), strict=True):
        lost, new = found.ids
        joined, gone = one_person[lost], one_person[new]
        if joined == gone:
            continue  # better ones say so already
        one_person = {track_id: joined if of == gone else of for track_id, of in one_person.items()}
        gap_s = float(found.new.times_s[0] - found.lost.times_s[0])
        alone = 1.0 if found.cost < 0.5 * rival else 0.7
        score = 0.95 * (1 - found.cost / 2) * alone * (1 - gap_s / (2 * _LONGEST_S))
        why = f"{new} begins {gap_s:.2f} s after {lost} ended, near there"
        before, after = int(found.lost.frames[0]), int(found.new.frames[0])
        yield Suggestion(score, f"merge {new} -> {lost}", why, (new, lost), before, after)


def _pairs(tracks: list[_Track]) -> Iterator[tuple[_Track, _Track, IntArray, IntArray]]:
    """Two tracks and the rows of either in which both are there, of all that are in some frame together."""
    for place, one in enumerate(tracks):
        for other in tracks[place + 1 :]:
            if other.frames[0] <= one.frames[-1] and one.frames[0] <= other.frames[-1]:
                _, ours, theirs = np.intersect1d(one.frames, other.frames, return_indices=True)
                yield one, other, ours, theirs


def _exchanges(one: _Track, other: _Track, ours: IntArray, theirs: IntArray) -> Iterator[Suggestion]:
    """Two who change places between two frames."""
    pairs = np.flatnonzero((np.diff(ours) == 1) & (np.diff(theirs) == 1))
    a, b = ours[pairs], theirs[pairs]
    kept = _steps(one, a, one, a + 1) + _steps(other, b, other, b + 1)
    crossed = _steps(one, a, other, b + 1) + _steps(other, b, one, a + 1)
    for at in np.flatnonzero((crossed < 0.5 * kept) & (kept > 2 * _LEAST_STEP)).tolist():
        score = 1 - 0.5 * float(crossed[at] / kept[at])
        found = _swap(one, other, int(a[at]), int(a[at]) + 1, score, "change places between two frames")
        yield replace(found, alike_s=0.0)  # each of them counts


def _meetings(one: _Track, other: _Track, ours: IntArray, theirs: IntArray, skeleton: Skeleton) -> Iterator[Suggestion]:
    """Two who overlapped and, by their pace and the lengths of their limbs, may have left as one another."""
    apart = np.hypot(*(one.middles[ours] - other.middles[theirs]).T)
    for first, last in _runs(apart < (1 - _MEETING) * (one.sizes[ours] + other.sizes[theirs]) / 2):
        nearest = first + int(np.argmin(apart[first : last + 1]))
        yield from _meeting(one, other, ours[[first, last, nearest]], theirs[[first, last]], skeleton)


def _meeting(one: _Track, other: _Track, ours: IntArray, theirs: IntArray, skeleton: Skeleton) -> Iterator[Suggestion]:
    """ours, theirs: the first and the last row of a meeting, and of one track that in which they are nearest."""
    sides = ((one, ours[0], -1), (other, theirs[0], -1), (one, ours[1], 1), (other, theirs[1], 1))
    states = [state for side in sides if (state := _state(*side, skeleton))]
    if len(states) < len(sides):
        return
    before, after = states[:2], states[2:]
    gap_s = float(one.times_s[ours[1]] - one.times_s[ours[0]])
    costs = np.array([[_unlike(a, b, gap_s) for b in after] for a in before])
    kept, crossed = costs[0, 0] + costs[1, 1], costs[0, 1] + costs[1, 0]
    doubt = float(kept / (kept + crossed)) if kept + crossed > 0 else 0.5
    if doubt > 0.35:
        score = 0.95 * min(max((doubt - 0.35) / 0.4, 0.05), 1)
        swap = _swap(one, other, int(ours[0]), int(ours[2]), score, f"met for {gap_s:.2f} s and may be exchanged since")
        yield replace(swap, after=int(one.frames[ours[1]]))


def _jumps(track: _Track, skeleton: Skeleton) -> Iterator[Suggestion]:
    """Steps between two frames that are far beyond what the person usually does; to exchange sides is none."""
    rows = np.flatnonzero(np.diff(track.frames) == 1)
    mirrored = replace(track, keypoints=track.keypoints[:, skeleton.flip_order])
    steps = np.minimum(_steps(track, rows, track, rows + 1), _steps(track, rows, mirrored, rows + 1))
    usual = float(np.nanmedian(steps)) if len(steps) else 0.0
    for at in np.flatnonzero(steps > max(_LEAST_STEP, _UNUSUAL * usual)).tolist():
        row = int(rows[at])
        score = min(0.9, 0.4 + 0.5 * float(steps[at]))
        yield _split(track, row, score, f"jumps by {steps[at]:.1f} of its size between two frames")


def _weak_matches(table: PeopleTable, track: _Track) -> Iterator[Suggestion]:
    similarities = table.similarities[track.rows]
    for row in np.flatnonzero(similarities[1:] < _WEAK).tolist():
        similarity = float(similarities[row + 1])
        yield _split(track, row, 0.6 * (1 - similarity / _WEAK), f"was matched with a similarity of {similarity:.2f}")


def _exchanged_sides(track: _Track, skeleton: Skeleton) -> Iterator[Suggestion]:
    """Spells in which left and right are the other way round than before and after."""
    flipped = track.keypoints[:, skeleton.flip_order]
    rows = np.flatnonzero(np.diff(track.frames) == 1)
    paired = np.flatnonzero(skeleton.flip_order != np.arange(skeleton.num_keypoints))
    straight = _mean_distance(track.keypoints[rows][:, paired], track.keypoints[rows + 1][:, paired])
    crosswise = _mean_distance(track.keypoints[rows][:, paired], flipped[rows + 1][:, paired])
    turns = rows[(crosswise < _CROSSWISE * straight) & (straight > 0.05 * track.sizes[rows])] + 1
    for start, stop in zip(turns[:-1].tolist(), turns[1:].tolist(), strict=True):
        length_s = float(track.times_s[stop] - track.times_s[start])
        if length_s <= _LONGEST_FLIP_S:
            line = f"sides {track.track_id} @ {time_text(track.times_s[start])} - {time_text(track.times_s[stop])}"
            why = f"left and right of {track.track_id} are exchanged for {length_s:.2f} s"
            yield Suggestion(
                0.2 + min(length_s, 0.5),
                line,
                why,
                (track.track_id,),
                int(track.frames[start - 1]),
                int(track.frames[start]),
            )


def _swap(one: _Track, other: _Track, before: int, after: int, score: float, what: str) -> Suggestion:
    """before, after: rows of the first track."""
    ids = one.track_id, other.track_id
    line = f"swap {ids[0]} {ids[1]} @ {time_text(one.times_s[after])}"
    return Suggestion(
        score, line, f"{ids[0]} and {ids[1]} {what}", ids, int(one.frames[before]), int(one.frames[after])
    )


def _split(track: _Track, row: int, score: float, what: str) -> Suggestion:
    """Between a row of the track and the next."""
    line = f"split {track.track_id} @ {time_text(track.times_s[row + 1])}"
    before, after = int(track.frames[row]), int(track.frames[row + 1])
    return Suggestion(score, line, f"{track.track_id} {what}", (track.track_id,), before, after)


def _steps(one: _Track, rows: IntArray, other: _Track, other_rows: IntArray) -> DoubleArray:
    """Mean distances of keypoints between rows of two tracks, of boxes without common ones, in person sizes."""
    sizes = (one.sizes[rows] + other.sizes[other_rows]) / 2
    distances = _mean_distance(one.keypoints[rows], other.keypoints[other_rows])
    by_box = np.hypot(*(one.middles[rows] - other.middles[other_rows]).T)
    return np.where(np.isnan(distances), by_box, distances) / sizes


def _mean_distance(keypoints: FloatArray, others: FloatArray) -> DoubleArray:
    """Of sets of keypoints (T, K, 2) the mean distances (T,) over those in both, NaN without any."""
    distances = np.hypot(*np.moveaxis(keypoints.astype(np.float64) - others, 2, 0))
    is_there = np.isfinite(distances)
    total = np.where(is_there, distances, 0).sum(axis=1)
    return np.where(is_there.any(axis=1), total / np.maximum(is_there.sum(axis=1), 1), np.nan)


def _runs(marks: BoolArray) -> Iterator[tuple[int, int]]:
    """First and last place of each run of marks."""
    edges = np.flatnonzero(np.diff(marks.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    for start, stop in edges.tolist():
        yield start, stop - 1


@dataclass(frozen=True)
class _State:
    """Somebody on one side of a meeting: middle and pace at its edge, and the lengths of limbs, in pixels."""

    middle: DoubleArray
    pace: DoubleArray
    size: float
    limbs: DoubleArray


def _state(track: _Track, row: int, direction: int, skeleton: Skeleton) -> _State | None:
    """The person on the side of a row to which the direction, −1 or 1, points; None without at least three frames."""
    off_s = direction * (track.times_s - track.times_s[row])
    rows = np.flatnonzero((off_s >= 0) & (off_s <= _AROUND_S))
    if len(rows) < 3:
        return None
    span_s = track.times_s[rows[-1]] - track.times_s[rows[0]]
    pace = (track.middles[rows[-1]] - track.middles[rows[0]]) / span_s
    edges = np.array(skeleton.edges, np.int64).reshape(-1, 2)
    limbs = np.hypot(*np.moveaxis(np.diff(track.keypoints[rows][:, edges], axis=2)[:, :, 0], 2, 0))
    lengths = np.array(
        [np.median(limb[np.isfinite(limb)]) if np.isfinite(limb).sum() > 1 else np.nan for limb in limbs.T]
    )
    return _State(track.middles[row], pace, float(np.median(track.sizes[rows])), lengths)


def _unlike(before: _State, after: _State, gap_s: float) -> float:
    """How little a state after a meeting fits one before, by pace, size and limbs; each is about 1 where in doubt."""
    size = (before.size + after.size) / 2
    trust_s = min(gap_s, 0.5) / 2
    way = after.middle - after.pace * trust_s - before.middle - before.pace * trust_s
    ratios = np.abs(np.log(np.maximum(before.limbs, 1) / np.maximum(after.limbs, 1)))
    limbs = float(np.median(ratios[np.isfinite(ratios)])) if np.isfinite(ratios).any() else 0.0
    moved = float(np.hypot(*way)) / (0.3 + gap_s) + float(np.hypot(*(after.pace - before.pace))) / 2
    return moved / size + 3 * limbs + 2 * abs(math.log(before.size / after.size))
