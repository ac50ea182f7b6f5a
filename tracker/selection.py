"""Whom a run is about: so many people at most, one of them alone, or those who stand in a region."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, SupportsIndex, TypeAlias

import numpy as np

from tracker.boxes import iou
from tracker.errors import InputError, nearest
from tracker.tracking.matching import match_greedily
from tracker.types import BoolArray, DoubleArray, FloatArray, Frame, IntArray, TrackedPoses

# Who alone: by size, by place, by the id of a run before, or by a point of the picture.
Only: TypeAlias = str | int | tuple[float, float]
# Two corners or a polygon, as a text, a row of numbers, or points.
Region: TypeAlias = str | Sequence[float] | Sequence[Sequence[float]]

_WORDS = ("largest", "centre")
_REGION = "region must be X1,Y1,X2,Y2, or more points of a polygon, from 0 up, not {}"
# By how much of their size people are looked for around those who are chosen: who comes so near may hide them.
_NEAR = 0.5
# Boxes of one person in two frames overlap so much; by so much of their size people may leave a region before they are
# out of it, and in which directions.
_SAME_IOU, _SLACK = 0.5, 0.1
_STEPS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))


@dataclass(frozen=True)
class Selection:
    """Whom a run is about; everybody by default. Raises ValueError for what makes no sense.

    people: at most so many ids in all; whoever comes then is taken for the most similar of those who are lost. only:
    `largest`, `centre`, an id, or a point x, y on somebody; chosen once, then followed. region: people who stand there,
    by the middle of their box's lower edge: two corners x, y, x, y, or at least three of a polygon. Numbers up to 1 are
    shares of the picture, others pixels of it, pixels being square.
    """

    people: int | None = None
    only: Only | None = None
    region: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.people is not None and self.only is not None:
            raise ValueError("only is one person; give no people")
        if self.people is not None and (not isinstance(self.people, SupportsIndex) or self.people < 1):
            raise ValueError(f"people must be a whole number of 1 or more, not {self.people!r}")
        _check_only(self.only)
        if self.region is not None:
            _check_region(self.region)

    def describe(self) -> str:
        """Who, in words."""
        whom = {"largest": "the largest person", "centre": "the person in the centre"}
        parts = [f"{self.people} {'person' if self.people == 1 else 'people'} at most"] if self.people else []
        if isinstance(self.only, int):
            parts.append(f"person {self.only} alone")
        elif self.only is not None:
            where = whom.get(self.only) if isinstance(self.only, str) else f"the person at {_in_words(self.only)}"
            parts.append(f"{where} alone")
        return ", ".join([*parts, *([f"who stand in {_in_words(self.region)}"] if self.region else [])])

    def check(self, size_wh: tuple[int, int]) -> None:
        """InputError for pixels that pictures of this size do not have."""
        for name, numbers in (("region", self.region), ("only", self.only)):
            if isinstance(numbers, tuple) and (_points(numbers, size_wh).min(axis=0) >= size_wh).any():
                size = " by ".join(map(str, size_wh))
                raise InputError(f"{name} {_listed(numbers)} is outside the {size} pixels of the picture; move it")

    def stand_inside(self, boxes: FloatArray, size_wh: tuple[int, int], slack: float = 0.0) -> BoolArray:
        """Which people (N,) in these boxes (N, 4) stand in the region, or beside it by a share of their size."""
        if self.region is None:
            return np.ones(len(boxes), np.bool_)
        feet = np.stack([boxes[:, [0, 2]].mean(axis=1), boxes[:, 3]], axis=1)
        # So much beside the region counts as in it, and feet below the picture's edge as on it.
        slack_wh = slack * (boxes[:, 2:] - boxes[:, :2])
        places = (np.clip(feet + step * slack_wh, 0.5, np.array(size_wh) - 0.5) for step in _STEPS[: 5 if slack else 1])
        return np.any([_are_inside(place, _corners(self.region, size_wh)) for place in places], axis=0)


def read_only(given: str | int | Sequence[float]) -> Only:
    """What --only says, or a caller in Python; ValueError for what makes no sense.

    >>> read_only("center"), read_only("3"), read_only("0.5,0.4")
    ('centre', 3, (0.5, 0.4))
    """
    only: Any = given
    if isinstance(given, str):
        word = "centre" if given == "center" else given
        is_word = word in _WORDS or "," not in word
        only = int(given) if given.isdecimal() else word if is_word else _read_numbers(given)
    elif isinstance(given, Sequence | np.ndarray):
        only = tuple(given)
    _check_only(only)
    return only


def read_region(given: Region) -> tuple[float, ...]:
    """What --region says, or a caller in Python; ValueError for what makes no sense.

    >>> read_region("0,0,0.5,1"), read_region([(0, 0), (1, 0), (0.5, 1)])
    ((0.0, 0.0, 0.5, 1.0), (0.0, 0.0, 1.0, 0.0, 0.5, 1.0))
    """
    try:
        numbers = np.array(_read_numbers(given) if isinstance(given, str) else given, np.float64)
    except TypeError:
        raise ValueError(_REGION.format(given)) from None
    except ValueError as error:  # points of unlike length, or no numbers
        raise ValueError(str(error) if isinstance(given, str) else _REGION.format(given)) from None
    if numbers.ndim != 1 and numbers.shape[1:] != (2,):
        raise ValueError(_REGION.format(given))
    region = tuple(numbers.ravel().tolist())
    _check_region(region)
    return region


def read_selection(people: int | None, only: Only | Sequence[float] | None, region: Region | None) -> Selection:
    """A selection of what callers in Python give."""
    only = None if only is None else read_only(only)
    return Selection(people, only, None if region is None else read_region(region))


class Choice:
    """Who is chosen in one run. forget_after_s: for how long somebody who alone was chosen is waited for."""

    def __init__(self, selection: Selection, forget_after_s: float) -> None:
        self.selection = selection
        self._forget_after_s = forget_after_s
        self._is_checked = False
        self._last = np.zeros((0, 4), np.float32)
        self._near: FloatArray | None = None
        self._scene_id = self._last_id = 0
        self._target: int | None = selection.only if isinstance(selection.only, int) else None
        self._seen_s = math.inf
        self._seats = _Seats(selection.people or 0)

    def to_look_at(self, boxes: FloatArray, size_wh: tuple[int, int]) -> BoolArray:
        """Which of these boxes (N, 4) are worth a look: while all who are chosen are in sight, those near them."""
        wanted = self.stand_inside(boxes, size_wh)
        if self._near is not None:
            wanted &= _overlap(boxes, self._near)
        return wanted

    def stand_inside(self, boxes: FloatArray, size_wh: tuple[int, int]) -> BoolArray:
        """As of the selection; InputError for numbers beyond the first picture."""
        if not self._is_checked:
            self.selection.check(size_wh)
        self._is_checked = True
        inside = self.selection.stand_inside(boxes, size_wh)
        if self.selection.region is None or inside.all() or not len(self._last):
            return inside
        # Who was inside in the last frame does not come and go as boxes tremble on the edge.
        is_known = iou(boxes, self._last).max(axis=1) >= _SAME_IOU
        return inside | (is_known & self.selection.stand_inside(boxes, size_wh, _SLACK))

    def follow(self, people: TrackedPoses, *, is_cut: bool) -> None:
        """Take note of everybody whom the tracker follows, by its own ids, before they are picked."""
        if is_cut:
            self._scene_id = self._last_id + 1
        self._last = people.poses.boxes
        self._last_id = max(self._last_id, *people.track_ids.tolist(), 0)
        wanted = self._seats.taken if self.selection.people else [self._target] if self._target else []
        rows = np.isin(people.track_ids, wanted)
        self._near = _grown(people.poses.boxes[rows]) if wanted and rows.sum() == len(wanted) else None

    def pick(self, tracked: Generator[tuple[Frame, TrackedPoses]]) -> Generator[tuple[Frame, TrackedPoses]]:
        """Each frame with those of its people who are chosen."""
        if self.selection.people is None and self.selection.only is None:
            return tracked
        return self._picked(tracked)

    def _picked(self, tracked: Generator[tuple[Frame, TrackedPoses]]) -> Generator[tuple[Frame, TrackedPoses]]:
        with closing(tracked):
            for frame, people in tracked:
                settled = people[people.confirmed | people.cut_off]
                yield frame, self._seats.give(settled) if self.selection.people else self._one(settled, frame)

    def _one(self, people: TrackedPoses, frame: Frame) -> TrackedPoses:
        if self._target in people.track_ids:
            self._seen_s = frame.time_s
        elif self._is_free(people.track_ids, frame.time_s) and len(people):
            self._target, self._seen_s = self._choose(people, frame), frame.time_s
        return people[people.track_ids == (self._target or 0)]

    def _is_free(self, track_ids: IntArray, time_s: float) -> bool:
        """Whether somebody is to be chosen: at first, after a cut, and once the last one is forgotten."""
        if self._target is None or isinstance(self.selection.only, int):
            return self._target is None
        is_over = self._target < self._scene_id <= max(track_ids.tolist(), default=0)
        return is_over or not 0 <= time_s - self._seen_s <= self._forget_after_s

    def _choose(self, people: TrackedPoses, frame: Frame) -> int | None:
        """The id of whoever is meant, None for nobody yet."""
        boxes = people.poses.boxes.astype(np.float64)
        centres, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
        only = self.selection.only
        if only == "largest":
            return int(people.track_ids[sizes.prod(axis=1).argmax()])
        point = (0.5, 0.5) if only == "centre" else only
        assert isinstance(point, tuple)
        away = np.abs(centres - _points(point, frame.size_wh)) / (1 if only == "centre" else np.maximum(sizes, 1e-6))
        distances = np.hypot(*away.T)
        if only != "centre":  # in the box
            distances[(away > 0.5).any(axis=1)] = np.inf
        return int(people.track_ids[distances.argmin()]) if distances.min() < np.inf else None


class _Seats:
    """So many ids, from 1, for people who come and go under those of a tracker."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._seat_of: dict[int, int] = {}
        self._boxes = np.zeros((number + 1, 4), np.float32)
        self._num_given = 0

    @property
    def taken(self) -> list[int]:
        """The tracker's ids of those who have the seats, once all are given."""
        return list(self._seat_of) if self._num_given == self._number else []

    def give(self, people: TrackedPoses) -> TrackedPoses:
        """The people who have a seat, under its number; confirmed and large ones are the first to get one."""
        areas = (people.poses.boxes[:, 2:] - people.poses.boxes[:, :2]).prod(axis=1)
        order = np.lexsort([-areas, ~people.confirmed])
        ids, boxes = people.track_ids, people.poses.boxes
        fresh = [row for row in order.tolist() if int(ids[row]) not in self._seat_of]
        num_new = min(self._number - self._num_given, len(fresh))
        for row in fresh[:num_new]:
            self._num_given += 1
            self._seat_of[int(ids[row])] = self._num_given
        self._revive(ids, boxes, np.array(fresh[num_new:], np.int64))
        seats = np.array([self._seat_of.get(track_id, 0) for track_id in ids.tolist()], np.int64)
        kept = seats > 0
        self._boxes[seats[kept]] = boxes[kept]
        return replace(people[kept], track_ids=seats[kept])

    def _revive(self, ids: IntArray, boxes: FloatArray, rows: IntArray) -> None:
        """Give those at `rows` the seats of the lost whom they are most like, by place and size."""
        lost = {seat: track_id for track_id, seat in self._seat_of.items() if track_id not in ids}
        if not (len(rows) and lost):
            return
        seats, similarities = np.array(list(lost), np.int64), _likeness(boxes[rows], self._boxes[list(lost)])
        given, _ = match_greedily(similarities.astype(np.float32), seats, 0.0)
        for row, seat in zip(rows.tolist(), given.tolist(), strict=True):
            if seat > 0:
                del self._seat_of[lost[seat]]
                self._seat_of[int(ids[row])] = seat


