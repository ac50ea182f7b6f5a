"""Ground truth and results in the formats of COCO and CrowdPose, and their AP by pycocotools.

Keypoints are index coordinates, as those of `Poses` are; boxes are left, top, width, height.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from tracker.boxes import xyxy_to_xywh
from tracker.errors import DependencyError, InputError
from tracker.formats.fields import LARGEST_NUMBER, read_json
from tracker.skeletons import COCO_17, CROWDPOSE_14, Skeleton, convert_keypoints
from tracker.types import Candidates, Detections, DoubleArray, Image, Poses
from tracker.video.images import read_image

Kind: TypeAlias = Literal["keypoints", "boxes"]
# None is undefined: there was nothing to find.
Figures: TypeAlias = dict[str, float | None]
Annotation: TypeAlias = dict[str, Any]

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


@dataclass(frozen=True)
class Picture:
    """A picture of the ground truth.

    size_wh: pixels, None where the file does not say. people: COCO annotations, checked, crowds among them;
    `area` is None where the file does not say, `extra_keypoints` are x, y, visibility of neck and head top.
    is_negative: it shows nobody, being marked so or without annotations. crowd_index: CrowdPose's measure of how much
    people overlap, in 0–1, NaN where the file does not say.
    """

    id: int
    file_name: str
    size_wh: tuple[int, int] | None
    people: tuple[Annotation, ...]
    is_negative: bool
    crowd_index: float = math.nan

    @property
    def annotated_people(self) -> list[Annotation]:
        """The people with keypoints, crowds left out: those that are estimated in their true boxes."""
        return [person for person in self.people if person["num_keypoints"] and not person["iscrowd"]]

    def true_boxes(self) -> Candidates:
        """The boxes of `annotated_people`, in the same order, with score 1."""
        boxes = np.array([person["bbox"] for person in self.annotated_people], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return Candidates(boxes, np.ones(len(boxes), np.float32), np.zeros(len(boxes), np.int8))


@dataclass(frozen=True)
class GroundTruth:
    """What a COCO file says about people.

    person_id: their category. skeleton: what their keypoints are.
    """

    path: Path
    pictures: tuple[Picture, ...]
    person_id: int
    skeleton: Skeleton = COCO_17

    @property
    def num_people(self) -> int:
        """How many are annotated, crowds left out."""
        return sum(not person["iscrowd"] for picture in self.pictures for person in picture.people)

    def negatives(self, every: int = 1) -> GroundTruth:
        """The pictures that show nobody, by id: the first of them and each `every`-th after it."""
        negatives = sorted((picture for picture in self.pictures if picture.is_negative), key=lambda p: p.id)
        return replace(self, pictures=tuple(negatives[::every]))


def read_ground_truth(path: Path) -> GroundTruth:
    """The pictures and people of a COCO file, with or without keypoints.

    Of several categories only `person` counts. If it names the 14 keypoints of CrowdPose, people have those, and no
    stated areas, since its evaluation does not read them; otherwise they have COCO's 17. Raises InputError, naming
    record and field, for a malformed file.
    """
    content = read_json(path, refuse_nan=False)
    if not isinstance(content, dict):
        raise InputError(f"{path} is no COCO ground truth (an object with images and annotations); name another file")
    person_id, skeleton = _person_category(content, path)
    people: dict[int, list[Annotation]] = {}
    images: dict[int, _Record] = {}
    for image in _records(content.get("images"), "images", path):
        images[image.image_id("id", unlike=images)] = image
    for record in _records(content.get("annotations"), "annotations", path):
        image_id = record.image_id("image_id", among=images)
        if record.number("category_id", person_id) == person_id:
            people.setdefault(image_id, []).append(_person(record, image_id, skeleton))
    pictures = tuple(_picture(*item, people.get(item[0], [])) for item in images.items())
    return GroundTruth(path, pictures, person_id, skeleton)


def read_results(path: Path, truth: GroundTruth, kind: Kind) -> list[Annotation]:
    """People in a COCO results file; InputError for a malformed record or for an image that the truth lacks."""
    content = read_json(path, refuse_nan=False)
    image_ids = {picture.id for picture in truth.pictures}
    results = []
    for record in _records(content, "results", path):
        result: Annotation = {"image_id": record.image_id("image_id", among=image_ids), "score": record.number("score")}
        if record.number("category_id", truth.person_id) != truth.person_id:
            continue
        if kind == "keypoints":
            result["keypoints"] = record.numbers("keypoints", 3 * truth.skeleton.num_keypoints)
        if kind == "boxes" or record.values.get("bbox"):
            result["bbox"] = record.numbers("bbox", 4)
        results.append(result)
    if content and not results:
        raise InputError(f"{path} has no results of category {truth.person_id}, which is person in {truth.path}")
    return results


def check_pictures(truth: GroundTruth, folder: Path) -> None:
    """InputError for the first picture of the truth that is not in the folder."""
    for picture in truth.pictures:
        if not (folder / picture.file_name).is_file():
            raise InputError(
                f"{truth.path}: image {picture.id} has the file name {picture.file_name!r}, which is no file in "
                f"{folder}; name the folder of its pictures"
            )


def read_picture(picture: Picture, folder: Path) -> Image:
    """Pixels (H, W, 3) uint8 BGR; InputError if they are not of the size that the ground truth states."""
    path = folder / picture.file_name
    image = read_image(path)
    size_wh = (image.shape[1], image.shape[0])
    if picture.size_wh not in (None, size_wh):
        stated, real = ("×".join(map(str, size)) for size in (picture.size_wh, size_wh))
        raise InputError(f"{path} has {real} pixels, its ground truth {stated}; get the pictures that were annotated")
    return image


def keypoint_results(
    poses: Mapping[int, Poses], skeleton: Skeleton, target: Skeleton = COCO_17, *, is_rescored: bool = True
) -> list[Annotation]:
    """COCO results of the poses by image id, brought to the keypoints of the target by name.

    A keypoint that is missing, or that the skeleton does not have, is 0, 0, 0. Coordinates have 3 decimals. A person's
    score is `pose_scores`, or that of the box unless `is_rescored`.
    """
    results = []
    for image_id, people in poses.items():
        keypoints, heights = convert_keypoints(people.keypoints, people.scores, skeleton, target)
        triples = np.nan_to_num(np.concatenate([keypoints, heights[..., None]], axis=2).astype(np.float64))
        rows = triples.round(3).reshape(len(people), 3 * target.num_keypoints).tolist()
        scores = people.pose_scores() if is_rescored else people.box_scores
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


def evaluate_poses(truth: GroundTruth, poses: Mapping[int, Poses], skeleton: Skeleton) -> Figures:
    """OKS AP of the poses by image id, as `evaluate_results` gives it."""
    return evaluate_results(truth, keypoint_results(poses, skeleton, truth.skeleton), "keypoints")


def evaluate_detections(truth: GroundTruth, detections: Mapping[int, Detections]) -> Figures:
    """Box AP of the detections by image id, as `evaluate_results` gives it."""
    return evaluate_results(truth, box_results(detections), "boxes")


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
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise DependencyError(
            f"no AP without pycocotools ({error}); run: pip install 'pycocotools>=2.0.10,<3'"
        ) from error
    return COCO, COCOeval


@dataclass(frozen=True)
class _Record:
    """An object of a file, which says in messages where it stands."""

    values: Mapping[str, Any]
    where: str

    def number(self, field: str, default: float | None = None) -> float:
        value = self.values.get(field, default)
        if not _is_number(value):
            raise self._fault(field, f"must be a number within ±{LARGEST_NUMBER:.0e}")
        return value

    def numbers(self, field: str, count: int, default: list[float] | None = None) -> list[float]:
        values = self.values.get(field) or default
        if not isinstance(values, list) or len(values) != count or not all(map(_is_number, values)):
            raise self._fault(field, f"must be {count} numbers within ±{LARGEST_NUMBER:.0e}")
        return values

    def image_id(self, field: str, *, among: Iterable[int] | None = None, unlike: Iterable[int] = ()) -> int:
        value = self.values.get(field)
        if isinstance(value, str) and value.isdecimal():
            value = int(value)
        if not isinstance(value, int):
            raise self._fault(field, "must be a whole number")
        if among is not None and value not in among:
            raise self._fault(field, "must be one of the images of the ground truth")
        if value in unlike:
            raise self._fault(field, "must be used once only")
        return value

    def child(self, field: str) -> _Record:
        values = self.values.get(field) or {}
        if not isinstance(values, dict):
            raise self._fault(field, "must be an object")
        return _Record(values, f"{self.where}.{field}")

    def _fault(self, field: str, rule: str) -> InputError:
        if field not in self.values:
            return InputError(f"{self.where} lacks {field}; correct the file")
        value = self.values[field]
        found = f"a list of {len(value)}" if isinstance(value, list) else repr(value)[:60]
        return InputError(f"{self.where}: {field} {rule}, not {found}; correct the file")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) <= LARGEST_NUMBER


def _records(items: Any, name: str, path: Path) -> Iterator[_Record]:
    if not isinstance(items, list):
        raise InputError(f"{path} has no list of {name}; name a file in COCO's format")
    for position, item in enumerate(items):
        where = f"{path}: {name}[{position}]"
        if not isinstance(item, dict):
            raise InputError(f"{where} is no object; correct the file")
        yield _Record(item, where)


def _person_category(content: Mapping[str, Any], path: Path) -> tuple[int, Skeleton]:
    """Id and keypoints of people's category: the one of that name, or the only one; 1 where the file lists none."""
    categories = list(_records(content.get("categories", []), "categories", path))
    named = [record for record in categories if record.values.get("name") == "person"] or categories
    if len(named) > 1:
        raise InputError(f"{path} has {len(named)} categories, and not exactly one is person; name another file")
    if not named:
        return 1, COCO_17
    is_crowdpose = named[0].values.get("keypoints") == list(CROWDPOSE_14.keypoint_names)
    return int(named[0].number("id")), CROWDPOSE_14 if is_crowdpose else COCO_17


