"""PoseTrack's annotations and predictions of 2017, 2018 and 2021, read into one type."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from tracker.errors import InputError
from tracker.formats.fields import (
    Fields,
    FrameTable,
    Person,
    as_object,
    box_around,
    box_score_of,
    images_with_annotations,
    read_json,
)
from tracker.formats.record import Header, Results
from tracker.skeletons import POSETRACK_15, POSETRACK_17
from tracker.types import BoolArray, DoubleArray, IntArray

_NUM_KEYPOINTS = POSETRACK_17.num_keypoints
_PLACES = {name: place for place, name in enumerate(POSETRACK_17.keypoint_names)}
# Where the keypoints of PoseTrack17 stand among the 17, by their ids.
_PLACES_17 = tuple(_PLACES[name] for name in POSETRACK_15.keypoint_names)
# How sequences are named, and the leading number of their images' ids.
_SEQUENCE = re.compile(r"(\d{1,6})_(mpii|bonn|mpiinew)(?:_|$)", re.ASCII)
_SOURCES = {"mpii": 1, "bonn": 2, "mpiinew": 3}
_NUMBER = re.compile(r"(\d{1,9})(?=[._]|$)", re.ASCII)
# How many images of a sequence have ids.
MAX_FRAMES = 10**4
# The head box, and all numbers that PoseTrack17 wraps in lists of one.
_CORNERS = ("x1", "y1", "x2", "y2")
_WRAPPED = frozenset({*_CORNERS, "track_id", "score", "id", "x", "y", "is_visible", "is_labeled", "imgnum"})


@dataclass(frozen=True, eq=False)
class PoseTrackFrame:
    """One image of a sequence and its N people, as an annotation or prediction file states them.

    image_id: the file's own in PoseTrack18 and 21; in PoseTrack17 what the converter makes of folder and number, or
    the place in the file where the folder is not named as a sequence. name: of the image file, as stated. is_labeled:
    as stated, True where it is not. ignore_regions: polygons (P, 2) float64 in pixels. track_ids: (N,) int64.
    keypoints: (N, 17, 2) float64 in the order of POSETRACK_17, NaN where the file states none: absent, and in
    PoseTrack18 and 21 also x = y = v = 0; x = y = 0 with v = 1 is a keypoint. visibilities: (N, 17), NaN likewise.
    scores: (N, 17) of the keypoints, NaN where the file states none. pose_scores: (N,), NaN where none. boxes,
    head_boxes: (N, 4) xyxy pixels, NaN where none. has_points: (N,) bool, whether the person has a list of keypoints
    at all: `annopoints` with `point` in PoseTrack17, always in 18, `keypoints` in 21.
    """

    image_id: int
    name: str
    is_labeled: bool
    ignore_regions: tuple[DoubleArray, ...]
    track_ids: IntArray
    keypoints: DoubleArray
    visibilities: DoubleArray
    scores: DoubleArray
    pose_scores: DoubleArray
    boxes: DoubleArray
    head_boxes: DoubleArray
    has_points: BoolArray

    def __len__(self) -> int:
        return len(self.track_ids)


@dataclass(frozen=True, eq=False)
class PoseTrackSequence:
    """A file. name: its stem. version: 17, 18 or 21. frames: in the file's order. keypoint_names: in the file's order.

    frames never have the same image_id twice, nor a frame the same track id.
    """

    name: str
    version: str
    frames: tuple[PoseTrackFrame, ...]
    keypoint_names: tuple[str, ...] = POSETRACK_17.keypoint_names


class _Person(NamedTuple):
    """A row of a frame's arrays. table: (17, 4) x, y, visibility, score, NaN where not stated."""

    track_id: int
    table: DoubleArray
    pose_score: float
    box: DoubleArray
    head_box: DoubleArray
    has_points: bool = True


def read_posetrack(path: Path, version: str | None = None) -> PoseTrackSequence:
    """The images and people of an annotation or prediction file.

    version: 17, 18 or 21; by default it is recognised by the content: 17 has `annolist`, 21 states `has_labeled_person`
    of images and `person_id` of people. What PoseTrack's evaluator takes is taken: 15 or 17 keypoints in any order,
    `scores` missing or empty. Keypoints other than PoseTrack's are left out.

    Raises InputError for a file of another form, or with a fault: it names file, record and field.
    """
    content = read_content(path)
    found = _version_of(content)
    if version is not None and (version == "17") != (found == "17"):
        raise InputError(f"{path} has the form of PoseTrack{found}, not of PoseTrack{version}; name another file")
    if found == "17":
        frames, names = _frames_17(content), POSETRACK_15.keypoint_names
    else:
        names = _keypoint_names(content)
        frames = _frames_18(content, names, can_lack_keypoints=(version or found) == "21")
    return PoseTrackSequence(path.stem, version or found, tuple(frames), names)


def read_content(path: Path) -> Fields:
    """The fields of a JSON file; NaN, which JSON does not know, is left for the fields to refuse."""
    return as_object(read_json(path, refuse_nan=False), str(path))


