"""Tracks that one person must have had: one lost, one new, near in time, place and size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracker.after.table import PeopleTable
from tracker.types import DoubleArray, IntArray

# Pace and size of an end are taken over so many seconds.
_END_S = 0.3
# How far, in person sizes, somebody may be from where their pace would have brought them: at once, and per second.
_REACH, _REACH_GROWTH = 0.35, 0.5
# The pace of somebody lost is believed for so long.
_PACE_S = 0.5
_MAX_SIZE_RATIO = 1.5
# Of two that fit the nearer is taken only if it is so much nearer.
_CLEARLY = 0.5


@dataclass(frozen=True)
class End:
    """The beginning or end of a track: frame, second, middle (2,) and size of the box, pace (2,) in pixels per s."""

    track_id: int
    frame: int
    time_s: float
    middle: DoubleArray
    size: float
    pace: DoubleArray


@dataclass(frozen=True)
class Break:
    """A lost track and a new one that may be one person's; cost: 0 as near as can be, 1 at the edge of what may be."""

    lost: End
    new: End
    cost: float


def find_breaks(table: PeopleTable, longest_s: float) -> list[Break]:
    """Every lost and new track that may be one person's, at most so many seconds apart, by rising cost.

    None are across a cut, where all tracks end and others begin in the next frame.
    """
    tracks = list(table.tracks())
    births, deaths = ([_end_of(table, *track, first=first) for track in tracks] for first in (True, False))
    cuts = _cuts(table, births, deaths)
    births.sort(key=lambda birth: birth.frame)
    starts = [birth.frame for birth in births]
    found = []
    for death in deaths:
        for birth in births[np.searchsorted(starts, death.frame, "right") :]:
            if birth.time_s - death.time_s > longest_s:
                break
            cost = _cost(death, birth)
            if cost <= 1 and not any(death.frame < cut <= birth.frame for cut in cuts):
                found.append(Break(death, birth, cost))
    return sorted(found, key=lambda found: found.cost)


def stitch(table: PeopleTable, longest_s: float) -> list[tuple[int, int]]:
    """Give the ids of lost tracks to the new ones that must be the same people; which ids became which.

    Where another lost or new track would fit, too, and not clearly worse, nothing is done.
    """
    breaks = find_breaks(table, longest_s)
    joins: dict[int, int] = {}
    for found, rival_cost in zip(breaks, rival_costs(breaks), strict=True):
        if found.cost <= _CLEARLY * rival_cost:
            joins[found.new.track_id] = found.lost.track_id
    merged = []
    for new in sorted(joins):
        first = joins[new]
        while first in joins:
            first = joins[first]
        table.track_ids[table.track_ids == new] = first
        merged.append((new, first))
    return merged


def rival_costs(breaks: Sequence[Break]) -> list[float]:
    """Of each the cost of the best other one with the same lost or the same new track; infinite without."""
    groups: dict[tuple[str, int], list[Break]] = defaultdict(list)
    for found in breaks:
        for key in _keys(found):
            groups[key].append(found)
    return [
        min((rival.cost for key in _keys(found) for rival in groups[key] if rival is not found), default=np.inf)
        for found in breaks
    ]


def _keys(found: Break) -> tuple[tuple[str, int], tuple[str, int]]:
    return ("lost", found.lost.track_id), ("new", found.new.track_id)


def _cost(lost: End, new: End) -> float:
    gap_s = new.time_s - lost.time_s
    believed_s = min(gap_s, _PACE_S) / 2
    distance = new.middle - new.pace * believed_s - (lost.middle + lost.pace * believed_s)
    ratio = max(lost.size, new.size) / min(lost.size, new.size)
    if not np.isfinite(distance).all() or ratio > _MAX_SIZE_RATIO:
        return np.inf
    reach = (_REACH + _REACH_GROWTH * gap_s) * (lost.size + new.size) / 2
    return float(np.hypot(*distance) / reach)


def _end_of(table: PeopleTable, track_id: int, rows: IntArray, *, first: bool) -> End:
    times_s = table.times_s[table.frames[rows]]
    row = 0 if first else -1
    near = rows[np.abs(times_s - times_s[row]) <= _END_S]
    boxes = table.poses.boxes[near].astype(np.float64)
    middles, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).mean(axis=1)
    span_s = table.times_s[table.frames[near]]
    pace = (middles[-1] - middles[0]) / (span_s[-1] - span_s[0]) if len(near) > 1 else np.zeros(2)
    size = max(float(np.median(sizes)), 1.0)
    return End(track_id, int(table.frames[rows[row]]), float(times_s[row]), middles[row], size, pace)


def _cuts(table: PeopleTable, births: Sequence[End], deaths: Sequence[End]) -> set[int]:
    """Places of frames in which people are none of whom was in the frame before, where there were some."""
    counts = np.bincount(table.frames, minlength=len(table.times_s))
    born, gone = (np.bincount([end.frame for end in ends], minlength=len(counts)) for ends in (births, deaths))
    is_cut = (born[1:] == counts[1:]) & (gone[:-1] == counts[:-1]) & (counts[1:] > 0) & (counts[:-1] > 0)
    return set((np.flatnonzero(is_cut) + 1).tolist())
