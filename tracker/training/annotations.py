"""People in pictures, as training wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tracker.datasets.coco import Annotation, Picture, boxes_of, read_ground_truth
from tracker.errors import InputError
from tracker.skeletons import Skeleton, convert_keypoints
from tracker.types import BoolArray, FloatArray, IntArray

# A teacher's peak below this says that the keypoint is not there.
_ABSENT_PEAK = 0.15
# Below, a teacher's box is to be trusted only together with so many keypoints whose peaks reach the second number.
_SURE_BOX = 0.6
_SURE_KEYPOINTS, _SURE_PEAK = 5, 0.4
# So many of a person's highest peaks say, beside the box's score, how surely it is one.
_TELLING_PEAKS = 4
# How much the emptiness of an absent keypoint's heatmap counts.
_ABSENT_WEIGHT = 0.3
# Fields of `Annotations` with a row for each person.
_OF_PEOPLE = ("boxes", "box_scores", "certainties", "keypoints", "weights")


@dataclass(frozen=True, eq=False)
class Annotations:
    """The people of a set of M pictures, N rows.

    paths: M files. is_negative: (M,), pictures known to show nobody. picture: (N,), the row of each person's
    picture, rising. boxes: (N, 4) xyxy pixels. box_scores: (N,) in 0–1, how sure the box is. certainties: (N,) in
    0–1, how surely it is a person, its keypoints considered: a dog has hardly any. keypoints: (N, K, 2) pixels, NaN
    where unlabelled. weights: (N, K), what each keypoint's heatmap counts in the loss; above 0 without a keypoint,
    the heatmap is to be empty. skeleton: what the K are. unlabelled: regions of crowds and of people without keypoints,
    as run lengths of pycocotools, by the row of their picture.
    """

    skeleton: Skeleton
    paths: tuple[Path, ...]
    is_negative: BoolArray
    picture: IntArray
    boxes: FloatArray
    box_scores: FloatArray
    certainties: FloatArray
    keypoints: FloatArray
    weights: FloatArray
    unlabelled: Mapping[int, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.picture)

    @property
    def is_sure(self) -> BoolArray:
        """(N,): who is a person without doubt; the others may be a dog or a statue."""
        num_keypoints = ((self.weights >= np.sqrt(_SURE_PEAK)) & ~np.isnan(self.keypoints[..., 0])).sum(axis=1)
        return (self.box_scores >= _SURE_BOX) | (num_keypoints >= _SURE_KEYPOINTS)

    def people(self, rows: BoolArray | IntArray) -> Annotations:
        """The same pictures with some of the people, by mask or rising index."""
        return replace(self, picture=self.picture[rows], **{name: getattr(self, name)[rows] for name in _OF_PEOPLE})

    def with_people_alone(self) -> Annotations:
        """The same without the pictures in which nobody is annotated."""
        return self.without_pictures(np.setdiff1d(np.arange(len(self.paths)), self.picture))

    def without_pictures(self, dropped: IntArray) -> Annotations:
        """The same without some pictures, by index, and without the people in them."""
        kept = np.setdiff1d(np.arange(len(self.paths)), dropped)
        people = self.people(np.isin(self.picture, kept))
        return replace(
            people,
            paths=tuple(self.paths[i] for i in kept),
            is_negative=self.is_negative[kept],
            picture=np.searchsorted(kept, people.picture),
            unlabelled={new: self.unlabelled[old] for new, old in enumerate(kept.tolist()) if old in self.unlabelled},
        )


def join_annotations(parts: Sequence[Annotations]) -> Annotations:
    """Several sets of one skeleton as one."""
    *offsets, _ = np.cumsum([0, *(len(part.paths) for part in parts)]).tolist()
    placed = list(zip(parts, offsets, strict=True))
    return Annotations(
        skeleton=parts[0].skeleton,
        paths=tuple(path for part in parts for path in part.paths),
        is_negative=np.concatenate([part.is_negative for part in parts]),
        picture=np.concatenate([part.picture + offset for part, offset in placed]),
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in _OF_PEOPLE},
        unlabelled={row + offset: region for part, offset in placed for row, region in part.unlabelled.items()},
    )


def held_out_negatives(annotations: Annotations) -> IntArray:
    """Every tenth negative picture (M',), which training leaves out so that false alarms can be measured."""
    return np.flatnonzero(annotations.is_negative)[::10]


def read_coco(
    path: Path, pictures: Path, skeleton: Skeleton, *, everybody: bool = False, regions: bool = False
) -> Annotations:
    """The people in a COCO-keypoints file, without crowds, in the order of image ids; `pictures` is the folder.

    everybody: in this file everybody is annotated, so a picture without annotations shows nobody. regions: crowds and
    people without keypoints are regions of `unlabelled`, for which pycocotools is needed; otherwise crowds are left
    out. A teacher's peaks are weights. Raises InputError as `read_ground_truth` does, and for malformed outlines.
    """
    truth = read_ground_truth(path)
    listed = sorted(truth.pictures, key=lambda picture: picture.id)
    left_out = _is_unlabelled if regions else _is_crowd
    rows, people = [], []
    for row, picture in enumerate(listed):
        chosen = [person for person in picture.people if not left_out(person)]
        rows += [row] * len(chosen)
        people += chosen
    keypoints, weights = _keypoints(people, truth.skeleton, skeleton)
    negative = [picture.is_marked or (everybody and not picture.people) for picture in listed]
    return Annotations(
        skeleton=skeleton,
        paths=tuple(pictures / picture.file_name for picture in listed),
        is_negative=np.array(negative, bool),
        picture=np.array(rows, np.int64),
        boxes=boxes_of(people),
        box_scores=np.array([person["score"] for person in people], np.float32),
        certainties=np.array([_certainty(person) for person in people], np.float32),
        keypoints=keypoints,
        weights=weights,
        unlabelled=_unlabelled_regions(path, listed) if regions else {},
    )


def _certainty(person: Annotation) -> float:
    """How surely it is a person: the score of a box that is true or has no peaks, else its geometric mean with theirs.

    A teacher's highest peaks tell people from animals better than its box's score does; a sure box is not lowered by
    them, since small people's are low.
    """
    score = float(person["score"])
    if score >= 1 or person["keypoint_scores"] is None:
        return score
    peak = np.mean(sorted(person["keypoint_scores"])[-_TELLING_PEAKS:])
    certainty = float(np.sqrt(max(score, 0.0) * max(peak, 0.0)))
    return max(score, certainty) if score >= _SURE_BOX else certainty


def _keypoints(people: Sequence[Annotation], source: Skeleton, skeleton: Skeleton) -> tuple[FloatArray, FloatArray]:
    """Keypoints (N, K, 2) and their weights (N, K), of people annotated with the source's."""
    count = source.num_keypoints
    labels = np.array([person["keypoints"] for person in people], np.float32).reshape(-1, count, 3)
    peaks = [person["keypoint_scores"] or [1.0] * count for person in people]
    labelled, weights = _label_weights(labels, np.array(peaks, np.float32).reshape(-1, count))
    keypoints, weights = convert_keypoints(labelled, weights, source, skeleton)
    extra = np.array([person["extra_keypoints"] for person in people], np.float32).reshape(-1, 2, 3)
    for place, name in enumerate(("neck", "head_top")):
        if name in skeleton.keypoint_names:
            seen, column = extra[:, place, 2] > 0, skeleton.index(name)
            keypoints[seen, column], weights[seen, column] = extra[seen, place, :2], 1
    return keypoints, weights


def _label_weights(labels: FloatArray, peaks: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Coordinates with NaN, and weights, of labels (N, K, 3) and peaks (N, K).

    The loss squares weights, so a label counts as much as its peak is high.
    """
    is_labelled = labels[..., 2] > 0
    is_absent = ~is_labelled & (peaks > 0) & (peaks < _ABSENT_PEAK)
    keypoints = np.where(is_labelled[..., None], labels[..., :2], np.nan)
    return keypoints, np.where(is_labelled, np.sqrt(peaks), np.where(is_absent, _ABSENT_WEIGHT, 0))


def _is_crowd(person: Annotation) -> bool:
    return bool(person["iscrowd"])


def _is_unlabelled(person: Annotation) -> bool:
    return _is_crowd(person) or not any(person["keypoints"][2::3])


def _unlabelled_regions(path: Path, pictures: Sequence[Picture]) -> dict[int, Any]:
    """Run lengths of where crowds and people without keypoints are, by picture; their boxes where they have no outline.

    Source: `get_mask` of the official LitePose code.
    """
    from pycocotools import mask

    regions = {}
    for row, picture in enumerate(pictures):
        if people := [person for person in picture.people if _is_unlabelled(person)]:
            try:
                regions[row] = mask.merge([part for person in people for part in _run_lengths(person, picture)])
            except Exception as error:  # pycocotools raises that very class
                reason = " ".join(str(error).split())[:150]
                raise InputError(f"{path}: the outlines in image {picture.id} make no sense ({reason})") from error
    return regions


def _run_lengths(person: Annotation, picture: Picture) -> list[Any]:
    """Run lengths of polygons, a box, or run lengths compressed or not."""
    from pycocotools import mask

    outline = person["segmentation"] or np.array([person["bbox"]], np.float64)
    if isinstance(outline, dict) and isinstance(outline["counts"], str):
        return [outline]
    if picture.size_wh is None:
        raise ValueError("its width or height is not stated")
    parts = mask.frPyObjects(outline, picture.size_wh[1], picture.size_wh[0])
    return parts if isinstance(parts, list) else [parts]
