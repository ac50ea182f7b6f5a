"""People out of heatmaps and tags: peaks, their grouping, and what the published code does to the groups.

Maps are of one picture: heatmaps (K, h, w), and tags (T, K, h, w) with T values per keypoint and cell, one for each
network output that gave some, mirrored pictures included. Peaks lie on whole cells (x, y). `adjust` and `refine` give
positions with the cell's corner as origin, so that the centre of the first cell is (0.5, 0.5).
Source: Newell et al. (NeurIPS 2017), section 3; the published code of LitePose (`group.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from tracker.skeletons import Skeleton
from tracker.types import DoubleArray, FloatArray, IntArray, RowTable

GroupingMethod: TypeAlias = Literal["assignment", "skeleton"]
GROUPING_METHODS: tuple[str, ...] = get_args(GroupingMethod)

# Face and arms come before the legs, torso in between, in COCO's order; of fewer keypoints only those that are there.
_MATCHING_ORDER = (*range(7), 11, 12, *range(7, 11))
# A price that no person has, for opening a new one.
_NEW_PERSON_COST = 1e10
# `refine` searches blocks of so many cells along a side: first so many of those with the highest bounds.
_BLOCK = 16
_FIRST_LOOK = 8


@dataclass(frozen=True)
class GroupingConfig:
    """Settings of the grouping; the defaults are the published ones. Raises ValueError for a value out of its range."""

    method: GroupingMethod = "assignment"
    """Hungarian assignment of peaks to people, one keypoint after the other; or links along the skeleton's edges."""
    max_people: int = 30
    """Largest number of people, of peaks per keypoint, and of people that peaks are assigned to."""
    detection_threshold: float = 0.1
    """A peak must be higher than this."""
    tag_threshold: float = 1.0
    """Tags must be nearer than this to belong together."""
    nms_size: int = 5
    """A peak is the highest of a square of so many cells."""
    score_in_cost: bool = True
    """Of people with tags about equally near (to a whole number) the higher peak chooses first."""
    ignore_surplus: bool = False
    """Leave out peaks of all further keypoints once there are as many people as may be."""
    least_score: float = 0.0
    """People of a lower pose score, the mean over all keypoints, are left out; published code keeps them."""
    refine: bool = True
    """Fill in missing keypoints where the heatmap is high and the tag the person's."""

    def __post_init__(self) -> None:
        if self.method not in GROUPING_METHODS:
            raise ValueError(f"method must be one of {', '.join(GROUPING_METHODS)}, not {self.method!r}")
        if self.max_people < 1:
            raise ValueError(f"max_people must be 1 or more, not {self.max_people}")
        if self.nms_size < 1 or self.nms_size % 2 == 0:
            raise ValueError(f"nms_size must be odd, 1 or more, not {self.nms_size}")
        if not 0 <= self.detection_threshold < 1:
            raise ValueError(f"detection_threshold must be from 0 to below 1, not {self.detection_threshold}")
        if not 0 <= self.least_score < 1:
            raise ValueError(f"least_score must be from 0 to below 1, not {self.least_score}")
        if not self.tag_threshold > 0:
            raise ValueError(f"tag_threshold must be above 0, not {self.tag_threshold}")


# For tracking: a few keypoints that were split off somebody are no second person, which filling in would make of them.
TRACKED_GROUPING = GroupingConfig(least_score=0.3)


@dataclass(frozen=True, eq=False)
class Peaks:
    """The highest local maxima of each keypoint, best first; after the last of a keypoint come rows with score 0.

    positions: (K, M, 2) cells x, y. scores: (K, M). tags: (K, M, T).
    """

    positions: IntArray
    scores: FloatArray
    tags: FloatArray


@dataclass(frozen=True, eq=False)
class Groups(RowTable):
    """Keypoints of people on the maps; all numbers of a missing keypoint are 0.

    positions: (P, K, 2) float32 cells x, y. scores: (P, K) float32. tags: (P, K, T) float32, 0 also for what `refine`
    filled in.
    """

    positions: FloatArray
    scores: FloatArray
    tags: FloatArray

    @property
    def pose_scores(self) -> FloatArray:
        """(P,): mean score over all keypoints, 0 for missing ones."""
        return self.scores.mean(axis=1)