def _picture(image_id: int, record: _Record, people: Sequence[Annotation]) -> Picture:
    has_size = None not in (record.values.get("width"), record.values.get("height"))
    return Picture(
        id=image_id,
        file_name=str(record.values.get("file_name", "")),
        size_wh=(int(record.number("width")), int(record.number("height"))) if has_size else None,
        people=tuple(people),
        is_negative=not people or record.values.get("negative") is True,
        crowd_index=math.nan if record.values.get("crowdIndex") is None else record.number("crowdIndex"),
    )


def _person(record: _Record, image_id: int, skeleton: Skeleton) -> Annotation:
    num_values = 3 * skeleton.num_keypoints
    keypoints = record.numbers("keypoints", num_values, default=[0] * num_values)
    extra = record.child("extra_keypoints")
    states_area = record.values.get("area") is not None and skeleton is not CROWDPOSE_14
    return {
        "image_id": image_id,
        "bbox": record.numbers("bbox", 4),
        "area": record.number("area") if states_area else None,
        "iscrowd": int(record.number("iscrowd", 0)),
        "keypoints": keypoints,
        "num_keypoints": int(record.number("num_keypoints", sum(v > 0 for v in keypoints[2::3]))),
        "extra_keypoints": [v for name in ("neck", "head_top") for v in extra.numbers(name, 3, default=[0, 0, 0])],
    }


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
