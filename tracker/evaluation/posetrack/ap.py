"""Average precision of multi-person poses, per keypoint, as poseval and PoseTrack21's kit measure it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracker.evaluation.posetrack.comparison import HIT_DISTANCE, NUM_KEYPOINTS, Comparison
from tracker.types import BoolArray, DoubleArray, IntArray

# What a keypoint without score gets (MIN_SCORE of poseval).
_NO_SCORE = -9999.0


@dataclass(frozen=True, eq=False)
class Ranking:
    """The n predicted keypoints of some sequences, to be ranked by score.

    keypoints: (n,) int8, which of the 15. scores: (n,). hits: (n,) bool, whether it is right and its pose is assigned
    to a person. num_true: (15,) int64, the annotated keypoints.
    """

    keypoints: npt.NDArray[np.int8]
    scores: DoubleArray
    hits: BoolArray
    num_true: IntArray

    @property
    def num_unscored(self) -> int:
        """How many keypoints have no score; they share the last rank."""
        return int((self.scores == _NO_SCORE).sum())

    def curve(self, keypoint: int) -> tuple[DoubleArray, DoubleArray]:
        """Recall and precision (m,) at each of the m scores of a keypoint, the highest first.

        Keypoints of equal score come together, so that no order of theirs matters. Recall is NaN without truth.
        """
        chosen = self.keypoints == keypoint
        order = np.argsort(-self.scores[chosen], kind="stable")
        scores, num_hits = self.scores[chosen][order], np.cumsum(self.hits[chosen][order])
        last = np.flatnonzero(np.diff(scores, append=-np.inf))
        return num_hits[last] / (self.num_true[keypoint] or np.nan), num_hits[last] / (last + 1)


def pool(rankings: Iterable[Ranking]) -> Ranking:
    """The keypoints of several sequences together."""
    parts = list(rankings)
    return Ranking(
        keypoints=np.concatenate([part.keypoints for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        hits=np.concatenate([part.hits for part in parts]),
        num_true=np.sum([part.num_true for part in parts], axis=0),
    )


def rank_keypoints(comparison: Comparison) -> Ranking:
    """The predicted keypoints of a sequence, labelled by the poses they belong to.

    Source: `assignGTmulti` of poseval/eval_helpers.py.
    """
    present = comparison.predicted.present
    hits = np.zeros(present.shape, np.bool_)
    assigned = _assign_poses(comparison)
    hits[comparison.pairs[assigned, 1]] = comparison.distances[assigned] <= HIT_DISTANCE
    rows, keypoints = np.nonzero(present)
    return Ranking(
        keypoints=keypoints.astype(np.int8),
        scores=np.nan_to_num(comparison.predicted.scores[rows, keypoints], nan=_NO_SCORE),
        hits=hits[rows, keypoints],
        num_true=comparison.truth.present.sum(axis=0),
    )


def _assign_poses(comparison: Comparison) -> IntArray:
    """The rows of the pairs that are one person, or have nothing right.

    Each predicted pose goes for the person of whom it has the largest share of keypoints right, and each person takes
    the best of those; ties go to the first. Nobody chooses a second time.
    """
    truth, predicted = comparison.pairs.T
    num_right = (comparison.distances <= HIT_DISTANCE).sum(axis=1)
    share = num_right / np.maximum(comparison.truth.present.sum(axis=1)[truth], 1)
    chosen = _best_of_each(predicted, share)
    return chosen[_best_of_each(truth[chosen], share[chosen])]


def _best_of_each(owners: IntArray, values: DoubleArray) -> IntArray:
    """Where each owner has its largest value, the first of equals; by owner."""
    order = np.lexsort((-values, owners))
    return order[np.diff(owners[order], prepend=-1) != 0]


def ap_figures(ranking: Ranking, undefined: float = np.nan) -> Mapping[str, DoubleArray]:
    """Percent: `ap`, and precision `pre` and recall `rec` of all predictions; (16,), by keypoint and their mean.

    A keypoint without predictions has 0 throughout, even without truth. One with predictions but without truth has
    undefined `ap` and `rec`: NaN, which the mean leaves out, in poseval, and 0 in PoseTrack21's kit.
    """
    rows = np.array([_figures_of_curve(*ranking.curve(keypoint)) for keypoint in range(NUM_KEYPOINTS)])
    columns = 100 * np.nan_to_num(rows, nan=undefined).T
    return {name: with_mean(column) for name, column in zip(("ap", "pre", "rec"), columns, strict=True)}


def _figures_of_curve(recall: DoubleArray, precision: DoubleArray) -> tuple[float, float, float]:
    if not len(recall):
        return 0, 0, 0
    return average_precision(recall, precision), float(precision[-1]), float(recall[-1])


def average_precision(recall: DoubleArray, precision: DoubleArray) -> float:
    """Area under the precision that is reached at each recall or a higher one; (m,) each, recall never falling.

    Source: `VOCap` of poseval/eval_helpers.py.

    >>> average_precision(np.array([0.5, 0.5, 1.0]), np.array([1.0, 0.5, 0.6]))
    0.8
    """
    reached = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * reached))


def with_mean(values: DoubleArray) -> DoubleArray:
    """(16,): the figures of the 15 keypoints, then the mean of those that are not NaN."""
    known = values[~np.isnan(values)]
    return np.append(values, known.mean() if len(known) else np.nan)