def _check_only(only: Only | None) -> None:
    is_point = isinstance(only, tuple) and len(only) == 2 and all(0 <= number < math.inf for number in only)
    if not (only is None or only in _WORDS or is_point or (isinstance(only, int) and only > 0)):
        near = nearest(only, _WORDS) if isinstance(only, str) else ""
        raise ValueError(f"only must be {', '.join(_WORDS)}, an id, or a point X,Y, not {only!r}{near}")
    if isinstance(only, tuple):
        _refuse_mixture("only", only)


def _check_region(region: tuple[float, ...]) -> None:
    is_even = len(region) >= 4 and len(region) % 2 == 0
    if not is_even or not all(0 <= number < math.inf for number in region):
        raise ValueError(_REGION.format(_listed(region)))
    _refuse_mixture("region", region)
    corners = _corners(region, (1, 1))
    x, y = (corners - corners[0]).T
    tiny = 1e-9 * np.ptp(x) * np.ptp(y)
    if abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) > tiny:
        return
    far = np.hypot(x, y).argmax()
    if (np.abs(x * y[far] - y * x[far]) <= tiny).all():
        raise ValueError(f"region {_listed(region)} has no area; give other corners")
    raise ValueError(f"region {_listed(region)} crosses itself; give its corners in their order around it")


