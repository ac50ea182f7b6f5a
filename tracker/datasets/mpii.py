"""MPII's annotated people, and predictions of their keypoints. The files count pixels from 1."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracker.datasets.coco import Annotation, GroundTruth, Picture
from tracker.formats.fields import Fields, read_json, readable
from tracker.skeletons import MPII_16
from tracker.types import BoolArray, DoubleArray

_HEAD_SHARE = 0.6


@dataclass(frozen=True, eq=False)
class MpiiTruth:
    """The N annotated people of a split.

    keypoints: (N, 16, 2) pixels from 1. is_annotated: (N, 16). head_sizes: (N,) pixels, 0.6 of the diagonal of the head
    box.
    """

    keypoints: DoubleArray
    is_annotated: BoolArray
    head_sizes: DoubleArray

    def __len__(self) -> int:
        return len(self.keypoints)


def read_truth(path: Path) -> MpiiTruth:
    """The people of MPII's gt_valid.mat: its pos_gt_src, jnt_missing and headboxes_src.

    Raises InputError for a file that is missing or malformed.
    """
    fields = _read_mat(path, "pos_gt_src", "jnt_missing", "headboxes_src")
    num_people = np.shape(fields.values.get("pos_gt_src", ()))[-1:]
    keypoints = fields.numbers("pos_gt_src", 16, 2, *num_people)
    missing = fields.numbers("jnt_missing", 16, *num_people, can_miss=False)
    corners = fields.numbers("headboxes_src", 2, 2, *num_people, can_miss=False)
    head_sizes = _HEAD_SHARE * np.linalg.norm(corners[1] - corners[0], axis=0)
    return MpiiTruth(keypoints.transpose(2, 0, 1), missing.T == 0, head_sizes)


def read_predictions(path: Path, num_people: int) -> DoubleArray:
    """Keypoints (N, 16, 2) in pixels from 1, NaN where missing: `preds` of a .mat file, or the lists of a JSON file.

    Raises InputError for a file that is missing, malformed or of another number of people.
    """
    if path.suffix == ".mat":
        fields = _read_mat(path, "preds")
    else:
        fields = Fields({"preds": read_json(path, refuse_nan=False)}, str(path))
    return fields.numbers("preds", num_people, 16, 2)


def read_people(path: Path) -> GroundTruth:
    """The people of a file of MPII as the official code reads it, in their pictures by rising place in the file.

    `id` is their row in the file, `center` as it stands there: −1 where it is not known. Keypoints count from 0. Their
    box is a square of 200 × scale about the centre, moved down by 15 × scale: with the padding of a crop it is the
    region of the official code. Raises InputError for a file that is missing or malformed.
    Source: `MPIIDataset._get_db` of the official code.
    """
    people: dict[str, list[Annotation]] = {}
    for row, record in enumerate(Fields({"people": read_json(path)}, str(path)).objects("people")):
        people.setdefault(record.text("image"), []).append(_person(row, record))
    pictures = (Picture(id_, name, None, tuple(people[name]), is_negative=False) for id_, name in enumerate(people))
    return GroundTruth(path, tuple(pictures), person_id=1, skeleton=MPII_16)


def _person(row: int, record: Fields) -> Annotation:
    scale = record.number("scale")
    x, y = record.numbers("center", 2, can_miss=False).tolist()
    keypoints = np.zeros((MPII_16.num_keypoints, 3))
    if record.has("joints"):
        keypoints[:, :2] = record.numbers("joints", MPII_16.num_keypoints, 2, can_miss=False) - 1
        keypoints[:, 2] = record.numbers("joints_vis", MPII_16.num_keypoints, can_miss=False)
    return {
        "id": row,
        "center": [x, y],
        "bbox": [x - 1 - 100 * scale, y - 1 - 85 * scale, 200 * scale, 200 * scale],
        "iscrowd": 0,
        "keypoints": keypoints.ravel().tolist(),
        "num_keypoints": MPII_16.num_keypoints,
    }


def _read_mat(path: Path, *names: str) -> Fields:
    """Those of the arrays of numbers that are there."""
    from scipy.io import loadmat

    with readable(path, ".mat file"):
        content = loadmat(io.BytesIO(path.read_bytes()), variable_names=names)
    arrays = {name: content[name] for name in names if isinstance(content.get(name), np.ndarray)}
    numeric = {name: array.tolist() for name, array in arrays.items() if np.issubdtype(array.dtype, np.number)}
    return Fields(numeric, str(path))