def group_keypoints(
    heatmaps: FloatArray, tags: FloatArray, skeleton: Skeleton, config: GroupingConfig
) -> tuple[Groups, FloatArray]:
    """The people in heatmaps (K, h, w) and tags (T, K, h, w), best first, at most `max_people`; their pose scores (P,).

    None of them is below `least_score`. Positions count from the cell's corner. The scores are those before keypoints
    are filled in, as published.
    Source: `HeatmapParser.parse` of the official code, which keeps all people.
    """
    peaks = find_tagged_peaks(heatmaps, tags, config)
    if config.method == "skeleton":
        groups = group_along_skeleton(peaks, skeleton.edges, config)
    else:
        groups = group_by_assignment(peaks, config)
    groups = adjust(groups, heatmaps)
    scores = groups.pose_scores
    best = np.argsort(-scores, kind="stable")[: config.max_people]
    best = best[scores[best] >= config.least_score]
    groups = groups[best]
    return (refine(groups, heatmaps, tags) if config.refine else groups), scores[best]


def find_tagged_peaks(heatmaps: FloatArray, tags: FloatArray, config: GroupingConfig) -> Peaks:
    """The `max_people` highest local maxima of each heatmap (K, h, w) above the threshold, with their tags.

    Cells of equal height in one square are peaks each, as published.
    Source: `HeatmapParser.nms` and `top_k` of the official code.
    """
    keypoint, y, x = _local_maxima(heatmaps, config.detection_threshold, config.nms_size // 2)
    heights = heatmaps[keypoint, y, x]
    best_first = np.lexsort((-heights, keypoint))
    rank = np.arange(len(keypoint)) - np.searchsorted(keypoint, keypoint)
    kept = rank < config.max_people
    chosen, rank = best_first[kept], rank[kept]
    keypoint, y, x = keypoint[chosen], y[chosen], x[chosen]
    shape = (len(heatmaps), config.max_people)
    peaks = Peaks(
        np.zeros((*shape, 2), np.int64), np.zeros(shape, np.float32), np.zeros((*shape, len(tags)), np.float32)
    )
    peaks.positions[keypoint, rank] = np.stack([x, y], axis=1)
    peaks.scores[keypoint, rank] = heights[chosen]
    peaks.tags[keypoint, rank] = tags[:, keypoint, y, x].T
    return peaks


def _local_maxima(heatmaps: FloatArray, threshold: float, reach: int) -> tuple[IntArray, IntArray, IntArray]:
    """Keypoint, row and column of the cells above the threshold that nothing within `reach` cells exceeds."""
    num_keypoints, height, width = heatmaps.shape
    # Few cells are above the threshold, and hardly any of them survives its next neighbours.
    keypoint, y, x = np.unravel_index(np.flatnonzero(heatmaps > threshold), (num_keypoints, height, width))
    offsets = [(dy, dx) for dy in range(-reach, reach + 1) for dx in range(-reach, reach + 1) if dy or dx]
    for dy, dx in sorted(offsets, key=lambda offset: offset[0] ** 2 + offset[1] ** 2):
        # At the border the neighbour is the outermost cell, which lies within reach too.
        neighbour = heatmaps[keypoint, np.clip(y + dy, 0, height - 1), np.clip(x + dx, 0, width - 1)]
        highest = heatmaps[keypoint, y, x] >= neighbour
        keypoint, y, x = keypoint[highest], y[highest], x[highest]
    return keypoint, y, x


class _People:
    """People that grow keypoint by keypoint, each known by the first tag value of the peak that opened it."""

    def __init__(self, num_keypoints: int, num_tags: int) -> None:
        self._shape = (num_keypoints, 3 + num_tags)
        self._places: dict[float, int] = {}
        self._rows: list[DoubleArray] = []
        self._tag_sums: list[FloatArray] = []
        self._tag_counts: list[int] = []

    def __len__(self) -> int:
        return len(self._rows)

    def open(self, keypoint: int, peak: DoubleArray) -> None:
        """A new person. One of the same tag stays, but for this keypoint, and is from now on known by this peak."""
        place = self._places.setdefault(peak[3], len(self))
        if place == len(self):
            self._rows.append(np.zeros(self._shape))
            self._tag_sums.append(np.zeros(0, np.float32))
            self._tag_counts.append(0)
        self._rows[place][keypoint] = peak
        self._tag_sums[place] = peak[3:].astype(np.float32)
        self._tag_counts[place] = 1

    def join(self, place: int, keypoint: int, peak: DoubleArray) -> None:
        self._rows[place][keypoint] = peak
        self._tag_sums[place] = self._tag_sums[place] + peak[3:].astype(np.float32)
        self._tag_counts[place] += 1

    def mean_tags(self, count: int) -> FloatArray:
        """(P, T) of the first `count` people."""
        counts = np.array(self._tag_counts[:count], np.float32)
        return np.stack(self._tag_sums[:count]) / counts[:, None]

    def as_groups(self) -> Groups:
        rows = np.array(self._rows, np.float32).reshape(-1, *self._shape)
        return Groups(rows[..., :2], rows[..., 2], rows[..., 3:])


def group_by_assignment(peaks: Peaks, config: GroupingConfig) -> Groups:
    """People by their tags: each keypoint's peaks are assigned to the people so far, at the least total cost.

    The cost is the distance from the person's mean tag; with `score_in_cost`, a hundred times that distance
    rounded, less the peak's height. Peaks whose tag is too far from that of the person assigned open new people.
    Equal costs are common, and which of several best assignments is taken depends on the solver.
    Source: `match_by_tag` of the official code, with SciPy's solver in place of munkres.
    """
    num_keypoints, _, num_tags = peaks.tags.shape
    people = _People(num_keypoints, num_tags)
    for keypoint in _matching_order(num_keypoints):
        found = peaks.scores[keypoint] > config.detection_threshold
        # Double precision, as published: rounding and ties depend on it.
        rows = np.column_stack([peaks.positions[keypoint], peaks.scores[keypoint], peaks.tags[keypoint]])[found]
        if not len(people):
            for row in rows:
                people.open(keypoint, row)
        elif len(rows) and not (config.ignore_surplus and len(people) >= config.max_people):
            _assign(rows, people, keypoint, config)
    return people.as_groups()


def _matching_order(num_keypoints: int) -> list[int]:
    order = (*_MATCHING_ORDER, *range(len(_MATCHING_ORDER), num_keypoints))
    return [keypoint for keypoint in order if keypoint < num_keypoints]


def _assign(rows: DoubleArray, people: _People, keypoint: int, config: GroupingConfig) -> None:
    from scipy.optimize import linear_sum_assignment  # takes a third of a second to load

    mean_tags = people.mean_tags(config.max_people)
    distances = np.linalg.norm(rows[:, None, 3:] - mean_tags, axis=2)
    cost = np.round(distances) * 100 - rows[:, 2:3] if config.score_in_cost else distances
    surplus = max(len(rows) - len(mean_tags), 0)
    cost = np.pad(cost, ((0, 0), (0, surplus)), constant_values=_NEW_PERSON_COST)
    for peak, place in zip(*linear_sum_assignment(cost), strict=True):
        if place < len(mean_tags) and distances[peak, place] < config.tag_threshold:
            people.join(int(place), keypoint, rows[peak])
        else:
            people.open(keypoint, rows[peak])


def group_along_skeleton(peaks: Peaks, edges: Sequence[tuple[int, int]], config: GroupingConfig) -> Groups:
    """People by links between neighbours on the skeleton, nearest tags first.

    edges: pairs of keypoints. Two peaks of an edge whose tags are nearer than the threshold are linked, unless that
    would give a person two peaks of one keypoint. People come in the order of their first peak; a peak without a link
    is a person of its own.
    """
    keypoint, rank = np.nonzero(peaks.scores > config.detection_threshold)
    tags = peaks.tags[keypoint, rank]
    person = _link(keypoint, tags, edges, config.tag_threshold)
    num_keypoints, _, num_tags = peaks.tags.shape
    _, row = np.unique(person, return_inverse=True)
    shape = (int(row.max(initial=-1)) + 1, num_keypoints)
    groups = Groups(
        np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32), np.zeros((*shape, num_tags), np.float32)
    )
    groups.positions[row, keypoint] = peaks.positions[keypoint, rank]
    groups.scores[row, keypoint] = peaks.scores[keypoint, rank]
    groups.tags[row, keypoint] = tags
    return groups