def version_of(content: Fields) -> str | None:
    """17, 18 or 21, as `read_posetrack` recognises them; None for other files, such as COCO's."""
    try:
        version = _version_of(content)
        if version != "17":
            _keypoint_names(content)
    except InputError:
        return None
    return version


def sequence_id(name: str) -> int | None:
    """The id of the image 0 of a sequence, by the name of its folder or file; None for other names.

    >>> sequence_id("000342_mpii_test")
    10003420000
    """
    parts = _SEQUENCE.match(name)
    return _SOURCES[parts[2]] * 10**10 + int(parts[1]) * 10**4 if parts else None


def image_number(name: str) -> int | None:
    """The number that an image file's name begins with, None without one.

    >>> image_number("images/bonn_5sec/000003_mpiinew/00000010.jpg")
    10
    """
    number = _NUMBER.match(PurePosixPath(name).name)
    return int(number[1]) if number else None


def image_id_of(name: str) -> int | None:
    """The id of an image, by the names of its folder and file; None for names that are not PoseTrack's.

    >>> image_id_of("images/val/000342_mpii_test/000007.jpg")
    10003420007
    """
    first, number = sequence_id(PurePosixPath(name).parent.name), image_number(name)
    return None if first is None or number is None or number >= MAX_FRAMES else first + number


def made_up_name(sequence: str, index: int) -> str:
    """How a frame is called that is no image, where a format needs a name."""
    return f"images/{sequence}/{index:06d}.jpg"


def file_of(name: str, index: int) -> str | None:
    """The name of an image in a file, None if it was made up."""
    return None if name == made_up_name(PurePosixPath(name).parent.name, index) else name


def posetrack17_results(content: Fields) -> Results:
    """The results in the content of a file of PoseTrack17, with its 15 keypoints; boxes are around these.

    A frame's index is `imgnum` less 1, else its place in the file. Without scores those of keypoints and boxes are 1.
    """
    frames = FrameTable(POSETRACK_15.num_keypoints)
    for place, (frame, entry) in enumerate(zip(_frames_17(content), _records(content, "annolist"), strict=True)):
        index = entry.whole("imgnum", least=1) - 1 if entry.has("imgnum") else place
        if index in frames:
            raise entry.fault("imgnum", "was there before")
        frames.add_frame(index, file=file_of(frame.name, index))
        for row, track_id in enumerate(frame.track_ids.tolist()):
            frames.add_person(index, _result_of(frame, row, track_id), entry.where)
    return frames.results(Header(POSETRACK_15))


def _result_of(frame: PoseTrackFrame, row: int, track_id: int) -> Person:
    scores = np.where(np.isnan(frame.scores[row]), 1, frame.scores[row])
    keypoints = np.column_stack([frame.keypoints[row], scores])[list(_PLACES_17)]
    keypoints[np.isnan(keypoints[:, 0]), 2] = 0
    score = frame.pose_scores[row]
    return Person(
        track_id=track_id,
        keypoints=keypoints,
        box=box_around(keypoints),
        box_score=1.0 if np.isnan(score) else box_score_of(float(score), keypoints),
    )


def _version_of(content: Fields) -> str:
    if "annolist" in content.values:
        return "17"
    fields = {"images": "has_labeled_person", "annotations": "person_id"}
    is_21 = all(any(field in record.values for record in content.objects(name)[:1]) for name, field in fields.items())
    return "21" if is_21 else "18"


def _keypoint_names(content: Fields) -> tuple[str, ...]:
    """Names of the only category's keypoints; InputError unless they are 15 or 17, PoseTrack's 15 among them."""
    categories = content.objects("categories")
    if len(categories) != 1:
        raise content.fault("categories", "must be one category")
    category = categories[0]
    category.choice("name", ("person",))
    names = category.values.get("keypoints")
    if not isinstance(names, list) or len(names) not in (15, 17) or len(set(map(str, names))) < len(names):
        raise category.fault("keypoints", "must be 15 or 17 names")
    missing = set(POSETRACK_15.keypoint_names).difference(map(str, names))
    if missing:
        raise category.fault("keypoints", f"must have {min(missing)}")
    return tuple(map(str, names))


def _frames_18(content: Fields, names: Sequence[str], *, can_lack_keypoints: bool) -> Iterator[PoseTrackFrame]:
    places = [_PLACES.get(name, _NUM_KEYPOINTS) for name in names]
    for image, records in images_with_annotations(content):
        people: list[_Person] = []
        for record in records:
            has_points = record.has("keypoints") or not can_lack_keypoints
            _add_person(people, _person_18(record, places, has_points), record)
        yield _frame(image.whole("id"), image.text("file_name"), image, _regions_18(image), people)


def _person_18(record: Fields, places: list[int], has_points: bool) -> _Person:
    return _Person(
        track_id=record.whole("track_id"),
        table=record.coco_keypoints(places, _NUM_KEYPOINTS) if has_points else np.full((_NUM_KEYPOINTS, 4), np.nan),
        pose_score=record.number("score") if record.has("score") else np.nan,
        box=record.box_xywh("bbox"),
        head_box=record.box_xywh("bbox_head"),
        has_points=has_points,
    )


