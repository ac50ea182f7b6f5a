"""Which parts of tracks one person must have had: what was lost and what began, or was found again, later on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tracker.after.table import PeopleTable
from tracker.tracking.oks import mean_steps, size_ratios
from tracker.types import BoolArray, DoubleArray, FloatArray, IntArray, RowTable

# Pace and size of an end are taken over so many seconds; what moved for a shorter time than the second has less pace.
_END_S, _BRIEF_S = 0.3, 0.15
# The pace of somebody lost is believed for so long.
_PACE_S = 0.5
# How far, in person sizes, people are from where their paces would have brought them: deviations at once, by how much
# they grow in a second, and by how much at most.
_NEAR, _GROWTH, _MOST_GROWTH = 0.06, 0.3, 0.5
# Deviation of the logarithms of sizes, of boxes and by the spread of keypoints.
_SIZE_DEVIATION = 0.12
# Costs are logarithms of how much less likely something is. Nobody is the same at this cost or a higher one; to part
# what the tracker took for the same costs so much, too; and another choice must be so much worse.
_LIMIT, _PARTING, _CLEARLY = 10.0, 3.0, 2.0


@dataclass(frozen=True)
class Ends(RowTable):
    """Beginnings or ends of N tracks, or of parts of them.

    frames: (N,) places of frames. keypoints: (N, K, 2) pixels, NaN where not sure. middles: (N, 2) and sizes: (N,) of
    the boxes, pixels. paces: (N, 2) pixels per second.
    """

    track_ids: IntArray
    frames: IntArray
    times_s: DoubleArray
    keypoints: FloatArray
    middles: DoubleArray
    sizes: DoubleArray
    paces: DoubleArray


@dataclass(frozen=True)
class Break:
    """A lost track and a new one that may be one person's, a row each; cost: from 0, at once at its place, to 1."""

    lost: Ends
    new: Ends
    cost: float

    @property
    def ids(self) -> tuple[int, int]:
        """That of the lost track, and that of the new one."""
        return int(self.lost.track_ids[0]), int(self.new.track_ids[0])


@dataclass(frozen=True)
class _Links(RowTable):
    """L ways to go on: from the end of one part to the beginning of another, numbers of parts.

    gains: (L,) of taking it, above 0. is_own: (L,) whether the tracker took it.
    """

    lost: IntArray
    new: IntArray
    gains: DoubleArray
    is_own: BoolArray


def find_breaks(table: PeopleTable, longest_s: float, threshold: float) -> list[Break]:
    """Every lost and new track that may be one person's, at most so many seconds apart, by rising cost.

    None are across a cut, where all tracks end and others begin in the next frame. threshold: of keypoints that count.
    """
    tracks = [rows for _, rows in table.tracks()]
    births, deaths = (_ends(table, tracks, threshold, first=first) for first in (True, False))
    found = [
        Break(deaths[[lost]], births[[new]], cost / _LIMIT)
        for lost, new, cost in _pairs(deaths, births, longest_s, _cuts(table))
    ]
    return sorted(found, key=lambda found: found.cost)


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


def stitch(table: PeopleTable, longest_s: float, threshold: float) -> tuple[int, list[str]]:
    """Give ids on where the tracker lost people, or found them again under another's id, now that all is known.

    Tracks are parted at their gaps, and all ends and beginnings compared: by place, pace and size, seen from both
    sides, and by how long nobody was seen. The likeliest choice as a whole is taken where it is clearly the likeliest;
    else everything stays. longest_s: between an end and a beginning that the tracker did not join. threshold: of
    keypoints that count. Returns how many were joined anew, and lines that say which ids became which.
    """
    parts, ids = _parts(table)
    links = _links(table, parts, ids, longest_s, threshold)
    links = links[_decide(links)]
    return int((~links.is_own).sum()), _rename(table, parts, ids, links)


def _keys(found: Break) -> tuple[tuple[str, int], tuple[str, int]]:
    lost, new = found.ids
    return ("lost", lost), ("new", new)


def _parts(table: PeopleTable) -> tuple[list[IntArray], IntArray]:
    """The rows of each part of a track without a gap, track by track and by time, and the ids (N,) of the tracks."""
    parts, ids = list[IntArray](), list[int]()
    for track_id, rows in table.tracks():
        found = np.split(rows, np.flatnonzero(np.diff(table.frames[rows]) > 1) + 1)
        parts += found
        ids += [track_id] * len(found)
    return parts, np.array(ids, np.int64)


