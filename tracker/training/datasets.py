"""Folders of training data: what kind they are of, who is in their pictures, and what validation uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tracker.boxes import boxes_around
from tracker.datasets.coco import GroundTruth, Picture, boxes_of, read_ground_truth
from tracker.datasets.mpii import read_people
from tracker.errors import InputError
from tracker.formats import posetrack
from tracker.formats.fields import as_object, read_json
from tracker.skeletons import BODY_19, COCO_17, CROWDPOSE_14, MPII_16, POSETRACK_17, Skeleton, convert_keypoints
from tracker.training.annotations import Annotations, join_annotations, read_coco
from tracker.types import FloatArray, IntArray

_COCO = "annotations/person_keypoints_{}2017.json"
_POSETRACK = ("annotations", "posetrack_data/annotations")
_MPII = "annot/{}.json"
_CROWDPOSE = ("crowdpose_{}.json", "json/crowdpose_{}.json", "annotations/crowdpose_{}.json")


@dataclass(frozen=True)
class ValidationSet:
    """Annotated pictures and their folder; the figures of a set are named after it."""

    name: str
    truth: GroundTruth
    folder: Path

    def first(self, count: int) -> ValidationSet:
        """The first so many of its pictures that show somebody."""
        pictures = tuple(picture for picture in self.truth.pictures if not picture.is_negative)[:count]
        return replace(self, truth=replace(self.truth, pictures=pictures))


@dataclass(frozen=True, eq=False)
class Dataset:
    """People to train on, and sets of pictures to validate on, which are none of the former."""

    train: Annotations
    validation: tuple[ValidationSet, ...]


def read_dataset(folder: Path, skeleton: Skeleton, boxes: str = "annotated", *, regions: bool = False) -> Dataset:
    """The training data in a folder, with the keypoints of a skeleton.

    boxes: "keypoints" replaces the boxes that are trained on by those around the keypoints and 15 % more; PoseTrack18
    always has those. regions: read where people are unlabelled, too, as far as the form tells. Five forms are known by
    what is in the folder: COCO 2017; CrowdPose, its official files beside `images`; PoseTrack18, whose `file_name`
    starts in the folder; MPII as the official Simple Baselines code reads it; and `train/*.json` in COCO's format with
    pictures in folders of the same names, `val/*/annotations.json` with `images` beside it. Raises InputError for
    a folder of another form, and for malformed files.
    """
    if (folder / _COCO.format("train")).is_file():
        files = [folder / _COCO.format(split) for split in ("train", "val")]
        dataset = _of_all("coco", files, [folder / "train2017", folder / "val2017"], skeleton, regions)
    elif files := _crowdpose_files(folder):
        dataset = _of_all("crowdpose", files, [folder / "images"] * 2, skeleton, regions)
    elif files := _posetrack_files(folder, "train"):
        dataset = _posetrack(folder, files, skeleton)
    elif (folder / _MPII.format("train")).is_file():
        dataset = _mpii(folder, skeleton)
    elif files := sorted(folder.glob("train/*.json")):
        dataset = _own(folder, files, skeleton, regions)
    else:
        raise InputError(
            f"{folder} holds no training data of a known form: there is no {_COCO.format('train')}, "
            f"{_CROWDPOSE[0].format('train')}, {_POSETRACK[0]}/train/*.json, {_MPII.format('train')} "
            "or train/*.json in it; name another folder"
        )
    return replace(dataset, train=with_keypoint_boxes(dataset.train)) if boxes == "keypoints" else dataset


def with_keypoint_boxes(annotations: Annotations) -> Annotations:
    """The same people in boxes around their keypoints, 15 % larger; NaN without keypoints.

    Source: Xiao et al. 2018, section 5.2.
    """
    return replace(annotations, boxes=boxes_around(annotations.keypoints, expansion=1.15))


def truth_of(annotations: Annotations, path: Path) -> GroundTruth:
    """Annotated people as a ground truth with the names of their pictures' files in full; `path` stands in messages."""
    ones = np.ones(annotations.keypoints.shape[:2], np.float32)
    skeleton = CROWDPOSE_14 if annotations.skeleton is CROWDPOSE_14 else COCO_17
    with_extra = CROWDPOSE_14 if skeleton is CROWDPOSE_14 else BODY_19
    keypoints, _ = convert_keypoints(annotations.keypoints, ones, annotations.skeleton, with_extra)
    is_labelled = ~np.isnan(keypoints[..., :1])
    triples = np.concatenate([np.nan_to_num(keypoints), 2 * is_labelled], axis=2)
    people: list[list[dict[str, Any]]] = [[] for _ in annotations.paths]
    for row, picture in enumerate(annotations.picture.tolist()):
        x0, y0, x1, y1 = annotations.boxes[row].tolist()
        people[picture].append(
            {
                "image_id": picture,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": None,
                "iscrowd": 0,
                "keypoints": triples[row, : skeleton.num_keypoints].ravel().tolist(),
                "num_keypoints": int(is_labelled[row, : skeleton.num_keypoints].sum()),
                "extra_keypoints": triples[row, 17:].ravel().tolist(),
            }
        )
    pictures = [
        Picture(number, str(file.absolute()), None, tuple(people[number]), is_negative=not people[number])
        for number, file in enumerate(annotations.paths)
    ]
    return GroundTruth(path, tuple(pictures), person_id=1, skeleton=skeleton)


