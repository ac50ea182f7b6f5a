"""How poses are estimated in pictures of a ground truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tracker.boxes import box_areas
from tracker.datasets.coco import Picture
from tracker.skeletons import Skeleton
from tracker.tracking.oks import oks_nms
from tracker.types import Candidates, Image, PersonDetector, PoseEstimator, PoseFinder, Poses

_DUPLICATE_OKS = 0.9  # of the official code (TEST.OKS_THRE)


@dataclass(frozen=True)
class Estimation:
    """A way to poses. is_rescored: a person's score is the box's times that of the keypoints; otherwise the box's."""

    estimate: Callable[[Picture, Image], Poses]
    skeleton: Skeleton
    is_rescored: bool = True


def in_true_boxes(estimator: PoseEstimator) -> Estimation:
    """Top-down, a pose for each of a picture's `annotated_people`."""
    return Estimation(lambda picture, image: estimator.estimate(image, picture.true_boxes()), estimator.skeleton)


def in_found_boxes(estimator: PoseEstimator, detector: PersonDetector) -> Estimation:
    """Top-down in a detector's boxes, without duplicates as published."""

    def estimate(_: Picture, image: Image) -> Poses:
        poses = estimator.estimate(image, Candidates.from_detections(detector.detect([image])[0]))
        bodies, areas = poses.at(body), box_areas(poses.boxes)
        return poses[oks_nms(bodies.keypoints, areas, bodies.pose_scores(), sigmas, _DUPLICATE_OKS)]

    body, sigmas = estimator.skeleton.body, estimator.skeleton.sigmas[estimator.skeleton.body]
    return Estimation(estimate, estimator.skeleton)


def at_once(finder: PoseFinder) -> Estimation:
    """Bottom-up, with people's scores as they are published: the mean over all keypoints."""
    return Estimation(lambda _, image: finder.find([image])[0], finder.skeleton, is_rescored=False)
