"""The people of whole results as one table, for what looks at many frames at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from tracker.errors import InputError
from tracker.formats.record import FrameResult, Header, Moment, Results
from tracker.skeletons import Skeleton
from tracker.types import BoolArray, DoubleArray, FloatArray, IntArray, Poses, TrackedPoses


@dataclass
class PeopleTable:
    """A row per person and frame, R of them, by rising frame; arrays as `TrackedPoses` has them.

    frames: (R,) the place of each row's frame among the frames. times_s: (F,) of all frames. raw: (R, K, 3) keypoints
    and scores as the network gave them. The rest may be changed.
    """

    frames: IntArray
    times_s: DoubleArray
    poses: Poses
    track_ids: IntArray
    original_ids: IntArray
    similarities: FloatArray
    confirmed: BoolArray
    raw: FloatArray

    @classmethod
    def of(cls, results: Results, *, timeless: bool = False) -> PeopleTable:
        """The people of results; InputError where neither frames nor header tell times, unless they do not matter."""
        times_s = np.zeros(len(results.frames)) if timeless else times_of(results.frames, results.header)
        return cls.of_people([frame.tracked for frame in results.frames], times_s, results.header.skeleton)

    @classmethod
    def of_people(cls, people: Sequence[TrackedPoses], times_s: DoubleArray, skeleton: Skeleton) -> PeopleTable:
        """The people of each frame, of whom nobody may have features."""
        people = [TrackedPoses.empty(skeleton.num_keypoints), *people]
        raw = [_raw_of(tracked) for tracked in people]
        original = [tracked.track_ids if tracked.original_ids is None else tracked.original_ids for tracked in people]
        return cls(
            frames=np.repeat(np.arange(len(people) - 1), [len(tracked) for tracked in people[1:]]),
            times_s=times_s,
            poses=Poses.join([tracked.poses for tracked in people]),
            track_ids=np.concatenate([tracked.track_ids for tracked in people]),
            original_ids=np.concatenate(original),
            similarities=np.concatenate([tracked.similarities for tracked in people]),
            confirmed=np.concatenate([tracked.confirmed for tracked in people]),
            raw=np.concatenate(raw),
        )

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def step_s(self) -> float:
        """Seconds from one frame to the next, the median; infinite for one frame."""
        return float(np.median(np.diff(self.times_s))) if len(self.times_s) > 1 else np.inf

    def tracks(self) -> Iterator[tuple[int, IntArray]]:
        """Each id with its rows, which rise."""
        order = np.argsort(self.track_ids, kind="stable")
        ids, starts = np.unique(self.track_ids[order], return_index=True)
        yield from zip(ids.tolist(), np.split(order, starts)[1:], strict=True)

    def keep(self, rows: BoolArray) -> PeopleTable:
        """The same with the rows (R,) that are marked alone."""
        return self._at(np.flatnonzero(rows))

    @classmethod
    def join(cls, tables: Sequence[PeopleTable], times_s: DoubleArray) -> PeopleTable:
        """The rows of several tables of the same frames, at least one, by frame. times_s: (F,) of the frames."""
        joined = cls(
            np.concatenate([table.frames for table in tables]),
            times_s,
            Poses.join([table.poses for table in tables]),
            *(
                np.concatenate([getattr(table, name) for table in tables])
                for name in ("track_ids", "original_ids", "similarities", "confirmed", "raw")
            ),
        )
        is_sorted = bool((np.diff(joined.frames) >= 0).all())
        return joined if is_sorted else joined._at(np.argsort(joined.frames, kind="stable"))

    def _at(self, index: IntArray) -> PeopleTable:
        names = ("frames", "poses", "track_ids", "original_ids", "similarities", "confirmed", "raw")
        return replace(self, **{name: getattr(self, name)[index] for name in names})

    def results(self, results: Results) -> Results:
        """Those results with the people as they are here, as `people` gives them."""
        pairs = zip(results.frames, self.people(), strict=True)
        return replace(results, frames=tuple(replace(frame, tracked=tracked) for frame, tracked in pairs))

    def people(self) -> Iterator[TrackedPoses]:
        """The people of each frame; who they were at first is kept where it differs."""
        bounds = np.searchsorted(self.frames, np.arange(len(self.times_s) + 1)).tolist()
        now = np.concatenate([self.poses.keypoints, self.poses.scores[..., None]], axis=2)
        is_worked = not np.array_equal(now, self.raw, equal_nan=True)
        is_renamed = is_worked or not np.array_equal(self.track_ids, self.original_ids)
        for start, stop in pairwise(bounds):
            rows = slice(start, stop)
            yield TrackedPoses(
                self.poses[rows],
                self.track_ids[rows],
                self.similarities[rows],
                self.confirmed[rows],
                original_ids=self.original_ids[rows] if is_renamed else None,
                raw=self.raw[rows] if is_worked else None,
            )


class KeptPeople:
    """The people of frames as they come, as columns: an object for each frame would take twice the memory.

    frames: those that came, without their people.
    """

    _MOST_WAITING = 500

    def __init__(self, header: Header) -> None:
        self.frames: list[FrameResult] = []
        self._header = header
        self._waiting: list[TrackedPoses] = []
        self._parts: list[PeopleTable] = []
        self._nobody = TrackedPoses.empty(header.skeleton.num_keypoints)

    def add(self, frame: Moment, people: TrackedPoses) -> None:
        """The next frame; nobody may have features."""
        self.frames.append(FrameResult(frame.index, frame.time_s, self._nobody, frame.file, frame.size_wh))
        self._waiting.append(people)
        if len(self._waiting) == self._MOST_WAITING:
            self._pack()

    def take(self) -> PeopleTable:
        """All of them, who are not kept on; InputError where neither frames nor header tell times."""
        self._pack()
        parts, self._parts = self._parts, []
        return PeopleTable.join(parts, times_of(self.frames, self._header))

    def _pack(self) -> None:
        people, self._waiting = self._waiting, []
        part = PeopleTable.of_people(people, np.zeros(len(people)), self._header.skeleton)
        part.frames += len(self.frames) - len(people)
        self._parts.append(part)


def _raw_of(tracked: TrackedPoses) -> FloatArray:
    if tracked.raw is not None:
        return tracked.raw
    return np.concatenate([tracked.poses.keypoints, tracked.poses.scores[..., None]], axis=2)


def times_of(frames: Sequence[FrameResult], header: Header) -> DoubleArray:
    """The times (F,) of frames, in seconds; by their numbers where they are not stated, else InputError."""
    times_s = np.array([frame.time_s for frame in frames], np.float64)
    if np.isfinite(times_s).all() and (np.diff(times_s) > 0).all():
        return times_s
    if not header.fps:
        raise InputError("these results state no times of their frames; say --fps R, how many there are in a second")
    return np.array([frame.index / header.fps for frame in frames], np.float64)
