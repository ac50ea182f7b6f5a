"""Mean OKS: how near each annotated person's nearest pose comes, whatever its score."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from tracker.datasets.coco import Annotation, GroundTruth
from tracker.evaluation.coco import area_of
from tracker.tracking.matching import match_greedily
from tracker.types import DoubleArray


def mean_oks(truth: GroundTruth, results: Sequence[Annotation]) -> float | None:
    """Mean over the annotated people, crowds left out, of their OKS with the pose that is theirs; None of nobody.

    The pair of a person and a pose with the highest OKS comes first, then the highest of the others, and so on; who is
    left without a pose counts 0. Per keypoint it is exp(−d² / 2k²) with k = 2σ√area, averaged over those annotated; a
    keypoint of score 0 is missing and counts 0.
    """
    poses = defaultdict(list)
    for result in results:
        poses[result["image_id"]].append(result["keypoints"])
    similarities: list[float] = []
    for picture in truth.pictures:
        people = [person for person in picture.annotated_people if any(v > 0 for v in person["keypoints"][2::3])]
        found = np.array(poses[picture.id], np.float64).reshape(-1, truth.skeleton.num_keypoints, 3)
        if people:
            table = np.stack([_oks(person, found, truth.skeleton.sigmas) for person in people])
            theirs, _ = match_greedily(table, np.arange(len(found)), np.nextafter(0.0, 1.0))
            similarities += [table[row, pose] if pose >= 0 else 0.0 for row, pose in enumerate(theirs)]
    return float(np.mean(similarities)) if similarities else None


def _oks(person: Annotation, found: DoubleArray, sigmas: DoubleArray) -> DoubleArray:
    """OKS (M,) of a person with poses (M, K, 3)."""
    true = np.array(person["keypoints"], np.float64).reshape(-1, 3)
    labelled = true[:, 2] > 0
    squared = ((found[:, labelled, :2] - true[labelled, :2]) ** 2).sum(axis=2)
    near = np.exp(-squared / (2 * area_of(person, "keypoints") * (2 * sigmas[labelled]) ** 2 + np.spacing(1.0)))
    return np.where(found[:, labelled, 2] > 0, near, 0).mean(axis=1)
