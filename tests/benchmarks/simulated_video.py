"""True tracks of people seen by a detector, a pose network and a flow that err as the included ones do.

    python -m tests.benchmarks.simulated_video FILE [--seeds 3]

prints the sweep of `ablate` for the sequences of FILE to choose values by, then for those that are held out, by name.
All settings meet the same errors; another seed draws others.

    python -m tests.benchmarks.simulated_video FILE --people

prints how often a person's id changes, by whom each pose truly is of, with the defaults and without each part. Then the
switches of the people that poses are matched with, and of keypoints, which are the sweep's: both with the defaults, and
with true ids. Many remain with those, since who is not seen is matched with the keypoints of a neighbour.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from scipy.signal import lfilter
from scipy.spatial import KDTree
from scipy.special import ndtr

from tracker.boxes import boxes_around, clip_boxes, iou
from tracker.commands.ablate import SWEEPS, compare_settings, sweep
from tracker.evaluation.ablation import Ablation, Setting, track_sequence
from tracker.evaluation.posetrack.measure import measure_sequence
from tracker.formats.posetrack import PoseTrackFrame, PoseTrackSequence, read_posetrack
from tracker.pipeline import StageTimes
from tracker.skeletons import POSETRACK_17
from tracker.tracking.config import TrackerConfig
from tracker.types import (
    BoolArray,
    Candidates,
    Detections,
    DoubleArray,
    FloatArray,
    IntArray,
    MovedPoints,
    Poses,
)

# Pixels by which predictions, which are rounded, may differ from what was given.
_ROUNDING = 0.02
_WITHOUT: Mapping[str, Mapping[str, Any]] = {
    "defaults": {},
    "no usual": {"usual_share": 0},
    "newcomers for 0.17 s": {"forget_newcomer_s": 0.17},
    "no sizes": {"sizes": False},
    "no memory": {"forget_after_s": 0},
}
# That of all sequences of the Multi-Person PoseTrack data.
SIZE_WH = (960, 540)
# Hidden keypoints (N, 17) of the people of each image, in the order of the annotations.
Hidden: TypeAlias = Mapping[int, BoolArray]


@dataclass(frozen=True)
class Errors:
    """How observations differ from the truth; lengths are shares of the longer side of a person's box.

    The figures marked * were measured with the included networks on the one sequence of the Multi-Person PoseTrack data
    that is not among the simulated ones; the others are guesses of the same order.
    """

    keypoint_std: float = 0.015
    """* Deviation of right keypoints on each axis."""
    wrong_std: float = 0.12
    """* Deviation of wrong ones, which are more than half a head off."""
    wrong_score: float = 0.45
    """* A keypoint of score s is wrong with probability exp(−(s / wrong_score)²)."""
    seen_score: tuple[float, float] = (0.77, 0.14)
    """* Mean and deviation of the scores of keypoints that are seen."""
    hidden_score: tuple[float, float] = (0.5, 0.15)
    """Of those that are hidden in part, which networks guess."""
    covered_score: tuple[float, float] = (0.2, 0.08)
    """Of people who are hidden wholly for a while."""
    phantom_score: tuple[float, float] = (0.4, 0.15)
    """Of what is taken for a person."""
    persistence: float = 0.8
    """* Correlation of an error with that of the frame before."""
    miss_rate: float = 0.03
    """Share of people whom the detector misses in a single frame."""
    miss_run: tuple[float, float] = (0.01, 4)
    """Rate and mean length of the runs of frames in which the detector misses a person who can be seen."""
    cover_run: tuple[float, float] = (0.006, 12)
    """Likewise of those in which nobody can see the person."""
    least_seen: float = 0.3
    """People with a smaller share of keypoints seen are missed, too."""
    box_margins: tuple[float, float, float, float] = (-0.15, -0.03, 0.15, 0.05)
    """* How far a detected box lies outside the box around the keypoints, in shares of its width and height."""
    box_std: tuple[float, float, float, float] = (0.12, 0.04, 0.12, 0.05)
    """* The deviation of that."""
    phantom_rate: float = 0.03
    """Phantoms that appear in a frame; with the next two, 0.1 false people in a frame."""
    phantom_frames: float = 6
    """How long they stay, on average."""
    phantom_miss_rate: float = 0.4
    """Share of the frames in which the detector does not take them for people."""
    flow_std: tuple[float, float] = (0.5, 0.05)
    """Deviation of the flow in pixels, and as a share of the motion."""
    flow_reach: float = 0.1
    """The flow is known this near to a keypoint that is seen in both frames; elsewhere it is unreliable."""


@dataclass(frozen=True)
class SimulatedMotion:
    """The flow from a frame to the next: that of the nearest true keypoint.

    places, steps: (S, 2) pixels of true keypoints and what the flow says of them. reaches: (S,) pixels.
    """

    places: DoubleArray
    steps: DoubleArray
    reaches: DoubleArray
    is_cut: bool = False

    def move(self, points: FloatArray) -> MovedPoints:
        """Where points (N, 2) went; those far from all keypoints stay and are unreliable."""
        moved, reliable = points.copy(), np.zeros(len(points), np.bool_)
        rows = np.flatnonzero(~np.isnan(points[:, 0]))
        if len(rows) and len(self.places):
            distances, sources = KDTree(self.places).query(points[rows])
            near = distances <= self.reaches[sources]
            reliable[rows[near]] = True
            moved[rows[near]] += self.steps[sources[near]].astype(np.float32)
        return MovedPoints(moved, reliable)


class SimulatedVideo:
    """What networks and flow give for a sequence; all that is random is drawn at once, from the seed and its name.

    So every setting of a tracker meets the same errors. Rows P of all arrays are the true people, then phantoms.
    Ablation asks it as it asks a `Recording`, whose times stay as they are here.
    """

    skeleton = POSETRACK_17

    def __init__(
        self, truth: PoseTrackSequence, hidden: Hidden, size_wh: tuple[int, int], seed: int, errors: Errors
    ) -> None:
        self.truth = truth
        self._errors = errors
        self._rng = np.random.default_rng([seed, *truth.name.encode()])
        keypoints, seen = _tracks(truth, hidden)
        covered = self._runs(seen.shape[:2], *errors.cover_run)
        seen &= ~covered[..., np.newaxis]
        self._motions = list(self._flow(keypoints, seen))
        phantoms = self._phantoms(keypoints, size_wh)
        self._num_true = keypoints.shape[1]
        is_true = np.arange(keypoints.shape[1] + phantoms.shape[1]) < keypoints.shape[1]
        self._observe(np.concatenate([keypoints, phantoms], axis=1), seen, covered, is_true)
        self._detect(seen, is_true, size_wh)

    def __len__(self) -> int:
        return len(self.truth.frames)

    def detect(self, number: int, _detector: int = 0, min_score: float = 0, _times: object = None) -> Detections:
        """The people and phantoms that the detector finds in a frame, best first."""
        rows = np.flatnonzero(self._found[number] & (self._box_scores[number] >= min_score))
        rows = rows[np.argsort(-self._box_scores[number, rows], kind="stable")]
        return Detections(self._detected[number, rows], self._box_scores[number, rows])

    def motion(self, number: int, *_: object) -> SimulatedMotion | None:
        """The flow from the frame before, None for the first."""
        return self._motions[number - 1] if number else None

    def estimate(self, number: int, candidates: Candidates, *_: object) -> Poses:
        """Each candidate with the keypoints of whom it covers by an IoU of 0.3, else with none.

        Of two whom it covers alike it shows the one of whom more can be seen.
        """
        overlaps = iou(candidates.boxes, self._bodies[number])
        best = overlaps.max(axis=1, keepdims=True, initial=0)
        alike = (overlaps >= 0.3) & (overlaps >= best - 0.05)
        owners = np.where(alike, self._seen_shares[number], -1).argmax(axis=1)
        nobody = ~alike.any(axis=1)
        keypoints, scores = self._keypoints[number, owners], self._scores[number, owners]
        keypoints[nobody], scores[nobody] = np.nan, 0
        return Poses.in_boxes(candidates, keypoints, scores)

    def owner(self, number: int, keypoints: DoubleArray) -> int | None:
        """The true person whose keypoints (17, 2) were given in a frame; none for a phantom, or without keypoints."""
        distances = np.abs(self._keypoints[number] - keypoints).max(axis=2)
        known = np.isfinite(distances).any(axis=1)
        farthest = np.where(known, np.nan_to_num(distances).max(axis=1), np.inf)
        person = int(farthest.argmin())
        return person if farthest[person] < _ROUNDING and person < self._num_true else None

    def forget_pictures(self) -> None:
        """There are none."""

    def _observe(self, keypoints: DoubleArray, seen: BoolArray, covered: BoolArray, is_true: BoolArray) -> None:
        """Draw the keypoints that the pose network gives, and their scores."""
        errors, shape = self._errors, keypoints.shape[:3]
        means = np.broadcast_to(np.array(errors.phantom_score), (*shape, 2)).copy()
        levels = np.where(seen[..., np.newaxis], errors.seen_score, errors.hidden_score)
        means[:, is_true] = np.where(covered[..., np.newaxis, np.newaxis], errors.covered_score, levels)
        scores = np.clip(means[..., 0] + means[..., 1] * self._drift(shape), 0.02, 0.98)
        scores[np.isnan(keypoints[..., 0])] = 0
        wrong = ndtr(self._drift(shape)) < np.exp(-((scores / errors.wrong_score) ** 2))
        self._bodies = np.nan_to_num(_bodies(keypoints))
        sizes = (self._bodies[..., 2:] - self._bodies[..., :2]).max(axis=-1)
        deviations = np.where(wrong, errors.wrong_std, errors.keypoint_std) * sizes[..., np.newaxis]
        self._keypoints = (keypoints + deviations[..., np.newaxis] * self._drift((*shape, 2))).astype(np.float32)
        self._scores = scores.astype(np.float32)
        self._seen_shares = np.zeros(shape[:2])
        self._seen_shares[:, is_true] = _shares(seen, keypoints[:, is_true])

    def _detect(self, seen: BoolArray, is_true: BoolArray, size_wh: tuple[int, int]) -> None:
        """Draw who is found in which frame, in which box and with which score."""
        errors, shape = self._errors, self._bodies.shape[:2]
        sides = np.tile(self._bodies[..., 2:] - self._bodies[..., :2], 2)
        drawn = self._bodies + (np.array(errors.box_margins) + errors.box_std * self._drift((*shape, 4))) * sides
        self._detected = clip_boxes(drawn.reshape(-1, 4).astype(np.float32), size_wh).reshape(*shape, 4)
        self._bodies = self._bodies + np.array(errors.box_margins) * sides
        present = sides[..., 0] > 0
        miss_rates = np.where(is_true, errors.miss_rate, errors.phantom_miss_rate)
        self._found = present & (self._rng.random(shape) >= miss_rates)
        missed = self._runs(seen.shape[:2], *errors.miss_run)
        self._found[:, is_true] &= ~missed & (self._seen_shares[:, is_true] >= errors.least_seen)
        scores = np.where(is_true, 0.75, 0.57) + np.where(is_true, 0.09, 0.05) * self._drift(shape)
        self._box_scores = np.clip(scores, 0.5, 0.98).astype(np.float32)

    def _phantoms(self, keypoints: DoubleArray, size_wh: tuple[int, int]) -> DoubleArray:
        """(T, Q, 17, 2): copies of people that stand still somewhere else for some frames."""
        rng, errors, num_frames = self._rng, self._errors, len(keypoints)
        numbers, people = np.nonzero(~np.isnan(keypoints[..., 0]).all(axis=2))
        phantoms = np.full((num_frames, rng.poisson(errors.phantom_rate * num_frames), *keypoints.shape[2:]), np.nan)
        for row in range(phantoms.shape[1]):
            donor = rng.integers(len(numbers))
            shape = keypoints[numbers[donor], people[donor]]
            begin, length = rng.integers(num_frames), rng.geometric(1 / errors.phantom_frames)
            centre = rng.uniform((0, 0), size_wh)
            phantoms[begin : begin + length, row] = shape - np.nanmean(shape, axis=0) + centre
        return phantoms

    def _flow(self, keypoints: DoubleArray, seen: BoolArray) -> Iterator[SimulatedMotion]:
        still, share = self._errors.flow_std
        bodies = _bodies(keypoints)
        reaches = self._errors.flow_reach * (bodies[..., 2:] - bodies[..., :2]).max(axis=-1)
        for number in range(len(keypoints) - 1):
            people, parts = np.nonzero(seen[number] & seen[number + 1])
            places = keypoints[number, people, parts]
            steps = keypoints[number + 1, people, parts] - places
            deviations = still + share * np.linalg.norm(steps, axis=1, keepdims=True)
            steps = steps + deviations * self._rng.normal(size=steps.shape)
            yield SimulatedMotion(places, steps, reaches[number, people])

    def _drift(self, shape: tuple[int, ...]) -> DoubleArray:
        """Standard normal along every row of frames, each correlated with the one before."""
        rho = self._errors.persistence
        steps = self._rng.normal(size=shape)
        steps[1:] *= np.sqrt(1 - rho**2)
        return lfilter([1], [1, -rho], steps, axis=0)

    def _runs(self, shape: tuple[int, int], rate: float, mean_length: float) -> BoolArray:
        """(T, P): whether a frame is in a run; runs begin at a rate and go on for a geometric number of frames."""
        draws, runs = self._rng.random(shape), np.zeros(shape, np.bool_)
        for number in range(1, shape[0]):
            runs[number] = draws[number] < np.where(runs[number - 1], 1 - 1 / mean_length, rate)
        return runs


@dataclass(frozen=True)
class Tracks:
    """A sequence with its truth in hand, in the form of one of a data set."""

    truth: PoseTrackSequence
    hidden: Hidden

    @property
    def name(self) -> str:
        """Of the sequence."""
        return self.truth.name

    @property
    def is_held_out(self) -> bool:
        """Whether it judges values rather than choosing them; by name, hence for ever."""
        return zlib.crc32(self.name.encode()) % 2 == 1

    def read(self) -> PoseTrackSequence:
        """The truth."""
        return self.truth


def compare(sequences: list[Tracks], seed: int, errors: Errors) -> None:
    """Print the sweep of thresholds in simulated videos."""

    def record(sequence: Tracks, truth: PoseTrackSequence) -> SimulatedVideo:
        return SimulatedVideo(truth, sequence.hidden, SIZE_WH, seed, errors)

    base = Setting(TrackerConfig().settled())
    compare_settings(Ablation(sequences, record), {"defaults": base}, sweep(base, SWEEPS), base)


def compare_people(sequences: list[Tracks], seed: int, errors: Errors) -> None:
    """Print how often the id of a person changes, and how often it would by whom poses are matched with."""
    config = TrackerConfig().settled()
    videos = [SimulatedVideo(some.truth, some.hidden, SIZE_WH, seed, errors) for some in sequences]
    for label, without in _WITHOUT.items():
        changes = sum(count_changes(video, track(video, replace(config, **without))) for video in videos)
        print(f"{label}: {changes} changes")
    tracked = [track(video, config) for video in videos]
    true = [with_true_ids(video, found) for video, found in zip(videos, tracked, strict=True)]
    for label, results in (("defaults", tracked), ("true ids", true)):
        counts = [count_matched(some.truth, found, config) for some, found in zip(sequences, results, strict=True)]
        people, keypoints = np.sum(counts, axis=0)
        print(f"{label}: {people} switches of matched people, {keypoints} of keypoints")


def track(video: SimulatedVideo, config: TrackerConfig) -> PoseTrackSequence:
    """The people that a fresh tracker finds."""
    return track_sequence(video.truth, video, Setting(config), StageTimes())  # type: ignore[arg-type]


def count_changes(video: SimulatedVideo, found: PoseTrackSequence) -> int:
    """How often a true person's id is another than their last one, however long ago."""
    last: dict[int, int] = {}
    changes = 0
    for number, frame in enumerate(found.frames):
        for keypoints, track_id in zip(frame.keypoints, frame.track_ids.tolist(), strict=True):
            person = video.owner(number, keypoints)
            if person is not None:
                changes += last.get(person, track_id) != track_id
                last[person] = track_id
    return changes


