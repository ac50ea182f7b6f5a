"""The tracker: gives poses ids that stay, by flow-based similarity over a queue of past frames."""

from __future__ import annotations

from dataclasses import replace
from types import NoneType

import numpy as np

from tracker.boxes import box_areas
from tracker.errors import A_NUMBER, refuse_others
from tracker.skeletons import Skeleton, skeleton_of
from tracker.tracking.config import FRAME_S, TrackerConfig, read_config
from tracker.tracking.ease import Ease
from tracker.tracking.looks import Look, Looks, unsure_rows
from tracker.tracking.matching import Pairs, are_among, match_pairs
from tracker.tracking.memory import Sightings, Tracks, find_again
from tracker.tracking.oks import are_distinct, oks
from tracker.tracking.propagation import carried_poses, detected_again, propagated_candidates, propagated_poses
from tracker.tracking.queue import PoseQueue, QueueEntry
from tracker.tracking.similarities import SIMILARITIES, with_sizes
from tracker.types import (
    BoolArray,
    Candidates,
    Detections,
    FloatArray,
    IntArray,
    Motion,
    Poses,
    SeesBackground,
    TrackedPoses,
)

# Whatever clocks say, frames are so far apart, and so far at most: in a longer pause, as where a stream was opened
# again, nobody was looked for. After a very long one everybody is forgotten.
_SHORTEST_STEP_S, _LONGEST_STEP_S, _LONGEST_PAUSE_S = 1e-3, 1.0, 30.0
# IoU from which a detection finds somebody where the flow carried them.
_AGREEING_IOU = 0.7