def _link(keypoint: IntArray, tags: FloatArray, edges: Sequence[tuple[int, int]], threshold: float) -> IntArray:
    """The first peak of each peak's person (n,), for peaks of these keypoints (n,) with these tags (n, T)."""
    starts, ends = _pairs_on_edges(keypoint, edges)
    distances = np.linalg.norm(tags[starts] - tags[ends], axis=1)
    near = np.flatnonzero(distances < threshold)
    person = np.arange(len(keypoint))
    has = np.zeros((len(keypoint), int(keypoint.max(initial=-1)) + 1), np.bool_)
    has[person, keypoint] = True
    for pair in near[np.argsort(distances[near], kind="stable")]:
        one, other = sorted((person[starts[pair]], person[ends[pair]]))
        if one != other and not (has[one] & has[other]).any():
            has[one] |= has[other]
            person[person == other] = one
    return person


def _pairs_on_edges(keypoint: IntArray, edges: Sequence[tuple[int, int]]) -> tuple[IntArray, IntArray]:
    """Indices of all pairs of peaks whose keypoints (n,) are joined by an edge."""
    is_edge = np.zeros((int(keypoint.max(initial=-1)) + 1,) * 2, np.bool_)
    for a, b in edges:
        if max(a, b) < len(is_edge):
            is_edge[a, b] = True
    starts, ends = np.nonzero(is_edge[keypoint[:, None], keypoint])
    return starts, ends


