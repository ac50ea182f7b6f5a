"""HOTA of keypoints, as PoseTrack21's kit measures it: each kind of keypoint for itself, at 19 thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from tracker.evaluation.posetrack.comparison import NUM_KEYPOINTS, Comparison, Hits
from tracker.types import BoolArray, DoubleArray, IntArray

ALPHAS = np.arange(0.05, 0.99, 0.05)
# The distance, in heads, at which nothing is left of the similarity.
_REACH = 0.5001
_EPSILON = np.finfo(np.float64).eps


@dataclass(frozen=True, eq=False)
class HotaSums:
    """What HOTA sums up, (19, C) each, by threshold and column: the 15 keypoints, or these and the total.

    tp, fn, fp: counts. The others are sums over the true positives: ass_a, ass_re, ass_pr of the association of their
    pair of tracks, frag_a of that of their fragment, loc_a of their similarity.
    """

    tp: DoubleArray
    fn: DoubleArray
    fp: DoubleArray
    ass_a: DoubleArray
    ass_re: DoubleArray
    ass_pr: DoubleArray
    frag_a: DoubleArray
    loc_a: DoubleArray

    def __add__(self, other: HotaSums) -> HotaSums:
        return HotaSums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def figures(self) -> Mapping[str, DoubleArray]:
        """HOTA and its parts by the kit's names, (19, C), 0–1."""
        tp = np.maximum(1, self.tp)
        det_a = self.tp / np.maximum(1, self.tp + self.fn + self.fp)
        det_re = self.tp / np.maximum(1, self.tp + self.fn)
        ass_a, frag_a = self.ass_a / tp, self.frag_a / tp
        return {
            "HOTA": np.sqrt(det_a * ass_a),
            "RHOTA": np.sqrt(det_re * ass_a),
            "FA-HOTA": np.sqrt(det_a * np.sqrt(ass_a * frag_a)),
            "FA-RHOTA": np.sqrt(det_re * np.sqrt(ass_a * frag_a)),
            "DetA": det_a,
            "DetRe": det_re,
            "DetPr": self.tp / np.maximum(1, self.tp + self.fp),
            "AssA": ass_a,
            "AssRe": self.ass_re / tp,
            "AssPr": self.ass_pr / tp,
            "FragA": frag_a,
            "LocA": np.where(self.tp > 0, self.loc_a / tp, 1.0),
        }

    def with_total(self) -> HotaSums:
        """Those of a sequence's 15 keypoints, and as 16th column what makes its total count in a sum of sequences.

        In it, counts are summed up and everything else is a mean, for as many true positives as there are.
        """
        figures, tp = self.figures(), self.tp.sum(axis=1)
        names = {"ass_a": "AssA", "ass_re": "AssRe", "ass_pr": "AssPr", "frag_a": "FragA", "loc_a": "LocA"}
        totals = {field: figures[name].mean(axis=1) * tp for field, name in names.items()}
        totals |= {"tp": tp, "fn": self.fn.sum(axis=1), "fp": self.fp.sum(axis=1)}
        return HotaSums(**{name: np.column_stack([getattr(self, name), column]) for name, column in totals.items()})


def sequence_figures(sums: HotaSums) -> Mapping[str, DoubleArray]:
    """HOTA and its parts of a sequence, (19, 16): by keypoint, then their mean, as the kit has it for one sequence."""
    return {name: np.column_stack([values, values.mean(axis=1)]) for name, values in sums.figures().items()}


def sum_up(comparison: Comparison) -> HotaSums:
    """The sums of a sequence, (19, 15).

    Keypoints are matched so that the sum of their similarities is largest; a match is a true positive where its
    similarity is no less than the threshold. Source: Luiten et al. 2021, section 4; `HOTAeypoints` of the kit.
    """
    matches = _match(comparison)
    similarities = np.maximum(0, 1 - matches.distances / _REACH)
    pairs = _TrackPairs.of(comparison, matches)
    sums = [pairs.sums(similarities >= alpha - _EPSILON, similarities) for alpha in ALPHAS]
    tables = {name: np.array([row[name] for row in sums], np.float64) for name in sums[0]}
    num_predicted = comparison.predicted.lengths.sum(axis=0)
    return HotaSums(fn=_num_to_find(comparison) - tables["tp"], fp=num_predicted - tables["tp"], **tables)