def count_matched(truth: PoseTrackSequence, found: PoseTrackSequence, config: TrackerConfig) -> tuple[int, int]:
    """Switches of people, who have the id that most of their keypoints are matched with, and of keypoints."""
    measured = measure_sequence(truth, found, config.least_keypoint_score)
    timeline = measured.timeline
    held = np.flatnonzero(timeline.holders >= 0)
    rows = held[np.lexsort((timeline.frames[held], timeline.track_ids[held]))]
    same_person, other_id = np.diff(timeline.track_ids[rows]) == 0, np.diff(timeline.holders[rows]) != 0
    return int((same_person & other_id).sum()), int(measured.mot.num_switches.sum())


def with_true_ids(video: SimulatedVideo, found: PoseTrackSequence) -> PoseTrackSequence:
    """The same poses with the numbers of their true people for ids; others, and second ones, have negative ids."""
    frames = tuple(_with_true_ids(video, number, frame) for number, frame in enumerate(found.frames))
    return replace(found, frames=frames)


def _with_true_ids(video: SimulatedVideo, number: int, frame: PoseTrackFrame) -> PoseTrackFrame:
    ids: list[int] = []
    for keypoints, track_id in zip(frame.keypoints, frame.track_ids.tolist(), strict=True):
        person = video.owner(number, keypoints)
        ids.append(-1 - track_id if person is None or person in ids else person)
    return replace(frame, track_ids=np.array(ids, np.int64))


