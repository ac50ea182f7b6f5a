"""Training of the person detector: scenes, what a teacher sees in them, the loss, and accuracy."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tracker.boxes import iou
from tracker.detection.rtmdet import MEAN_BGR, RTMDET, STD_BGR
from tracker.errors import ModelError
from tracker.nets.rtmdet import STRIDES
from tracker.pose.networks import Normalization
from tracker.runtime import OnnxNetwork
from tracker.training.augmentation import in_rgb, normalise, vary
from tracker.training.detector_views import PictureStore, Scene
from tracker.training.loop import Validate
from tracker.training.losses import giou_loss, quality_focal_loss
from tracker.training.recipes import DetectorRecipe
from tracker.training.stream import rows_of_step
from tracker.types import FloatArray, Image

# From this score on a cell shows a person, whose box is learnt.
_SEEN = 0.1
# A person up to so many pixels, as the square root of the box's area, belongs to the stride.
_LARGEST = (48.0, 112.0, np.inf)


@dataclass(frozen=True, eq=False)
class CellTargets:
    """What the n cells of all strides shall say, fine to coarse.

    scores: (n,) in 0–1. distances: (n, 4) pixels to the sides of a box, which count where the score is above 0.
    weights: (n,), what a cell counts in the loss.
    """

    scores: FloatArray
    distances: FloatArray
    weights: FloatArray


class DenseTeacher:
    """RTMDet with raw heads, in an ONNX file: a map [1, h, w, 5] per stride, of a logit and four distances."""

    def __init__(self, path: Path) -> None:
        self._network = OnnxNetwork(path, "cpu", num_threads=1)
        if [info.shape[-1] for info in self._network.outputs] != [5, 5, 5]:
            raise ModelError(f"{path} is no RTMDet with raw heads (three maps [1, h, w, 5]); name another teacher")

    def look(self, image: Image) -> CellTargets:
        """Scores and distances of every cell of an image (S, S, 3) uint8 BGR of the teacher's size."""
        inputs, _ = RTMDET.prepare(image, (image.shape[1], image.shape[0]))
        cells = np.concatenate([output.reshape(-1, 5) for output in self._network.run(inputs[None])])
        scores = (1 / (1 + np.exp(-cells[:, 0]))).astype(np.float32)
        return CellTargets(scores, cells[:, 1:], np.ones_like(scores))


