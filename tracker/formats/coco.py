"""PoseTrack18 and COCO: one JSON object of images, annotations and a category."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tracker.boxes import xyxy_to_xywh
from tracker.errors import InputError, OutputError
from tracker.formats.fields import (
    LARGEST_WHOLE,
    Fields,
    FrameTable,
    Person,
    as_object,
    box_around,
    box_score_of,
    images_with_annotations,
    read_json,
    skeleton_with,
)
from tracker.formats.lists import read_list
from tracker.formats.posetrack import MAX_FRAMES, file_of, made_up_name, posetrack17_results, sequence_id
from tracker.formats.record import RUN_FACTS, TRACKING_FACTS, Header, Moment, Results, missing_in
from tracker.formats.writer import TextWriter, json_text
from tracker.skeletons import POSETRACK_17, Skeleton, convert_keypoints
from tracker.types import DoubleArray, FloatArray, Poses, TrackedPoses

# What PoseTrack's evaluator takes.
_MAX_IDS = 1000
# From here on ids of images are PoseTrack's.
_LEAST_SEQUENCE_ID = 10**10
# Where the ends of the head are on the way from the middle of the shoulders to the nose. DetectAndTrack puts the top at
# 2; on the annotated people that were tried 1.5 was within PCKh's reach more often (7 of 13 instead of 4), and the neck
# always.
_HEAD = {"head_bottom": 0.3, "head_top": 1.5}


class CocoWriter(TextWriter):
    """Writes poses with ids in COCO's annotation format, with `track_id`, `score` and `scores` of the keypoints.

    A missing keypoint is 0, 0, 0, any other has visibility 2; `score` is that of the pose. Image `id` and `frame_id`
    are the frame's index, which also ends the `file_name` of what is no image; frames without people are listed.
    Coordinates have 2 decimals, scores 6. People are written as they come and the images last, also when an exception
    ends the run; a file whose process was killed lacks its end.
    """

    drops: ClassVar[frozenset[str]] = RUN_FACTS | TRACKING_FACTS

    _visible = 2.0

    def __init__(self, path: Path, header: Header) -> None:
        super().__init__(path, header)
        self._indices = array("q")
        self._files: dict[int, str] = {}
        self._sizes: dict[int, tuple[int, int]] = {}
        self._num_people = 0

    def _header_text(self, first: Moment) -> str:
        category = category_of(self.skeleton or self.header.skeleton)
        return f'{{"categories":[{json_text(category)}],"annotations":['

    def _frame_text(self, moment: Moment, tracked: TrackedPoses) -> str:
        people = self._annotations(moment.index, tracked)
        text = "".join(
            f"{',' if self._num_people + row else ''}\n{json_text(person)}" for row, person in enumerate(people)
        )
        self._num_people += len(people)
        self._indices.append(moment.index)
        if moment.file is not None:
            self._files[moment.index] = moment.file
        if size := self._own_size(moment):
            self._sizes[moment.index] = size
        return text

    def _footer_text(self) -> str:
        images = ",\n".join(json_text(self._image(index)) for index in self._listed())
        return f'\n],"images":[\n{images}\n]}}\n'

    def _listed(self) -> Iterable[int]:
        """Indices of the frames that the file lists."""
        return self._indices

    def _image(self, index: int) -> dict[str, Any]:
        image_id, name = self._image_of(index)
        size = self._sizes.get(index, self.header.size_wh)
        sides = {} if size is None else {"width": size[0], "height": size[1]}
        return {"id": image_id, "frame_id": image_id, "file_name": name} | sides

    def _image_of(self, index: int) -> tuple[int, str]:
        """Id and file name of a frame's image."""
        return index, self._files.get(index) or made_up_name(self.path.stem, index)

    def _person_id(self, index: int, row: int) -> int:
        """The id of the person in that row of that frame."""
        return self._num_people + row + 1

    def _annotations(self, index: int, tracked: TrackedPoses) -> list[dict[str, Any]]:
        kept = self._is_kept(tracked.poses.keypoints)
        poses = replace(tracked.poses, scores=np.where(kept, tracked.poses.scores, np.float32(0)))
        triples = np.dstack([poses.keypoints.astype(np.float64), np.full(kept.shape, self._visible)])
        triples = np.where(kept[..., np.newaxis], triples, 0).round(2)
        scores = poses.scores.astype(np.float64).round(6)
        boxes = xyxy_to_xywh(poses.boxes.astype(np.float64).round(2)).round(2)
        pose_scores = poses.pose_scores().astype(np.float64).round(6).tolist()
        track_ids = self._written_ids(tracked.track_ids.tolist(), index)
        return [
            {
                "image_id": self._image_of(index)[0],
                "category_id": 1,
                "track_id": track_ids[row],
                **_box_fields(boxes[row]),
                "num_keypoints": int(kept[row].sum()),
                "keypoints": triples[row].ravel().tolist(),
                "scores": scores[row].tolist(),
                "score": score,
                "iscrowd": 0,
                "id": self._person_id(index, row),
            }
            for row, score in enumerate(pose_scores)
        ]

    def _is_kept(self, keypoints: FloatArray) -> Any:
        """(N, K): which keypoints are written."""
        return np.isfinite(keypoints).all(axis=2)

    def _written_ids(self, track_ids: list[int], index: int) -> list[int]:
        """The ids under which the people of that frame are written."""
        return track_ids


