"""The paper's ablation on PoseTrack sequences: what settings of the tracker give, also where parts know the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add

import numpy as np
from scipy.optimize import linear_sum_assignment

from tracker.boxes import boxes_around, iou
from tracker.evaluation.posetrack.ap import Ranking, ap_figures, pool
from tracker.evaluation.posetrack.comparison import HIT_DISTANCE, compare_frames
from tracker.evaluation.posetrack.measure import MeasuredSequence, measure_sequence
from tracker.evaluation.posetrack.mot import MotCounts
from tracker.evaluation.posetrack.summary import by_group, mot_columns
from tracker.evaluation.recording import Recording
from tracker.formats.coco import as_posetrack
from tracker.formats.posetrack import PoseTrackFrame, PoseTrackSequence
from tracker.formats.posetrack_dataset import DatasetSequence
from tracker.pipeline import StageTimes
from tracker.skeletons import POSETRACK_17
from tracker.tracking.config import TrackerConfig
from tracker.tracking.matching import match_greedily
from tracker.tracking.propagation import merge_candidates
from tracker.tracking.tracker import PoseTracker
from tracker.types import Candidates, Detections, FloatArray, IntArray, Poses

# Least IoU with the box of a true person for a candidate to be that person, as for the oracle of rendered scenes.
_COVERED = 0.3


@dataclass(frozen=True)
class Setting:
    """A way to track. detector: which of the networks'. box_score: least score of its boxes.

    In labeled images, the truth can stand in for parts. true_boxes: the boxes around the true keypoints are the
    candidates, detected with score 1, none propagated. true_keypoints: a candidate that covers a person has that
    person's keypoints with score 1, others have none. true_ids: people are found and dropped as ever, but have the id
    of the person of whom they have most keypoints right.
    """

    config: TrackerConfig
    detector: int = 0
    box_score: float = 0.5
    true_boxes: bool = False
    true_keypoints: bool = False
    true_ids: bool = False

    @property
    def knows_truth(self) -> bool:
        """Whether any part does."""
        return self.true_boxes or self.true_keypoints or self.true_ids


@dataclass(frozen=True)
class Outcome:
    """What a setting gives on all sequences.

    ap: of all keypoints, percent, by kind of keypoint and `Total`. mot: MOTA likewise, then MOTP, Prec and Rec, of
    keypoints not under the threshold. num_switches: over all keypoints. ms: milliseconds an image by stage, one stage
    after the other. fps: images per second so; NaN where the truth stands in for a part, which takes no time.
    """

    ap: Mapping[str, float]
    mot: Mapping[str, float]
    num_switches: int
    ms: Mapping[str, float]
    fps: float


class Ablation:
    """Settings compared on the same sequences.

    record: what networks give for a sequence, given its truth, too; it is kept for all sequences, about a kilobyte for
    a box, but pictures and flow for one at a time.
    """

    def __init__(
        self, sequences: Sequence[DatasetSequence], record: Callable[[DatasetSequence, PoseTrackSequence], Recording]
    ) -> None:
        self._sequences = sequences
        self._record = record
        self._recordings: dict[str, Recording] = {}

    def __len__(self) -> int:
        return len(self._sequences)

    def run(
        self, settings: Iterable[Setting], on_sequence: Callable[[], object] = lambda: None
    ) -> dict[Setting, Outcome]:
        """What each setting gives. Sequences are gone through once, each with all settings.

        on_sequence: called when a setting is done with one. Raises InputError for a sequence whose truth or images
        cannot be read, or that cannot be measured.
        """
        sums = {setting: _Sums() for setting in settings}
        for sequence in self._sequences:
            truth = sequence.read()
            if sequence.name not in self._recordings:
                self._recordings[sequence.name] = self._record(sequence, truth)
            recording = self._recordings[sequence.name]
            for setting, of_setting in sums.items():
                predicted = track_sequence(truth, recording, setting, of_setting.times)
                of_setting.add(measure_sequence(truth, predicted, setting.config.least_keypoint_score), len(recording))
                on_sequence()
            recording.forget_pictures()
        return {setting: of_setting.outcome(has_speed=not setting.knows_truth) for setting, of_setting in sums.items()}


@dataclass
class _Sums:
    """What is known of a setting after some sequences."""

    rankings: list[Ranking] = field(default_factory=list)
    counts: list[MotCounts] = field(default_factory=list)
    num_images: int = 0
    times: StageTimes = field(default_factory=StageTimes)

    def add(self, measured: MeasuredSequence, num_images: int) -> None:
        self.rankings.append(measured.ranking)
        self.counts.append(measured.mot)
        self.num_images += num_images

    def outcome(self, *, has_speed: bool) -> Outcome:
        counts = reduce(add, self.counts)
        ms = {stage: 1e3 * seconds / self.num_images for stage, seconds in self.times.busy_s.items()}
        return Outcome(
            ap=by_group(ap_figures(pool(self.rankings))["ap"]),
            mot=mot_columns(counts.figures()),
            num_switches=int(counts.num_switches.sum()),
            ms=ms,
            fps=1e3 / sum(ms.values()) if has_speed else np.nan,
        )


def track_sequence(
    truth: PoseTrackSequence, recording: Recording, setting: Setting, times: StageTimes
) -> PoseTrackSequence:
    """The predictions of a fresh tracker for the images of a sequence; times: gets the seconds of each stage."""
    run = _Run(recording, setting, times)
    return PoseTrackSequence(
        truth.name, "18", tuple(run.track(number, true) for number, true in enumerate(truth.frames))
    )


class _Run:
    """A sequence under way: what the pipeline does with a frame, with the truth in its place where it is known."""

    def __init__(self, recording: Recording, setting: Setting, times: StageTimes) -> None:
        self._recording = recording
        self._setting = setting
        self._config = setting.config
        self._times = times
        # True keypoints are PoseTrack's, and a tracker knows one skeleton only.
        self._skeleton = POSETRACK_17 if setting.true_keypoints else recording.skeleton
        self._tracker = PoseTracker(self._skeleton, setting.config)

    def track(self, number: int, true: PoseTrackFrame) -> PoseTrackFrame:
        """The people of the next image."""
        is_known = true.is_labeled or len(true) > 0
        candidates = self._candidates(number)
        if self._setting.true_boxes and is_known:
            candidates = true_candidates(true, self._config.box_expansion)
        if self._setting.true_keypoints and is_known:
            poses = true_poses(true, candidates, self._config.box_expansion)
        else:
            poses = self._estimate(number, candidates)
        with self._times.measure("track"):
            tracked = self._tracker.update(poses)
        people = as_posetrack(tracked.poses, self._skeleton)
        found = predicted_frame(true.image_id, true.name, people, tracked.track_ids)
        return replace(found, track_ids=true_ids(true, found)) if self._setting.true_ids and is_known else found

    def _candidates(self, number: int) -> Candidates:
        detections = self._recording.detect(number, self._setting.detector, self._setting.box_score, self._times)
        motion = self._recording.motion(number, self._config.needs_motion, self._times)
        with self._times.measure("track"):
            return merge_candidates(detections, self._tracker.predict(motion), self._config)

    def _estimate(self, number: int, candidates: Candidates) -> Poses:
        poses = self._recording.estimate(number, candidates, self._times)
        source = self._recording.skeleton
        return poses if source is self._skeleton else as_posetrack(poses, source)


def true_candidates(true: PoseTrackFrame, expansion: float) -> Candidates:
    """The boxes around the keypoints of the people who have any, grown by a factor, as detections with score 1."""
    boxes = _true_boxes(true, expansion)
    boxes = boxes[np.isfinite(boxes).all(axis=1)]
    return Candidates.from_detections(Detections(boxes, np.ones(len(boxes), np.float32)))


def true_poses(true: PoseTrackFrame, candidates: Candidates, expansion: float) -> Poses:
    """Each candidate with the true keypoints, of POSETRACK_17, of the person whom its box covers, with score 1.

    The best pairs of a candidate and a person come together, from an IoU of 0.3 of their boxes; a candidate that is
    left over has no keypoints.
    """
    overlaps = iou(candidates.boxes, _true_boxes(true, expansion))
    people, _ = match_greedily(overlaps, np.arange(len(true)), _COVERED)
    nobody = np.full((1, POSETRACK_17.num_keypoints, 2), np.nan)
    keypoints = np.concatenate([true.keypoints, nobody])[people]  # nobody is row -1
    scores = np.isfinite(keypoints[..., 0]).astype(np.float32)
    return Poses.in_boxes(candidates, keypoints.astype(np.float32), scores)


def true_ids(true: PoseTrackFrame, predicted: PoseTrackFrame) -> IntArray:
    """For each predicted person (N,) the track id of the true one: so that most keypoints are within half a head.

    Those with no keypoint right keep their id, as a negative number.
    """
    comparison, _ = compare_frames([true], [predicted])
    people, found = comparison.truth.track_ids, comparison.predicted.track_ids
    num_right = (comparison.distances <= HIT_DISTANCE).sum(axis=1).reshape(len(people), len(found))
    pairs = zip(*linear_sum_assignment(-num_right), strict=True)
    ids = {int(found[column]): int(people[row]) for row, column in pairs if num_right[row, column]}
    return np.array([ids.get(track_id, -1 - track_id) for track_id in predicted.track_ids.tolist()], np.int64)


def predicted_frame(image_id: int, name: str, poses: Poses, track_ids: IntArray) -> PoseTrackFrame:
    """People with PoseTrack's 17 keypoints as `PoseTrackWriter` would write them and `read_posetrack` read them."""
    keypoints = poses.keypoints.astype(np.float64).round(2)
    is_kept = np.all(keypoints > 0, axis=2)
    unknown = np.full((len(poses), 4), np.nan)
    return PoseTrackFrame(
        image_id=image_id,
        name=name,
        is_labeled=True,
        ignore_regions=(),
        track_ids=track_ids,
        keypoints=np.where(is_kept[..., np.newaxis], keypoints, np.nan),
        visibilities=np.where(is_kept, 1, np.nan),
        scores=np.where(is_kept, poses.scores.astype(np.float64).round(6), np.nan),
        pose_scores=unknown[:, 0],
        boxes=unknown,
        head_boxes=unknown,
        has_points=np.ones(len(poses), np.bool_),
    )


def _true_boxes(true: PoseTrackFrame, expansion: float) -> FloatArray:
    """(N, 4), NaN for a person without keypoints; at least a pixel large, for those with one."""
    return boxes_around(true.keypoints.astype(np.float32), expansion) + np.array([-0.5, -0.5, 0.5, 0.5], np.float32)