def cell_points(size: int) -> FloatArray:
    """Points (n, 2) of the cells of all strides, for square input."""
    return np.concatenate(
        [np.stack(np.meshgrid(*[np.arange(size // stride)] * 2), axis=2).reshape(-1, 2) * stride for stride in STRIDES]
    ).astype(np.float32)


def label_cells(scene: Scene, seen: CellTargets | None, size: int, empty_weight: float = 1.0) -> CellTargets:
    """Targets from what a teacher saw, put right by the labels.

    There is nobody in the empty regions, whose cells count `empty_weight` times what the region does. The cells that
    show a labelled person say together how surely it is one: their scores are multiplied so that the best has the
    label's; a label in doubt only lowers them, and those of somebody small count nothing. Who is labelled for sure and
    was not seen is put into the cell nearest to the centre of the box, at the stride of their size.
    """
    points = cell_points(size)
    if seen is None:
        nothing = np.zeros(len(points), np.float32)
        seen = CellTargets(nothing, np.zeros((len(points), 4), np.float32), np.ones_like(nothing))
    distances = seen.distances.copy()
    before, weights = seen.scores.copy(), np.ones(len(points), np.float32)
    for (x0, y0, x1, y1), weight in zip(scene.empty, scene.empty_weights, strict=True):
        is_inside = (points >= (x0, y0)).all(axis=1) & (points < (x1, y1)).all(axis=1)
        before[is_inside], weights[is_inside] = 0, empty_weight * weight
    scores = before.copy()
    fits = iou(scene.boxes, np.concatenate([points - distances[:, :2], points + distances[:, 2:]], axis=1))
    fits = np.where((fits >= 0.5) & (fits == fits.max(axis=0, initial=0)), before, 0)
    for row, (box, score, is_sure) in enumerate(zip(scene.boxes, scene.scores, scene.is_sure, strict=True)):
        best, shown = fits[row].max(), fits[row] > 0
        if best > _SEEN:
            factor = score / best
            scores[shown] = before[shown] * (factor if is_sure else min(factor, 1))
            if not is_sure and _length(box) < _LARGEST[0]:
                weights[shown] = 0
        elif is_sure and score > scores[cell := _cell_of(box, size)]:
            scores[cell], weights[cell] = score, 1
            distances[cell] = [*(points[cell] - box[:2]), *(box[2:] - points[cell])]
    return CellTargets(scores, distances, weights)


def _cell_of(box: FloatArray, size: int) -> int:
    """Index of the cell that a labelled box belongs to."""
    level = int(np.searchsorted(_LARGEST, _length(box)))
    counts = [size // stride for stride in STRIDES]
    column, row = np.minimum(np.rint((box[:2] + box[2:]) / 2 / STRIDES[level]).astype(int), counts[level] - 1)
    return sum(count**2 for count in counts[:level]) + int(row) * counts[level] + int(column)


def _length(box: FloatArray) -> float:
    return float(np.sqrt((box[2] - box[0]) * (box[3] - box[1])))


@dataclass(frozen=True, eq=False)
class DetectorBatch:
    """Scenes (B, S, S, 3) uint8 BGR, target scores (B, n), distances (B, n, 4) and weights (B, n)."""

    images: Image
    scores: FloatArray
    distances: FloatArray
    weights: FloatArray


@dataclass(frozen=True, eq=False)
class DetectorTask:
    """What a training run needs to know of person detectors: a `Task`.

    teacher: looks at every scene; None trains on the labels alone. validate: accuracy by name.
    """

    recipe: DetectorRecipe
    pictures: PictureStore
    validate: Validate
    teacher: DenseTeacher | None = None

    def make_batch(self, step: int) -> DetectorBatch:
        """The batch of a step, always the same one."""
        size = self.recipe.part_size
        images, targets = zip(*map(self._scene, range(step * size, (step + 1) * size)), strict=True)
        stacked = (np.stack([getattr(target, f.name) for target in targets]) for f in fields(CellTargets))
        return DetectorBatch(np.stack(images), *stacked)

    def _scene(self, number: int) -> tuple[Image, CellTargets]:
        """A picture and its targets, always the same of a number."""
        recipe = self.recipe
        rng = np.random.default_rng([recipe.seed, 2, number])
        row = int(rows_of_step(len(self.pictures.with_people), 1, recipe.seed, number)[0])
        scene = self.pictures.compose(row, recipe, recipe.size, rng)
        seen = self.teacher.look(scene.image) if self.teacher else None
        return scene.image, label_cells(scene, seen, recipe.size, recipe.empty_weight)

    def loss(self, model: nn.Module, batch: DetectorBatch, generator: torch.Generator) -> Tensor:
        """Quality focal loss of the scores and, weighted, the GIoU loss of the boxes, per person."""
        device = generator.device
        pictures = vary(in_rgb(batch.images, device).float(), self.recipe, generator)
        maps = model(normalise(pictures, Normalization("bgr", MEAN_BGR, STD_BGR)))
        cells = torch.cat([m.float().flatten(2) for m in maps], dim=2).transpose(1, 2)
        scores, distances, weights = (
            torch.from_numpy(array).to(device) for array in (batch.scores, batch.distances, batch.weights)
        )
        is_person = (scores > _SEEN) & (weights > 0)
        count = scores[is_person].sum().clamp(min=1.0)
        boxes = (giou_loss(cells[is_person][:, 1:], distances[is_person]) * scores[is_person]).sum()
        return (quality_focal_loss(cells[..., 0], scores, weights) + self.recipe.box_weight * boxes) / count
