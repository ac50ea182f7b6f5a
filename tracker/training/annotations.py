"""People in pictures, as training wants them, read from COCO-keypoints files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tracker.errors import InputError
from tracker.formats.fields import LARGEST_NUMBER, read_json
from tracker.skeletons import COCO_17, CROWDPOSE_14, Skeleton, convert_keypoints
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
        names = ("picture", "boxes", "box_scores", "certainties", "keypoints", "weights")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

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
    offsets = np.cumsum([0, *(len(part.paths) for part in parts)])
    return Annotations(
        skeleton=parts[0].skeleton,
        paths=tuple(path for part in parts for path in part.paths),
        is_negative=np.concatenate([part.is_negative for part in parts]),
        picture=np.concatenate([part.picture + offset for part, offset in zip(parts, offsets, strict=False)]),
        boxes=np.concatenate([part.boxes for part in parts]),
        box_scores=np.concatenate([part.box_scores for part in parts]),
        certainties=np.concatenate([part.certainties for part in parts]),
        keypoints=np.concatenate([part.keypoints for part in parts]),
        weights=np.concatenate([part.weights for part in parts]),
        unlabelled={
            row + int(offset): region
            for part, offset in zip(parts, offsets, strict=False)
            for row, region in part.unlabelled.items()
        },
    )


def held_out_negatives(annotations: Annotations, every: int = 10) -> IntArray:
    """Every tenth negative picture (M',), which training leaves out so that false alarms can be measured."""
    return np.flatnonzero(annotations.is_negative)[::every]


def read_coco(
    path: Path, pictures: Path, skeleton: Skeleton, *, everybody: bool = False, regions: bool = False
) -> Annotations:
    """The people in a COCO-keypoints file, without crowds, in the order of image ids; `pictures` is the folder.

    Keypoints are COCO's 17, or CrowdPose's where people have 14. everybody: in this file everybody is annotated, so a
    picture without annotations shows nobody. regions: crowds and people without keypoints are regions of `unlabelled`,
    for which pycocotools is needed; otherwise crowds are left out.
    Beside COCO's own fields these are read where present: `negative` of an image; `score` of a box;
    `keypoint_scores`, a teacher's peaks in 0–1 (1 where true), as weights; `extra_keypoints`, {name: [x, y, v]}
    of keypoints that COCO has not. Raises InputError for a file that is missing or malformed.
    """
    with reading(path, "COCO-keypoints") as content:
        images = sorted(content["images"], key=lambda image: image["id"])
        rows = {image["id"]: row for row, image in enumerate(images)}
        annotated = {person["image_id"] for person in content["annotations"]}
        left_out = _is_unlabelled if regions else _is_crowd
        people = [person for person in content["annotations"] if not left_out(person)]
        people.sort(key=lambda person: rows[person["image_id"]])
        keypoints, weights = _keypoints(people, skeleton)
        unlabelled = _unlabelled_regions(content["annotations"], images, rows) if regions else {}
        negative = [bool(image.get("negative")) or (everybody and image["id"] not in annotated) for image in images]
        return Annotations(
            skeleton=skeleton,
            paths=tuple(pictures / image["file_name"] for image in images),
            is_negative=np.array(negative, bool),
            picture=np.array([rows[person["image_id"]] for person in people], np.int64),
            boxes=_boxes(people),
            box_scores=numbers([person.get("score", 1.0) for person in people]),
            certainties=numbers([_certainty(person) for person in people]),
            keypoints=keypoints,
            weights=weights,
            unlabelled=unlabelled,
        )


@contextmanager
def reading(path: Path, form: str) -> Iterator[Any]:
    """The values of a JSON file; what they raise where they are not as expected becomes an InputError with the form."""
    try:
        yield read_json(path)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        reason = " ".join(repr(error).split())[:150]
        raise InputError(f"{path} is no {form} file ({reason}); get it again or name another folder") from error


def numbers(rows: Sequence[Any], *shape: int) -> FloatArray:
    """The numbers (N, *shape) of each person in a file; ValueError for others, and beyond ±1e9."""
    array = np.array(rows, np.float64).reshape(len(rows), *shape)
    if not (np.abs(array) <= LARGEST_NUMBER).all():
        raise ValueError(f"a number is beyond ±{LARGEST_NUMBER:.0e}")
    return array.astype(np.float32)


def _boxes(people: Sequence[dict[str, Any]]) -> FloatArray:
    boxes = numbers([person["bbox"] for person in people], 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def _certainty(person: dict[str, Any]) -> float:
    """How surely it is a person: the score of a box that is true or has no peaks, else its geometric mean with theirs.

    A teacher's highest peaks tell people from animals better than its box's score does; a sure box is not lowered by
    them, since small people's are low.
    """
    score = float(person.get("score", 1.0))
    if score >= 1 or "keypoint_scores" not in person:
        return score
    peak = np.mean(sorted(person["keypoint_scores"])[-_TELLING_PEAKS:])
    certainty = float(np.sqrt(max(score, 0.0) * max(peak, 0.0)))
    return max(score, certainty) if score >= _SURE_BOX else certainty


def _keypoints(people: Sequence[dict[str, Any]], skeleton: Skeleton) -> tuple[FloatArray, FloatArray]:
    """Keypoints (N, K, 2) and their weights (N, K)."""
    is_crowdpose = any(len(person.get("keypoints", [])) == 3 * CROWDPOSE_14.num_keypoints for person in people)
    source = CROWDPOSE_14 if is_crowdpose else COCO_17
    count = source.num_keypoints
    labels = numbers([person.get("keypoints", [0] * (3 * count)) for person in people], count, 3)
    peaks = numbers([person.get("keypoint_scores", [1.0] * count) for person in people], count)
    labelled, weights = _label_weights(labels, peaks)
    keypoints, weights = convert_keypoints(labelled, weights, source, skeleton)
    for row, person in enumerate(people):
        for name, (x, y, visibility) in person.get("extra_keypoints", {}).items():
            if visibility > 0 and name in skeleton.keypoint_names:
                keypoints[row, skeleton.index(name)] = x, y
                weights[row, skeleton.index(name)] = 1
    return keypoints, weights


def _label_weights(labels: FloatArray, peaks: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Coordinates with NaN, and weights, of labels (N, K, 3) and peaks (N, K).

    The loss squares weights, so a label counts as much as its peak is high.
    """
    is_labelled = labels[..., 2] > 0
    is_absent = ~is_labelled & (peaks > 0) & (peaks < _ABSENT_PEAK)
    keypoints = np.where(is_labelled[..., None], labels[..., :2], np.nan)
    return keypoints, np.where(is_labelled, np.sqrt(peaks), np.where(is_absent, _ABSENT_WEIGHT, 0))


def _is_crowd(person: dict[str, Any]) -> bool:
    return bool(person.get("iscrowd"))


def _is_unlabelled(person: dict[str, Any]) -> bool:
    return _is_crowd(person) or not any(person.get("keypoints", [])[2::3])


def _unlabelled_regions(
    people: Sequence[dict[str, Any]], images: Sequence[dict[str, Any]], rows: Mapping[int, int]
) -> dict[int, Any]:
    """Run lengths of where crowds and people without keypoints are, by picture; their boxes where they have no outline.

    Source: `get_mask` of the official LitePose code.
    """
    from pycocotools import mask

    parts: dict[int, list[Any]] = {}
    for person in people:
        if _is_unlabelled(person):
            row = rows[person["image_id"]]
            outline = person.get("segmentation") or np.array([person["bbox"]], np.float64)
            if not (isinstance(outline, dict) and isinstance(outline["counts"], str)):
                outline = _run_lengths(outline, images[row]["height"], images[row]["width"])
            parts.setdefault(row, []).extend(outline if isinstance(outline, list) else [outline])
    return {row: mask.merge(outlines) for row, outlines in parts.items()}


def _run_lengths(outline: Any, height: int, width: int) -> Any:
    """Run lengths of polygons, boxes or uncompressed run lengths; ValueError for anything else."""
    from pycocotools import mask

    try:
        return mask.frPyObjects(outline, height, width)
    except Exception as error:  # pycocotools raises that very class
        raise ValueError(f"segmentation: {error}") from error
