"""Annotated people and results in the formats of COCO and CrowdPose, and the pictures that they are about.

Keypoints are index coordinates, as those of `Poses` are; boxes are left, top, width, height.
"""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from tracker.errors import InputError
from tracker.formats.fields import Fields, as_object, read_json
from tracker.skeletons import COCO_17, CROWDPOSE_14, Skeleton
from tracker.types import Candidates, FloatArray, Image
from tracker.video.images import read_image

Kind: TypeAlias = Literal["keypoints", "boxes"]
Annotation: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Picture:
    """A picture of the ground truth.

    size_wh: pixels, None where the file does not say. people: COCO annotations, checked, crowds among them;
    `area` is None where the file does not say, `extra_keypoints` are x, y, visibility of neck and head top, `score` is
    the box's and `keypoint_scores` are a teacher's peaks, 1 and None where the file does not say, `segmentation` is as
    it stands there. is_negative: it shows nobody, being marked so or without annotations; is_marked: the former.
    crowd_index: CrowdPose's measure of how much people overlap, in 0–1, NaN where the file does not say.
    """

    id: int
    file_name: str
    size_wh: tuple[int, int] | None
    people: tuple[Annotation, ...]
    is_negative: bool
    crowd_index: float = math.nan
    is_marked: bool = False

    @property
    def annotated_people(self) -> list[Annotation]:
        """The people with keypoints, crowds left out: those that are estimated in their true boxes."""
        return [person for person in self.people if person["num_keypoints"] and not person["iscrowd"]]

    def true_boxes(self) -> Candidates:
        """The boxes of `annotated_people`, in the same order, with score 1."""
        boxes = boxes_of(self.annotated_people)
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


def boxes_of(people: Sequence[Annotation]) -> FloatArray:
    """Boxes (N, 4) xyxy of annotated people."""
    boxes = np.array([person["bbox"] for person in people], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def read_ground_truth(path: Path) -> GroundTruth:
    """The pictures and people of a COCO file, with or without keypoints.

    Of several categories only `person` counts. If it names the 14 keypoints of CrowdPose, or names none and people have
    as many, they have those, and no stated areas, since CrowdPose's evaluation does not read them; otherwise they have
    COCO's 17. Raises InputError, naming record and field, for a malformed file.
    """
    content = as_object(read_json(path, refuse_nan=False), str(path))
    images: dict[int, Fields] = {}
    for record in content.objects("images"):
        if (image_id := _image_id(record, "id")) in images:
            raise record.fault("id", "must be used once only")
        images[image_id] = record
    records = content.objects("annotations")
    person_id, skeleton = _person_category(content, records)
    people: dict[int, list[Annotation]] = {}
    for record in records:
        image_id = _image_id(record, "image_id", images)
        if _number(record, "category_id", person_id) == person_id:
            people.setdefault(image_id, []).append(_person(record, image_id, skeleton))
    pictures = tuple(_picture(*item, people.get(item[0], [])) for item in images.items())
    return GroundTruth(path, pictures, person_id, skeleton)


def read_results(path: Path, truth: GroundTruth, kind: Kind) -> list[Annotation]:
    """People in a COCO results file; InputError for a malformed record or for an image that the truth lacks."""
    content = read_json(path, refuse_nan=False)
    image_ids = {picture.id for picture in truth.pictures}
    results = []
    for record in Fields({"results": content}, str(path)).objects("results"):
        result: Annotation = {"image_id": _image_id(record, "image_id", image_ids), "score": record.number("score")}
        if _number(record, "category_id", truth.person_id) != truth.person_id:
            continue
        if kind == "keypoints":
            num_values = 3 * truth.skeleton.num_keypoints
            result["keypoints"] = record.numbers("keypoints", num_values, can_miss=False).tolist()
        if kind == "boxes" or record.has("bbox"):
            result["bbox"] = record.numbers("bbox", 4, can_miss=False).tolist()
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


def _number(record: Fields, name: str, default: float) -> float:
    return record.number(name) if record.has(name) else default


def _numbers(record: Fields, name: str, count: int) -> list[float]:
    """So many numbers; zeros where there are none."""
    return record.numbers(name, count, can_miss=False).tolist() if record.has(name) else [0.0] * count


def _image_id(record: Fields, name: str, known: Container[int] | None = None) -> int:
    """A whole number, or its digits in quotes, among those that are known."""
    value = record.values.get(name)
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if not isinstance(value, int):
        raise record.fault(name, "must be a whole number")
    if known is not None and value not in known:
        raise record.fault(name, "must be one of the images of the ground truth")
    return value


def _person_category(content: Fields, people: Sequence[Fields]) -> tuple[int, Skeleton]:
    """Id and keypoints of people's category: the one of that name, or the only one; 1 where the file lists none."""
    categories = content.objects("categories") if content.has("categories") else []
    named = [record for record in categories if record.values.get("name") == "person"] or categories
    if len(named) > 1:
        raise InputError(
            f"{content.where} has {len(named)} categories, and not exactly one is person; name another file"
        )
    names = named[0].values.get("keypoints") if named else None
    lengths = (len(values) for person in people if isinstance(values := person.values.get("keypoints"), list))
    is_crowdpose = names == list(CROWDPOSE_14.keypoint_names) or (
        names is None and next(filter(None, lengths), 0) == 3 * CROWDPOSE_14.num_keypoints
    )
    return int(named[0].number("id")) if named else 1, CROWDPOSE_14 if is_crowdpose else COCO_17


def _picture(image_id: int, record: Fields, people: Sequence[Annotation]) -> Picture:
    has_size = record.has("width") and record.has("height")
    return Picture(
        id=image_id,
        file_name=str(record.values.get("file_name", "")),
        size_wh=(int(record.number("width")), int(record.number("height"))) if has_size else None,
        people=tuple(people),
        is_negative=not people or record.values.get("negative") is True,
        crowd_index=_number(record, "crowdIndex", math.nan),
        is_marked=record.values.get("negative") is True,
    )


def _person(record: Fields, image_id: int, skeleton: Skeleton) -> Annotation:
    keypoints = _numbers(record, "keypoints", 3 * skeleton.num_keypoints)
    extra = as_object(record.values.get("extra_keypoints") or {}, f"{record.where}.extra_keypoints")
    has_peaks = record.has("keypoint_scores")
    states_area = record.has("area") and skeleton is not CROWDPOSE_14
    return {
        "image_id": image_id,
        "bbox": record.numbers("bbox", 4, can_miss=False).tolist(),
        "area": record.number("area") if states_area else None,
        "iscrowd": int(_number(record, "iscrowd", 0)),
        "keypoints": keypoints,
        "num_keypoints": int(_number(record, "num_keypoints", sum(v > 0 for v in keypoints[2::3]))),
        "extra_keypoints": [value for name in ("neck", "head_top") for value in _numbers(extra, name, 3)],
        "score": _number(record, "score", 1.0),
        "keypoint_scores": _numbers(record, "keypoint_scores", skeleton.num_keypoints) if has_peaks else None,
        "segmentation": record.values.get("segmentation"),
    }