class CocoVideoWriter(CocoWriter):
    """Writes the same as CocoVID, COCO for videos: with a list of one video, whose id images and annotations have.

    The id of a person is also `instance_id`, as MMTracking and YouTube-VIS call it.
    """

    def _header_text(self, first: Moment) -> str:
        video = {"id": 1, "name": self.header.source or self.path.stem}
        return super()._header_text(first).replace('{"categories"', f'{{"videos":[{json_text(video)}],"categories"', 1)

    def _image(self, index: int) -> dict[str, Any]:
        return super()._image(index) | {"video_id": 1}

    def _annotations(self, index: int, tracked: TrackedPoses) -> list[dict[str, Any]]:
        people = super()._annotations(index, tracked)
        return [person | {"video_id": 1, "instance_id": person["track_id"]} for person in people]


class PoseTrackWriter(CocoWriter):
    """Writes poses with ids as predictions of PoseTrack18: as `CocoWriter`, with these differences.

    Keypoints are those of PoseTrack, with visibility 1; one at x or y of 0 or less is missing, as the evaluators have
    it. For a skeleton without neck or top of the head they are estimated from the nose and the shoulders, with the
    least score of these. Ids are renumbered from 0 in order of appearance. The evaluators take 1000: person 1001 gets
    the id of whoever has not been seen for longest; OutputError for 1001 people in one frame. A file named as a
    sequence, such as 000342_mpii_test.json, has the ids of its images: source · 10^10 + sequence · 10^4 + index; they
    suffice for `most_frames`. The ids of people are then those of their images · 100 + row.

    images: ids and file names of a sequence's images, of which frame 0 is the first; by default they are made up. All
    are listed, whatever is written, since the evaluators count them.
    """

    drops: ClassVar[frozenset[str]] = CocoWriter.drops | {
        "keypoints beyond the left or upper edge",
        "the original track ids",
    }
    skeleton: Skeleton = POSETRACK_17

    _visible = 1.0

    def __init__(self, path: Path, header: Header, images: Sequence[tuple[int, str]] | None = None) -> None:
        super().__init__(path, header)
        self._images = images
        self._first_image_id = sequence_id(path.stem) or 0
        self._track_ids: dict[int, int] = {}

    @property
    def most_frames(self) -> int | None:
        return MAX_FRAMES if self._first_image_id and self._images is None else None

    def _listed(self) -> Iterable[int]:
        return super()._listed() if self._images is None else range(len(self._images))

    def _image_of(self, index: int) -> tuple[int, str]:
        if self._images is not None:
            return self._images[index]
        image_id, name = super()._image_of(index)
        return self._first_image_id + image_id, name

    def _person_id(self, index: int, row: int) -> int:
        image_id, _ = self._image_of(index)
        return image_id * 100 + row if image_id >= _LEAST_SEQUENCE_ID else super()._person_id(index, row)

    def _converted(self, tracked: TrackedPoses) -> TrackedPoses:
        return replace(tracked, poses=as_posetrack(tracked.poses, self.header.skeleton, self.skeleton), raw=None)

    def _is_kept(self, keypoints: FloatArray) -> Any:
        return (keypoints.round(2) > 0).all(axis=2)

    def _written_ids(self, track_ids: list[int], index: int) -> list[int]:
        if len(track_ids) > _MAX_IDS:
            raise OutputError(
                f"cannot write {self.path}: frame {index} shows {len(track_ids)} people, and PoseTrack has {_MAX_IDS} "
                "ids; write --format coco"
            )
        known = self._track_ids  # by when people were seen last
        for track_id in filter(known.__contains__, track_ids):
            known[track_id] = known.pop(track_id)
        for track_id in track_ids:
            if track_id not in known:
                known[track_id] = len(known) if len(known) < _MAX_IDS else known.pop(next(iter(known)))
        return [known[track_id] for track_id in track_ids]


def as_posetrack(poses: Poses, source: Skeleton, target: Skeleton = POSETRACK_17) -> Poses:
    """The same people with keypoints of a PoseTrack skeleton; those of the head that the source lacks are estimated."""
    keypoints, scores = convert_keypoints(poses.keypoints, poses.scores, source, target)
    nose, left, right = (target.index(name) for name in ("nose", "left_shoulder", "right_shoulder"))
    middle = (keypoints[:, left] + keypoints[:, right]) / 2
    for name in _HEAD.keys() & set(missing_in(source, target)):
        keypoints[:, target.index(name)] = middle + _HEAD[name] * (keypoints[:, nose] - middle)
        scores[:, target.index(name)] = scores[:, [nose, left, right]].min(axis=1)
    return replace(poses, keypoints=keypoints, scores=scores)