def read_tracks(path: Path) -> Iterator[tuple[PoseTrackSequence, Hidden]]:
    """The sequences of a JSON of `categories` and `sequences`, each with `images` and `annotations`; it may be gzipped.

    These are as in PoseTrack18, of which a single file will do, and may state `occluded` of the keypoints. People
    without head box get one.
    """
    file_content = path.read_bytes()
    content = json.loads(gzip.decompress(file_content) if path.suffix == ".gz" else file_content)
    order = [content["categories"][0]["keypoints"].index(name) for name in POSETRACK_17.keypoint_names]
    with tempfile.TemporaryDirectory() as folder:
        for sequence in content.get("sequences", [content | {"name": path.stem}]):
            file = Path(folder, f"{sequence['name']}.json")
            file.write_text(json.dumps(sequence | {"categories": content["categories"]}), encoding="utf-8")
            truth = read_posetrack(file)
            frames = tuple(replace(frame, head_boxes=_head_boxes(frame)) for frame in truth.frames)
            yield replace(truth, frames=frames), _hidden(sequence["annotations"], order)


def _head_boxes(frame: PoseTrackFrame) -> DoubleArray:
    """(N, 4): as stated, else of the size that others with the same distance of neck and head top have.

    Their boxes have a diagonal 1.25 times as long; where an end of the head is unknown, 0.22 of the person's longer
    side stands in.
    """
    lengths = np.linalg.norm(frame.keypoints[:, 1] - frame.keypoints[:, 2], axis=1)
    (bodies,) = _bodies(frame.keypoints[np.newaxis])
    longer = (bodies[:, 2:] - bodies[:, :2]).max(axis=1)
    diagonals = np.where(np.isnan(lengths), 0.22 * longer, 1.25 * lengths)
    squares = np.outer(diagonals / np.sqrt(2), [0, 0, 1, 1])
    return np.where(np.isnan(frame.head_boxes), squares, frame.head_boxes)


