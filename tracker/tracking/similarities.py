"""The similarities by which ids are given on. A further one is a function and a line in `SIMILARITIES`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tracker.boxes import box_areas, iou
from tracker.tracking.oks import compare
from tracker.tracking.queue import QueueEntry
from tracker.types import DoubleArray, FloatArray


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
