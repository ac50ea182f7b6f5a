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
from tracker.skeletons import COCO_17, HALPE_26, Skeleton
from tracker.types import DoubleArray, TrackedPoses

_NUM_KEYPOINTS = 25
# Where COCO's keypoints stand in BODY_25.
_PLACES = (0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11)
# In the order of the 18 that OpenPose's COCO network finds.
_PLACES_18 = (0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10)
# Where neck, middle of the hips and feet, which follow the head in Halpe's 26 keypoints, stand in BODY_25.
_PLACES_FEET = (1, 8, 19, 22, 20, 23, 21, 24)
# Neck and middle of the hips are halfway between two keypoints of BODY_25: the shoulders, the hips.
_MIDDLES = {1: (2, 5), 8: (9, 12)}
_SUFFIX = "_keypoints.json"
_EMPTY_LISTS = ("face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d", "pose_keypoints_3d")


class OpenPoseWriter(ResultWriter):
    """Writes poses with ids as a folder of files NAME_000000000000_keypoints.json, whose number is the frame's index.

    COCO's keypoints are in the order of BODY_25, with feet, neck and middle of the hips of a skeleton that has feet. Of
    others neck and middle of the hips are halfway between shoulders and hips, with the lower of the two scores, and
    feet are 0, 0, 0 like every missing keypoint. `person_id` holds the id.
    Coordinates have 3 decimals, scores 6. Complete, the folder takes the place of an older one.
    """

    drops: ClassVar[frozenset[str]] = RUN_FACTS | TRACKING_FACTS | {"boxes", "box scores", FILES, "the picture's size"}
    skeleton: Skeleton = COCO_17

    def __init__(self, path: Path, header: Header) -> None:
        super().__init__(path, header)
        if "left_heel" in header.skeleton.keypoint_names:
            self.skeleton = HALPE_26

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
        path = partial_path(self.path) / f"{_made_up_name(self.path, moment.index)}{_SUFFIX}"
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
    """(N, 75) x, y, score of COCO's keypoints (N, 17, 3), or Halpe's (N, 26, 3), in the order of BODY_25.

    Neck and middle of the hips are added where they are missing.
    """
    placed = np.zeros((len(triples), _NUM_KEYPOINTS, 3))
    placed[:, _PLACES] = np.nan_to_num(triples[:, : len(_PLACES)])
    if triples.shape[1] > len(_PLACES):
        placed[:, _PLACES_FEET] = np.nan_to_num(triples[:, -len(_PLACES_FEET) :])
    for middle, ends in _MIDDLES.items():
        pair = placed[:, ends]
        are_seen = (pair[..., 2] > 0).all(axis=1) & (placed[:, middle, 2] == 0)
        placed[are_seen, middle, :2] = pair[are_seen, :, :2].mean(axis=1)
        placed[are_seen, middle, 2] = pair[are_seen, :, 2].min(axis=1)
    return np.concatenate([placed[..., :2].round(3), placed[..., 2:].round(6)], axis=2).reshape(-1, 3 * _NUM_KEYPOINTS)


def read_openpose(path: Path) -> Results:
    """The results in a folder of OpenPose files, whose `person_id`s are track ids, or −1.

    Of BODY_25 with feet the skeleton is Halpe's 26, without a head; otherwise, and of the 18 keypoints of OpenPose's
    COCO network, it is COCO's, and what else there is, is left out. Boxes are around the keypoints. A frame's file is
    what comes before _keypoints.json: the name of an image without its suffix, or a video's with a number; None if
    that is the folder's.
    """
    with readable(path):
        names = [entry.name for entry in path.iterdir() if entry.name.endswith(_SUFFIX)]
    numbered = _numbered(names, path)
    people = [
        (index, record, _triples_of(record))
        for index, name in numbered
        for record in as_object(read_json(path / name), str(path / name)).objects("people")
    ]
    has_feet = any(len(triples) == _NUM_KEYPOINTS and triples[19:, 2].any() for _, _, triples in people)
    skeleton = HALPE_26 if has_feet else COCO_17
    frames = FrameTable(skeleton.num_keypoints)
    for index, name in numbered:
        file = name.removesuffix(_SUFFIX)
        frames.add_frame(index, file=None if file == _made_up_name(path, index) else file)
    for index, record, triples in people:
        keypoints = _keypoints(triples, skeleton)
        frames.add_person(index, Person(_track_id(record), keypoints, box_around(keypoints)), record.where)
    return frames.results(Header(skeleton, "", None, None))


def _made_up_name(folder: Path, index: int) -> str:
    """What comes before _keypoints.json where frames are no images."""
    return f"{folder.stem}_{index:012d}"


def _numbered(names: Iterable[str], folder: Path) -> list[tuple[int, str]]:
    """The files with the indices of their frames."""
    numbers = {name: re.search(rf"(?:^|_)(\d{{1,15}}){_SUFFIX}$", name, re.ASCII) for name in names}
    numbered = sorted((int(number[1]), name) for name, number in numbers.items() if number)
    if not numbered:  # of images with names of another kind
        numbered = list(enumerate(sorted(numbers)))
    if not numbered:
        raise InputError(f"{folder} holds no files such as clip_000000000000{_SUFFIX}; name another folder")
    if len({index for index, _ in numbered}) < len(numbered):
        raise InputError(f"{folder} holds two files of the same frame; keep those of one video only")
    return numbered


def _triples_of(record: Fields) -> DoubleArray:
    """(25, 3) or (18, 3) x, y and score."""
    given = record.values.get("pose_keypoints_2d")
    count = 18 if isinstance(given, list) and len(given) == 3 * 18 else _NUM_KEYPOINTS
    return record.numbers("pose_keypoints_2d", 3 * count, can_miss=False).reshape(-1, 3)


def _keypoints(triples: DoubleArray, skeleton: Skeleton) -> DoubleArray:
    """(K, 3) in the order of the skeleton, NaN and 0 where missing."""
    body = triples[list(_PLACES if len(triples) == _NUM_KEYPOINTS else _PLACES_18)]
    keypoints = np.zeros((skeleton.num_keypoints, 3))
    keypoints[: len(body)] = body
    if skeleton is HALPE_26 and len(triples) == _NUM_KEYPOINTS:
        keypoints[-len(_PLACES_FEET) :] = triples[list(_PLACES_FEET)]
    keypoints[keypoints[:, 2] == 0] = np.nan, np.nan, 0
    return keypoints


def _track_id(record: Fields) -> int:
    """The only id in the list; OpenPose, which does not follow people, writes -1 there, for none."""
    ids = record.values.get("person_id")
    track_id = ids[0] if isinstance(ids, list) and len(ids) == 1 else ids
    return Fields({"person_id": track_id}, record.where).track_id("person_id")
