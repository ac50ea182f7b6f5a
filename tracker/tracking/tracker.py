"""The tracker: gives poses ids that stay, by flow-based similarity over a queue of past frames."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import replace

import numpy as np

from tracker.boxes import box_areas
from tracker.skeletons import Skeleton
from tracker.tracking.config import FRAME_S, TrackerConfig
from tracker.tracking.matching import match_greedily
from tracker.tracking.memory import Track, find_again
from tracker.tracking.oks import oks, oks_nms
from tracker.tracking.propagation import propagated_candidates, propagated_poses
from tracker.tracking.queue import QueueEntry
from tracker.tracking.similarities import SIMILARITIES
from tracker.types import (
    BoolArray,
    Candidates,
    Detections,
    FloatArray,
    IntArray,
    Motion,
    Origin,
    Poses,
    TrackedPoses,
)

# Whatever clocks say, frames are so far apart, and so far at most: in a longer pause, as where a stream was opened
# again, nobody was looked for. After a very long one everybody is forgotten.
_SHORTEST_STEP_S, _LONGEST_STEP_S, _LONGEST_PAUSE_S = 1e-3, 1.0, 30.0
# At high frame rates the queue spans the same time as at 30 per second.
_QUEUE_STEP_S = 0.03


class PoseTracker:
    """Follows the people of one video; each frame is one `predict` (or `predict_poses`) and one `update`.

    Two trackers share nothing: ids count from 1 in each, and an id is never given to a second person. Frames that are
    given no time are 1/25 s apart.
    Source: Xiao et al. 2018, section 3.3 and algorithm 1; the memory of lost people is an addition.
    """

    def __init__(self, skeleton: Skeleton, config: TrackerConfig | None = None) -> None:
        self.config = config or TrackerConfig()
        self._skeleton = skeleton
        self._queue: deque[QueueEntry] = deque(maxlen=self.config.queue_length)
        self._queue_s: deque[float] = deque(maxlen=self.config.queue_length)
        self._tracks: dict[int, Track] = {}
        self._new_ids = itertools.count(1)
        self._is_begun = False
        self._time_s: float | None = None
        self._now_s = self._step_s = 0.0

    def predict(self, motion: Motion | None, *, time_s: float | None = None, decay: bool = True) -> Candidates:
        """Carry the queue to the new frame; the boxes (N, 4) in which known people are to be looked for.

        motion: from the previous frame to this one; None where nothing is known (the first frame, or no
        flow wanted): the queue stays in place. A cut empties the queue and the memory. time_s: of the new frame.
        decay: lower the carried scores; false in a frame in which the detector does not run.
        """
        newest = self._newest_carried(motion, time_s)
        if newest is None:
            return Candidates.from_detections(Detections.empty())
        return propagated_candidates(newest, self.config, factor=self._score_factor(decay=decay))

    def predict_poses(self, motion: Motion | None, *, time_s: float | None = None, decay: bool = True) -> Poses:
        """`predict` for networks that need no boxes: known people's poses themselves, where the flow carried them."""
        newest = self._newest_carried(motion, time_s)
        if newest is None:
            return Poses.empty(self._skeleton.num_keypoints)
        return propagated_poses(newest, self.config, factor=self._score_factor(decay=decay))

    def update(self, poses: Poses) -> TrackedPoses:
        """Give the poses of this frame their ids and remember them.

        Scores of keypoints above 1 become 1. Duplicates are dropped first (OKS-NMS), and of the propagated poses those
        that are weak or match nobody: only a detection can open a new id. Order: by pose score, best first.
        """
        if not self._is_begun:
            self._begin(None)
        poses = self._without_duplicates(poses.limited())
        entry = self._entry(poses)
        track_ids, similarities = match_greedily(*self._similarity(entry), self.config.gate)
        rows = np.flatnonzero((track_ids >= 0) | self._may_be_new(entry, track_ids, poses))
        poses, entry = poses[rows], entry[rows]
        track_ids, similarities = self._recover(entry, track_ids[rows], similarities[rows])
        fresh = np.flatnonzero(track_ids < 0)
        track_ids[fresh] = list(itertools.islice(self._new_ids, len(fresh)))
        tracked = self._remember(replace(entry, track_ids=track_ids), poses, similarities)
        self._is_begun = False
        return tracked

    def _begin(self, time_s: float | None) -> None:
        """The next frame, at that time."""
        pause_s = FRAME_S if time_s is None or self._time_s is None else time_s - self._time_s
        if pause_s > _LONGEST_PAUSE_S:
            self._forget_everybody()
        self._step_s = min(max(pause_s, _SHORTEST_STEP_S), _LONGEST_STEP_S)
        self._now_s += self._step_s
        self._time_s = time_s
        self._is_begun = True

    def _forget_everybody(self) -> None:
        self._queue.clear()
        self._queue_s.clear()
        self._tracks.clear()

    def _score_factor(self, *, decay: bool) -> float:
        return self.config.score_decay ** (self._step_s / FRAME_S) if decay else 1.0

    def _newest_carried(self, motion: Motion | None, time_s: float | None) -> QueueEntry | None:
        """Begin a frame and carry the queue to it; its newest entry, or None where nobody is to be propagated."""
        self._begin(time_s)
        if motion is not None and motion.is_cut:
            self._forget_everybody()
        if motion is not None and self._queue:
            self._carry(motion)
        return self._queue[-1] if self.config.propagation and self._queue else None

    def _carry(self, motion: Motion) -> None:
        """Move every entry of the queue by one frame of flow, with one question to it."""
        newest, joined = self._queue[-1], QueueEntry.join(list(self._queue))
        arrived = motion.move(joined.moved.reshape(-1, 2))
        reliable = arrived.reliable.reshape(joined.kept.shape)
        older = np.arange(len(joined)) < len(joined) - len(newest)
        reliable &= ~(joined.covered_by(newest) & older[:, None])
        moved = joined.carried(arrived.points.reshape(joined.moved.shape), reliable, self._paces(joined.track_ids))
        ends = np.cumsum([len(entry) for entry in self._queue])
        for place, (entry, end) in enumerate(zip(list(self._queue), ends, strict=True)):
            self._queue[place] = moved[end - len(entry) : end]

    def _paces(self, track_ids: IntArray) -> FloatArray:
        """The step (N, 2) of each person in this frame, in pixels, by their pace."""
        paces = [self._step_s * self._tracks[track_id].pace for track_id in track_ids.tolist()]
        return np.array(paces, np.float32).reshape(-1, 2)

    def _entry(self, poses: Poses) -> QueueEntry:
        return QueueEntry.of(poses, self.config.keypoint_threshold)

    def _without_duplicates(self, poses: Poses) -> Poses:
        entry = self._entry(poses)
        strong = (poses.origin == Origin.DETECTED) | (entry.mean_scores >= self.config.propagation_score)
        strong &= np.isfinite(poses.boxes).all(axis=1)
        poses, keypoints = poses[strong], entry.keypoints[strong]
        sigmas, threshold = self._skeleton.sigmas, self.config.duplicate_oks
        return poses[oks_nms(keypoints, box_areas(poses.boxes), poses.pose_scores(), sigmas, threshold)]

    def _similarity(self, entry: QueueEntry) -> tuple[FloatArray, IntArray]:
        """Similarities (N, M) of this frame's people with the remembered ones, and the ids (M,)."""
        kind = SIMILARITIES[self.config.similarity]
        past = list(self._queue) if kind.whole_queue else list(self._queue)[-1:]
        if not past:
            return np.zeros((len(entry), 0), np.float32), np.zeros(0, np.int64)
        old = QueueEntry.join(past)
        ages_s = [self._queue_s[-1] - seen_s for seen_s in list(self._queue_s)[-len(past) :]]
        decays = [self.config.age_decay ** (age_s / FRAME_S) for age_s in ages_s]
        similarity = kind.compare(entry, old, self._skeleton.sigmas) * np.repeat(decays, [len(one) for one in past])
        return similarity.astype(np.float32), old.track_ids

    def _may_be_new(self, entry: QueueEntry, track_ids: IntArray, poses: Poses) -> BoolArray:
        """Which poses (N,) are detected and not a second look at somebody with an id or a better score."""
        detected = poses.origin == Origin.DETECTED
        if not (detected & (track_ids < 0)).any():
            return detected
        areas = box_areas(entry.boxes)
        alike = oks(entry.keypoints, areas, entry.keypoints, areas, self._skeleton.sigmas) > self.config.newcomer_oks
        order = np.arange(len(poses))
        better = (track_ids >= 0) | (detected & (order < order[:, None]))
        second_look = (alike & better & (order != order[:, None])).any(axis=1)
        return detected & ~second_look

    def _recover(self, entry: QueueEntry, track_ids: IntArray, similarities: FloatArray) -> tuple[IntArray, FloatArray]:
        """Look for the people who are left without an id among the lost ones."""
        rows = np.flatnonzero(track_ids < 0)
        present = set(track_ids.tolist())
        lost = {
            track_id: track
            for track_id, track in self._tracks.items()
            if track_id not in present and self._is_remembered(track)
        }
        track_ids, similarities = track_ids.copy(), similarities.copy()
        track_ids[rows], similarities[rows] = find_again(
            lost, entry.boxes[rows], entry.keypoints[rows], self._skeleton.sigmas, self._now_s
        )
        return track_ids, similarities

    def _is_remembered(self, track: Track) -> bool:
        lost_s = self._now_s - track.last_s
        return self._is_confirmed(track) and lost_s <= self.config.forget_after_s

    def _is_confirmed(self, track: Track) -> bool:
        return track.seen_s >= self.config.confirm_after_s

    def _remember(self, entry: QueueEntry, poses: Poses, similarities: FloatArray) -> TrackedPoses:
        self._enqueue(entry)
        track_ids = entry.track_ids.tolist()
        for row, track_id in enumerate(track_ids):
            if track_id in self._tracks:
                self._tracks[track_id].see(entry.boxes[row], entry.keypoints[row], self._now_s, self._step_s)
            else:
                self._tracks[track_id] = Track(entry.boxes[row], entry.keypoints[row], self._now_s)
        confirmed = [self._is_confirmed(self._tracks[track_id]) for track_id in track_ids]
        self._forget()
        return TrackedPoses(poses, entry.track_ids, similarities, np.array(confirmed, np.bool_))

    def _enqueue(self, entry: QueueEntry) -> None:
        if len(self._queue) > 1 and self._queue_s[-1] - self._queue_s[-2] < _QUEUE_STEP_S:
            self._queue.pop()
            self._queue_s.pop()
        self._queue.append(entry)
        self._queue_s.append(self._now_s)

    def _forget(self) -> None:
        """Drop the memory of people who can no longer come back, so that it never grows without bound."""
        oldest_s = min(self._now_s - self.config.forget_after_s, self._queue_s[0])
        self._tracks = {k: t for k, t in self._tracks.items() if t.last_s >= oldest_s}