def _links(table: PeopleTable, parts: Sequence[IntArray], ids: IntArray, longest_s: float, threshold: float) -> _Links:
    births, deaths = (_ends(table, parts, threshold, first=first) for first in (True, False))
    own = np.flatnonzero(ids[1:] == ids[:-1])
    gains = np.maximum(_LIMIT - _costs(deaths[own], births[own + 1]), 0) + _PARTING
    taken = set(own.tolist())
    found = [
        (lost, new, _LIMIT - cost)
        for lost, new, cost in _pairs(deaths, births, longest_s, _cuts(table))
        if not (lost in taken and new == lost + 1)
    ]
    lost, new, others = np.array(found, np.float64).reshape(-1, 3).T
    return _Links(
        np.append(own, lost.astype(np.int64)),
        np.append(own + 1, new.astype(np.int64)),
        np.append(gains, others),
        np.arange(len(own) + len(found)) < len(own),
    )


def _pairs(deaths: Ends, births: Ends, longest_s: float, cuts: IntArray) -> Iterator[tuple[int, int, float]]:
    """Numbers of an end and of a beginning that may be one person's, with the cost of that, under the limit."""
    order = np.argsort(births.frames, kind="stable")
    frames, times_s = births.frames[order], births.times_s[order]
    cuts_before = np.searchsorted(cuts, frames, "right")
    for lost, (frame, time_s) in enumerate(zip(deaths.frames.tolist(), deaths.times_s.tolist(), strict=True)):
        start, stop = np.searchsorted(frames, frame, "right"), np.searchsorted(times_s, time_s + longest_s, "right")
        stop = min(stop, np.searchsorted(cuts_before, np.searchsorted(cuts, frame, "right"), "right"))
        new = order[start:stop]
        costs = _costs(deaths[[lost]], births[new])
        for place in np.flatnonzero(costs < _LIMIT).tolist():
            yield lost, int(new[place]), float(costs[place])


def _costs(lost: Ends, new: Ends) -> DoubleArray:
    """(P,): how much less likely it is that these are the same people than of who is where they should be at once."""
    gap_s = new.times_s - lost.times_s
    believed_s = np.minimum(gap_s, _PACE_S)[:, None] / 2
    way = mean_steps(new.keypoints - lost.keypoints, lambda: new.middles - lost.middles)
    distances = np.hypot(*(way - (lost.paces + new.paces) * believed_s).T) / (lost.sizes + new.sizes) * 2
    deviations = _NEAR + np.minimum(_GROWTH * gap_s, _MOST_GROWTH)
    ratios = np.log(new.sizes / lost.sizes) ** 2 + size_ratios(new.keypoints, lost.keypoints) ** 2
    costs = (distances / deviations) ** 2 / 2 + 2 * np.log(deviations / _NEAR) + ratios / _SIZE_DEVIATION**2 / 2
    return np.where(np.isfinite(costs), costs, np.inf)


def _ends(table: PeopleTable, parts: Sequence[IntArray], threshold: float, *, first: bool) -> Ends:
    near = [_near_end(table, rows, first=first) for rows in parts]
    at, far = (np.array([rows[place] for rows in near], np.int64) for place in (0, -1))
    boxes = table.poses.boxes.astype(np.float64)
    sizes = [np.median((boxes[rows, 2:] - boxes[rows, :2]).mean(axis=1)) for rows in near]
    keypoints, middles = _sure(table, at, threshold), _middles(boxes[at])
    way = mean_steps(keypoints - _sure(table, far, threshold), lambda: middles - _middles(boxes[far]))
    times_s = table.times_s[table.frames]
    span_s = times_s[at] - times_s[far]
    paces = way * (np.sign(span_s) / np.maximum(np.abs(span_s), _BRIEF_S))[:, None]
    sizes_of_ends = np.maximum(np.array(sizes, np.float64), 1)
    return Ends(table.track_ids[at], table.frames[at], times_s[at], keypoints, middles, sizes_of_ends, paces)


def _near_end(table: PeopleTable, rows: IntArray, *, first: bool) -> IntArray:
    """The rows at the beginning or the end of a part, from there on inwards."""
    inwards = rows if first else rows[::-1]
    times_s = table.times_s[table.frames[inwards]]
    return inwards[np.abs(times_s - times_s[0]) <= _END_S]


def _sure(table: PeopleTable, rows: IntArray, threshold: float) -> FloatArray:
    is_sure = table.poses.scores[rows] >= threshold
    return np.where(is_sure[..., None], table.poses.keypoints[rows], np.float32(np.nan))