def _refuse_mixture(name: str, numbers: tuple[float, ...]) -> None:
    if max(numbers) > 1 and any(0 < number < 1 for number in numbers):
        raise ValueError(f"{name} {_listed(numbers)} mixes shares of the picture and pixels of it; give one kind")


def _read_numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(map(float, text.split(",")))
    except ValueError:
        raise ValueError(f"{text!r} is no list of numbers such as 0.1,0,0.9,1") from None


def _listed(numbers: Iterable[float]) -> str:
    return ",".join(f"{number:g}" for number in numbers)


def _in_words(numbers: tuple[float, ...]) -> str:
    return f"{_listed(numbers)} ({'shares of the picture' if max(numbers) <= 1 else 'pixels'})"


def _points(numbers: tuple[float, ...], size_wh: tuple[int, int]) -> DoubleArray:
    """Points (M, 2) in pixels of a picture of that size, of which numbers up to 1 are shares."""
    return np.reshape(numbers, (-1, 2)) * (size_wh if max(numbers) <= 1 else (1, 1))


def _corners(region: tuple[float, ...], size_wh: tuple[int, int]) -> DoubleArray:
    points = _points(region, size_wh)
    if len(points) > 2:
        return points
    (x1, y1), (x2, y2) = points
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])


def _are_inside(points: DoubleArray, corners: DoubleArray) -> BoolArray:
    """Which points (N, 2) are in a polygon (M, 2): an odd number of its sides are to the right of them."""
    (ax, ay), (bx, by) = corners.T, np.roll(corners, -1, axis=0).T
    x, y = points[:, :1], points[:, 1:]
    crosses = (ay > y) != (by > y)
    places = ax + (y - ay) * (bx - ax) / np.where(ay == by, 1, by - ay)
    return (crosses & (x < places)).sum(axis=1) % 2 == 1


def _grown(boxes: FloatArray) -> FloatArray:
    margins = _NEAR * (boxes[:, 2:] - boxes[:, :2])
    return boxes + np.concatenate([-margins, margins], axis=1)


def _overlap(boxes: FloatArray, others: FloatArray) -> BoolArray:
    """Which boxes (N, 4) touch any of the others (M, 4)."""
    low = np.maximum(boxes[:, None, :2], others[:, :2])
    high = np.minimum(boxes[:, None, 2:], others[:, 2:])
    return np.any(np.all(low <= high, axis=2), axis=1)


def _likeness(boxes: FloatArray, lost: FloatArray) -> DoubleArray:
    """(N, M) in 0–1, never 0: 1 at the same place in the same size."""
    sizes, lost_sizes = (np.maximum((b[:, 2:] - b[:, :2]).max(axis=1).astype(np.float64), 1) for b in (boxes, lost))
    between = (boxes[:, None, :2] + boxes[:, None, 2:] - lost[:, :2] - lost[:, 2:]) / 2
    ratios = sizes[:, None] / lost_sizes
    return np.minimum(ratios, 1 / ratios) / (1 + np.hypot(between[..., 0], between[..., 1]) / lost_sizes)
