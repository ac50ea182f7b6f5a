"""Lists of boxes or poses without ids, as COCO's results format and AlphaPose have them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracker.errors import InputError
from tracker.formats.fields import LARGEST_WHOLE, Fields, FrameTable, Person, as_object, box_around, box_score_of
from tracker.formats.record import Header, Results
from tracker.skeletons import COCO_17, SKELETONS, USUAL_SKELETONS, Skeleton
from tracker.types import DoubleArray

_PERSON = 1
# Keypoints score a little more than 1 with some networks; what is far above is no score.
_LARGEST_SCORE = 1.5


def read_list(values: list[Any], where: str, skeleton: Skeleton | None = None) -> Results:
    """The people of a list of objects with `image_id`, and `keypoints` or `bbox`; nobody has an id.

    skeleton: of the keypoints; by default it is told by their number. The third value of a keypoint is its score, or
    its visibility if there are only 0, 1 and 2. `image_id` is the index of a frame, or the name of an image, whose
    number then is; `file` has either as a text. `score` is a pose's, in AlphaPose's way where its `box` or a name is
    stated. Of objects of several categories those of the first, COCO's person, are taken, of poses all. InputError
    for what makes no sense.
    """
    records: Sequence[Fields] = [as_object(value, f"{where}: [{number}]") for number, value in enumerate(values)]
    has_keypoints = any(record.has("keypoints") for record in records)
    if has_keypoints:
        skeleton = _checked(skeleton, records, where)
    else:
        skeleton, records = COCO_17, _people_among(records, where)
    frames = FrameTable(skeleton.num_keypoints)
    indices = _indices_of(records)
    are_flags = has_keypoints and all(
        {*record.numbers_of("keypoints")[2::3].tolist()} <= {0, 1, 2} for record in records
    )
    for record in records:
        index = indices[record.values["image_id"]]
        frames.add_frame(index, file=str(record.values["image_id"]))
        person = _pose(record, skeleton, are_flags=are_flags) if has_keypoints else _box(record, skeleton)
        frames.add_person(index, person, record.where)
    return frames.results(Header(skeleton))


def number_in(name: str) -> int | None:
    """The number that ends the name of an image, without its suffix.

    >>> number_in("seq/frame_0012.jpg"), number_in("7"), number_in("a.jpg")
    (12, 7, None)
    """
    found = re.search(r"(\d{1,15})(\.[A-Za-z]\w*)?$", name, re.ASCII)
    return int(found[1]) if found else None


def _indices_of(records: Sequence[Fields]) -> dict[Any, int]:
    """The index of the frame of each image_id: its number, or its place among names without different numbers."""
    ids = dict.fromkeys(_image_id(record) for record in records)
    numbers = {image_id: image_id if isinstance(image_id, int) else number_in(image_id) for image_id in ids}
    known = [number for number in numbers.values() if number is not None]
    if len(set(known)) == len(numbers):
        return {image_id: number for image_id, number in numbers.items() if number is not None}
    return {image_id: place for place, image_id in enumerate(sorted(ids, key=str))}


def _image_id(record: Fields) -> int | str:
    value = record.values.get("image_id")
    if isinstance(value, bool) or not isinstance(value, int | str) or (isinstance(value, int) and value < 0):
        raise record.fault("image_id", "must be a number or the name of an image")
    return value if isinstance(value, str) else min(value, LARGEST_WHOLE)


def _checked(skeleton: Skeleton | None, records: Sequence[Fields], where: str) -> Skeleton:
    """The skeleton of the keypoints, of which all have as many."""
    count, rest = divmod(len(records[0].numbers_of("keypoints")), 3)
    if rest:
        raise records[0].fault("keypoints", "must be x, y and score of each")
    skeleton = skeleton or USUAL_SKELETONS.get(count)
    if skeleton is None:
        raise InputError(f"{where} has {count} keypoints a person; say whose: --skeleton {', '.join(SKELETONS)}")
    if skeleton.num_keypoints != count:
        raise InputError(
            f"{where} has {count} keypoints a person, and {skeleton.name} has {skeleton.num_keypoints}; "
            "name another --skeleton"
        )
    return skeleton


def _people_among(records: Sequence[Fields], where: str) -> Sequence[Fields]:
    """The objects that are people: of several categories the first, else all."""
    kinds = {record.values.get("category_id") for record in records}
    people = [record for record in records if record.values.get("category_id") == _PERSON]
    if len(kinds) > 1 and not people:
        raise InputError(
            f"{where} has objects of {len(kinds)} categories, none of them 1, COCO's people; leave others out"
        )
    return people if len(kinds) > 1 else records


def _box(record: Fields, skeleton: Skeleton) -> Person:
    nothing = np.tile((np.nan, np.nan, 0.0), (skeleton.num_keypoints, 1))
    if not record.has("bbox"):
        raise record.fault("bbox", "must be 4 numbers")
    return Person(-1, nothing, record.box_xywh("bbox"), record.number("score") if record.has("score") else 1.0)


def _pose(record: Fields, skeleton: Skeleton, *, are_flags: bool) -> Person:
    triples = record.numbers("keypoints", 3 * skeleton.num_keypoints, can_miss=False).reshape(-1, 3)
    if triples[:, 2].max() > _LARGEST_SCORE and not are_flags:
        raise InputError(f"{record.where}: a keypoint scores {triples[:, 2].max():g}; scores must be within 0 and 1")
    triples[:, 2] = triples[:, 2] > 0 if are_flags else triples[:, 2].clip(0, 1)
    triples[triples[:, 2] == 0] = np.nan, np.nan, 0
    box = record.box_xywh("box" if record.has("box") else "bbox")
    return Person(-1, triples, box_around(triples) if np.isnan(box).any() else box, _box_score(record, triples))


def _box_score(record: Fields, triples: DoubleArray) -> float:
    """AlphaPose adds up the score of the box, the mean of the keypoints and 1.25 times their highest."""
    if not record.has("score"):
        return 1.0
    score, scores = record.number("score"), triples[:, 2]
    if record.has("box") or isinstance(record.values["image_id"], str):
        score -= scores.mean() + 1.25 * scores.max()
    else:
        score = box_score_of(score, triples)
    return float(np.clip(score, 0, 1))
