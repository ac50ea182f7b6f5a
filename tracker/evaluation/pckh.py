"""PCKh of MPII: percentage of correct keypoints, in sizes of the head.

The files of MPII count pixels from 1; the keypoints of `Poses` count from 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tracker.datasets.coco import GroundTruth
from tracker.datasets.mpii import MpiiTruth
from tracker.evaluation.coco import Figures
from tracker.skeletons import MPII_16, Skeleton, convert_keypoints
from tracker.types import DoubleArray, Poses

# What each column of the table is the mean of.
_COLUMNS = {"Head": [MPII_16.index("head_top")]} | {
    part.title(): [MPII_16.index(f"{side}_{part}") for side in ("left", "right")]
    for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
}
_IN_MEANS = [row for row, name in enumerate(MPII_16.keypoint_names) if name not in ("pelvis", "thorax")]
# The official column of the second name is at the twelfth of the thresholds 0, 0.01, 0.02 and so on.
_THRESHOLDS = {"Mean": 0.5, "Mean@0.1": 0.11}


def predictions_of(people: GroundTruth, poses: Mapping[int, Poses], skeleton: Skeleton) -> DoubleArray:
    """Poses by picture, in the boxes that `read_people` gave, in the form that `read_predictions` gives."""
    found = np.full((people.num_people, MPII_16.num_keypoints, 2), np.nan)
    for picture in people.pictures:
        given = poses[picture.id]
        keypoints, _ = convert_keypoints(given.keypoints, given.scores, skeleton, MPII_16)
        found[[person["id"] for person in picture.people]] = keypoints + 1
    return found


def evaluate_pckh(truth: MpiiTruth, found: DoubleArray) -> Figures:
    """PCKh in percent: at 0.5 of Head to Ankle, the means of both sides, and over all as Mean; and Mean@0.1.

    found: (N, 16, 2) pixels from 1; NaN is missing, and wrong. The means leave out pelvis and thorax and weigh each
    keypoint by how often it is annotated. Mean@0.1 is at 0.11, as in the official code. A figure of a keypoint that is
    never annotated is None. Source: `MPIIDataset.evaluate` of the official code.
    """
    counts = truth.is_annotated.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = np.linalg.norm(found - truth.keypoints, axis=2) / truth.head_sizes[:, None]
        hits = {
            name: ((distances <= threshold) & truth.is_annotated).sum(axis=0) for name, threshold in _THRESHOLDS.items()
        }
        shares = hits["Mean"] / counts
        figures = {name: shares[rows].mean() for name, rows in _COLUMNS.items()}
        figures |= {name: right[_IN_MEANS].sum() / counts[_IN_MEANS].sum() for name, right in hits.items()}
    return {name: None if np.isnan(share) else 100 * float(share) for name, share in figures.items()}