def _middles(boxes: DoubleArray) -> DoubleArray:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _decide(links: _Links) -> BoolArray:
    """Which links (L,) are taken: the best ones where another choice is clearly worse, else the tracker's."""
    groups = _groups(links)
    best = np.zeros(len(links), np.bool_)
    for rows in _rows_of(groups):
        best[rows] = _best(links[rows])
    taken, changed = best.copy(), np.flatnonzero(best != links.is_own)
    for places in _rows_of(_groups(links[changed])):
        rows = changed[places]
        members = np.flatnonzero(groups == groups[rows[0]])
        rivals, most = links[members], links.gains[members[best[members]]].sum()
        if any(most - _gain_without(links[[row]], rivals) < _CLEARLY for row in rows[~links.is_own[rows]].tolist()):
            taken[rows] = links.is_own[rows]
    return taken


def _gain_without(one: _Links, rivals: _Links) -> float:
    """What the best choice among rivals gains without one of them."""
    others = rivals[(rivals.lost != one.lost) | (rivals.new != one.new)]
    return float(others.gains[_best(others)].sum())


def _best(links: _Links) -> BoolArray:
    """Which (L,) have the largest sum of gains, if each end and each beginning has one at most."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    if len(links) < 2:
        return np.ones(len(links), np.bool_)
    lost, rows = np.unique(links.lost, return_inverse=True)
    new, columns = np.unique(links.new, return_inverse=True)
    alone = np.arange(len(lost))  # each may have a column of its own, which stands for nobody
    gains = np.append(links.gains, np.zeros(len(lost))) + 1  # what is 0 would be no choice
    places = np.append(rows, alone), np.append(columns, len(new) + alone)
    chosen = min_weight_full_bipartite_matching(csr_matrix((gains, places)), maximize=True)[1]
    return np.asarray(chosen[rows] == columns)


def _groups(links: _Links) -> IntArray:
    """Numbers (L,) of groups of links, of which none has an end or a beginning in common with another group."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = int(max(links.lost.max(initial=-1), links.new.max(initial=-1))) + 1
    graph = coo_matrix((np.ones(len(links)), (links.lost, count + links.new)), (2 * count, 2 * count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)[links.lost]


def _rows_of(groups: IntArray) -> list[IntArray]:
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1) if len(groups) else []


def _rename(table: PeopleTable, parts: Sequence[IntArray], ids: IntArray, links: _Links) -> list[str]:
    """Give each part the id of the first one of its chain, or a new one where that is an earlier chain's."""
    goes_on = dict(zip(links.lost.tolist(), links.new.tolist(), strict=True))
    heads = sorted(set(range(len(parts))) - set(goes_on.values()), key=lambda part: int(parts[part][0]))
    new_ids, newest, used = ids.copy(), int(ids.max(initial=0)), set[int]()
    for head in heads:
        track_id = int(ids[head])
        if track_id in used:
            track_id = newest = newest + 1
        used.add(track_id)
        part: int | None = head
        while part is not None:
            new_ids[part] = track_id
            part = goes_on.get(part)
    for rows, track_id in zip(parts, new_ids.tolist(), strict=True):
        table.track_ids[rows] = track_id
    return list(_lines(table, parts, ids, new_ids))


def _lines(table: PeopleTable, parts: Sequence[IntArray], ids: IntArray, new_ids: IntArray) -> Iterator[str]:
    """Which id became which, where it did, from which time on if not from the first."""
    for part, (old, new) in enumerate(zip(ids.tolist(), new_ids.tolist(), strict=True)):
        is_first = part == 0 or ids[part - 1] != old
        if new != (old if is_first else new_ids[part - 1]):
            since = "" if is_first else f" @ {table.times_s[table.frames[parts[part][0]]]:.3f}"
            yield f"stitch {old} -> {new}{since}"


def _cuts(table: PeopleTable) -> IntArray:
    """Places of frames in which people are none of whom was in the frame before, where there were some."""
    tracks = [rows for _, rows in table.tracks()]
    counts = np.bincount(table.frames, minlength=len(table.times_s))
    born, gone = (
        np.bincount(np.array([table.frames[rows[end]] for rows in tracks], np.int64), minlength=len(counts))
        for end in (0, -1)
    )
    is_cut = (born[1:] == counts[1:]) & (gone[:-1] == counts[:-1]) & (counts[1:] > 0) & (counts[:-1] > 0)
    return np.flatnonzero(is_cut) + 1