def _hidden(annotations: list[dict[str, Any]], order: list[int]) -> Hidden:
    rows: dict[int, list[Any]] = {}
    for record in annotations:
        rows.setdefault(record["image_id"], []).append(np.array(record.get("occluded", [0] * len(order)))[order])
    return {image_id: np.array(people, np.bool_) for image_id, people in rows.items()}


def _tracks(truth: PoseTrackSequence, hidden: Hidden) -> tuple[DoubleArray, BoolArray]:
    """Keypoints (T, P, 17, 2) of all true people, NaN where there is none, and whether they are seen (T, P, 17)."""
    ids: IntArray = np.unique(np.concatenate([frame.track_ids for frame in truth.frames]))
    keypoints = np.full((len(truth.frames), len(ids), 17, 2), np.nan)
    seen = np.zeros(keypoints.shape[:3], np.bool_)
    for number, frame in enumerate(truth.frames):
        rows = np.searchsorted(ids, frame.track_ids)
        keypoints[number, rows] = frame.keypoints
        if len(frame):
            seen[number, rows] = ~np.isnan(frame.keypoints[..., 0]) & ~hidden[frame.image_id]
    return keypoints, seen


def _bodies(keypoints: DoubleArray) -> DoubleArray:
    """(T, P, 4): boxes around keypoints (T, P, 17, 2), NaN where there are none."""
    flat = keypoints.reshape(-1, *keypoints.shape[2:]).astype(np.float32)
    return boxes_around(flat).reshape(*keypoints.shape[:2], 4).astype(np.float64)


def _shares(seen: BoolArray, keypoints: DoubleArray) -> DoubleArray:
    """(T, P): the share of a person's keypoints that are seen."""
    return seen.sum(axis=2) / np.maximum((~np.isnan(keypoints[..., 0])).sum(axis=2), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tracks", type=Path, metavar="FILE")
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--least-frames", type=int, default=0, metavar="N", help="leave out shorter sequences")
    parser.add_argument("--people", action="store_true", help="how often a person's id changes, instead of the sweep")
    parser.add_argument("--cover-frames", type=float, default=12, metavar="N", help="how long people stay hidden")
    args = parser.parse_args()

    errors = replace(Errors(), cover_run=(Errors().cover_run[0], args.cover_frames))
    sequences = [Tracks(*pair) for pair in read_tracks(args.tracks) if len(pair[0].frames) >= args.least_frames]
    for is_held_out in (False, True):
        half = [sequence for sequence in sequences if sequence.is_held_out == is_held_out]
        for seed in range(args.seeds if half else 0):
            print(f"\n{len(half)} sequences {'held out' if is_held_out else 'to choose by'}, seed {seed}")
            (compare_people if args.people else compare)(half, seed, errors)


if __name__ == "__main__":
    main()
