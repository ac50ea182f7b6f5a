"""A noisy observer of rendered scenes."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from tracker.boxes import boxes_around, clip_boxes, iou
from tracker.scenes.figures import STANDING
from tracker.scenes.rendering import People, SceneFrame
from tracker.skeletons import COCO_17
from tracker.types import Candidates, Detections, FloatArray, Poses

# First words of the seeds, so that the draws of the parts do not depend on each other.
_DETECTION, _POSE, _NOBODY, _EXCHANGE, _LOW, _FALSE = range(6)
# How long errors last that stay for some frames, in seconds.
_EXCHANGED_S, _LOW_S, _FALSE_S = 0.16, 0.3, 0.5
# Left and right may be exchanged of a person whose shoulders and hips are, seen so, less wide than this share of the
# torso's length, left counting as the right-hand side: from the side or from behind.
_FRONT = 0.15
# At most so many false people at a time, whose ids begin here.
_MOST_FALSE, _FIRST_FALSE = 4, 10_000

# Of a detected box.
_LEAST_SCORE = 0.5


@dataclass(frozen=True)
class Noise:
    """How far an observation is from the truth.

    keypoint_std: deviation of keypoints, as a share of the longer side of the box around them. box_std: of the
    sides of detected boxes, as a share of their width and height. miss_rate: share of people a detector misses
    at random. min_visible: it also misses those of whom a smaller share of the keypoints is visible.
    visible_scores, hidden_scores, nobody_scores: ranges of keypoint scores, the last for boxes without a person.

    Some errors last for some frames. exchange_rate: share of the time in which left and right are exchanged of a person
    seen from the side or from behind. low_rate: in which a person scores low, box and keypoints; of those of whom less
    than three quarters are visible, 2.5 times as much. false_people: in a frame, on average, 4 at most; they stand
    still. low_scores, low_visible_scores: ranges of scores of boxes and of keypoints in all these.
    """

    keypoint_std: float = 0.012
    box_std: float = 0.02
    miss_rate: float = 0.05
    min_visible: float = 0.3
    visible_scores: tuple[float, float] = (0.7, 0.95)
    hidden_scores: tuple[float, float] = (0.1, 0.3)
    nobody_scores: tuple[float, float] = (0.02, 0.15)
    exchange_rate: float = 0.0
    low_rate: float = 0.0
    false_people: float = 0.0
    low_scores: tuple[float, float] = (0.2, 0.55)
    low_visible_scores: tuple[float, float] = (0.3, 0.65)


class OracleEstimator:
    """A detector and pose estimator that knows the truth and adds noise to it.

    The noise of a person depends on the seed, the frame's index and the person's id alone, not on what was
    asked before.
    """

    skeleton = COCO_17

    def __init__(self, noise: Noise | None = None, seed: int = 0) -> None:
        self._noise = noise or Noise()
        self._seed = seed

    def detect(self, frame: SceneFrame) -> Detections:
        """Boxes of the people who are not missed, best score first."""
        people, noise = self._shown(frame), self._noise
        boxes, scores = people.boxes.copy(), np.zeros(len(people), np.float32)
        found = np.zeros(len(people), np.bool_)
        for row, track_id in enumerate(people.track_ids):
            rng = self._rng(_DETECTION, frame, int(track_id))
            share = people.visible[row].mean()
            found[row] = share >= noise.min_visible and rng.random() >= noise.miss_rate
            is_low = self._is_low(frame, people, row)
            scores[row] = rng.uniform(*(noise.low_scores if is_low else (0.5 + 0.3 * share, 0.6 + 0.38 * share)))
            sides = boxes[row, 2:] - boxes[row, :2]
            boxes[row] += rng.normal(0, noise.box_std, 4) * np.tile(sides, 2)
        found &= scores >= _LEAST_SCORE
        order = np.argsort(-scores, kind="stable")
        return Detections(clip_boxes(boxes, frame.size_wh), scores)[order[found[order]]]

    def estimate(self, frame: SceneFrame, candidates: Candidates) -> Poses:
        """One pose per candidate, in the same order: of the person whom its box covers best.

        A box that overlaps nobody by an IoU of 0.3 gets random keypoints of low score.
        """
        people = self._shown(frame)
        owners = _covered_people(candidates.boxes, people)
        keypoints = np.zeros((len(candidates), COCO_17.num_keypoints, 2), np.float32)
        scores = np.zeros(keypoints.shape[:2], np.float32)
        for row, owner in enumerate(owners):
            if owner < 0:
                keypoints[row], scores[row] = self._nobody(frame, candidates.boxes[row])
            else:
                keypoints[row], scores[row] = self._observe(frame, people, int(owner))
        return Poses.in_boxes(candidates, keypoints, scores)

    def _observe(self, frame: SceneFrame, people: People, row: int) -> tuple[FloatArray, FloatArray]:
        noise = self._noise
        rng = self._rng(_POSE, frame, int(people.track_ids[row]))
        truth, visible = people.keypoints[row], people.visible[row]
        deviation = noise.keypoint_std * np.ptp(truth, axis=0).max()
        keypoints = truth + rng.normal(0, deviation, truth.shape)
        is_low = self._is_low(frame, people, row)
        seen = rng.uniform(*(noise.low_visible_scores if is_low else noise.visible_scores), len(truth))
        unseen = rng.uniform(*noise.hidden_scores, len(truth))
        order = COCO_17.flip_order if self._is_exchanged(frame, people, row) else np.arange(len(truth))
        return keypoints[order].astype(np.float32), np.where(visible, seen, unseen)[order].astype(np.float32)

    def _is_low(self, frame: SceneFrame, people: People, row: int) -> bool:
        """Whether somebody scores low; false people always do."""
        if people.track_ids[row] >= _FIRST_FALSE:
            return True
        rate = self._noise.low_rate * (1.0 if people.visible[row].mean() >= 0.75 else 2.5)
        return self._chance(_LOW, frame, _LOW_S, int(people.track_ids[row])) < rate

    def _is_exchanged(self, frame: SceneFrame, people: People, row: int) -> bool:
        if _frontality(people.keypoints[row]) >= _FRONT or people.track_ids[row] >= _FIRST_FALSE:
            return False
        return self._chance(_EXCHANGE, frame, _EXCHANGED_S, int(people.track_ids[row])) < self._noise.exchange_rate

    def _chance(self, part: int, frame: SceneFrame, lasts_s: float, key: int) -> float:
        """A random number in 0–1 that stays for so many seconds; nothing is drawn where no rate asks for it."""
        return float(np.random.default_rng([part, self._seed, int(frame.time_s / lasts_s), key]).random())

    def _shown(self, frame: SceneFrame) -> People:
        """The people of the frame, and behind them those whom the detector makes up."""
        people, (width, height) = frame.people, frame.size_wh
        if not self._noise.false_people:
            return people
        rows = []
        for slot in range(_MOST_FALSE):
            block = int(frame.time_s / _FALSE_S + slot / _MOST_FALSE)
            rng = np.random.default_rng([_FALSE, self._seed, block, slot])
            if rng.random() < self._noise.false_people / _MOST_FALSE:
                size = height * rng.uniform(0.2, 0.5)
                foot = rng.uniform((0.1 * width, 0.6 * height), (0.9 * width, height))
                rows.append((STANDING * size + foot).astype(np.float32))
        if not rows:
            return people
        keypoints = np.stack(rows)
        return People(
            keypoints=np.concatenate([people.keypoints, keypoints]),
            visible=np.concatenate([people.visible, np.ones(keypoints.shape[:2], np.bool_)]),
            boxes=np.concatenate([people.boxes, clip_boxes(boxes_around(keypoints, 1.1), frame.size_wh)]),
            track_ids=np.append(people.track_ids, _FIRST_FALSE + np.arange(len(rows))),
            depth_ranks=np.append(people.depth_ranks, people.depth_ranks.max(initial=0) + 1 + np.arange(len(rows))),
        )

    def _nobody(self, frame: SceneFrame, box: FloatArray) -> tuple[FloatArray, FloatArray]:
        rng = self._rng(_NOBODY, frame, zlib.crc32(box.tobytes()))
        keypoints = rng.uniform(box[:2], box[2:], (COCO_17.num_keypoints, 2))
        scores = rng.uniform(*self._noise.nobody_scores, COCO_17.num_keypoints)
        return keypoints.astype(np.float32), scores.astype(np.float32)

    def _rng(self, part: int, frame: SceneFrame, key: int) -> np.random.Generator:
        return np.random.default_rng([part, self._seed, frame.index, key])


def _frontality(keypoints: FloatArray) -> float:
    """How wide shoulders and hips (17, 2) are to the length of the torso; negative where left is on the left."""
    left, right = keypoints[[5, 11]], keypoints[[6, 12]]
    middles = (left + right) / 2
    return float((left - right)[:, 0].mean() / max(np.linalg.norm(middles[1] - middles[0]), 1e-6))


def _covered_people(boxes: FloatArray, people: People) -> list[int]:
    """Row of the person in each box, −1 for nobody; the nearer one where two overlap it almost equally."""
    if not len(people):
        return [-1] * len(boxes)
    overlaps = iou(boxes, people.boxes)
    best = overlaps.max(axis=1, keepdims=True)
    eligible = (overlaps >= 0.3) & (overlaps >= best - 0.05)
    ranks = np.where(eligible, people.depth_ranks, np.iinfo(np.int64).max)
    return np.where(eligible.any(axis=1), ranks.argmin(axis=1), -1).tolist()
