"""Flow propagation: remembered people moved to the current frame, and their boxes merged with detections."""

from __future__ import annotations

import numpy as np

from tracker.boxes import box_areas, boxes_around, iou, nms
from tracker.skeletons import Skeleton
from tracker.tracking.config import TrackerConfig
from tracker.tracking.matching import match_greedily
from tracker.tracking.oks import oks
from tracker.tracking.queue import QueueEntry
from tracker.types import Candidates, Detections, FloatArray, IntArray, Origin, Poses

# Fewer kept keypoints than this give no box worth looking into.
_MIN_KEYPOINTS = 3
# With less than this share of the keypoints kept, the box around them would leave out part of the person, and
# shrink from frame to frame.
WHOLE = 0.6


def propagated_candidates(entry: QueueEntry, config: TrackerConfig, *, factor: float) -> Candidates:
    """Boxes in which the people of the last frame are to be looked for (section 3.2).

    The box around a person's carried keypoints, grown by `box_expansion`; its score is the person's last times
    `factor`. People whose kept keypoints score too low, or are fewer than three, have none.
    """
    scores = entry.box_scores * np.float32(factor)
    worthy = (entry.kept.sum(axis=1) >= _MIN_KEYPOINTS) & (scores >= config.min_box_score)
    worthy &= entry.mean_scores >= config.propagation_score
    boxes = boxes_around(entry.moved[worthy], config.box_expansion)
    partial = entry.kept[worthy].mean(axis=1) < WHOLE
    boxes = np.where(partial[:, None], entry.moved_boxes[worthy], boxes)
    return Candidates(boxes, scores[worthy], np.full(len(boxes), Origin.PROPAGATED, np.int8))


def propagated_poses(entry: QueueEntry, config: TrackerConfig, *, factor: float) -> Poses:
    """The people of the last frame where the flow carried them, their scores times `factor`.

    Those of whom fewer than three keypoints are kept, or whose kept keypoints score too low by now, are given up.
    """
    decay = np.float32(factor)
    worthy = (entry.kept.sum(axis=1) >= _MIN_KEYPOINTS) & (decay * entry.mean_scores >= config.propagation_score)
    entry = entry[worthy]
    return Poses(
        keypoints=entry.moved,
        scores=np.where(entry.kept, decay * entry.scores, 0).astype(np.float32),
        boxes=entry.moved_boxes,
        box_scores=decay * entry.box_scores,
        origin=np.full(len(entry), Origin.PROPAGATED, np.int8),
    )


def carried_poses(entry: QueueEntry, config: TrackerConfig) -> Poses:
    """People of the last frame where the flow carried them, in place of a network's answer.

    Their keypoints score less than before by `score_decay`, but count still.
    """
    scores = np.maximum(entry.scores * np.float32(config.score_decay), np.float32(config.least_keypoint_score))
    return Poses(
        keypoints=entry.moved,
        scores=np.where(entry.kept, scores, 0).astype(np.float32),
        boxes=entry.moved_boxes,
        box_scores=entry.box_scores,
        origin=np.full(len(entry), Origin.CARRIED, np.int8),
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
        propagated = propagated[detected_again(propagated.boxes, detected.boxes, config.merge_iou) < 0]
        return Candidates.join([detected, propagated])
    union = Candidates.join([detected, propagated])
    return union[nms(union.boxes, union.scores, config.merge_iou)]


def detected_again(carried: FloatArray, detected: FloatArray, merge_iou: float) -> IntArray:
    """Rows (N,) of the detections (M, 4), each for one, that overlap carried boxes (N, 4) by more than merge_iou.

    −1 is none.
    """
    gate = np.nextafter(np.float32(merge_iou), np.float32(2))
    owners, _ = match_greedily(iou(carried, detected), np.arange(len(detected)), float(gate))
    return owners
