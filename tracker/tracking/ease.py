"""How well the flow carries people: who can do without a network for a frame, and whether the detector can, too."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tracker.boxes import iou
from tracker.tracking.config import TrackerConfig
from tracker.tracking.matching import are_among
from tracker.tracking.propagation import WHOLE
from tracker.tracking.queue import QueueEntry
from tracker.types import BoolArray, FloatArray, IntArray, TrackedPoses

# Share of a person's kept keypoints that the flow has to follow with certainty.
_SURE = 0.8
# How far keypoints have moved apart since the network looked, by the person's size, for somebody to be still, and to
# move like others; and up to which one of those who meet is left to the flow.
_STILL, _LIVELY, _STILL_TOGETHER = 0.02, 0.04, 0.01
# IoU of boxes from which two people meet: the flow may take one's keypoints along with the other.
_MEETING = 0.3


class Ease:
    """What is known of how easily people are carried; `follow` and `see` take turns, as a tracker's two verbs."""

    def __init__(self) -> None:
        self._surely = np.zeros(0, np.bool_)
        self._rests: dict[int, tuple[float, float]] = {}  # since the network looked: seconds, and how far they bent
        self._since_s = self._bent = np.zeros(0)  # likewise, of those in the new frame
        self._seen: _Seen | None = None

    @property
    def is_calm(self) -> bool:
        """Whether all people of the last frame are carried well; nobody is calm, too."""
        return self._seen is not None and self._seen.is_calm

    def follow(self, newest: QueueEntry, reliable: BoolArray) -> None:
        """Say which keypoints (N, K) of the newest entry the flow followed reliably into a new frame."""
        followed, kept = (reliable & newest.kept).sum(axis=1), newest.kept.sum(axis=1)
        self._surely = followed >= np.maximum(_SURE * kept, 1)

    def rest(
        self, newest: QueueEntry, pose_s: float, still_s: float, step_s: float, config: TrackerConfig
    ) -> BoolArray:
        """Who (N,) of the newest entry may do without the network in the new frame, which is a step after the last one.

        Those are whole, surely followed, and have the next frame within `pose_s` of the last one in which the network
        looked at them, up to `still_s` the less their keypoints moved apart; of those who meet, who hardly moves.
        Once it is known who of them does without, `note_rests` takes them.
        """
        ids, seen = newest.track_ids, self._seen
        since_s, bent = np.array([self._rests.get(i, (0.0, 0.0)) for i in ids.tolist()]).reshape(-1, 2).T
        self._since_s, self._bent = since_s + step_s, bent + newest.bends
        stillness = np.clip((_LIVELY - self._bent) / (_LIVELY - _STILL), 0, 1)
        limit_s = pose_s + max(still_s - pose_s, 0) * stillness
        may = self._surely & (newest.kept.mean(axis=1) >= WHOLE)
        may &= config.score_decay * newest.mean_scores >= config.propagation_score
        may &= self._since_s + step_s <= limit_s
        if seen:
            may &= ~are_among(ids, seen.near_lost) & ((self._bent <= _STILL_TOGETHER) | ~are_among(ids, seen.meeting))
        return may

    def note_rests(self, newest: QueueEntry, rests: BoolArray) -> None:
        """Say who (N,) of the newest entry does without the network in the new frame."""
        rows = np.flatnonzero(rests)
        spans = zip(self._since_s[rows].tolist(), self._bent[rows].tolist(), strict=True)
        self._rests = dict(zip(newest.track_ids[rows].tolist(), spans, strict=True))

    def see(self, before: QueueEntry, people: TrackedPoses, *, has_looked: bool) -> None:
        """Take the people of a new frame; before: those of the last one, carried here. has_looked: the detector did."""
        last = None if has_looked else self._seen
        self._seen = _Seen(before, people, self._surely, *((last.all_found, last.missing) if last else (None, None)))


@dataclass(frozen=True)
class _Seen:
    """The people of a frame. What follows from them is worked out where it is asked for: by the quicker paces alone.

    before: those of the frame before, carried here. surely: who of them was surely followed. found, lost: `all_found`
    and `missing` of the frame before, where the detector did not look at this one.
    """

    before: QueueEntry
    people: TrackedPoses
    surely: BoolArray
    found: bool | None
    lost: FloatArray | None

    @cached_property
    def all_found(self) -> bool:
        """Whether the detector found everybody when it looked last."""
        return bool(self.people.poses.detected.all()) if self.found is None else self.found

    @cached_property
    def missing(self) -> FloatArray:
        """Boxes (M, 4), xyxy pixels, of those whom the flow lost since the detector looked last."""
        missing = self.before.moved_boxes[~are_among(self.before.track_ids, self.people.track_ids)]
        return missing if self.lost is None else np.concatenate([self.lost, missing])

    @cached_property
    def meeting(self) -> IntArray:
        """Ids of those who are not apart from one another."""
        overlaps = iou(self.people.poses.boxes, self.people.poses.boxes) > _MEETING
        np.fill_diagonal(overlaps, val=False)
        return self.people.track_ids[overlaps.any(axis=1)]

    @cached_property
    def near_lost(self) -> IntArray:
        """Ids of those who are where others were lost."""
        return self.people.track_ids[(iou(self.people.poses.boxes, self.missing) > _MEETING).any(axis=1)]

    @cached_property
    def is_calm(self) -> bool:
        """Whether these are the people of the frame before, all of them confirmed, apart, found and surely followed."""
        is_same = set(self.before.track_ids.tolist()) == set(self.people.track_ids.tolist())
        is_settled = bool(self.people.confirmed.all()) and not len(self.meeting) and not len(self.near_lost)
        return is_same and is_settled and self.all_found and bool(self.surely.all())
