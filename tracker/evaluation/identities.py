"""How well ids stay with the people of scenes: switches, IDF1, HOTA, who is found, ids that are nobody's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from tracker.evaluation.ablation import predicted_frame
from tracker.evaluation.posetrack.comparison import compare_frames
from tracker.evaluation.posetrack.hota import HotaSums, sum_up
from tracker.formats.coco import as_posetrack
from tracker.formats.posetrack import PoseTrackFrame
from tracker.scenes.oracle import IdentityCount, count_switches, similar_pairs
from tracker.scenes.rendering import People
from tracker.skeletons import COCO_17
from tracker.types import BoolArray, Candidates, Detections, IntArray, Poses, TrackedPoses

# The diagonal of a head's box, as a share of the person's height, for distances in heads.
_HEAD_DIAGONAL = 0.22
_NO_POSE = Poses.in_boxes(
    Candidates.from_detections(Detections(np.zeros((1, 4), np.float32), np.zeros(1, np.float32))),
    np.full((1, COCO_17.num_keypoints, 2), np.nan, np.float32),
    np.zeros((1, COCO_17.num_keypoints), np.float32),
)


@dataclass(frozen=True, eq=False)
class Identities:
    """What is counted of the ids in one scene or in all.

    switches, num_matched, num_people: as `IdentityCount` has them, of all ids; what follows is of confirmed ones.
    num_together: IDTP, the frames in which people have
    the one id that is theirs by the best assignment in the scene. num_seen: of people, summed over frames, those with
    any keypoint visible. num_tracked: of poses with an id. false_ids: ids that never match anybody. hota: of the
    keypoints that are visible.
    """

    switches: int
    num_matched: int
    num_people: int
    num_together: int
    num_seen: int
    num_tracked: int
    false_ids: int
    hota: HotaSums

    @property
    def idf1(self) -> float:
        """In percent. Source: Ristani et al. 2016, section 3."""
        return 200 * self.num_together / max(self.num_seen + self.num_tracked, 1)

    @property
    def found(self) -> float:
        """Share of the people who have an id, in percent."""
        return 100 * self.num_matched / max(self.num_people, 1)

    def figures(self) -> list[Any]:
        """In the order of `COLUMNS`."""
        hota = 100 * float(self.hota.figures()["HOTA"][:, -1].mean())
        return [self.switches, self.idf1, hota, self.found, self.false_ids]

    def __add__(self, other: Identities) -> Identities:
        return Identities(*(getattr(self, name) + getattr(other, name) for name in vars(self)))


COLUMNS = ("switches", "IDF1", "HOTA", "found, %", "false ids")


def measure_identities(pairs: Iterable[tuple[People, TrackedPoses]], keypoint_threshold: float = 0.4) -> Identities:
    """Compare the tracked poses (COCO-17) of a scene with the truth, frame by frame.

    keypoint_threshold: HOTA is without weaker ones.
    """
    pairs = list(pairs)
    count = count_switches(pairs)
    pairs = [(people, tracked[tracked.confirmed]) for people, tracked in pairs]
    together: Counter[tuple[int, int]] = Counter()
    for people, tracked in pairs:
        alike = similar_pairs(people, tracked.poses) & people.visible.any(axis=1, keepdims=True)
        rows, columns = alike.nonzero()
        together.update(zip(people.track_ids[rows].tolist(), tracked.track_ids[columns].tolist(), strict=True))
    return Identities(
        switches=count.switches,
        num_matched=count.num_matched,
        num_people=count.num_people,
        num_together=_best_sum(together),
        num_seen=sum(int(people.visible.any(axis=1).sum()) for people, _ in pairs),
        num_tracked=sum(len(tracked) for _, tracked in pairs),
        false_ids=_num_false(count, pairs),
        hota=_hota(pairs, keypoint_threshold).with_total(),
    )


def sum_identities(counts: Sequence[Identities]) -> Identities:
    """Those of several scenes."""
    return reduce(add, counts)


def _best_sum(together: Counter[tuple[int, int]]) -> int:
    """The largest sum of counts of a person and an id, each of which is taken once."""
    people, ids = (sorted({pair[place] for pair in together}) for place in range(2))
    table = np.zeros((len(people), len(ids)), np.int64)
    for (person, track_id), num_frames in together.items():
        table[people.index(person), ids.index(track_id)] = num_frames
    return int(table[linear_sum_assignment(-table)].sum())


def _num_false(count: IdentityCount, pairs: Iterable[tuple[People, TrackedPoses]]) -> int:
    every = {track_id for _, tracked in pairs for track_id in tracked.track_ids.tolist()}
    return len(every - {track_id for ids in count.ids.values() for track_id in ids})


def _hota(pairs: Sequence[tuple[People, TrackedPoses]], keypoint_threshold: float) -> HotaSums:
    truth, found = [], []
    for number, (people, tracked) in enumerate(pairs):
        truth.append(_true_frame(number, people))
        # Of a frame without predictions the kit counts the whole sequence as missed: nobody's empty pose prevents it.
        poses = Poses.join([tracked.poses, _NO_POSE])
        found.append(_frame(number, poses, poses.scores >= keypoint_threshold, np.append(tracked.track_ids, -1)))
    return sum_up(compare_frames(truth, found)[1])


def _true_frame(number: int, people: People) -> PoseTrackFrame:
    """The visible keypoints; heads are in proportion to the people."""
    boxes = Candidates.from_detections(Detections(people.boxes, np.ones(len(people), np.float32)))
    poses = Poses.in_boxes(boxes, people.keypoints, people.visible.astype(np.float32))
    diagonals = _HEAD_DIAGONAL * np.ptp(people.keypoints, axis=1).max(axis=1, initial=0)
    frame = _frame(number, poses, people.visible, people.track_ids)
    return replace(frame, head_boxes=np.outer(diagonals / np.sqrt(2), [0.0, 0, 1, 1]))


def _frame(number: int, poses: Poses, kept: BoolArray, track_ids: IntArray) -> PoseTrackFrame:
    known = replace(poses, keypoints=np.where(kept[..., None], poses.keypoints, np.float32(np.nan)))
    return predicted_frame(number, str(number), as_posetrack(known, COCO_17), track_ids)
