"""The people of whole results as one table, for what looks at many frames at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tracker.errors import InputError
from tracker.formats.record import FrameResult, Results
from tracker.types import BoolArray, DoubleArray, FloatArray, IntArray, Poses, TrackedPoses


@dataclass
class PeopleTable:
    """A row per person and frame, R of them, by rising frame; arrays as `TrackedPoses` has them.

    frames: (R,) the place of
    each row's frame among the frames. times_s: (F,) of all frames. raw: (R, K, 3) keypoints and scores as the network
    gave them. The rest may be changed.
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
        people = [TrackedPoses.empty(results.header.skeleton.num_keypoints), *(f.tracked for f in results.frames)]
        poses = Poses.join([tracked.poses for tracked in people])
        raw = [_raw_of(tracked) for tracked in people]
        original = [tracked.track_ids if tracked.original_ids is None else tracked.original_ids for tracked in people]
        return cls(
            frames=np.repeat(np.arange(len(results.frames)), [len(tracked) for tracked in people[1:]]),
            times_s=np.zeros(len(results.frames)) if timeless else times_of(results),
            poses=poses,
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
        index = np.flatnonzero(rows)
        return self._at(index)

    def added(self, others: Sequence[PeopleTable]) -> PeopleTable:
        """The same with the rows of others, by frame."""
        every = [self, *others]
        joined = PeopleTable(
            np.concatenate([table.frames for table in every]),
            self.times_s,
            Poses.join([table.poses for table in every]),
            *(
                np.concatenate([getattr(table, name) for table in every])
                for name in ("track_ids", "original_ids", "similarities", "confirmed", "raw")
            ),
        )
        return joined._at(np.argsort(joined.frames, kind="stable"))

    def _at(self, index: IntArray) -> PeopleTable:
        names = ("frames", "poses", "track_ids", "original_ids", "similarities", "confirmed", "raw")
        return replace(self, **{name: getattr(self, name)[index] for name in names})

    def results(self, results: Results) -> Results:
        """Those results with the people as they are here; who they were at first is kept where it differs."""
        bounds = np.searchsorted(self.frames, np.arange(len(results.frames) + 1))
        now = np.concatenate([self.poses.keypoints, self.poses.scores[..., None]], axis=2)
        is_worked = not np.array_equal(now, self.raw, equal_nan=True)
        is_renamed = is_worked or not np.array_equal(self.track_ids, self.original_ids)
        frames = []
        for frame, start, stop in zip(results.frames, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            rows = slice(start, stop)
            tracked = TrackedPoses(
                self.poses[rows],
                self.track_ids[rows],
                self.similarities[rows],
                self.confirmed[rows],
                original_ids=self.original_ids[rows] if is_renamed else None,
                raw=self.raw[rows] if is_worked else None,
            )
            frames.append(FrameResult(frame.index, frame.time_s, tracked, frame.file, frame.size_wh))
        return replace(results, frames=tuple(frames))


def _raw_of(tracked: TrackedPoses) -> FloatArray:
    if tracked.raw is not None:
        return tracked.raw
    return np.concatenate([tracked.poses.keypoints, tracked.poses.scores[..., None]], axis=2)


def times_of(results: Results) -> DoubleArray:
    """The times (F,) of the frames, in seconds; by their numbers where they are not stated."""
    times_s = np.array([frame.time_s for frame in results.frames], np.float64)
    if np.isfinite(times_s).all() and (np.diff(times_s) > 0).all():
        return times_s
    if not results.header.fps:
        raise InputError("these results state no times of their frames; say --fps R, how many there are in a second")
    return np.array([frame.index / results.header.fps for frame in results.frames], np.float64)
