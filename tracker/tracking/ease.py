"""How well the flow carries people: who can do without a network for a frame, and whether the detector can, too."""

from __future__ import annotations

import numpy as np

from tracker.boxes import iou
from tracker.tracking.config import TrackerConfig
from tracker.tracking.propagation import WHOLE
from tracker.tracking.queue import QueueEntry
from tracker.types import BoolArray, IntArray, Origin, TrackedPoses

# Share of a person's kept keypoints that the flow has to follow with certainty.
_SURE = 0.8
# IoU of boxes from which two people meet: the flow may take one's keypoints along with the other.
_MEETING = 0.3


class Ease:
    """What is known of how easily people are carried; `follow` and `see` take turns, as a tracker's two verbs.

    is_calm: the people of the last frame are those of the one before, all of them confirmed, found by the detector
    when it looked last, surely followed by the flow, and apart from one another. Nobody is calm, too.
    """

    def __init__(self) -> None:
        self.is_calm = False
        self._surely = np.zeros(0, np.bool_)
        self._settled: set[int] = set()
        self._rests: dict[int, int] = {}
        self._all_found = False

    def follow(self, newest: QueueEntry, reliable: BoolArray) -> None:
        """Say which keypoints (N, K) of the newest entry the flow followed reliably into a new frame."""
        followed, kept = (reliable & newest.kept).sum(axis=1), newest.kept.sum(axis=1)
        self._surely = followed >= np.maximum(_SURE * kept, 1)

    def rest(self, newest: QueueEntry, frames: int, config: TrackerConfig) -> BoolArray:
        """Who (N,) of the newest entry needs no network in the new frame, for so many frames in a row at most.

        Those are whole, confirmed, apart from others and surely followed.
        """
        ids = newest.track_ids.tolist()
        may = self._surely & (newest.kept.mean(axis=1) >= WHOLE)
        may &= config.score_decay * newest.mean_scores >= config.propagation_score
        may &= np.array([i in self._settled and self._rests.get(i, 0) < frames for i in ids], np.bool_)
        self._rests = {i: self._rests.get(i, 0) + 1 for i, rests in zip(ids, may.tolist(), strict=True) if rests}
        return may

    def see(self, before: IntArray, people: TrackedPoses, *, has_looked: bool) -> None:
        """Take the people of a new frame; before: ids of the last one. has_looked: the detector did."""
        boxes = people.poses.boxes
        meeting = (iou(boxes, boxes) > _MEETING) & ~np.eye(len(boxes), dtype=np.bool_)
        self._settled = set(people.track_ids[people.confirmed & ~meeting.any(axis=1)].tolist())
        if has_looked:
            self._all_found = bool((people.poses.origin == Origin.DETECTED).all())
        is_same = set(before.tolist()) == set(people.track_ids.tolist()) == self._settled
        self.is_calm = is_same and self._all_found and bool(self._surely.all())
