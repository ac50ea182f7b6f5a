"""AP of results in COCO's form, on COCO and CrowdPose, by pycocotools."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from tracker.boxes import xyxy_to_xywh
from tracker.datasets.coco import Annotation, GroundTruth, Kind
from tracker.errors import load_extra
from tracker.skeletons import COCO_17, CROWDPOSE_14, Skeleton, convert_keypoints
from tracker.types import Detections, DoubleArray, Poses

# None is undefined: there was nothing to find.
Figures: TypeAlias = dict[str, float | None]

_IOU_TYPES: dict[Kind, str] = {"keypoints": "keypoints", "boxes": "bbox"}
# The figures of pycocotools' summary, in its order.
_STATISTICS: dict[Kind, str] = {
    "keypoints": "AP AP50 AP75 AP_medium AP_large AR AR50 AR75 AR_medium AR_large",
    "boxes": "AP AP50 AP75 AP_small AP_medium AP_large AR1 AR10 AR AR_small AR_medium AR_large",
}
# Share of its box that a person's mask covers, for annotations that state no area.
_AREA_SHARES: dict[Kind, float] = {"keypoints": 0.53, "boxes": 1.0}
# CrowdPose's groups of pictures: from which crowd index on, and below which.
_CROWD_GROUPS = {"AP_easy": (-math.inf, 0.2), "AP_medium": (0.2, 0.8), "AP_hard": (0.8, math.inf)}


def keypoint_results(
    poses: Mapping[int, Poses], skeleton: Skeleton, target: Skeleton = COCO_17, *, is_rescored: bool = True
) -> list[Annotation]:
    """COCO results of the poses by image id, brought to the keypoints of the target by name.

    A keypoint that is missing, or that the skeleton does not have, is 0, 0, 0. Coordinates have 3 decimals. A person's
    score is `pose_scores` of the skeleton's body, or that of the box unless `is_rescored`.
    """
    results = []
    for image_id, people in poses.items():
        keypoints, heights = convert_keypoints(people.keypoints, people.scores, skeleton, target)
        triples = np.nan_to_num(np.concatenate([keypoints, heights[..., None]], axis=2).astype(np.float64))
        rows = triples.round(3).reshape(len(people), 3 * target.num_keypoints).tolist()
        scores = people.at(skeleton.body).pose_scores() if is_rescored else people.box_scores
        for row, score in zip(rows, _scores(scores), strict=True):
            results.append({"image_id": image_id, "category_id": 1, "keypoints": row, "score": score})
    return results


def box_results(detections: Mapping[int, Detections]) -> list[Annotation]:
    """COCO results of the detections by image id; coordinates have 3 decimals."""
    results = []
    for image_id, people in detections.items():
        boxes = xyxy_to_xywh(people.boxes.astype(np.float64)).round(3).tolist()
        for box, score in zip(boxes, _scores(people.scores), strict=True):
            results.append({"image_id": image_id, "category_id": 1, "bbox": box, "score": score})
    return results


def evaluate_results(truth: GroundTruth, results: Sequence[Annotation], kind: Kind) -> Figures:
    """OKS or box AP: `ap`, `ap50`, `ap75`, `ap_medium`, `ap_large`, `ar` within 0–1; of boxes `ap_small` too.

    On CrowdPose, AP of its groups of pictures stands in place of that by size: `ap_easy`, `ap_medium`, `ap_hard`. A
    person without a stated area counts with that of the box, times 0.53 for OKS. Raises DependencyError without
    pycocotools. Source: COCOeval.
    """
    return evaluate_in_detail(truth, results, kind)[0]


def evaluate_in_detail(truth: GroundTruth, results: Sequence[Annotation], kind: Kind) -> tuple[Figures, dict[str, Any]]:
    """The figures of `evaluate_results`, and all that the official programs give, as JSON has it.

    `stats` is their summary; `ap_by_threshold_and_area` and `recall_by_threshold_and_area` have a row for each of
    `iou_thresholds` and a column for each of `area_labels`. Source: COCOeval; for CrowdPose xtcocotools, which leaves
    out results whose keypoints all have the score 0, and rounds the figures of the groups to 4 decimals.
    """
    is_crowdpose = kind == "keypoints" and truth.skeleton is CROWDPOSE_14
    if is_crowdpose:
        results = [result for result in results if any(score > 0 for score in result["keypoints"][2::3])]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = _evaluator(truth, results, kind)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
        values = dict(zip(_STATISTICS[kind].split(), evaluator.stats.tolist(), strict=True))
        details = _by_threshold_and_area(evaluator)
        if is_crowdpose:
            values = _with_crowd_groups(values, truth, evaluator)
    stats: Figures = {name: value if value >= 0 else None for name, value in values.items()}
    figures = {name.lower(): value for name, value in stats.items() if name.startswith("AP") or name == "AR"}
    return figures, {"stats": stats} | details


def area_of(person: Annotation, kind: Kind) -> float:
    """What a person of the ground truth counts with: the stated area, else a share of the box's."""
    if person["area"] is not None:
        return float(person["area"])
    return float(_AREA_SHARES[kind] * person["bbox"][2] * person["bbox"][3])


