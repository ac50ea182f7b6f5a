"""Animals in training pictures: what a detector of COCO's 80 classes takes for one is no person."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tracker.boxes import iou, nms
from tracker.detection.family import PERSON
from tracker.detection.yolox import YOLOX, decode_classes
from tracker.errors import ModelError
from tracker.runtime import OnnxNetwork
from tracker.training.annotations import Annotations
from tracker.training.stream import cache_path, work_through
from tracker.types import FloatArray, Image, IntArray, RowTable
from tracker.video.images import read_image

_SIZE_WH = (416, 416)
_NUM_COLUMNS = 85
# COCO's bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe and teddy bear.
_CLASSES = (*range(14, 24), 77)
# Scores of animals that are kept, and the overlap from which two boxes show the same.
_LEAST_SCORE, _SAME = 0.3, 0.5
# An animal has this many times the score of a person at the same place.
_CLEARLY = 2.0


@dataclass(frozen=True, eq=False)
class Animals(RowTable):
    """Animals in a set of pictures, A rows.

    picture: (A,), the row of each one's picture, rising. boxes: (A, 4) xyxy pixels. scores: (A,) in 0–1.
    """

    picture: IntArray
    boxes: FloatArray
    scores: FloatArray

    @classmethod
    def none(cls) -> Animals:
        """No animals."""
        return cls(np.zeros(0, np.int64), np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


class AnimalFinder:
    """YOLOX of COCO's 80 classes, in an ONNX file for 416 px."""

    def __init__(self, path: Path) -> None:
        self._network = OnnxNetwork(path, "cpu", num_threads=1)
        if not YOLOX.fits(self._network) or self._network.outputs[0].shape[2] != _NUM_COLUMNS:
            raise ModelError(f"{path} is no YOLOX of COCO's 80 classes; name another file to find animals")

    def find(self, image: Image) -> tuple[FloatArray, FloatArray]:
        """Boxes (A, 4) xyxy in pixels of an image (H, W, 3) uint8 BGR, and scores (A,), of what is no person there."""
        inputs, scale_wh = YOLOX.prepare(image, _SIZE_WH)
        boxes, scores = decode_classes([output[0] for output in self._network.run(inputs[None])], _SIZE_WH, 0.1)
        people, animals = scores[:, PERSON], scores[:, list(_CLASSES)].max(axis=1, initial=0)
        # A person at the same place, said by any cell there.
        rivals = np.where(iou(boxes, boxes) >= _SAME, people, 0).max(axis=1, initial=0)
        rows = np.flatnonzero((animals >= _LEAST_SCORE) & (animals > _CLEARLY * rivals))
        rows = rows[nms(boxes[rows], animals[rows], _SAME)]
        return boxes[rows] / np.concatenate([scale_wh, scale_wh]), animals[rows]


def find_animals(network: Path, annotations: Annotations, folder: Path) -> Animals:
    """The animals in all pictures, looked for once and kept in a file of the folder.

    Raises ModelError for another network than a YOLOX of COCO's 80 classes, InputError for a picture that is missing.
    """
    finder = AnimalFinder(network)
    key = [network.name, network.stat().st_size, [str(path) for path in annotations.paths]]
    path = cache_path(folder, key, "animals-{}.npz")
    if not path.is_file():
        found = _look(finder, annotations)
        partial = path.with_suffix(f".{os.getpid()}.partial.npz")
        np.savez(partial, picture=found.picture, boxes=found.boxes, scores=found.scores)
        partial.replace(path)
    with np.load(path) as arrays:
        return Animals(arrays["picture"], arrays["boxes"], arrays["scores"])


def _look(finder: AnimalFinder, annotations: Annotations) -> Animals:
    paths = annotations.paths
    found = work_through(lambda row: finder.find(read_image(paths[row])), len(paths), "finding animals")
    parts = [Animals(np.full(len(boxes), row, np.int64), boxes, scores) for row, (boxes, scores) in enumerate(found)]
    return Animals.join([Animals.none(), *parts])


def without_animals(annotations: Annotations, animals: Animals) -> Annotations:
    """The same, where the certainty of people who are more surely an animal is 0."""
    certainties = annotations.certainties.copy()
    firsts, ends = (np.searchsorted(annotations.picture, animals.picture, side) for side in ("left", "right"))
    for box, score, first, end in zip(animals.boxes, animals.scores, firsts, ends, strict=True):
        overlaps = iou(box[None], annotations.boxes[first:end])[0]
        certainties[first:end][(overlaps >= _SAME) & (certainties[first:end] < score)] = 0
    return replace(annotations, certainties=certainties)
