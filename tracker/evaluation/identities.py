"""How well ids stay with the people of scenes: switches, IDF1, HOTA, who is found, ids that are nobody's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from tracker.boxes import box_areas
from tracker.evaluation.ablation import predicted_frame
from tracker.evaluation.posetrack.comparison import compare_frames
from tracker.evaluation.posetrack.hota import HotaSums, sum_up
from tracker.formats.coco import as_posetrack
from tracker.formats.posetrack import PoseTrackFrame
from tracker.scenes.rendering import People
from tracker.skeletons import COCO_17
from tracker.tracking.oks import oks
from tracker.types import BoolArray, Candidates, Detections, DoubleArray, IntArray, Poses, TrackedPoses

# From this OKS on a tracked pose can stand for a true person.
_MIN_SIMILARITY = 0.5
# The diagonal of a head's box, as a share of the person's height, for distances in heads.
_HEAD_DIAGONAL = 0.22
_NO_POSE = Poses.in_boxes(
    Candidates.from_detections(Detections(np.zeros((1, 4), np.float32), np.zeros(1, np.float32))),
    np.full((1, COCO_17.num_keypoints, 2), np.nan, np.float32),
    np.zeros((1, COCO_17.num_keypoints), np.float32),
)


@dataclass(frozen=True)
class IdentityCount:
    """How well ids stay with people.

    switches: changes of a true person's id. ids: those each true person had, in order of appearance.
    num_matched of num_people true people, counted over all frames, had a tracked pose.
    """

    switches: int
    ids: Mapping[int, tuple[int, ...]]
    num_matched: int
    num_people: int


def count_switches(pairs: Iterable[tuple[People, TrackedPoses]]) -> IdentityCount:
    """Identity switches of tracked poses (COCO-17) against the truth, frame by frame.

    A tracked pose can stand for a true person from an OKS of 0.5. As in CLEAR-MOT, a person
    keeps the id of the last match while that is so; the rest is matched for the largest sum of OKS. A switch
    is an id other than the person's last one, however long ago.
    Source: Bernardin and Stiefelhagen 2008, section 2.1.3.
    """
    last: dict[int, int] = {}
    ids: dict[int, list[int]] = {}
    switches = num_matched = num_people = 0
    for people, tracked in pairs:
        num_people += len(people)
        for person, track_id in _match(people, tracked, last).items():
            num_matched += 1
            switches += last.get(person, track_id) != track_id
            last[person] = track_id
            if track_id not in ids.setdefault(person, []):
                ids[person].append(track_id)
    seen = {person: tuple(have) for person, have in sorted(ids.items())}
    return IdentityCount(switches, seen, num_matched, num_people)


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
        similar = _similarity(people, tracked.poses) >= _MIN_SIMILARITY
        alike = similar & people.visible.any(axis=1, keepdims=True)
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


def _match(people: People, tracked: TrackedPoses, last: Mapping[int, int]) -> dict[int, int]:
    """Track id of each true person who has one in this frame."""
    similarity = _similarity(people, tracked.poses)
    # A pair that goes on is worth more than any number of new ones.
    goes_on = np.array([[last.get(int(p)) == int(t) for t in tracked.track_ids] for p in people.track_ids])
    value = np.where(similarity >= _MIN_SIMILARITY, similarity, 0)
    value += np.where(value > 0, goes_on.reshape(value.shape) * float(value.size + 1), 0)
    pairs = zip(*linear_sum_assignment(-value), strict=True)
    return {int(people.track_ids[p]): int(tracked.track_ids[t]) for p, t in pairs if value[p, t] > 0}


def _similarity(people: People, poses: Poses) -> DoubleArray:
    """OKS (N, M) of true people and poses, scaled by the true boxes."""
    areas = box_areas(people.boxes).astype(np.float64)
    similarity = [
        oks(people.keypoints[[i]], areas[[i]], poses.keypoints, np.full(len(poses), areas[i]), COCO_17.sigmas)
        for i in range(len(people))
    ]
    return np.concatenate([np.zeros((0, len(poses))), *similarity]).astype(np.float64)


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
