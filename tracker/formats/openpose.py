"""OpenPose's folder of JSON files, one per frame: version 1.3, BODY_25, face and hands."""

from __future__ import annotations

import itertools
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
from tracker.skeletons import COCO_17, HALPE_26, HAND_21, WHOLEBODY_133, Skeleton, convert_keypoints
from tracker.types import DoubleArray, Poses, TrackedPoses

_BODY = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist", "hip",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye",
    "right_ear", "left_ear", "left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe",
    "right_heel",
)  # fmt: skip
_FEET = _BODY.index("left_big_toe")
# Of the 18 that OpenPose's COCO network finds.
_BODY_18 = tuple(name for name in _BODY[:19] if name != "hip")
# The keypoints of each list of a person: those of a face end with the pupils.
_BODY_LIST = "pose_keypoints_2d"
_LISTS = {
    _BODY_LIST: _BODY,
    "face_keypoints_2d": (*(f"face-{number}" for number in range(68)), "right_pupil", "left_pupil"),
    **{
        f"hand_{side}_keypoints_2d": tuple(f"{side}_{name}" for name in ("hand_root", *HAND_21.keypoint_names[1:]))
        for side in ("left", "right")
    },
}
_EVERYTHING = Skeleton("openpose", tuple(itertools.chain(*_LISTS.values())))
_PLACES = {name: place for place, name in enumerate(_EVERYTHING.keypoint_names)}
# What is held beside COCO's keypoints, by one that tells it.
_HELD = {"face-0": WHOLEBODY_133, "left_heel": Skeleton("body25", _BODY)}
# Neck and middle of the hips are halfway between two keypoints of BODY_25: the shoulders, the hips.
_MIDDLES = {"neck": ("left_shoulder", "right_shoulder"), "hip": ("left_hip", "right_hip")}
_SUFFIX = "_keypoints.json"


class OpenPoseWriter(ResultWriter):
    """Writes poses with ids as a folder of files NAME_000000000000_keypoints.json, whose number is the frame's index.

    COCO's keypoints are in the order of BODY_25, with feet of a skeleton that has some, and Halpe's neck and middle of
    the hips. Of others these are halfway between shoulders and hips, with the lower of the two scores. Face and hands
    of a skeleton that has them are in their own lists. Missing keypoints are 0, 0, 0. `person_id` holds the id.
    Coordinates have 3 decimals, scores 6. Complete, the folder takes the place of an older one.
    """

    drops: ClassVar[frozenset[str]] = RUN_FACTS | TRACKING_FACTS | {"boxes", "box scores", FILES, "the picture's size"}
    skeleton: Skeleton = COCO_17

    def __init__(self, path: Path, header: Header) -> None:
        super().__init__(path, header)
        names = header.skeleton.keypoint_names
        self.skeleton = next((_HELD[name] for name in _HELD if name in names), COCO_17)
        self._held = {*names} & {*self.skeleton.keypoint_names}

    def _open(self) -> None:
        check_folder(self.path, overwrite=True)
        folder = partial_path(self.path)
        if folder.is_dir():
            shutil.rmtree(folder)
        folder.mkdir()

    def _append(self, moment: Moment, tracked: TrackedPoses) -> None:
        lists = _lists(tracked.poses, self.skeleton, self._held)
        people: list[dict[str, Any]] = [{"person_id": [track_id]} for track_id in tracked.track_ids.tolist()]
        for row, person in enumerate(people):
            person.update({name: values[row] for name, values in lists.items()}, pose_keypoints_3d=())
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


def _lists(poses: Poses, skeleton: Skeleton, held: set[str]) -> dict[str, list[list[float]]]:
    """x, y and score of the keypoints in each list of each person; empty are those of which none is held.

    Neck and middle of the hips are added if they are not.
    """
    keypoints, scores = convert_keypoints(poses.keypoints, poses.scores, skeleton, _EVERYTHING)
    triples = np.nan_to_num(np.concatenate([keypoints, scores[..., np.newaxis]], axis=2).astype(np.float64))
    for middle, ends in _MIDDLES.items():
        pair = triples[:, [_PLACES[end] for end in ends]]
        are_seen = (pair[..., 2] > 0).all(axis=1) & (middle not in held)
        triples[are_seen, _PLACES[middle], :2] = pair[are_seen, :, :2].mean(axis=1)
        triples[are_seen, _PLACES[middle], 2] = pair[are_seen, :, 2].min(axis=1)
    rounded = np.concatenate([triples[..., :2].round(3), triples[..., 2:].round(6)], axis=2)
    lists = {}
    for name, names in _LISTS.items():
        written = () if held.isdisjoint(names) else names
        part = rounded[:, [_PLACES[each] for each in written]]
        lists[name] = part.reshape(len(part), 3 * len(written)).tolist()
    return lists


def read_openpose(path: Path) -> Results:
    """The results in a folder of OpenPose files, whose `person_id`s are track ids, or −1.

    With a face or hands the skeleton is COCO-WholeBody's; of BODY_25 with feet it is Halpe's 26, without a head;
    otherwise, and of the 18 keypoints of OpenPose's COCO network, it is COCO's. What else there is, is left out. Boxes
    are around the keypoints. A frame's file is what comes before _keypoints.json: the name of an image without its
    suffix, or a video's with a number; None if that is the folder's.
    """
    with readable(path):
        names = [entry.name for entry in path.iterdir() if entry.name.endswith(_SUFFIX)]
    numbered = _numbered(names, path)
    people = [
        (index, record)
        for index, name in numbered
        for record in as_object(read_json(path / name), str(path / name)).objects("people")
    ]
    triples = np.array([_triples_of(record) for _, record in people]).reshape(-1, len(_PLACES), 3)
    last = np.flatnonzero(triples[..., 2].any(axis=0)).max(initial=0)
    skeleton = COCO_17 if last < _FEET else HALPE_26 if last < len(_BODY) else WHOLEBODY_133
    keypoints = _keypoints(triples, skeleton)
    frames = FrameTable(skeleton.num_keypoints)
    for index, name in numbered:
        file = name.removesuffix(_SUFFIX)
        frames.add_frame(index, file=None if file == _made_up_name(path, index) else file)
    for (index, record), person in zip(people, keypoints, strict=True):
        frames.add_person(index, Person(_track_id(record), person, box_around(person)), record.where)
    return frames.results(Header(skeleton))


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
    """(137, 3) x, y and score of all that OpenPose may find, 0 where it did not."""
    triples = np.zeros((len(_PLACES), 3))
    for name, names in _LISTS.items():
        given = record.values.get(name)
        if name == _BODY_LIST or given:
            found = _BODY_18 if isinstance(given, list) and len(given) == 3 * len(_BODY_18) else names
            values = record.numbers(name, 3 * len(found), can_miss=False)
            triples[[_PLACES[each] for each in found]] = values.reshape(-1, 3)
    return triples


def _keypoints(triples: DoubleArray, skeleton: Skeleton) -> DoubleArray:
    """(N, K, 3) in the order of the skeleton, NaN and 0 where missing."""
    named, scores = convert_keypoints(triples[..., :2], triples[..., 2], _EVERYTHING, skeleton)
    named[scores == 0] = np.nan
    return np.concatenate([named, scores[..., np.newaxis]], axis=2)


def _track_id(record: Fields) -> int:
    """The only id in the list; OpenPose, which does not follow people, writes -1 there, for none."""
    ids = record.values.get("person_id")
    track_id = ids[0] if isinstance(ids, list) and len(ids) == 1 else ids
    return Fields({"person_id": track_id}, record.where).track_id("person_id")
