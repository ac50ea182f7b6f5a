"""Accuracy of a network in training on annotated pictures, by the same measures as `evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tracker.datasets.coco import Picture, read_picture
from tracker.detection.detector import NetworkDetector
from tracker.detection.person_detector import PERSON_DETECTOR, TorchDetectionNetwork
from tracker.evaluation.coco import Figures, box_recalls, box_results, evaluate_results, false_people, keypoint_results
from tracker.evaluation.mean_oks import mean_oks
from tracker.evaluation.pck import evaluate_pck
from tracker.pose.bottom_up import BottomUpEstimator
from tracker.pose.heatmap_family import heatmap_family
from tracker.pose.networks import TorchPoseNetwork
from tracker.pose.top_down import TopDownEstimator
from tracker.skeletons import skeleton_of
from tracker.training.datasets import ValidationSet
from tracker.training.recipes import LitePoseRecipe, PoseRecipe
from tracker.types import Image

if TYPE_CHECKING:
    from torch import nn

# AP wants boxes of low scores; recall and false people are given at these.
_LEAST_SCORE = 0.02
_SCORES = (0.3, 0.4, 0.5)

Found = TypeVar("Found")


def measure_pose(model: nn.Module, sets: Sequence[ValidationSet], recipe: PoseRecipe, device: str) -> dict[str, float]:
    """OKS AP and PCK of a pose network with true boxes, without flip test; names begin with the set's."""
    skeleton = skeleton_of(recipe.skeleton)
    network = TorchPoseNetwork(model, skeleton, recipe.input_size, normalization=recipe.normalization, device=device)
    estimator = TopDownEstimator(network, heatmap_family(dark_kernel=recipe.dark_kernel or None))

    def measure(part: ValidationSet) -> Figures:
        poses = _on_pictures(part, lambda picture, image: estimator.estimate(image, picture.true_boxes()))
        results = keypoint_results(poses, skeleton, part.truth.skeleton)
        return evaluate_results(part.truth, results, "keypoints") | evaluate_pck(part.truth, poses, skeleton)[0]

    return _measured(sets, measure)


def measure_bottom_up(
    model: nn.Module, sets: Sequence[ValidationSet], recipe: LitePoseRecipe, device: str
) -> dict[str, float]:
    """OKS AP and mean OKS of a bottom-up network on each set, at one scale and without flip test."""
    skeleton = skeleton_of(recipe.skeleton)
    network = TorchPoseNetwork(
        model, skeleton, (recipe.short_side,) * 2, normalization=recipe.normalization, device=device
    )
    # Peaks at the network's own size, which takes a fraction of the time.
    estimator = BottomUpEstimator(network, project=False)

    def measure(part: ValidationSet) -> Figures:
        poses = _on_pictures(part, lambda _, image: estimator.find([image])[0])
        results = keypoint_results(poses, skeleton, part.truth.skeleton)
        return evaluate_results(part.truth, results, "keypoints") | {"mean_oks": mean_oks(part.truth, results)}

    return _measured(sets, measure)


def measure_detector(
    model: nn.Module, sets: Sequence[ValidationSet], negatives: ValidationSet, device: str
) -> dict[str, float]:
    """Box AP and recall of a detector on each set, and false people per picture on negatives.

    Pictures are scaled to 416 px, recall and false people are given by score.
    """
    network = TorchDetectionNetwork(model, Path("detector"), device)
    detector = NetworkDetector(network, PERSON_DETECTOR, _LEAST_SCORE, None)

    def measure(part: ValidationSet) -> Figures:
        results = box_results(_on_pictures(part, lambda _, image: detector.detect([image])[0]))
        if part is negatives:
            return _by_score("false", false_people(part.truth, results, _SCORES))
        recalls = _by_score("recall", box_recalls(part.truth, results, _SCORES))
        return evaluate_results(part.truth, results, "boxes") | recalls

    return _defined(measure(negatives)) | _measured(sets, measure)


def _on_pictures(part: ValidationSet, look: Callable[[Picture, Image], Found]) -> dict[int, Found]:
    """What is found in each picture, by its id."""
    return {picture.id: look(picture, read_picture(picture, part.folder)) for picture in part.truth.pictures}


def _measured(sets: Sequence[ValidationSet], measure: Callable[[ValidationSet], Figures]) -> dict[str, float]:
    return _defined({f"{part.name}_{name}": value for part in sets for name, value in measure(part).items()})


def _by_score(name: str, values: Sequence[float | None]) -> Figures:
    return {f"{name}_at_{score}": value for score, value in zip(_SCORES, values, strict=True)}


def _defined(figures: Mapping[str, float | None]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in figures.items() if value is not None}
