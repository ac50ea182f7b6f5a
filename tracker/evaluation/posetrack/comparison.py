"""A PoseTrack sequence as the evaluators see it: frames paired, ignored keypoints gone, every distance at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tracker.errors import InputError
from tracker.evaluation.posetrack.regions import in_regions
from tracker.formats.posetrack import PoseTrackFrame, PoseTrackSequence
from tracker.skeletons import POSETRACK_15, POSETRACK_17
from tracker.types import BoolArray, DoubleArray, IntArray, RowTable

NUM_KEYPOINTS = POSETRACK_15.num_keypoints
# A keypoint is right within half a head, and a head is 0.6 of its box's diagonal.
HIT_DISTANCE = 0.5
_HEAD_SHARE = 0.6
_FROM_17 = [POSETRACK_17.index(name) for name in POSETRACK_15.keypoint_names]


@dataclass(frozen=True, eq=False)
class People:
    """The N people of T frames, frame after frame.

    num_frames: T. frames: (N,) int64 from 0, never falling. track_ids: (N,) int64. keypoints: (N, 15, 2) pixels in the
    order of POSETRACK_15, NaN where there is none. scores: (N, 15), NaN where unknown. head_sizes: (N,) pixels, NaN
    where unknown.
    """

    num_frames: int
    frames: IntArray
    track_ids: IntArray
    keypoints: DoubleArray
    scores: DoubleArray
    head_sizes: DoubleArray

    def __len__(self) -> int:
        return len(self.frames)

    def take(self, rows: BoolArray) -> People:
        """The people in a mask (N,)."""
        names = ("frames", "track_ids", "keypoints", "scores", "head_sizes")
        return People(self.num_frames, *(getattr(self, name)[rows] for name in names))

    def in_frames(self, kept: BoolArray) -> People:
        """The people of the frames in a mask (T,), which are counted anew."""
        people = self.take(kept[self.frames])
        numbers = np.cumsum(kept) - 1
        return replace(people, num_frames=int(kept.sum()), frames=numbers[people.frames])

    @cached_property
    def present(self) -> BoolArray:
        """(N, 15): which keypoints there are."""
        return ~np.isnan(self.keypoints[..., 0])

    @cached_property
    def first_rows(self) -> IntArray:
        """(T + 1,): where the people of each frame begin, and the last ones end."""
        return np.searchsorted(self.frames, np.arange(self.num_frames + 1))

    @cached_property
    def keypoints_per_frame(self) -> IntArray:
        """(T, 15): how many keypoints of each kind each frame has."""
        return _count(self.frames, self.present, self.num_frames)

    @cached_property
    def places(self) -> IntArray:
        """(N, 15): how many people before this one, in the same frame, have the keypoint."""
        before: IntArray = np.cumsum(self.present, axis=0) - self.present
        return before - before[self.first_rows[self.frames]]

    @cached_property
    def tracks(self) -> IntArray:
        """(N,): the track ids, numbered from 0 without gaps."""
        return np.unique(self.track_ids, return_inverse=True)[1].reshape(-1)

    @cached_property
    def lengths(self) -> IntArray:
        """(tracks, 15): in how many frames each track has the keypoint."""
        return _count(self.tracks, self.present, int(self.tracks.max(initial=-1)) + 1)


@dataclass(frozen=True, eq=False)
class Hits(RowTable):
    """H pairs of a true and a predicted keypoint that are close to each other, frame after frame.

    frames, keypoints, truth, predicted: (H,) int64, the frame, which of the 15, and the rows of the people.
    distances: (H,) in heads.
    """

    frames: IntArray
    keypoints: IntArray
    truth: IntArray
    predicted: IntArray
    distances: DoubleArray

    @cached_property
    def true_keys(self) -> IntArray:
        """(H,): a number for each true keypoint."""
        return self.truth * NUM_KEYPOINTS + self.keypoints

    @cached_property
    def predicted_keys(self) -> IntArray:
        """(H,): a number for each predicted keypoint."""
        return self.predicted * NUM_KEYPOINTS + self.keypoints

    @cached_property
    def _group_keys(self) -> IntArray:
        return self.frames * NUM_KEYPOINTS + self.keypoints

    def is_contested(self) -> BoolArray:
        """(H,): whether a keypoint of that kind and frame is close to two others, so that some have to be chosen."""
        each = np.ones(len(self))
        doubled = (sum_alike(self.true_keys, each) > 1) | (sum_alike(self.predicted_keys, each) > 1)
        return sum_alike(self._group_keys, doubled) > 0

    def groups(self, mask: BoolArray) -> list[IntArray]:
        """The rows of the hits in a mask (H,), those of one frame and keypoint together."""
        rows = np.flatnonzero(mask)
        return split_alike(rows[np.argsort(self._group_keys[rows], kind="stable")], self._group_keys)


@dataclass(frozen=True, eq=False)
class Comparison:
    """The true and predicted people of the same frames, and how far apart the keypoints of each pair are.

    pairs: (M, 2) int64, the rows of all pairs of a true and a predicted person of the same frame; by frame, then by
    true, then by predicted person. distances: (M, 15) in heads of the true person, NaN where one lacks the keypoint.
    """

    truth: People
    predicted: People
    pairs: IntArray
    distances: DoubleArray

    @property
    def num_frames(self) -> int:
        """T."""
        return self.truth.num_frames

    def hits(self, limit: float = HIT_DISTANCE) -> Hits:
        """All pairs of keypoints within the limit, which counts."""
        pair, keypoints = np.nonzero(self.distances <= limit)
        truth, predicted = self.pairs[pair].T
        return Hits(self.truth.frames[truth], keypoints, truth, predicted, self.distances[pair, keypoints])


def sum_alike(keys: IntArray, values: npt.NDArray[Any]) -> DoubleArray:
    """(n,): for each of the keys (n,) the sum of the values (n,) of all equal keys."""
    if not len(keys):
        return np.zeros(0)
    offsets = keys - keys.min()
    return np.bincount(offsets, values)[offsets]


def split_alike(rows: IntArray, keys: IntArray) -> list[IntArray]:
    """The rows in parts of equal key, which stand together."""
    return np.split(rows, np.flatnonzero(np.diff(keys[rows])) + 1) if len(rows) else []


def _count(rows: IntArray, present: BoolArray, num_rows: int) -> IntArray:
    counts = np.zeros((num_rows, NUM_KEYPOINTS), np.int64)
    np.add.at(counts, rows, present)
    return counts


def pair_frames(
    truth: PoseTrackSequence, predicted: PoseTrackSequence
) -> tuple[tuple[PoseTrackFrame, ...], str | None]:
    """The predicted frames in the order of the true ones, paired by image id, and what is to be said about it.

    InputError where the two do not list the same images.
    """
    if not truth.frames:
        raise InputError(f"the ground truth of {truth.name} has no images; leave the file out")
    if len(predicted.frames) != len(truth.frames):
        raise InputError(
            f"the prediction for {truth.name} has {len(predicted.frames)} images, the ground truth "
            f"{len(truth.frames)}; list every image, labeled or not"
        )
    by_id = {frame.image_id: frame for frame in predicted.frames}
    for frame in truth.frames:
        if frame.image_id not in by_id:
            raise InputError(
                f"the prediction for {truth.name} lacks the image {frame.image_id} ({frame.name}); list every image "
                "of the ground truth, labeled or not, once"
            )
    paired = tuple(by_id[frame.image_id] for frame in truth.frames)
    if paired == predicted.frames:
        return paired, None
    return paired, (
        f"{truth.name}: the prediction lists the images in another order than the ground truth; they are paired by id, "
        "while poseval pairs them by position and gives other figures"
    )


def compare_frames(
    truth: Sequence[PoseTrackFrame], predicted: Sequence[PoseTrackFrame]
) -> tuple[Comparison, Comparison]:
    """What poseval compares in frames paired one by one, and what PoseTrack21's kit does.

    poseval takes the frames whose ground truth lists somebody; the kit takes labeled frames, and keypoints whose
    coordinates are both above 0. Neither sees what lies in ignore regions. InputError where a person with keypoints
    has no head box. Source: `cleanupData` and `removeIgnoredPoints` of poseval/eval_helpers.py;
    trackeval/datasets/posetrack.py of the kit.
    """
    people = _without_ignored(_gather(truth), _gather(predicted), truth)
    has_regions = np.array([bool(frame.ignore_regions) for frame in truth])
    listed = np.array([len(frame) > 0 for frame in truth])
    labeled = np.array([frame.is_labeled for frame in truth])
    _check_heads(people[0], listed | labeled, truth)
    poseval = [_without_emptied(some, has_regions).in_frames(listed) for some in people]
    kit = [_without_emptied(_above_zero(some), has_regions).in_frames(labeled) for some in people]
    return _compare(*poseval), _compare(*kit)


def _gather(frames: Sequence[PoseTrackFrame]) -> People:
    """The people of all frames who have a list of keypoints, be it empty."""
    heads = np.concatenate([frame.head_boxes for frame in frames])
    sides = heads[:, 2:] - heads[:, :2]
    people = People(
        num_frames=len(frames),
        frames=np.repeat(np.arange(len(frames)), [len(frame) for frame in frames]),
        track_ids=np.concatenate([frame.track_ids for frame in frames]),
        keypoints=np.concatenate([frame.keypoints for frame in frames])[:, _FROM_17],
        scores=np.concatenate([frame.scores for frame in frames])[:, _FROM_17],
        head_sizes=_HEAD_SHARE * np.sqrt((sides**2).sum(axis=1)),
    )
    return people.take(np.concatenate([frame.has_points for frame in frames]))


def _without_ignored(true: People, predicted: People, truth: Sequence[PoseTrackFrame]) -> tuple[People, People]:
    """Both without their keypoints in ignore regions."""
    people = true, predicted
    points = [some.keypoints.copy() for some in people]
    for number, frame in enumerate(truth):
        if frame.ignore_regions:
            rows = [slice(*some.first_rows[number : number + 2]) for some in people]
            blocks = [part[row] for part, row in zip(points, rows, strict=True)]
            inside = in_regions(np.concatenate(blocks), frame.ignore_regions)
            for block, ignored in zip(blocks, np.split(inside, [len(blocks[0])]), strict=True):
                block[ignored] = np.nan
    return replace(true, keypoints=points[0]), replace(predicted, keypoints=points[1])


def _above_zero(people: People) -> People:
    above = (people.keypoints > 0).all(axis=-1, keepdims=True)
    return replace(people, keypoints=np.where(above, people.keypoints, np.nan))


def _without_emptied(people: People, has_regions: BoolArray) -> People:
    """Without those who have no keypoints, in frames with ignore regions; in others they stay."""
    return people.take(people.present.any(axis=1) | ~has_regions[people.frames])


def _check_heads(true: People, used: BoolArray, truth: Sequence[PoseTrackFrame]) -> None:
    """Refuse a person with keypoints but without head box in a frame of the mask."""
    headless = np.flatnonzero(np.isnan(true.head_sizes) & true.present.any(axis=1) & used[true.frames])
    if len(headless):
        frame = truth[true.frames[headless[0]]]
        raise InputError(
            f"person {true.track_ids[headless[0]]} in the image {frame.image_id} ({frame.name}) of the ground truth "
            "has keypoints but no head box, by which distances are measured; correct the file"
        )


def _compare(true: People, predicted: People) -> Comparison:
    partners = np.diff(predicted.first_rows)[true.frames]
    # What brings the running number of a pair to the row of its predicted person.
    offsets = predicted.first_rows[true.frames] - np.cumsum(partners) + partners
    of_true = np.repeat(np.arange(len(true)), partners)
    of_predicted = np.arange(partners.sum()) + np.repeat(offsets, partners)
    squares = np.zeros((len(of_true), NUM_KEYPOINTS))
    for axis in range(2):
        squares += (true.keypoints[of_true, :, axis] - predicted.keypoints[of_predicted, :, axis]) ** 2
    # A head box without size makes distances infinite or NaN: no hits.
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = np.sqrt(squares) / true.head_sizes[of_true, None]
    return Comparison(true, predicted, np.column_stack([of_true, of_predicted]), distances)