def box_recalls(truth: GroundTruth, results: Sequence[Annotation], thresholds: Iterable[float]) -> list[float | None]:
    """Share of the people found at IoU 0.5 by the boxes with each score or more, matched as COCOeval does."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = _evaluator(truth, results, "boxes")
        evaluator.params.iouThrs = np.array([0.5])
        evaluator.params.areaRng = evaluator.params.areaRng[:1]
        evaluator.evaluate()
    pictures = [picture for picture in evaluator.evalImgs if picture]
    found = [(picture["dtMatches"][0] > 0) & ~picture["dtIgnore"][0] for picture in pictures]
    scores = [np.array(picture["dtScores"])[hits] for picture, hits in zip(pictures, found, strict=True)]
    return _shares(np.concatenate([np.zeros(0), *scores]), thresholds, truth.num_people)


def false_people(truth: GroundTruth, results: Sequence[Annotation], thresholds: Iterable[float]) -> list[float | None]:
    """People per picture found with each score or more in the pictures that show nobody."""
    image_ids = {picture.id for picture in truth.pictures if picture.is_negative}
    scores = np.array([result["score"] for result in results if result["image_id"] in image_ids])
    return _shares(scores, thresholds, len(image_ids))


def load_pycocotools() -> tuple[Any, Any]:
    """The classes COCO and COCOeval; DependencyError with the command that installs them."""
    return load_extra("pycocotools.coco").COCO, load_extra("pycocotools.cocoeval").COCOeval


def _scores(scores: Any) -> list[float]:
    return scores.astype(np.float64).round(6).tolist()


def _shares(scores: Any, thresholds: Iterable[float], total: int) -> list[float | None]:
    """Scores that reach each threshold, per one of a total; undefined for a total of none."""
    return [float((scores >= threshold).sum()) / total if total else None for threshold in thresholds]


def _evaluator(truth: GroundTruth, results: Iterable[Annotation], kind: Kind) -> Any:
    """A COCOeval, not run yet."""
    _, evaluator = load_pycocotools()
    people = [person | {"area": area_of(person, kind)} for picture in truth.pictures for person in picture.people]
    found = [result | {"area": _area_of_result(result), "iscrowd": 0} for result in results]
    made = evaluator(_index(truth, people), _index(truth, found), _IOU_TYPES[kind])
    if truth.skeleton is not COCO_17:  # pycocotools has COCO's own
        made.params.kpt_oks_sigmas = truth.skeleton.sigmas
    return made


def _by_threshold_and_area(evaluator: Any) -> dict[str, Any]:
    """AP, the mean over the recalls, and recall, of as many people per picture as are taken at most."""
    precisions, recalls = (evaluator.eval[name][..., 0, :, -1] for name in ("precision", "recall"))
    return {
        "iou_thresholds": evaluator.params.iouThrs.tolist(),
        "area_labels": evaluator.params.areaRngLbl,
        "ap_by_threshold_and_area": _undefined_as_none(precisions.mean(axis=1)),
        "recall_by_threshold_and_area": _undefined_as_none(recalls),
    }


def _undefined_as_none(table: DoubleArray) -> list[list[float | None]]:
    return [[value if value >= 0 else None for value in row] for row in table.tolist()]


def _with_crowd_groups(stats: dict[str, float], truth: GroundTruth, evaluator: Any) -> dict[str, float]:
    """Statistics with AP of the groups of pictures in place of figures by size; the evaluator is run on each group."""
    groups = {}
    for name, (least, limit) in _CROWD_GROUPS.items():
        evaluator.params.imgIds = [picture.id for picture in truth.pictures if least <= picture.crowd_index < limit]
        evaluator.evaluate()
        evaluator.accumulate()
        groups[name] = float(round(np.mean(evaluator.eval["precision"][:, :, :, 0]), 4))
    return {name: value for name, value in stats.items() if "_" not in name} | groups


def _index(truth: GroundTruth, annotations: Iterable[Annotation]) -> Any:
    """A COCO object; it counts from 1, because COCOeval takes id 0 for "not matched"."""
    coco = load_pycocotools()[0]()
    coco.dataset = {
        "images": [{"id": picture.id} for picture in truth.pictures],
        "categories": [{"id": 1}],
        "annotations": [a | {"id": number, "category_id": 1} for number, a in enumerate(annotations, 1)],
    }
    coco.createIndex()
    return coco


def _area_of_result(result: Annotation) -> float:
    """Area of the box, or of the extent of the keypoints, as COCO's loadRes has it."""
    if "bbox" in result:
        return float(result["bbox"][2] * result["bbox"][3])
    x, y = result["keypoints"][0::3], result["keypoints"][1::3]
    return float((max(x) - min(x)) * (max(y) - min(y)))