def _num_to_find(comparison: Comparison) -> IntArray:
    """(15,): the true keypoints, as the kit counts them.

    A frame with true but without predicted people, there never having been any or all being ignored, counts those of
    the whole sequence in place of its own; not so where the whole sequence has no predictions.
    """
    truth, predicted = comparison.truth, comparison.predicted
    in_sequence = truth.lengths.sum(axis=0)
    if not len(predicted):
        return in_sequence
    missed = (np.diff(truth.first_rows) > 0) & (np.diff(predicted.first_rows) == 0)
    return truth.keypoints_per_frame[~missed].sum(axis=0) + missed.sum() * in_sequence


def _match(comparison: Comparison) -> Hits:
    """The pairs of keypoints by which the similarities sum up to most; by keypoint, person and frame."""
    truth, predicted = comparison.truth, comparison.predicted
    hits = comparison.hits(_REACH)
    chosen = ~hits.is_contested()
    rows = hits.truth - truth.first_rows[hits.frames]
    columns = hits.predicted - predicted.first_rows[hits.frames]
    # Of all people of the frame, those without the keypoint too: equals are then decided as in the kit.
    shapes = np.column_stack([np.diff(truth.first_rows), np.diff(predicted.first_rows)])
    for group in hits.groups(~chosen):
        costs = np.zeros(shapes[hits.frames[group[0]]])
        places = rows[group], columns[group]
        costs[places] = hits.distances[group] / _REACH - 1
        assigned = np.zeros(costs.shape, np.bool_)
        assigned[linear_sum_assignment(costs)] = True
        chosen[group] = assigned[places]
    matches = hits[chosen]
    return matches[np.lexsort((matches.frames, truth.tracks[matches.truth], matches.keypoints))]


@dataclass(frozen=True, eq=False)
class _TrackPairs:
    """The P combinations of a keypoint, a true and a predicted track that have matches.

    of_match: (m,) which of them each match belongs to. keypoints: (P,). true_lengths, predicted_lengths: (P,) in how
    many frames the two tracks have the keypoint.
    """

    of_match: IntArray
    keypoints: IntArray
    true_lengths: IntArray
    predicted_lengths: IntArray

    @classmethod
    def of(cls, comparison: Comparison, matches: Hits) -> _TrackPairs:
        """Those of a sequence."""
        truth, predicted = comparison.truth, comparison.predicted
        columns = np.array([matches.keypoints, truth.tracks[matches.truth], predicted.tracks[matches.predicted]])
        (keypoints, objects, hypotheses), of_match = np.unique(columns, axis=1, return_inverse=True)
        return cls(
            of_match=of_match.reshape(-1),
            keypoints=keypoints,
            true_lengths=truth.lengths[objects, keypoints],
            predicted_lengths=predicted.lengths[hypotheses, keypoints],
        )

    def sums(self, reached: BoolArray, similarities: DoubleArray) -> Mapping[str, DoubleArray]:
        """The fields of `HotaSums`, (15,) each, that come of the matches (m,) which reach a threshold."""
        of_match = self.of_match[reached]
        num_together = np.bincount(of_match, minlength=len(self.keypoints))
        union = np.maximum(1, self.true_lengths + self.predicted_lengths - num_together)
        begins = np.diff(of_match, prepend=-1) != 0
        fragments, lengths = of_match[begins], np.bincount(np.cumsum(begins) - 1)
        every = np.arange(len(self.keypoints))
        return {
            "tp": self._by_keypoint(every, num_together),
            "ass_a": self._by_keypoint(every, num_together**2 / union),
            "ass_re": self._by_keypoint(every, num_together**2 / self.true_lengths),
            "ass_pr": self._by_keypoint(every, num_together**2 / self.predicted_lengths),
            "frag_a": self._by_keypoint(fragments, lengths**2 / union[fragments]),
            "loc_a": self._by_keypoint(of_match, similarities[reached]),
        }

    def _by_keypoint(self, pairs: IntArray, values: npt.NDArray[Any]) -> DoubleArray:
        return np.bincount(self.keypoints[pairs], values, NUM_KEYPOINTS).astype(np.float64)
