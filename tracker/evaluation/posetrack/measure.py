"""What a sequence gives, measured as poseval and PoseTrack21's kit measure it; sums and scores, no frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tracker.evaluation.posetrack.ap import Ranking, rank_keypoints
from tracker.evaluation.posetrack.comparison import (
    Comparison,
    Hits,
    compare_frames,
    pair_frames,
)
from tracker.evaluation.posetrack.hota import HotaSums, sum_up
from tracker.evaluation.posetrack.mot import MotCounts, count_events, match_keypoints
from tracker.formats.posetrack import PoseTrackFrame, PoseTrackSequence
from tracker.types import IntArray


@dataclass(frozen=True, eq=False)
class Timeline:
    """Who had which id when, among the frames that poseval evaluates.

    track_ids: (N,) of the true people, frame after frame. frames: (N,). holders: (N,) the predicted id that most of
    the person's keypoints are matched with, -1 without any. num_frames: T.
    """

    track_ids: IntArray
    frames: IntArray
    holders: IntArray
    num_frames: int


@dataclass(frozen=True, eq=False)
class MeasuredSequence:
    """What is to be known of a sequence for its figures and those of all.

    num_frames: that poseval evaluates. ranking, ranking21: for AP, as poseval and as PoseTrack21's kit choose frames
    and keypoints. mot: as poseval counts; mot_every_person: every person counted, in the last frame too. hota: (19, 15)
    sums. num_frames_without_truth, num_frames_without_prediction: labeled frames in which the files list nobody.
    note: what the user should know.
    """

    name: str
    num_frames: int
    ranking: Ranking
    mot: MotCounts
    mot_every_person: MotCounts
    ranking21: Ranking
    hota: HotaSums
    num_frames_without_truth: int
    num_frames_without_prediction: int
    timeline: Timeline
    note: str | None


def measure_sequence(
    truth: PoseTrackSequence, predicted: PoseTrackSequence, keypoint_score: float | None = None
) -> MeasuredSequence:
    """Measure the predictions for one sequence.

    Images are paired by id. keypoint_score: predicted keypoints with a lower score count for AP alone, not for MOT and
    HOTA, which are the better without them; by default all count. Raises InputError where the two do not list the same
    images, or where a person with keypoints has no head box.
    """
    frames, note = pair_frames(truth, predicted)
    comparison, comparison21 = compare_frames(truth.frames, frames)
    rankings = rank_keypoints(comparison), rank_keypoints(comparison21)
    if keypoint_score is not None:
        strong = [_without_weak(frame, keypoint_score) for frame in frames]
        comparison, comparison21 = compare_frames(truth.frames, strong)
    matches = match_keypoints(comparison)
    mot, mot_every_person = count_events(comparison, matches)
    labeled = [frame.is_labeled for frame in truth.frames]
    return MeasuredSequence(
        name=truth.name,
        num_frames=comparison.num_frames,
        ranking=rankings[0],
        mot=mot,
        mot_every_person=mot_every_person,
        ranking21=rankings[1],
        hota=sum_up(comparison21),
        num_frames_without_truth=_num_empty(truth.frames, labeled),
        num_frames_without_prediction=_num_empty(frames, labeled),
        timeline=_timeline(comparison, matches),
        note=note,
    )


def note_on_scores(measured: Sequence[MeasuredSequence]) -> str | None:
    """What is to be said where predicted keypoints have no scores."""
    num_unscored = sum(sequence.ranking.num_unscored for sequence in measured)
    if not num_unscored:
        return None
    num_predicted = sum(len(sequence.ranking.scores) for sequence in measured)
    return (
        f"{num_unscored} of {num_predicted} predicted keypoints have no score: they rank last together, "
        "while AP by poseval depends on their order"
    )


def _without_weak(frame: PoseTrackFrame, keypoint_score: float) -> PoseTrackFrame:
    """The same people without keypoints of a lower score; those without a score stay."""
    weak = frame.scores < keypoint_score
    return replace(frame, keypoints=np.where(weak[..., np.newaxis], np.nan, frame.keypoints))


def _num_empty(frames: Sequence[PoseTrackFrame], labeled: Sequence[bool]) -> int:
    return sum(is_labeled and not len(frame) for frame, is_labeled in zip(frames, labeled, strict=True))


def _timeline(comparison: Comparison, matches: Hits) -> Timeline:
    truth, predicted = comparison.truth, comparison.predicted
    holders = np.full(len(truth), -1)
    people, counts = np.unique(
        np.column_stack([matches.truth, predicted.track_ids[matches.predicted]]), axis=0, return_counts=True
    )
    # The largest count is written last, and of equals the lowest id.
    order = np.lexsort((-people[:, 1], counts))
    holders[people[order, 0]] = people[order, 1]
    return Timeline(truth.track_ids, truth.frames, holders, comparison.num_frames)
