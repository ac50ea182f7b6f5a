"""The similarities by which ids are given on. A further one is a function and a line in `SIMILARITIES`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from tracker.boxes import box_areas, iou
from tracker.tracking.matching import Pairs
from tracker.tracking.oks import near_pairs, size_ratios
from tracker.tracking.queue import QueueEntry
from tracker.types import BoolArray, DoubleArray, FloatArray, IntArray

# Deviations of the logarithm of somebody's size from frame to frame: of the spread of their keypoints, and of their
# box, which the detector sees otherwise than the flow carries it.
_SPREAD, _BOX = 0.25, 0.5


@dataclass(frozen=True)
class Similarity:
    """A way to compare people with remembered ones.

    compare: the pairs of people and those of the queue who are alike, by their skeleton's sigmas: all that are no less
    so than the number given last. whole_queue: of all of it, otherwise of the last frame. needs_motion: makes use of
    where the flow has carried the queue.
    """

    compare: Callable[[QueueEntry, QueueEntry, DoubleArray, float], Pairs]
    whole_queue: bool = False
    needs_motion: bool = False


def box_similarity(people: QueueEntry, past: QueueEntry, _: DoubleArray, least: float) -> Pairs:
    """IoU of the boxes."""
    return Pairs.of(iou(people.boxes, past.boxes), least)


def pose_similarity(people: QueueEntry, past: QueueEntry, sigmas: DoubleArray, least: float) -> Pairs:
    """OKS, with past people where they were."""
    return _oks_or_iou(people, past, past.keypoints, past.boxes, sigmas, least)


def flow_similarity(people: QueueEntry, past: QueueEntry, sigmas: DoubleArray, least: float) -> Pairs:
    """OKS, with past people where the flow has carried them (section 3.3)."""
    return _oks_or_iou(people, past, past.moved, past.moved_boxes, sigmas, least)


def with_sizes(pairs: Pairs, ids: IntArray, people: QueueEntry, past: QueueEntry, gate: float) -> Pairs:
    """The pairs, less similar for people of unlike size where several of them are near; those under the gate go.

    ids: (M,) numbers of the past people's ids, no larger than need be.
    """
    contested = np.flatnonzero(_contested(pairs.rows, ids[pairs.columns]))
    if not len(contested):
        return pairs
    rows, columns = pairs.rows[contested], pairs.columns[contested]
    spread = size_ratios(people.keypoints[rows], past.keypoints[columns]) / _SPREAD
    box = (np.log(_sizes(people.boxes))[rows] - np.log(_sizes(past.boxes))[columns]) / _BOX
    weights = np.ones(len(pairs.rows))
    weights[contested] = np.exp((spread**2 + box**2) / -2)
    return pairs.weighed(weights, gate)


def _contested(rows: IntArray, ids: IntArray) -> BoolArray:
    """Which pairs (P,) of people and small ids are of those who may have several, or one that others may have."""
    may = np.zeros((rows.max(initial=-1) + 1, ids.max(initial=-1) + 1), np.bool_)
    may[rows, ids] = True
    some_rows, some_ids = np.divmod(np.flatnonzero(may), max(may.shape[1], 1))
    contested = np.bincount(some_rows) > 1
    contested[some_rows[(np.bincount(some_ids) > 1)[some_ids]]] = True
    return contested[rows]


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
    people: QueueEntry, past: QueueEntry, keypoints: FloatArray, boxes: FloatArray, sigmas: DoubleArray, least: float
) -> Pairs:
    """OKS; with no keypoint in both poses it is undefined, and the overlap of the boxes stands in."""
    areas, past_areas = box_areas(people.boxes), box_areas(past.boxes)
    pairs = near_pairs(people.keypoints, areas, keypoints, past_areas, sigmas, least)
    in_both = people.kept.astype(np.float32) @ past.kept.T.astype(np.float32)
    if in_both.min(initial=1) > 0:
        return pairs
    similarity = pairs.table(in_both.shape)
    similarity[in_both == 0] = iou(people.boxes, boxes)[in_both == 0]
    return Pairs.of(similarity, least)