def read_coco(path: Path, skeleton: Skeleton | None = None) -> Results:
    """The results in a file of PoseTrack or COCO.

    A list is read as `read_list` says, with skeleton; PoseTrack17 as `posetrack17_results` says. In the others an
    image's `frame_id` is its frame's index, of PoseTrack's by its last four digits, else the number that ends its
    `file_name`. A keypoint is missing where x, y and visibility are 0. Without `scores` those of the keypoints are 1,
    without `bbox` it is around the keypoints.
    """
    values = read_json(path, refuse_nan=False)  # left for the fields to refuse
    if isinstance(values, list):
        return read_list(values, str(path), skeleton)
    content = as_object(values, str(path))
    if "annolist" in content.values:
        return posetrack17_results(content)
    skeleton, order = _skeleton_of(content)
    frames = FrameTable(skeleton.num_keypoints)
    images = images_with_annotations(content)
    for image, records in images:
        field, index = _index_of(image)
        if index in frames:
            raise image.fault(field, "must be that of one frame only")
        size = _size(image)
        own_size = None if size == _size(images[0][0]) else size
        frames.add_frame(index, file=file_of(image.text("file_name"), index), size_wh=own_size)
        for record in records:
            frames.add_person(index, _person(record, skeleton, order), record.where)
    return frames.results(Header(skeleton, "", _size(images[0][0]) if images else None, None))


def category_of(skeleton: Skeleton) -> dict[str, Any]:
    """The category of people with those keypoints; edges are counted from 1."""
    return {
        "supercategory": "person",
        "id": 1,
        "name": "person",
        "keypoints": list(skeleton.keypoint_names),
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.edges],
    }


def _skeleton_of(content: Fields) -> tuple[Skeleton, list[int]]:
    """The skeleton of the only category, and where each keypoint of the file stands in it."""
    categories = content.objects("categories")
    names = categories[0].values.get("keypoints") if len(categories) == 1 else None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise InputError(f"{content.where} must have one category, with the names of its keypoints; correct the file")
    if len(set(names)) < len(names):
        raise categories[0].fault("keypoints", "must be names that differ")
    skeleton = skeleton_with(names, categories[0].where, _edges_of(categories[0]))
    return skeleton, [skeleton.index(name) for name in names]


def _edges_of(category: Fields) -> list[list[int]]:
    """Edges between keypoints, counted from 0; none where they are not stated."""
    edges = category.values.get("skeleton") or []
    try:
        return [[int(a) - 1, int(b) - 1] for a, b in edges]
    except (TypeError, ValueError):
        raise category.fault("skeleton", "must be pairs of numbers of keypoints") from None


def _index_of(image: Fields) -> tuple[str, int]:
    """Which field tells the index of an image's frame, and what it tells."""
    if image.has("frame_id"):
        frame_id = image.whole("frame_id")
        return "frame_id", frame_id if frame_id < _LEAST_SEQUENCE_ID else frame_id % MAX_FRAMES
    number = re.search(r"(\d+)(\.\w+)?$", image.text("file_name"), re.ASCII)
    if not number or len(number[1]) > 20 or int(number[1]) > LARGEST_WHOLE:
        raise image.fault("file_name", "must end in the number of its frame")
    return "file_name", int(number[1])


def _person(record: Fields, skeleton: Skeleton, order: list[int]) -> Person:
    keypoints = _keypoints(record, skeleton, order)
    return Person(
        track_id=record.track_id("track_id" if record.has("track_id") else "instance_id"),
        keypoints=keypoints,
        box=record.box_xywh("bbox") if record.has("bbox") else box_around(keypoints),
        box_score=box_score_of(record.number("score"), keypoints) if record.has("score") else 1.0,
    )


def _keypoints(record: Fields, skeleton: Skeleton, places: list[int]) -> DoubleArray:
    """(K, 3) x, y, score in the order of the skeleton, NaN and 0 where missing."""
    table = record.coco_keypoints(places, skeleton.num_keypoints)
    scores = table[:, 3] if record.has("scores") else np.ones(len(table))
    return np.column_stack([table[:, :2], np.where(np.isnan(table[:, 0]), 0, scores)])


def _size(image: Fields) -> tuple[int, int] | None:
    """Width and height of a picture, if the file says so."""
    if not (image.has("width") and image.has("height")):
        return None
    return image.whole("width", least=1), image.whole("height", least=1)


def _box_fields(box: DoubleArray) -> dict[str, Any]:
    """`bbox` and `area` of a box (4,) xywh, nothing if it is not known."""
    if not np.isfinite(box).all():
        return {}
    return {"bbox": box.tolist(), "area": round(float(box[2] * box[3]), 2)}
