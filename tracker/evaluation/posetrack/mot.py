"""CLEAR-MOT of keypoints: every kind of keypoint is tracked for itself, as poseval has it done by motmetrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from tracker.evaluation.posetrack.ap import with_mean
from tracker.evaluation.posetrack.comparison import NUM_KEYPOINTS, Comparison, Hits, split_alike, sum_alike
from tracker.types import BoolArray, DoubleArray, IntArray


@dataclass(frozen=True, eq=False)
class MotCounts:
    """What CLEAR-MOT counts, (15,) each by keypoint.

    num_objects: true keypoints. num_hypotheses: predicted ones. num_detections: matches, switches among them.
    num_switches: matches with another track id than the person's last one. distance: sum over the matches, in heads.
    """

    num_objects: IntArray
    num_hypotheses: IntArray
    num_detections: IntArray
    num_switches: IntArray
    distance: DoubleArray

    def __add__(self, other: MotCounts) -> MotCounts:
        return MotCounts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def num_misses(self) -> IntArray:
        """True keypoints without match."""
        return self.num_objects - self.num_detections

    @property
    def num_false_positives(self) -> IntArray:
        """Predicted keypoints without match."""
        return self.num_hypotheses - self.num_detections

    def figures(self) -> Mapping[str, DoubleArray]:
        """Percent: `mota`, `motp`, precision `pre` and recall `rec`; (16,), by keypoint and the mean of those not NaN.

        Without true keypoints `mota` and `rec` are NaN, without predicted ones `pre`. Without matches `motp` is 0, and
        counts in the mean. Source: `computeMetrics` of poseval/evaluateTracking.py.
        """
        objects, hypotheses, detections = (
            np.where(count > 0, count, np.nan) for count in (self.num_objects, self.num_hypotheses, self.num_detections)
        )
        faults = self.num_misses + self.num_false_positives + self.num_switches
        figures = {
            "mota": 1 - faults / objects,
            "motp": np.nan_to_num(1 - self.distance / detections),
            "pre": self.num_detections / hypotheses,
            "rec": self.num_detections / objects,
        }
        return {name: with_mean(100 * values) for name, values in figures.items()}


def match_keypoints(comparison: Comparison) -> Hits:
    """The hits that CLEAR-MOT takes for matches, frame by frame and keypoint by keypoint.

    A true keypoint stays with the track id of its person's last match while that is a hit; the rest is matched so that
    there are most matches, and of these the nearest. Source: Bernardin and Stiefelhagen 2008, section 2.1.3;
    `MOTAccumulator.update` of motmetrics.
    """
    hits = comparison.hits()
    chosen = ~hits.is_contested()
    tracks = comparison.truth.tracks[hits.truth] * NUM_KEYPOINTS + hits.keypoints
    hypotheses = comparison.predicted.tracks[hits.predicted]
    # The predicted track of the last match, by true track and keypoint; that of all chosen hits before `done`.
    held = np.full(tracks.max(initial=-1) + 1, -1)
    done = 0
    for rows in split_alike(np.flatnonzero(~chosen), hits.frames):
        begin, done = done, int(np.searchsorted(hits.frames, hits.frames[rows[0]]))
        past = begin + np.flatnonzero(chosen[begin:done])
        held[tracks[past]] = hypotheses[past]
        chosen[rows] = _match(comparison, hits[rows], held[tracks[rows]] == hypotheses[rows])
    return hits[chosen]


def _match(comparison: Comparison, hits: Hits, known: BoolArray) -> BoolArray:
    """Which of the contested hits of a frame are matches; known: (h,) whether they were in the person's last match."""
    matched = np.zeros(len(hits), np.bool_)
    candidates = np.flatnonzero(known)
    matched[candidates[np.unique(hits.predicted_keys[candidates], return_index=True)[1]]] = True
    taken = sum_alike(hits.true_keys, matched) + sum_alike(hits.predicted_keys, matched)
    free = np.flatnonzero(taken == 0)
    rest = hits[free]
    contested = rest.is_contested()
    matched[free[~contested]] = True
    for group in rest.groups(contested):
        matched[free[group]] = _assign(comparison, rest[group])
    return matched


def _assign(comparison: Comparison, hits: Hits) -> BoolArray:
    """Which of the hits of a frame and keypoint are matches, when all are free: most matches, then least distance."""
    frame, keypoint = hits.frames[0], hits.keypoints[0]
    people = comparison.truth, comparison.predicted
    # A match more outweighs all distances. The matrix is that of motmetrics, which decides equals the same way.
    shape = [some.keypoints_per_frame[frame, keypoint] for some in people]
    costs = np.full(shape, 2 * min(shape) * (1 + hits.distances.max()) + 1)
    places = tuple(some.places[rows, keypoint] for some, rows in zip(people, (hits.truth, hits.predicted), strict=True))
    costs[places] = hits.distances
    assigned = np.zeros(shape, np.bool_)
    assigned[linear_sum_assignment(costs)] = True
    return assigned[places]


def count_events(comparison: Comparison, matches: Hits) -> tuple[MotCounts, MotCounts]:
    """What there is to count in a sequence: as poseval counts it, and with every person counted.

    poseval leaves out the last frame. In a frame without true or without predicted people it has one miss, one false
    positive and one object of every keypoint, however many people there are.
    """
    truth, predicted = comparison.truth, comparison.predicted
    events = {
        "num_objects": truth.keypoints_per_frame.copy(),
        "num_hypotheses": predicted.keypoints_per_frame.copy(),
        "num_detections": _per_frame(matches, comparison.num_frames),
        "num_switches": _per_frame(matches[_is_switch(comparison, matches)], comparison.num_frames),
        "distance": _per_frame(matches, comparison.num_frames, matches.distances),
    }
    every_person = MotCounts(**{name: table.sum(axis=0) for name, table in events.items()})
    nobody = (np.diff(truth.first_rows) == 0) | (np.diff(predicted.first_rows) == 0)
    events["num_objects"][nobody] = events["num_hypotheses"][nobody] = 1
    return MotCounts(**{name: table[:-1].sum(axis=0) for name, table in events.items()}), every_person


def _is_switch(comparison: Comparison, matches: Hits) -> BoolArray:
    """Whether the person's match before, of the same keypoint, had another track id."""
    objects, hypotheses = comparison.truth.tracks[matches.truth], comparison.predicted.tracks[matches.predicted]
    place = objects * NUM_KEYPOINTS + matches.keypoints
    order = np.lexsort((matches.frames, place))
    switches = np.zeros(len(matches), np.bool_)
    again, other = (np.diff(values[order], prepend=-1) for values in (place, hypotheses))
    switches[order] = (again == 0) & (other != 0)
    return switches


def _per_frame(hits: Hits, num_frames: int, weights: DoubleArray | None = None) -> npt.NDArray[Any]:
    """(T, 15): how many hits each frame and keypoint has, or the sum of their weights."""
    place = hits.frames * NUM_KEYPOINTS + hits.keypoints
    return np.bincount(place, weights, num_frames * NUM_KEYPOINTS).reshape(num_frames, NUM_KEYPOINTS)
