"""Accuracy of a network in training on annotated pictures, by the same measures as `evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.datasets.coco import read_picture
from tracker.detection.detector import NetworkDetector
from tracker.detection.person_detector import PERSON_DETECTOR, TorchDetectionNetwork
from tracker.evaluation.coco import (
    Figures,
    box_recalls,
    box_results,
    evaluate_detections,
    evaluate_poses,
    evaluate_results,
    false_people,
    keypoint_results,
)
from tracker.evaluation.mean_oks import mean_oks
from tracker.evaluation.pck import evaluate_pck
from tracker.pose.bottom_up import BottomUpEstimator
from tracker.pose.networks import Normalization, TorchPoseNetwork
from tracker.pose.top_down import TopDownEstimator
from tracker.skeletons import Skeleton
from tracker.training.datasets import ValidationSet
from tracker.types import Detections

if TYPE_CHECKING:
    from torch import nn

# AP wants boxes of low scores; recall and false people are given at these.
_LEAST_SCORE = 0.02
_SCORES = (0.3, 0.4, 0.5)


def pose_validation(
    sets: Sequence[ValidationSet],
    skeleton: Skeleton,
    input_wh: tuple[int, int],
    normalization: Normalization,
    device: str,
) -> Callable[[nn.Module], dict[str, float]]:
    """A function from a network to OKS AP and PCK with true boxes, without flip test; names begin with the set's."""

    def validate(model: nn.Module) -> dict[str, float]:
        network = TorchPoseNetwork(model, skeleton, input_wh[::-1], normalization=normalization, device=device)
        estimator = TopDownEstimator(network)
        figures: Figures = {}
        for part in sets:
            poses = {
                picture.id: estimator.estimate(read_picture(picture, part.folder), picture.true_boxes())
                for picture in part.truth.pictures
            }
            measured = evaluate_poses(part.truth, poses, skeleton) | evaluate_pck(part.truth, poses, skeleton)[0]
            figures |= {f"{part.name}_{name}": value for name, value in measured.items()}
        return _defined(figures)

    return validate


def litepose_validation(
    sets: Sequence[ValidationSet], skeleton: Skeleton, input_size: int, normalization: Normalization, device: str
) -> Callable[[nn.Module], dict[str, float]]:
    """A function from a bottom-up network to OKS AP and mean OKS on each set, at one scale and without flip test."""

    def validate(model: nn.Module) -> dict[str, float]:
        size_hw = (input_size, input_size)
        network = TorchPoseNetwork(model, skeleton, size_hw, normalization=normalization, device=device)
        # Peaks at the network's own size, which takes a fraction of the time.
        estimator = BottomUpEstimator(network, project=False)
        figures: Figures = {}
        for part in sets:
            poses = {
                picture.id: estimator.find([read_picture(picture, part.folder)])[0] for picture in part.truth.pictures
            }
            results = keypoint_results(poses, skeleton, part.truth.skeleton)
            measured = evaluate_results(part.truth, results, "keypoints")
            measured["mean_oks"] = mean_oks(part.truth, results)
            figures |= {f"{part.name}_{name}": value for name, value in measured.items()}
        return _defined(figures)

    return validate


def detector_validation(
    sets: Sequence[ValidationSet], negatives: ValidationSet, device: str
) -> Callable[[nn.Module], dict[str, float]]:
    """A function from a detector to its box AP and recall on each set, and false people per picture on negatives.

    Pictures are scaled to 416 px, recall and false people are given by score.
    """

    def validate(model: nn.Module) -> dict[str, float]:
        detector = NetworkDetector(
            TorchDetectionNetwork(model, Path("detector"), device), PERSON_DETECTOR, _LEAST_SCORE, None
        )
        false = box_results(_detect(detector, negatives))
        figures = _by_score("false", false_people(negatives.truth, false, _SCORES))
        for part in sets:
            found = _detect(detector, part)
            measured = evaluate_detections(part.truth, found)
            measured |= _by_score("recall", box_recalls(part.truth, box_results(found), _SCORES))
            figures |= {f"{part.name}_{name}": value for name, value in measured.items()}
        return _defined(figures)

    return validate


def _detect(detector: NetworkDetector, part: ValidationSet) -> dict[int, Detections]:
    return {picture.id: detector.detect([read_picture(picture, part.folder)])[0] for picture in part.truth.pictures}


def _by_score(name: str, values: Sequence[float | None]) -> Figures:
    return {f"{name}_at_{score}": value for score, value in zip(_SCORES, values, strict=True)}


def _defined(figures: Figures) -> dict[str, float]:
    return {name: round(value, 4) for name, value in figures.items() if value is not None}
