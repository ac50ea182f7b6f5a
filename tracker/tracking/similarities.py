"""The similarities by which ids are given on. A further one is a function and a line in `SIMILARITIES`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from tracker.boxes import box_areas, iou
from tracker.tracking.oks import compare, size_ratios
from tracker.tracking.queue import QueueEntry
from tracker.types import BoolArray, DoubleArray, FloatArray, IntArray

# Deviations of the logarithm of somebody's size from frame to frame: of the spread of their keypoints, and of their
# box, which the detector sees otherwise than the flow carries it.
_SPREAD, _BOX = 0.25, 0.5
# Larger than any id.
_NOBODY = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Similarity:
    """A way to compare people with remembered ones.

    compare: similarities (N, M) in 0–1 of N people with M of the queue, by their skeleton's sigmas. whole_queue: with
    all of it, otherwise with the last frame. needs_motion: makes use of where the flow has carried the queue.
    """

    compare: Callable[[QueueEntry, QueueEntry, DoubleArray], FloatArray]
    whole_queue: bool = False
    needs_motion: bool = False


def box_similarity(people: QueueEntry, past: QueueEntry, _: DoubleArray) -> FloatArray:
    """IoU of the boxes."""
    return iou(people.boxes, past.boxes)


def pose_similarity(people: QueueEntry, past: QueueEntry, sigmas: DoubleArray) -> FloatArray:
    """OKS, with past people where they were."""
    return _oks_or_iou(people, past, past.keypoints, past.boxes, sigmas)


def flow_similarity(people: QueueEntry, past: QueueEntry, sigmas: DoubleArray) -> FloatArray:
    """OKS, with past people where the flow has carried them (section 3.3)."""
    return _oks_or_iou(people, past, past.moved, past.moved_boxes, sigmas)


def with_sizes(similarity: FloatArray, people: QueueEntry, past: QueueEntry, gate: float) -> FloatArray:
    """Similarities (N, M) that are less for people of unlike size, where several of them are at the gate or above."""
    rows, columns = np.nonzero((similarity >= gate) & _contested(similarity >= gate, past.track_ids)[:, None])
    if not len(rows):
        return similarity
    spread = size_ratios(people.keypoints[rows], past.keypoints[columns]) / _SPREAD
    box = (np.log(_sizes(people.boxes))[rows] - np.log(_sizes(past.boxes))[columns]) / _BOX
    weighed = similarity.copy()
    weighed[rows, columns] = similarity[rows, columns] * np.exp((spread**2 + box**2) / -2)
    return weighed


def _contested(may: BoolArray, ids: IntArray) -> BoolArray:
    """Which of N people may have several of the ids (M,), or one that others may have; may: (N, M)."""
    low, high = np.where(may, ids, _NOBODY).min(axis=1, initial=_NOBODY), np.where(may, ids, -1).max(axis=1, initial=-1)
    several = low < high
    theirs, counts = np.unique(low, return_counts=True)
    return np.asarray(several | np.isin(low, [*theirs[counts > 1], *ids[may[several].any(axis=0)]]))


def _sizes(boxes: FloatArray) -> FloatArray:
    """The longer side (N,) of each box, a pixel at least."""
    return np.maximum((boxes[:, 2:] - boxes[:, :2]).max(axis=1), 1)


SIMILARITIES: Mapping[str, Similarity] = MappingProxyType(
    {
        "bbox": Similarity(box_similarity),
        "pose": Similarity(pose_similarity),
        "flow": Similarity(flow_similarity, needs_motion=True),
        "multi-flow": Similarity(flow_similarity, whole_queue=True, needs_motion=True),
    }
)


def _oks_or_iou(
    people: QueueEntry, past: QueueEntry, keypoints: FloatArray, boxes: FloatArray, sigmas: DoubleArray
) -> FloatArray:
    """OKS; with no keypoint in both poses it is undefined, and the overlap of the boxes stands in."""
    similarity, in_both = compare(people.keypoints, box_areas(people.boxes), keypoints, box_areas(past.boxes), sigmas)
    blind = in_both == 0
    if blind.any():
        similarity[blind] = iou(people.boxes, boxes)[blind]
    return similarity
