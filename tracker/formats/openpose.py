"""OpenPose's folder of JSON files, one per frame: version 1.3, BODY_25."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tracker.errors import InputError, OutputError
from tracker.formats.fields import Fields, FrameTable, Person, as_object, box_around, read_json, readable
from tracker.formats.record import FILES, RUN_FACTS, TRACKING_FACTS, Header, Moment, Results
from tracker.formats.writer import ResultWriter, json_text
from tracker.outputs import check_output, partial_path
from tracker.skeletons import COCO_17, Skeleton
from tracker.types import DoubleArray, TrackedPoses

_NUM_KEYPOINTS = 25
# Where COCO's keypoints stand in BODY_25.
_PLACES = (0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11)
# Neck and middle of the hips are halfway between two keypoints of BODY_25: the shoulders, the hips.
_MIDDLES = {1: (2, 5), 8: (9, 12)}
_SUFFIX = "_keypoints.json"
_EMPTY_LISTS = ("face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d", "pose_keypoints_3d")


class OpenPoseWriter(ResultWriter):
    """Writes poses with ids as a folder of files NAME_000000000000_keypoints.json, whose number is the frame's index.

    COCO's keypoints are in the order of BODY_25; neck and middle of the hips are halfway between shoulders and hips,
    with the lower of the two scores; feet are 0, 0, 0 like every missing keypoint. `person_id` holds the id.
    Coordinates have 3 decimals, scores 6. Complete, the folder takes the place of an older one.
    """

    drops: ClassVar[frozenset[str]] = RUN_FACTS | TRACKING_FACTS | {"boxes", "box scores", FILES, "the picture's size"}
    skeleton: ClassVar[Skeleton] = COCO_17

    def _open(self) -> None:
        check_folder(self.path, overwrite=True)
        folder = partial_path(self.path)
        if folder.is_dir():
            shutil.rmtree(folder)
        folder.mkdir()

    def _append(self, moment: Moment, tracked: TrackedPoses) -> None:
        triples = body_25(np.concatenate([tracked.poses.keypoints, tracked.poses.scores[..., np.newaxis]], axis=2))
        empty = dict.fromkeys(_EMPTY_LISTS, ())
        people = [
            {"person_id": [track_id], "pose_keypoints_2d": values, **empty}
            for track_id, values in zip(tracked.track_ids.tolist(), triples.tolist(), strict=True)
        ]
        frame = {"version": 1.3, "people": people}
        path = partial_path(self.path) / f"{self.path.stem}_{moment.index:012d}{_SUFFIX}"
        path.write_text(json_text(frame), encoding="utf-8")

    def _finish(self) -> None:
        """Each file is complete when it is written."""

    def _publish(self) -> None:
        target = Path(os.path.realpath(self.path))
        if not target.is_dir():
            partial_path(self.path).rename(target)
            return
        replaced = target.with_name(f"{target.name}.replaced")
        target.rename(replaced)
        partial_path(self.path).rename(target)
        shutil.rmtree(replaced)


def check_folder(path: Path, overwrite: bool) -> None:
    """Refuse a folder that cannot or must not be written, as `check_output` does files.

    With `overwrite` too, OutputError for a folder with anything but files of this format: it will be replaced.
    """
    if path.is_file():
        raise OutputError(f"{path} is a file; name a folder")
    folders = [folder for folder in (path, partial_path(path)) if folder.is_dir()]
    for folder in folders:
        other = next((entry.name for entry in folder.iterdir() if not entry.name.endswith(_SUFFIX)), None)
        if other:
            raise OutputError(f"{folder} holds {other} besides *{_SUFFIX}, so it is not replaced; name another folder")
        if not overwrite:
            raise OutputError(f"{folder} exists; move it away or pass --overwrite")
    if not path.is_dir():
        check_output(path, overwrite)


def body_25(triples: Any) -> DoubleArray:
    """(N, 75) x, y, score of COCO's keypoints (N, 17, 3) in the order of BODY_25, neck and middle of the hips added."""
    placed = np.zeros((len(triples), _NUM_KEYPOINTS, 3))
    placed[:, _PLACES] = np.nan_to_num(triples)
    for middle, ends in _MIDDLES.items():
        pair = placed[:, ends]
        are_seen = (pair[..., 2] > 0).all(axis=1)
        placed[are_seen, middle, :2] = pair[are_seen, :, :2].mean(axis=1)
        placed[are_seen, middle, 2] = pair[are_seen, :, 2].min(axis=1)
    return np.concatenate([placed[..., :2].round(3), placed[..., 2:].round(6)], axis=2).reshape(-1, 3 * _NUM_KEYPOINTS)


def read_openpose(path: Path) -> Results:
    """The results in a folder of OpenPose files: BODY_25, whose `person_id`s are track ids.

    Neck, middle of the hips and feet are left out; boxes are around the keypoints.
    """
    with readable(path):
        names = [entry.name for entry in path.iterdir() if entry.name.endswith(_SUFFIX)]
    frames = FrameTable(COCO_17.num_keypoints)
    for index, name in _numbered(names, path):
        frames.add_frame(index)
        content = as_object(read_json(path / name), str(path / name))
        for record in content.objects("people"):
            frames.add_person(index, _person(record), record.where)
    return frames.results(Header(COCO_17, "", None, None))


def _numbered(names: Iterable[str], folder: Path) -> list[tuple[int, str]]:
    """The files with the indices of their frames."""
    numbers = {name: re.search(rf"(?:^|_)(\d{{1,15}}){_SUFFIX}$", name, re.ASCII) for name in names}
    numbered = sorted((int(number[1]), name) for name, number in numbers.items() if number)
    if not numbered:
        raise InputError(f"{folder} holds no files such as clip_000000000000{_SUFFIX}; name another folder")
    if len({index for index, _ in numbered}) < len(numbered):
        raise InputError(f"{folder} holds two files of the same frame; keep those of one video only")
    return numbered


def _person(record: Fields) -> Person:
    triples = record.numbers("pose_keypoints_2d", 3 * _NUM_KEYPOINTS, can_miss=False).reshape(-1, 3)[list(_PLACES)]
    triples[triples[:, 2] == 0] = np.nan, np.nan, 0
    return Person(track_id=_track_id(record), keypoints=triples, box=box_around(triples))


def _track_id(record: Fields) -> int:
    """The only id in the list; OpenPose, which does not follow people, writes -1 there."""
    ids = record.values.get("person_id")
    track_id = ids[0] if isinstance(ids, list) and len(ids) == 1 else ids
    return Fields({"person_id": track_id}, record.where).whole("person_id")