class PoseTracker:
    """Follows the people of one video; each frame is one `predict` (or `predict_poses`) and one `update`.

    Two trackers share nothing: ids count from 1 in each, and an id is never given to a second person. Frames that are
    given no time are 1/25 s apart. skeleton: of the poses, or its name. ValueError for what is none, or no config.
    Source: Xiao et al. 2018, section 3.3 and algorithm 1; the memory of lost people is an addition.
    """

    def __init__(self, skeleton: Skeleton | str, config: TrackerConfig | None = None) -> None:
        self.config, skeleton = read_config(config), skeleton_of(skeleton)
        self._num_keypoints = skeleton.num_keypoints
        # Face and fingers would outnumber the body by far, and small sigmas make much of small errors.
        self._body, self._sigmas = skeleton.body, skeleton.sigmas[skeleton.body]
        self._queue = PoseQueue(self.config.queue_length, self._entry(Poses.empty(skeleton.num_keypoints)))
        self._tracks = Tracks.begin(np.zeros(0, np.int64), self._queue.people.boxes, self._queue.people.keypoints, 0)
        self._last_id = 0
        self._is_begun = False
        self._time_s: float | None = None
        self._now_s = self._step_s = 0.0
        self._ease, self._looks = Ease(), Looks()
        self._has_looked = True
        self.resting, self.recognised = Poses.empty(skeleton.num_keypoints), np.zeros(0, np.bool_)

    @property
    def is_calm(self) -> bool:
        """Whether the flow carries everybody so well that the detector need not look for a while."""
        return self._ease.is_calm

    def predict(
        self,
        motion: Motion | None,
        *,
        time_s: float | None = None,
        decay: bool = True,
        pose_s: float = 0,
        still_s: float = 0,
        detections: Detections | None = None,
    ) -> Candidates:
        """Carry the queue to the new frame; the boxes (N, 4) in which known people are to be looked for.

        motion: from the previous frame to this one; None where nothing is known (the first frame, or no
        flow wanted): the queue stays in place. A cut empties the queue and the memory. time_s: of the new frame.
        decay: lower the carried scores; false in a frame in which the detector does not run. pose_s: if not
        0, people whom the flow follows surely are left out for so long at most, and have their carried poses in
        `resting`, for `update`; nobody with face, fingers or toes beside the body, of which nothing is carried.
        still_s: likewise, the less people move but as a whole. detections: where the detector looked, those of them
        alone are left out whom it found where the flow carried them; they have its boxes, and these of the detections
        are `recognised` (M,), and need no look.
        """
        refuse_others(*A_NUMBER, pose_s=pose_s, still_s=still_s)
        refuse_others("Detections, or None", Detections, NoneType, detections=detections)
        newest = self._newest_carried(motion, time_s)
        self._has_looked = decay
        self.resting = Poses.empty(self._num_keypoints)
        self.recognised = np.zeros(0 if detections is None else len(detections), np.bool_)
        if newest is None:
            return Candidates.from_detections(Detections.empty())
        if (pose_s or still_s) and len(self._body) == self._num_keypoints:
            newest = self._without_resting(newest, pose_s, still_s, detections)
        return propagated_candidates(newest, self.config, factor=self._score_factor(decay=decay))

    def _without_resting(
        self, newest: QueueEntry, pose_s: float, still_s: float, detections: Detections | None
    ) -> QueueEntry:
        """Who of the newest entry is to be looked for; the others rest."""
        rests = self._ease.rest(newest, pose_s, still_s, self._step_s, self.config)
        if detections is not None:
            owners = detected_again(newest.moved_boxes, detections.boxes, _AGREEING_IOU)
            rests &= owners >= 0
            self.recognised[owners[rests]] = True
        self._ease.note_rests(newest, rests)
        self.resting = carried_poses(newest[rests], self.config)
        if detections is not None:
            found = Candidates.from_detections(detections[owners[rests]])
            self.resting = Poses.in_boxes(found, self.resting.keypoints, self.resting.scores)
        return newest[~rests]

    def predict_poses(self, motion: Motion | None, *, time_s: float | None = None, decay: bool = True) -> Poses:
        """`predict` for networks that need no boxes: known people's poses themselves, where the flow carried them.

        Of face, fingers and toes beside a body nothing is carried.
        """
        newest = self._newest_carried(motion, time_s)
        self._has_looked = decay
        if newest is None:
            return Poses.empty(self._num_keypoints)
        carried = propagated_poses(newest, self.config, factor=self._score_factor(decay=decay))
        return carried.spread(self._body, self._num_keypoints)

    def update(self, poses: Poses, look: Look | None = None) -> TrackedPoses:
        """Give the poses of this frame their ids and remember them.

        Scores of keypoints above 1 become 1. Duplicates are dropped first (OKS-NMS), and of the propagated poses those
        that are weak or match nobody: only a detection can open a new id. Order: by pose score, best first.
        look: gives features of poses that have none; asked for those who may have either of two ids, who come while
        somebody is lost, and now and then for everybody.
        """
        if not self._is_begun:
            self._begin(None)
        if not isinstance(poses, Poses) or poses.keypoints.shape[1] != self._num_keypoints:
            raise ValueError(f"poses must be `Poses` of {self._num_keypoints} keypoints; for nobody: Poses.empty")
        poses, entry = self._without_duplicates(poses.limited())
        pairs, past_ids, past_rows = self._similar_pairs(entry)
        poses, pairs = self._tell_apart(poses, pairs, past_ids, look)
        pairs = self._without_unusual(pairs, past_rows, poses)
        track_ids, similarities = match_pairs(pairs, past_ids[pairs.columns], len(poses))
        went_on = similarities
        if (track_ids < 0).any():
            kept = (track_ids >= 0) | self._may_be_new(entry, track_ids, poses)
            poses, entry, track_ids, went_on = poses[kept], entry[kept], track_ids[kept], similarities[kept]
            poses, track_ids, similarities = self._recover(entry, poses, track_ids, went_on, look)
            fresh = np.flatnonzero(track_ids < 0)
            track_ids[fresh] = self._last_id + 1 + np.arange(len(fresh))
            self._last_id += len(fresh)
        poses = self._note_looks(entry, poses, track_ids, look)
        before = self._queue.newest
        confirmed = self._remember(replace(entry, track_ids=track_ids), poses, went_on)
        tracked = TrackedPoses(poses, track_ids, similarities, confirmed)
        self._ease.see(before, tracked, has_looked=self._has_looked)
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
        self._tracks, self._looks = self._tracks[:0], Looks()

    def _score_factor(self, *, decay: bool) -> float:
        return self.config.score_decay ** (self._step_s / FRAME_S) if decay else 1.0

    def _newest_carried(self, motion: Motion | None, time_s: float | None) -> QueueEntry | None:
        """Begin a frame and carry the queue to it; its newest entry, or None where nobody is to be propagated."""
        refuse_others("a motion that a flow gives, or None", "move", NoneType, motion=motion)
        refuse_others(*A_NUMBER, NoneType, time_s=time_s)
        self._begin(time_s)
        if motion is not None and motion.is_cut:
            self._forget_everybody()
        if motion is not None and len(self._queue):
            paces = self._tracks.paces[self._tracks.rows(self._queue.people.track_ids)]
            step = self._background(motion)
            self._tracks = self._tracks.carried(step)
            reliable = self._queue.carry(motion, (self._step_s * paces + step).astype(np.float32))
            self._ease.follow(self._queue.newest, reliable)
        elif len(self._queue):
            self._ease.follow(self._queue.newest, np.zeros_like(self._queue.newest.kept))
        return self._queue.newest if self.config.propagation and len(self._queue) else None

    def _background(self, motion: Motion) -> FloatArray:
        """How far (2,) the background moved, as far as anybody asks."""
        if not (self.config.background and isinstance(motion, SeesBackground)):
            return np.zeros(2, np.float32)
        return motion.background(self._queue.newest.moved_boxes)

    def _entry(self, poses: Poses) -> QueueEntry:
        return QueueEntry.of(poses.at(self._body), self.config.least_keypoint_score)

    def _without_duplicates(self, poses: Poses) -> tuple[Poses, QueueEntry]:
        """The poses that count, best first, and their entry."""
        poses = poses[np.argsort(-poses.pose_scores(), kind="stable")]
        entry = self._entry(poses)
        strong = poses.detected
        if not strong.all():
            strong |= entry.mean_scores >= self.config.propagation_score
        strong &= np.isfinite(poses.boxes).all(axis=1)
        if not strong.all():
            poses, entry = poses[strong], entry[strong]
        distinct = are_distinct(entry.keypoints, box_areas(poses.boxes), self._sigmas, self.config.duplicate_oks)
        return (poses, entry) if distinct.all() else (poses[distinct], entry[distinct])

    def _similar_pairs(self, entry: QueueEntry) -> tuple[Pairs, IntArray, IntArray]:
        """Who of this frame's people may be who of the queue; of these the ids (M,) and the rows of their tracks."""
        kind, gate = SIMILARITIES[self.config.similarity], self.config.gate
        past = self._queue.people if kind.whole_queue else self._queue.newest
        pairs = kind.compare(entry, past, self._sigmas, gate)
        decays = self._queue.decays(self.config.age_decay, FRAME_S)[pairs.columns] if kind.whole_queue else 1.0
        pairs = pairs.weighed(decays, gate)
        rows = self._tracks.rows(past.track_ids)
        if self.config.sizes:
            pairs = with_sizes(pairs, rows, entry, past, gate)
        return pairs, past.track_ids, rows

    def _tell_apart(self, poses: Poses, pairs: Pairs, past_ids: IntArray, look: Look | None) -> tuple[Poses, Pairs]:
        """Let looks weigh the ids of those who may have either of two; the poses, with what they look like."""
        if not (look or poses.features.shape[1]):
            return poses, pairs
        ids, of_id = np.unique(past_ids, return_inverse=True)
        similarity = pairs.table((len(poses), len(past_ids)))
        rows = unsure_rows(similarity, of_id, self.config.gate)
        poses = poses.seen_by(look, rows)
        if len(rows) and poses.features.shape[1]:
            similarity[rows] *= self._looks.compare(poses.features[rows], ids)[0][:, of_id]
        return poses, Pairs.of(similarity, self.config.gate)

    def _without_unusual(self, pairs: Pairs, rows: IntArray, poses: Poses) -> Pairs:
        """The pairs but those of a detection that is far less like somebody than they usually are."""
        unlike = pairs.similarities < self.config.usual_share * self._tracks.usual[rows[pairs.columns]]
        unlike &= poses.detected[pairs.rows]
        return pairs.where(~unlike)

    def _may_be_new(self, entry: QueueEntry, track_ids: IntArray, poses: Poses) -> BoolArray:
        """Which poses (N,) are detected and not a second look at somebody with an id or a better score."""
        detected, areas = poses.detected, box_areas(entry.boxes)
        alike = oks(entry.keypoints, areas, entry.keypoints, areas, self._sigmas) > self.config.newcomer_oks
        order = np.arange(len(poses))
        better = (track_ids >= 0) | (detected & (order < order[:, None]))
        second_look = (alike & better & (order != order[:, None])).any(axis=1)
        return detected & ~second_look

    def _recover(
        self, entry: QueueEntry, poses: Poses, track_ids: IntArray, similarities: FloatArray, look: Look | None
    ) -> tuple[Poses, IntArray, FloatArray]:
        """Look for the people who are left without an id among the lost ones; the poses, with what they look like."""
        rows = np.flatnonzero(track_ids < 0)
        if not len(rows):
            return poses, track_ids, similarities
        tracks = self._tracks
        is_known = tracks.seen_s + tracks.carried_s >= self.config.confirm_after_s
        newcomer_s = min(self.config.forget_newcomer_s, self.config.forget_after_s)
        remembered = self._now_s - tracks.last_s <= np.where(is_known, self.config.forget_after_s, newcomer_s)
        lost = tracks[remembered & ~are_among(tracks.ids, track_ids)]
        if not len(lost):
            return poses, track_ids, similarities
        track_ids, similarities = track_ids.copy(), similarities.copy()
        poses = poses.seen_by(look, rows)
        people = entry.boxes[rows], entry.keypoints[rows]
        looks = self._looks.compare(poses.features[rows], lost.ids) if poses.features.shape[1] else ()
        track_ids[rows], similarities[rows] = find_again(
            lost, *people, self._sigmas, self._now_s, *looks, sizes=self.config.sizes
        )
        return poses, track_ids, similarities

    def _note_looks(self, entry: QueueEntry, poses: Poses, track_ids: IntArray, look: Look | None) -> Poses:
        """Look at those whose looks are to be remembered; the poses, with what they look like."""
        if not (look or poses.features.shape[1]):
            return poses
        due = np.flatnonzero(self._looks.due(track_ids, poses.boxes, entry.kept, self._now_s))
        poses = poses.seen_by(look, due)
        if poses.features.shape[1]:
            self._looks.remember(track_ids[due], poses.features[due], self._now_s)
        return poses

    def _remember(self, entry: QueueEntry, poses: Poses, went_on: FloatArray) -> BoolArray:
        """Who (N,) is confirmed, once these are remembered. went_on: similarities (N,) with the queue, or NaN."""
        self._queue.push(entry, self._now_s)
        people = Sightings(entry.track_ids, entry.boxes, entry.keypoints, poses.detected, went_on)
        tracks = self._tracks.see(people, self._now_s, self._step_s)
        confirmed = tracks.confirmed(self.config)[tracks.rows(entry.track_ids)]
        # Who can no longer come back is forgotten, so that the memory never grows without bound.
        recent = tracks.last_s >= min(self._now_s - self.config.forget_after_s, self._queue.times_s[0])
        if not recent.all():
            tracks = tracks[recent]
            self._looks.keep(tracks.ids.tolist())
        self._tracks = tracks
        return confirmed