def read_posetrack(path: Path, folder: Path, skeleton: Skeleton) -> Annotations:
    """The people of a PoseTrack sequence in its labelled frames, in boxes around their keypoints.

    folder: where the file names begin. People without visible keypoints are left out. Raises InputError for a malformed
    file.
    """
    frames = [frame for frame in posetrack.read_posetrack(path).frames if frame.is_labeled]
    nobody = np.zeros((0, POSETRACK_17.num_keypoints, 3))
    visible = [np.nan_to_num(frame.visibilities) > 0 for frame in frames]
    labels = [np.dstack([np.nan_to_num(f.keypoints), seen]) for f, seen in zip(frames, visible, strict=True)]
    rows = np.repeat(np.arange(len(frames)), [len(frame) for frame in frames])
    people = np.concatenate([nobody, *labels]).astype(np.float32)
    is_seen = people[..., 2].any(axis=1)
    paths = [folder / frame.name for frame in frames]
    return with_keypoint_boxes(_annotations(paths, rows[is_seen], people[is_seen], POSETRACK_17, skeleton))


def read_mpii(path: Path, pictures: Path, skeleton: Skeleton) -> Annotations:
    """The people in a file of MPII as `read_people` has them; `pictures` is the folder.

    People without a centre are left out. Raises InputError for a malformed file.
    """
    listed = sorted(read_people(path).pictures, key=lambda picture: picture.file_name)
    known = [(picture, [person for person in picture.people if person["center"][0] != -1]) for picture in listed]
    known = [(picture, people) for picture, people in known if people]
    rows = np.repeat(np.arange(len(known)), [len(people) for _, people in known])
    everybody = [person for _, people in known for person in people]
    labels = np.array([person["keypoints"] for person in everybody], np.float32).reshape(-1, MPII_16.num_keypoints, 3)
    paths = [pictures / picture.file_name for picture, _ in known]
    return _annotations(paths, rows, labels, MPII_16, skeleton, boxes_of(everybody))


def _annotations(
    paths: Sequence[Path],
    picture: IntArray,
    labels: FloatArray,
    source: Skeleton,
    skeleton: Skeleton,
    boxes: FloatArray | None = None,
) -> Annotations:
    """People in the order of their pictures, from labels (N, K, 3) of a skeleton, all sure."""
    is_labelled = labels[..., 2] > 0
    keypoints = np.where(is_labelled[..., None], labels[..., :2], np.nan)
    keypoints, weights = convert_keypoints(keypoints, is_labelled.astype(np.float32), source, skeleton)
    annotations = Annotations(
        skeleton=skeleton,
        paths=tuple(paths),
        is_negative=np.zeros(len(paths), bool),
        picture=picture,
        boxes=np.zeros((len(picture), 4), np.float32) if boxes is None else boxes,
        box_scores=np.ones(len(picture), np.float32),
        certainties=np.ones(len(picture), np.float32),
        keypoints=keypoints,
        weights=weights,
    )
    return annotations.people(np.argsort(picture, kind="stable"))


def _of_all(name: str, files: Sequence[Path], pictures: Sequence[Path], skeleton: Skeleton, regions: bool) -> Dataset:
    """Files of COCO's form in which everybody is annotated, and their pictures: to train, to validate where there."""
    train = read_coco(files[0], pictures[0], skeleton, everybody=True, regions=regions)
    truths = [read_ground_truth(path) for path in files[1:] if path.is_file()]
    return Dataset(train, tuple(ValidationSet(name, truth, pictures[1]) for truth in truths))


def _crowdpose_files(folder: Path) -> list[Path]:
    """The official file to train on, and the one to validate on where there is one; none in a folder of another form.

    Where the training and validation sets come as one, it is the test set that is left for validation.
    """
    for splits in (("train", "val"), ("trainval", "test")):
        for place in _CROWDPOSE:
            files = [folder / place.format(split) for split in splits]
            if files[0].is_file():
                return files
    return []


def _posetrack_files(folder: Path, split: str) -> list[Path]:
    return sorted(path for place in _POSETRACK for path in (folder / place / split).glob("*.json"))


def _posetrack(folder: Path, files: Sequence[Path], skeleton: Skeleton) -> Dataset:
    def people(files: Sequence[Path]) -> Annotations:
        return join_annotations([read_posetrack(path, folder, skeleton) for path in files])

    others = _posetrack_files(folder, "val")
    sets = [ValidationSet("posetrack", truth_of(people(others), others[0].parent), Path())] if others else []
    return Dataset(people(files), tuple(sets))


def _mpii(folder: Path, skeleton: Skeleton) -> Dataset:
    train, other = (folder / _MPII.format(split) for split in ("train", "valid"))
    others = [other] if other.is_file() else []
    truths = [truth_of(read_mpii(path, folder / "images", skeleton), path) for path in others]
    sets = tuple(ValidationSet("mpii", truth, Path()) for truth in truths)
    return Dataset(read_mpii(train, folder / "images", skeleton), sets)


def _own(folder: Path, files: Sequence[Path], skeleton: Skeleton, regions: bool) -> Dataset:
    train = join_annotations([read_coco(path, path.with_suffix(""), skeleton, regions=regions) for path in files])
    truths = [path for path in sorted(folder.glob("val/*/annotations.json")) if not _has_tracks(path)]
    sets = [ValidationSet(path.parent.name, read_ground_truth(path), path.parent / "images") for path in truths]
    return Dataset(train, tuple(sets))


def _has_tracks(path: Path) -> bool:
    content = as_object(read_json(path), str(path))
    return any("track_id" in person.values for person in content.objects("annotations"))
