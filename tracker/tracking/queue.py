"""The people of a past frame, carried along by the flow: an entry of the queue."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tracker.types import BoolArray, FloatArray, IntArray, Poses, RowTable

# With less than this share of the kept keypoints reliable, or none, the flow says nothing about a person.
_FEW = 0.5


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

    def covered_by(self, newest: QueueEntry) -> BoolArray:
        """Which moved keypoints (N, K) lie in the box of somebody else in the newest entry.

        Most likely that person is in front, and the flow there is theirs.
        """
        x, y = self.moved[..., None, 0], self.moved[..., None, 1]
        x1, y1, x2, y2 = newest.moved_boxes.T
        inside = (x >= x1) & (x <= x2) & (y >= y1) & (y <= y2)
        others = self.track_ids[:, None] != newest.track_ids[None]
        return (inside & others[:, None]).any(axis=2)

    def carried(self, arrived: FloatArray, reliable: BoolArray, paces: FloatArray) -> QueueEntry:
        """The entry one frame on: `arrived` (N, K, 2) says where its moved keypoints went.

        Where the flow is not `reliable` (N, K) a keypoint goes with the rest of its person: by the median step
        of the reliable keypoints or, if too few are, by the person's pace (N, 2).
        """
        few = (reliable & self.kept).sum(axis=1) < np.maximum(_FEW * self.kept.sum(axis=1), 1)
        trusted = reliable & ~few[:, None]
        steps = np.where(trusted[..., None], arrived - self.moved, np.float32(np.nan))
        typical = np.where(few[:, None], paces, _median_steps(steps))
        moved = self.moved + np.where(np.isnan(steps), typical[:, None], steps)
        return replace(self, moved=moved, moved_boxes=self.moved_boxes + np.tile(typical, 2))


def _median_steps(steps: FloatArray) -> FloatArray:
    """Median (N, 2) of the steps (N, K, 2) that are not NaN; 0 for a person without any."""
    ordered = np.sort(steps, axis=1)  # NaN goes last
    count = (~np.isnan(steps[..., 0])).sum(axis=1)
    rows = np.arange(len(steps))
    middle = (
        ordered[rows, np.maximum(count - 1, 0) // 2] + ordered[rows, count // 2 - (count == ordered.shape[1])]
    ) / 2
    return np.where(count[:, None] > 0, middle, 0).astype(np.float32)
