"""PCKh of MPII: percentage of correct keypoints, in sizes of the head.

The files of MPII count pixels from 1; the keypoints of `Poses` count from 0.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracker.errors import InputError
from tracker.evaluation.coco import Annotation, Figures, GroundTruth, Picture
from tracker.formats.fields import Fields, read_json, readable
from tracker.skeletons import MPII_16, Skeleton, convert_keypoints
from tracker.types import BoolArray, DoubleArray, Poses

# What each column of the table is the mean of.
_COLUMNS = {"Head": [MPII_16.index("head_top")]} | {
    part.title(): [MPII_16.index(f"{side}_{part}") for side in ("left", "right")]
    for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
}
_IN_MEANS = [row for row, name in enumerate(MPII_16.keypoint_names) if name not in ("pelvis", "thorax")]
# The official column of the second name is at the twelfth of the thresholds 0, 0.01, 0.02 and so on.
_THRESHOLDS = {"Mean": 0.5, "Mean@0.1": 0.11}
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
    """The people of the official code's valid.json in their pictures; `id` is their row in the file.

    Their box is a square of 200 × scale about the centre, moved down by 15 × scale: with the padding of a crop it is
    the region of the official code. Raises InputError for a file that is missing or malformed.
    Source: `MPIIDataset._get_db` of the official code.
    """
    people: dict[str, list[Annotation]] = {}
    for row, record in enumerate(Fields({"people": read_json(path)}, str(path)).objects("people")):
        scale = record.number("scale")
        x, y = record.numbers("center", 2, can_miss=False).tolist()
        box = [x - 1 - 100 * scale, y - 1 - 85 * scale, 200 * scale, 200 * scale]
        person = {"id": row, "bbox": box, "iscrowd": 0, "num_keypoints": MPII_16.num_keypoints}
        people.setdefault(record.text("image"), []).append(person)
    pictures = (Picture(id_, name, None, tuple(people[name]), is_negative=False) for id_, name in enumerate(people))
    return GroundTruth(path, tuple(pictures), person_id=1, skeleton=MPII_16)


def predictions_of(people: GroundTruth, poses: Mapping[int, Poses], skeleton: Skeleton) -> DoubleArray:
    """Poses by picture, in the boxes that `read_people` gave, in the form that `read_predictions` gives."""
    found = np.full((people.num_people, MPII_16.num_keypoints, 2), np.nan)
    for picture in people.pictures:
        given = poses[picture.id]
        keypoints, _ = convert_keypoints(given.keypoints, given.scores, skeleton, MPII_16)
        found[[person["id"] for person in picture.people]] = keypoints + 1
    return found


def evaluate_pckh(truth: MpiiTruth, found: DoubleArray) -> Figures:
    """PCKh in percent: at 0.5 of Head to Ankle, the means of both sides, and over all as Mean; and Mean@0.1.

    found: (N, 16, 2) pixels from 1; NaN is missing, and wrong. The means leave out pelvis and thorax and weigh each
    keypoint by how often it is annotated. Mean@0.1 is at 0.11, as in the official code. A figure of a keypoint that is
    never annotated is None. Source: `MPIIDataset.evaluate` of the official code.
    """
    counts = truth.is_annotated.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = np.linalg.norm(found - truth.keypoints, axis=2) / truth.head_sizes[:, None]
        hits = {
            name: ((distances <= threshold) & truth.is_annotated).sum(axis=0) for name, threshold in _THRESHOLDS.items()
        }
        shares = hits["Mean"] / counts
        figures = {name: shares[rows].mean() for name, rows in _COLUMNS.items()}
        figures |= {name: right[_IN_MEANS].sum() / counts[_IN_MEANS].sum() for name, right in hits.items()}
    return {name: None if np.isnan(share) else 100 * float(share) for name, share in figures.items()}


def _read_mat(path: Path, *names: str) -> Fields:
    """Those of the arrays of numbers that are there."""
    from scipy.io import loadmat

    with readable(path):
        file = io.BytesIO(path.read_bytes())
    try:
        content = loadmat(file, variable_names=names)
    except Exception as error:  # a damaged file can raise almost anything
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise InputError(f"{path} is no .mat file that can be read ({reason}); name another file") from error
    arrays = {name: content[name] for name in names if isinstance(content.get(name), np.ndarray)}
    numeric = {name: array.tolist() for name, array in arrays.items() if np.issubdtype(array.dtype, np.number)}
    return Fields(numeric, str(path))
