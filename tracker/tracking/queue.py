"""The people of past frames, carried along by the flow."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from tracker.boxes import box_areas
from tracker.types import BoolArray, DoubleArray, FloatArray, IntArray, Motion, Poses, RowTable

# With less than this share of the kept keypoints reliable, or none, the flow says nothing about a person.
_FEW = 0.5
# At high frame rates the queue spans the same time as at 30 per second.
_QUEUE_STEP_S = 0.03


@dataclass(frozen=True)
class QueueEntry(RowTable):
    """The people of one past frame, as they were and as the flow has carried them since.

    keypoints: (N, K, 2) pixels of that frame, NaN where dropped. moved: the same carried to the newest frame.
    kept: (N, K), the keypoints that count. scores: (N, K). boxes, moved_boxes: (N, 4) xyxy pixels.
    box_scores: (N,). track_ids: (N,).
    """

    keypoints: FloatArray
    moved: FloatArray
    kept: BoolArray
    scores: FloatArray
    boxes: FloatArray
    moved_boxes: FloatArray
    box_scores: FloatArray
    track_ids: IntArray

    @classmethod
    def of(cls, poses: Poses, keypoint_threshold: float) -> QueueEntry:
        """The people of a frame, their keypoints under the threshold dropped; their ids are −1 still."""
        kept = (poses.scores >= keypoint_threshold) & ~np.isnan(poses.keypoints[..., 0])
        keypoints = np.where(kept[..., None], poses.keypoints, np.float32(np.nan))
        nobody = np.full(len(poses), -1, np.int64)
        return cls(keypoints, keypoints, kept, poses.scores, poses.boxes, poses.boxes, poses.box_scores, nobody)

    @property
    def mean_scores(self) -> FloatArray:
        """Mean score (N,) of each person's kept keypoints, 0 without any."""
        total = np.where(self.kept, self.scores, 0).sum(axis=1)
        return total / np.maximum(self.kept.sum(axis=1), 1)

    @property
    def bends(self) -> FloatArray:
        """How far (N,) a keypoint of each person was carried apart from the others' median, at most, by their size.

        A size is the root of the box's area; who has no kept keypoints has 0.
        """
        steps = self.moved - self.keypoints
        apart = np.hypot(*(steps - _median_steps(steps)[:, None]).transpose(2, 0, 1))
        sizes = np.sqrt(np.maximum(box_areas(self.boxes), 1))
        return np.asarray(np.where(np.isnan(apart), 0, apart).max(axis=1) / sizes, np.float32)

    def covered_by(self, newest: QueueEntry) -> BoolArray:
        """Which moved keypoints (N, K) lie in the box of somebody else in the newest entry.

        Most likely that person is in front, and the flow there is theirs.
        """
        # People of the queue come last: there are most of them, and the innermost loops of NumPy run over that axis.
        x, y = np.ascontiguousarray(self.moved.transpose(2, 1, 0))
        x1, y1, x2, y2 = newest.moved_boxes.T[:, :, None, None]
        inside = x >= x1
        for side in (x <= x2, y >= y1, y <= y2):
            inside &= side
        inside &= (newest.track_ids[:, None] != self.track_ids)[:, None]
        return inside.any(axis=0).T

    def carried(self, arrived: FloatArray, reliable: BoolArray, paces: FloatArray) -> QueueEntry:
        """The entry one frame on: `arrived` (N, K, 2) says where its moved keypoints went.

        Where the flow is not `reliable` (N, K) a keypoint goes with the rest of its person: by the median step
        of the reliable keypoints or, if too few are, by the person's pace (N, 2).
        """
        few = (reliable & self.kept).sum(axis=1) < np.maximum(_FEW * self.kept.sum(axis=1), 1)
        trusted = reliable & ~few[:, None]
        steps = arrived - self.moved
        steps[~trusted] = np.nan
        typical = np.where(few[:, None], paces, _median_steps(steps))
        lost = np.isnan(steps[..., 0])
        steps[lost] = typical[np.nonzero(lost)[0]]
        return replace(
            self, moved=self.moved + steps, moved_boxes=self.moved_boxes + np.concatenate([typical, typical], axis=1)
        )


class PoseQueue:
    """The people of the last frames, `length` at most, in one table; `len` is the number of frames.

    people: of all these frames, the oldest first. times_s: of the frames. nobody: an entry without people, for the
    start.
    """

    def __init__(self, length: int, nobody: QueueEntry) -> None:
        self.people = self._nobody = nobody
        self._newest: QueueEntry | None = nobody
        self.times_s: deque[float] = deque(maxlen=length)
        self._counts: deque[int] = deque(maxlen=length)

    def __len__(self) -> int:
        return len(self.times_s)

    @property
    def newest(self) -> QueueEntry:
        """The people of the last frame."""
        if self._newest is None:
            self._newest = self.people[self._num_older :]
        return self._newest

    def decays(self, factor: float, step_s: float) -> DoubleArray:
        """Of each of the people (M,): the factor, once for each step of time that the last frame is newer."""
        return np.repeat([factor ** ((self.times_s[-1] - time_s) / step_s) for time_s in self.times_s], self._counts)

    def push(self, entry: QueueEntry, now_s: float) -> None:
        """Add a frame; the oldest one goes if the queue is full, or the last one if it came too soon."""
        low, high = 0, len(self.people)
        if len(self) > 1 and self.times_s[-1] - self.times_s[-2] < _QUEUE_STEP_S:
            high = self._num_older
            self._counts.pop()
            self.times_s.pop()
        elif len(self) == self.times_s.maxlen:
            low = self._counts[0]
        self.people, self._newest = QueueEntry.join([self.people[low:high], entry]), entry
        self._counts.append(len(entry))
        self.times_s.append(now_s)

    def clear(self) -> None:
        """Forget everybody."""
        self.people = self._newest = self._nobody
        self._counts.clear()
        self.times_s.clear()

    def carry(self, motion: Motion, paces: FloatArray) -> BoolArray:
        """Move everybody by one frame of flow, with one question to it; paces: (M, 2), for where it is unreliable.

        Returns which keypoints (N, K) of the newest people it followed reliably.
        """
        people, older = self.people, self._num_older
        arrived = motion.move(people.moved.reshape(-1, 2))
        reliable = arrived.reliable.reshape(people.kept.shape).copy()
        reliable[:older] &= ~people[:older].covered_by(people[older:])
        self.people, self._newest = people.carried(arrived.points.reshape(people.moved.shape), reliable, paces), None
        return reliable[older:]

    @property
    def _num_older(self) -> int:
        return len(self.people) - (self._counts[-1] if self._counts else 0)


def _median_steps(steps: FloatArray) -> FloatArray:
    """Median (N, 2) of the steps (N, K, 2) that are not NaN; 0 for a person without any."""
    ordered = np.sort(steps.transpose(0, 2, 1))  # NaN goes last
    count = (~np.isnan(steps[..., 0])).sum(axis=1)
    rows = np.arange(len(steps))
    upper = count // 2 - (count == ordered.shape[2])
    middle = (ordered[rows, :, np.maximum(count - 1, 0) // 2] + ordered[rows, :, upper]) / 2
    return np.where(count[:, None] > 0, middle, 0).astype(np.float32)