def _regions_18(image: Fields) -> Iterator[DoubleArray]:
    names = ("ignore_regions_x", "ignore_regions_y")
    columns = [image.values.get(name) or [] for name in names]
    if not all(isinstance(column, list) for column in columns) or len(columns[0]) != len(columns[1]):
        raise InputError(f"{image.where}: {' and '.join(names)} must be lists of as many polygons; correct the file")
    for number, (xs, ys) in enumerate(zip(*columns, strict=True)):
        yield _polygon(xs, ys, f"{image.where}: ignore region {number}", names)


def _polygon(xs: Any, ys: Any, where: str, names: tuple[str, str] = ("x", "y")) -> DoubleArray:
    record = Fields({names[0]: xs, names[1]: ys}, where)
    if not isinstance(xs, list) or len(xs) < 3:
        raise record.fault(names[0], "must be 3 numbers or more")
    return np.stack([record.numbers(name, len(xs), can_miss=False) for name in names], axis=1)


def _frames_17(content: Fields) -> Iterator[PoseTrackFrame]:
    ids = set()
    for place, entry in enumerate(_records(content, "annolist")):
        image = _only(entry, "image")
        name = image.text("name")
        known_id = image_id_of(name)
        image_id = place if known_id is None else known_id
        if image_id in ids:
            raise image.fault("name", "must be that of one image only")
        ids.add(image_id)
        people: list[_Person] = []
        for record in _records(entry, "annorect"):
            _add_person(people, _person_17(record), record)
        yield _frame(image_id, name, entry, _regions_17(entry), people)


def _person_17(record: Fields) -> _Person:
    annopoints = _only(record, "annopoints") if record.has("annopoints") else Fields({}, record.where)
    has_points = "point" in annopoints.values
    return _Person(
        track_id=record.whole("track_id"),
        table=_table_17(_records(annopoints, "point") if has_points else []),
        pose_score=record.number("score") if record.has("score") else np.nan,
        box=np.full(4, np.nan),
        head_box=_head_box_17(record),
        has_points=has_points,
    )


def _table_17(points: Iterable[Fields]) -> DoubleArray:
    table = np.full((_NUM_KEYPOINTS, 4), np.nan)
    for point in points:
        keypoint_id = point.whole("id")
        if keypoint_id >= len(_PLACES_17):
            raise point.fault("id", f"must be at most {len(_PLACES_17) - 1}")
        row = table[_PLACES_17[keypoint_id]]
        if not np.isnan(row[0]):
            raise point.fault("id", "must be that of one point only")
        row[:] = (
            point.number("x"),
            point.number("y"),
            point.number("is_visible") if point.has("is_visible") else 1,
            point.number("score") if point.has("score") else np.nan,
        )
    return table


def _head_box_17(record: Fields) -> DoubleArray:
    if not any(record.has(name) for name in _CORNERS):
        return np.full(4, np.nan)
    return np.array([record.number(name) for name in _CORNERS])


def _regions_17(entry: Fields) -> Iterator[DoubleArray]:
    for region in entry.objects("ignore_regions") if entry.has("ignore_regions") else []:
        points = _records(region, "point")
        if len(points) < 3:
            raise region.fault("point", "must be 3 points or more")
        yield np.array([[point.number("x"), point.number("y")] for point in points])


def _records(record: Fields, name: str) -> list[Fields]:
    """The objects of a list, with the numbers that PoseTrack17 keeps in lists of one taken out of these."""
    return [Fields(_unwrapped(item.values), item.where) for item in record.objects(name)]


def _unwrapped(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value[0] if name in _WRAPPED and isinstance(value, list) and len(value) == 1 else value
        for name, value in values.items()
    }


def _only(record: Fields, name: str) -> Fields:
    objects = record.objects(name)
    if len(objects) != 1:
        raise record.fault(name, "must be a list of one object")
    return objects[0]


def _add_person(people: list[_Person], person: _Person, record: Fields) -> None:
    if any(person.track_id == other.track_id for other in people):
        raise record.fault("track_id", "must be that of one person only in an image")
    people.append(person)


def _frame(
    image_id: int, name: str, record: Fields, regions: Iterable[DoubleArray], people: Sequence[_Person]
) -> PoseTrackFrame:
    tables = np.array([person.table for person in people], np.float64).reshape(-1, _NUM_KEYPOINTS, 4)
    return PoseTrackFrame(
        image_id=image_id,
        name=name,
        is_labeled=bool(record.choice("is_labeled", (True, False, 1, 0))) if record.has("is_labeled") else True,
        ignore_regions=tuple(regions),
        track_ids=np.array([person.track_id for person in people], np.int64),
        keypoints=tables[..., :2],
        visibilities=tables[..., 2],
        scores=tables[..., 3],
        pose_scores=np.array([person.pose_score for person in people], np.float64),
        boxes=np.array([person.box for person in people], np.float64).reshape(-1, 4),
        head_boxes=np.array([person.head_box for person in people], np.float64).reshape(-1, 4),
        has_points=np.array([person.has_points for person in people], np.bool_),
    )