def adjust(groups: Groups, heatmaps: FloatArray) -> Groups:
    """Keypoints on whole cells of heatmaps (K, h, w) moved by a quarter cell towards the higher neighbour.

    Positions count from the cell's corner afterwards; where both neighbours are equal they move left and up.
    Source: `HeatmapParser.adjust` of the official code.
    """
    present = groups.scores > 0
    x, y = groups.positions[present].astype(np.int64).T
    positions = groups.positions.copy()
    positions[present] = _between_cells(heatmaps, np.nonzero(present)[1], x, y)
    return replace(groups, positions=positions)


def _between_cells(heatmaps: FloatArray, keypoint: npt.NDArray[Any] | int, x: IntArray, y: IntArray) -> FloatArray:
    """Positions (n, 2), from the cell's corner, of peaks on the cells x (n,), y (n,)."""
    height, width = heatmaps.shape[1:]
    left, right = heatmaps[keypoint, y, np.maximum(x - 1, 0)], heatmaps[keypoint, y, np.minimum(x + 1, width - 1)]
    up, down = heatmaps[keypoint, np.maximum(y - 1, 0), x], heatmaps[keypoint, np.minimum(y + 1, height - 1), x]
    offset_x, offset_y = np.where(right > left, 0.75, 0.25), np.where(down > up, 0.75, 0.25)
    return np.stack([x + offset_x, y + offset_y], axis=1).astype(np.float32)


def refine(groups: Groups, heatmaps: FloatArray, tags: FloatArray) -> Groups:
    """Missing keypoints filled in from heatmaps (K, h, w) and tags (T, K, h, w).

    Such a keypoint is put where the height, less the rounded distance of the tag from the person's mean tag, is
    largest, moved as by `adjust`; its score is the height there. It stays missing where that is not above 0.
    Source: `HeatmapParser.refine` of the official code, which looks at every cell for every person.
    """
    positions, scores = groups.positions.copy(), groups.scores.copy()
    present = groups.scores > 0
    counts = present.sum(axis=1, keepdims=True, dtype=np.float32)
    mean_tags = np.where(present[..., None], groups.tags, np.float32(0)).sum(axis=1) / counts
    for keypoint in np.flatnonzero(~present.all(axis=0)).tolist():
        people = np.flatnonzero(~present[:, keypoint])
        x, y = _Blocks(heatmaps[keypoint], tags[:, keypoint]).find_best(mean_tags[people])
        heights = heatmaps[keypoint, y, x]
        found = heights > 0
        positions[people[found], keypoint] = _between_cells(heatmaps, keypoint, x[found], y[found])
        scores[people[found], keypoint] = heights[found]
    return replace(groups, positions=positions, scores=scores)


