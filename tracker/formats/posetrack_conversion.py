"""PoseTrack18 into PoseTrack17 and back, as the official converter does, and results as predictions of PoseTrack17."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from tracker.boxes import xyxy_to_xywh
from tracker.errors import InputError
from tracker.formats.coco import PoseTrackWriter, category_of
from tracker.formats.posetrack import (
    PoseTrackFrame,
    PoseTrackSequence,
    image_id_of,
    image_number,
    read_posetrack,
)
from tracker.formats.record import Header
from tracker.formats.writer import json_text
from tracker.outputs import partial_path, writing
from tracker.skeletons import POSETRACK_15, POSETRACK_17, Skeleton
from tracker.types import DoubleArray


class PoseTrack17Writer(PoseTrackWriter):
    """Writes poses with ids as predictions of PoseTrack17: those of `PoseTrackWriter`, converted when complete.

    `imgnum` is the frame's index and 1. A file whose process was killed has the form of PoseTrack18 and lacks its end.
    """

    drops: ClassVar[frozenset[str]] = PoseTrackWriter.drops | {"boxes", "the picture's size"}
    skeleton: Skeleton = POSETRACK_15

    def _finish(self) -> None:
        super()._finish()
        sequence = read_posetrack(partial_path(self.path))
        _write(to_posetrack17(sequence, [index + 1 for index in self._listed()]), partial_path(self.path))


def open_predictions(path: Path, header: Header, truth: PoseTrackSequence) -> PoseTrackWriter:
    """A writer of predictions in the form of a ground truth, for its images: frame 0 is the first of them."""
    writer = PoseTrack17Writer if truth.version == "17" else PoseTrackWriter
    return writer(path, header, [(frame.image_id, frame.name) for frame in truth.frames])


def convert_posetrack(source: Path, target: Path, version: str) -> PoseTrackSequence:
    """Write a PoseTrack18 or 21 file as PoseTrack17, or a PoseTrack17 file as PoseTrack18, and return what was read.

    version: of the target, 17 or 18. Raises InputError as `read_posetrack` does, for a source that has this version
    already, and for images whose names do not tell what the target states of them; OutputError where the target cannot
    be written.
    """
    sequence = read_posetrack(source, "18" if version == "17" else "17")
    try:
        content = to_posetrack17(sequence) if version == "17" else to_posetrack18(sequence)
    except ValueError as error:
        raise InputError(f"{source}: {error}; correct the file") from error
    with writing(target) as partial:
        _write(content, partial)
    return sequence


def to_posetrack17(sequence: PoseTrackSequence, numbers: Sequence[int] | None = None) -> dict[str, Any]:
    """The content of a PoseTrack17 file.

    numbers: `imgnum` of each image, by default 1 more than what its file name begins with; ValueError if that is no
    number. Lost are ears, boxes, ids of images, scores of 0, and which images are labelled: those with people are.
    `Video.to_old` of poseval.
    """
    numbers = [_number_of(frame) for frame in sequence.frames] if numbers is None else numbers
    known = [name for name in sequence.keypoint_names if name in POSETRACK_15.keypoint_names]
    order = {POSETRACK_17.index(name): POSETRACK_15.index(name) for name in known}
    numbered = zip(sequence.frames, numbers, strict=True)
    return {"annolist": [_entry_17(frame, number, order) for frame, number in numbered]}


def to_posetrack18(sequence: PoseTrackSequence) -> dict[str, Any]:
    """The content of a PoseTrack18 file.

    Boxes are around the keypoints and 0.3 larger; scores of people are lost. Raises ValueError for an image that is not
    named as those of a sequence, and for images of two. `Video.to_new` of poseval.
    """
    names = [frame.name for frame in sequence.frames]
    strange = next((name for name in names if image_id_of(name) is None), None)
    if strange is not None:
        raise ValueError(f"image {strange!r} is not named as those of a sequence, as 000342_mpii/00000001.jpg is")
    video_ids = {PurePosixPath(name).parent.name.partition("_")[0] for name in names}
    if len(video_ids) > 1:
        raise ValueError(f"images are of the sequences {' and '.join(sorted(video_ids))}, but must be of one")
    facts = {"nframes": len(sequence.frames), "vid_id": "".join(video_ids)}
    return {
        "images": [_image_18(frame) | facts for frame in sequence.frames],
        "annotations": [_annotation_18(frame, row) for frame in sequence.frames for row in range(len(frame))],
        "categories": [category_of(POSETRACK_17)],
    }


def _number_of(frame: PoseTrackFrame) -> int:
    number = image_number(frame.name)
    if number is None:
        raise ValueError(f"the file name of image {frame.name!r} does not begin with its number")
    return number + 1


def _entry_17(frame: PoseTrackFrame, number: int, order: Mapping[int, int]) -> dict[str, Any]:
    regions = [{"point": [{"x": [x], "y": [y]} for x, y in polygon.tolist()]} for polygon in frame.ignore_regions]
    return {
        "image": [{"name": frame.name}],
        "imgnum": [number],
        "is_labeled": [int(len(frame) > 0)],
        **({"ignore_regions": regions} if regions else {}),
        "annorect": [_person_17(frame, row, order) for row in range(len(frame))],
    }


def _person_17(frame: PoseTrackFrame, row: int, order: Mapping[int, int]) -> dict[str, Any]:
    table = np.column_stack([frame.keypoints[row], frame.visibilities[row], frame.scores[row]]).tolist()
    points = [_point_17(keypoint_id, *table[place]) for place, keypoint_id in order.items()]
    person = {"track_id": [int(frame.track_ids[row])], "annopoints": [{"point": [p for p in points if p]}]}
    head_box, score = frame.head_boxes[row], float(frame.pose_scores[row])
    if np.isfinite(head_box).all():
        person |= {name: [value] for name, value in zip(("x1", "y1", "x2", "y2"), head_box.tolist(), strict=True)}
    return person | ({"score": [score]} if np.isfinite(score) and score else {})


def _point_17(keypoint_id: int, x: float, y: float, visibility: float, score: float) -> dict[str, Any]:
    """A point; empty where it is missing."""
    if np.isnan(x):
        return {}
    scores = {} if np.isnan(score) else {"score": [score]}
    return {"id": [keypoint_id], "x": [x], "y": [y], "is_visible": [visibility]} | scores


def _image_18(frame: PoseTrackFrame) -> dict[str, Any]:
    regions = {
        name: [polygon[:, axis].tolist() for polygon in frame.ignore_regions]
        for axis, name in enumerate(("ignore_regions_x", "ignore_regions_y"))
    }
    return {
        "id": frame.image_id,
        "frame_id": frame.image_id,
        "file_name": frame.name,
        "is_labeled": frame.is_labeled,
        "has_no_densepose": True,
        **(regions if frame.ignore_regions else {}),
    }


def _annotation_18(frame: PoseTrackFrame, row: int) -> dict[str, Any]:
    triples = np.column_stack([frame.keypoints[row], frame.visibilities[row]])
    scores = frame.scores[row]
    boxes = {"bbox": _box_around(frame.keypoints[row]), "bbox_head": frame.head_boxes[row]}
    return {
        "id": frame.image_id * 100 + row,
        "image_id": frame.image_id,
        "category_id": 1,
        "track_id": int(frame.track_ids[row]),
        "keypoints": np.nan_to_num(triples).ravel().tolist(),
        "scores": [] if np.isnan(scores).all() else np.nan_to_num(scores).tolist(),
        **{name: xyxy_to_xywh(box[None])[0].tolist() for name, box in boxes.items() if np.isfinite(box).all()},
    }


def _box_around(keypoints: DoubleArray) -> DoubleArray:
    """(4,) the extents of keypoints, 0.3 larger about their centre; NaN without any."""
    if np.isnan(keypoints).all():
        return np.full(4, np.nan)
    least, most = np.nanmin(keypoints, axis=0), np.nanmax(keypoints, axis=0)
    centre, half = (most + least) / 2, (most - least) * 0.65
    return np.concatenate([centre - half, centre + half])


def _write(content: dict[str, Any], path: Path) -> None:
    path.write_text(json_text(content), encoding="utf-8", errors="backslashreplace")
