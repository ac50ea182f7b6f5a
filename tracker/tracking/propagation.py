"""Flow propagation: remembered people moved to the current frame, and their boxes merged with detections."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tracker.boxes import box_areas, boxes_around, iou, nms
from tracker.skeletons import Skeleton
from tracker.tracking.config import TrackerConfig
from tracker.tracking.matching import match_greedily
from tracker.tracking.oks import oks
from tracker.types import (
    BoolArray,
    Candidates,
    Detections,
    FloatArray,
    IntArray,
    Origin,
    Poses,
    RowTable,
)

# Fewer kept keypoints than this give no box worth looking into.
_MIN_KEYPOINTS = 3
# With less than this share of the keypoints kept, the box around them would leave out part of the person, and
# shrink from frame to frame.
_WHOLE = 0.6
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


def propagated_candidates(entry: QueueEntry, config: TrackerConfig, *, decay: bool) -> Candidates:
    """Boxes in which the people of the last frame are to be looked for (section 3.2).

    The box around a person's carried keypoints, grown by `box_expansion`; its score is the person's last,
    decayed if `decay`. People whose kept keypoints score too low, or are fewer than three, have none.
    """
    scores = entry.box_scores * np.float32(config.score_decay if decay else 1)
    worthy = (entry.kept.sum(axis=1) >= _MIN_KEYPOINTS) & (scores >= config.min_box_score)
    worthy &= entry.mean_scores >= config.propagation_score
    boxes = boxes_around(entry.moved[worthy], config.box_expansion)
    partial = entry.kept[worthy].mean(axis=1) < _WHOLE
    boxes = np.where(partial[:, None], entry.moved_boxes[worthy], boxes)
    return Candidates(boxes, scores[worthy], np.full(len(boxes), Origin.PROPAGATED, np.int8))


def propagated_poses(entry: QueueEntry, config: TrackerConfig, *, decay: bool) -> Poses:
    """The people of the last frame where the flow carried them, their scores decayed if `decay`.

    Those of whom fewer than three keypoints are kept, or whose kept keypoints score too low by now, are given up.
    """
    factor = np.float32(config.score_decay if decay else 1)
    worthy = (entry.kept.sum(axis=1) >= _MIN_KEYPOINTS) & (factor * entry.mean_scores >= config.propagation_score)
    entry = entry[worthy]
    return Poses(
        keypoints=entry.moved,
        scores=np.where(entry.kept, factor * entry.scores, 0).astype(np.float32),
        boxes=entry.moved_boxes,
        box_scores=factor * entry.box_scores,
        origin=np.full(len(entry), Origin.PROPAGATED, np.int8),
    )


def merge_poses(found: Poses, propagated: Poses, skeleton: Skeleton, config: TrackerConfig) -> Poses:
    """Found poses, then those propagated ones whose person was not found.

    A propagated pose yields to the found one most similar to it (OKS of `gate` or more); each found pose stands for
    one propagated pose only.
    """
    similarity = oks(
        propagated.keypoints, box_areas(propagated.boxes), found.keypoints, box_areas(found.boxes), skeleton.sigmas
    )
    owners, _ = match_greedily(similarity, np.arange(len(found)), config.gate)
    return Poses.join([found, propagated[owners < 0]])


def merge_candidates(detections: Detections, propagated: Candidates, config: TrackerConfig) -> Candidates:
    """Detected and propagated boxes together, without doubles, best first within each origin.

    By default a propagated box yields to the detection that overlaps it most, by more than `merge_iou`; each
    detection stands for one propagated box only, so that a person behind another is still looked for. Poses that
    turn out to be doubles are dropped later; detections are left as the detector's own NMS gave them.
    `merge="plain"` is the paper's NMS by score over the union.
    """
    detected = Candidates.from_detections(detections)
    if config.merge == "prefer-detections":
        propagated = propagated[~_found_again(propagated.boxes, detected.boxes, config.merge_iou)]
        return Candidates.join([detected, propagated])
    union = Candidates.join([detected, propagated])
    return union[nms(union.boxes, union.scores, config.merge_iou)]


def _found_again(propagated: FloatArray, detected: FloatArray, merge_iou: float) -> BoolArray:
    """Which propagated boxes (N, 4) have a detection (M, 4) of their own."""
    gate = np.nextafter(np.float32(merge_iou), np.float32(2))
    owners, _ = match_greedily(iou(propagated, detected), np.arange(len(detected)), float(gate))
    return owners >= 0


def _median_steps(steps: FloatArray) -> FloatArray:
    """Median (N, 2) of the steps (N, K, 2) that are not NaN; 0 for a person without any."""
    ordered = np.sort(steps, axis=1)  # NaN goes last
    count = (~np.isnan(steps[..., 0])).sum(axis=1)
    rows = np.arange(len(steps))
    middle = (
        ordered[rows, np.maximum(count - 1, 0) // 2] + ordered[rows, count // 2 - (count == ordered.shape[1])]
    ) / 2
    return np.where(count[:, None] > 0, middle, 0).astype(np.float32)