class _Blocks:
    """One heatmap (h, w) and its tags (T, h, w) in B blocks of cells, with what bounds the values in a block."""

    def __init__(self, heatmap: FloatArray, tags: FloatArray) -> None:
        self._last_cell = heatmap.shape[1] - 1, heatmap.shape[0] - 1
        heatmap, tags = _padded(heatmap), _padded(tags)
        self._cells = _as_blocks(heatmap), _as_blocks(tags)
        self._highest = _reduce_blocks(heatmap, np.maximum)
        self._tag_range = _reduce_blocks(tags, np.minimum), _reduce_blocks(tags, np.maximum)

    def find_best(self, wanted: FloatArray) -> tuple[IntArray, IntArray]:
        """Column and row (P,) of the largest height less rounded distance from each tag (P, T).

        Of equal cells the first in raster order.
        """
        person, block = self._promising(wanted)
        values = self._values(block, wanted[person])
        best = np.maximum.reduceat(values.max(axis=(1, 2)), np.searchsorted(person, np.arange(len(wanted))))
        pair, dy, dx = np.nonzero(values == best[person, None, None])
        row, column = np.divmod(block[pair], self._cells[0].shape[1])
        # Cells of the padding repeat those at the border.
        x = np.minimum(column * _BLOCK + dx, self._last_cell[0])
        y = np.minimum(row * _BLOCK + dy, self._last_cell[1])
        order = np.lexsort((x, y, person[pair]))
        first = order[np.searchsorted(person[pair][order], np.arange(len(wanted)))]
        return x[first], y[first]

    def _promising(self, wanted: FloatArray) -> tuple[IntArray, IntArray]:
        """All pairs of person and block, sorted by person, in which the best value for that tag can be."""
        low, high = self._tag_range
        tag = wanted[..., None]
        # Each step is monotonic in floating point too, so that no cell of a block exceeds its bound.
        bounds = self._highest - _rounded_norm(np.maximum(np.maximum(low - tag, tag - high), 0).swapaxes(0, 1))
        count = min(_FIRST_LOOK, bounds.shape[1])
        likely = np.argpartition(-bounds, count - 1, axis=1)[:, :count]
        values = self._values(likely.ravel(), np.repeat(wanted, count, axis=0))
        reached = values.reshape(len(wanted), -1).max(axis=1)
        person, block = np.nonzero(bounds >= reached[:, None])
        return person, block

    def _values(self, blocks: IntArray, wanted: FloatArray) -> FloatArray:
        """(n, b, b), of these blocks (n,) for these tags (n, T)."""
        heights, tags = self._cells
        row, column = np.divmod(blocks, heights.shape[1])
        return heights[row, column] - _rounded_norm(tags[:, row, column] - wanted.T[..., None, None])


def _padded(maps: FloatArray) -> FloatArray:
    """Maps (…, h, w) with whole blocks; the border is repeated."""
    missing = [-size % _BLOCK for size in maps.shape[-2:]]
    if not any(missing):
        return maps
    return np.pad(maps, [(0, 0)] * (maps.ndim - 2) + [(0, size) for size in missing], mode="edge")


def _as_blocks(maps: FloatArray) -> FloatArray:
    """A view (…, rows, columns, b, b) of maps (…, h, w)."""
    *others, height, width = maps.shape
    return maps.reshape(*others, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK).swapaxes(-3, -2)


def _reduce_blocks(maps: FloatArray, extreme: np.ufunc) -> FloatArray:
    """Largest or smallest value (…, B) of each block of maps (…, h, w)."""
    *others, height, width = maps.shape
    # Rows first: that runs along the memory.
    in_columns = extreme.reduce(maps.reshape(*others, height // _BLOCK, _BLOCK, width), axis=-2)
    return extreme.reduce(in_columns.reshape(*others, -1, _BLOCK), axis=-1)


def _rounded_norm(differences: FloatArray) -> FloatArray:
    """Length over the first axis, rounded to a whole number."""
    return np.round(np.sqrt((differences * differences).sum(axis=0)))
