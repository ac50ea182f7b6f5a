"""How a person is cut out for training: a stored crop with room around, and random views of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from tracker.boxes import xyxy_to_xywh
from tracker.pose.crops import PIXELS_PER_SCALE, centres_and_scales, crop_matrices, transform_points, warp_crops
from tracker.skeletons import Skeleton
from tracker.training.annotations import Annotations
from tracker.training.image_store import ImageStore, open_store
from tracker.training.recipes import Views
from tracker.types import DoubleArray, FloatArray, Image, IntArray

# A stored crop shows this much more than the box with its usual padding, for rotation and zooming out.
ROOM = 1.45


@dataclass(frozen=True, eq=False)
class View:
    """A stored crop, the matrix (2, 3) from it to the network's input, and keypoints there with their weights."""

    crop: Image
    matrix: DoubleArray
    keypoints: DoubleArray
    weights: FloatArray


@dataclass(frozen=True, eq=False)
class PersonCrops:
    """Stored crops of N people, `size_wh` each, and their keypoints (N, K, 2) in pixels of the crop."""

    store: ImageStore
    size_wh: tuple[int, int]
    keypoints: FloatArray
    weights: FloatArray
    skeleton: Skeleton

    @cached_property
    def _halves(self) -> tuple[IntArray, IntArray]:
        """The keypoints of the upper half of the body, and of the lower."""
        names = self.skeleton.keypoint_names
        lower = np.array([i for i, name in enumerate(names) if name.endswith(("hip", "knee", "ankle"))], np.int64)
        return np.setdiff1d(np.arange(len(names)), lower), lower

    def view(self, row: int, views: Views, input_wh: tuple[int, int], rng: np.random.Generator) -> View:
        """One random view of a person."""
        width, height = self.size_wh
        keypoints, weights = self.keypoints[row], self.weights[row]
        centre = np.array([width, height]) / 2 * (1 + 2 / ROOM * np.clip(rng.normal(0, views.shift, 2), -0.1, 0.1))
        size = width / ROOM
        half = self._half_region(keypoints, rng) if rng.random() < views.half_body else None
        if half is not None:
            centre, size = half
        size *= np.clip(1 + rng.normal(0, views.scale), 1 - views.scale, 1 + views.scale)
        turned = np.clip(rng.normal(0, views.rotation_deg), -2 * views.rotation_deg, 2 * views.rotation_deg)
        angle = turned if rng.random() < views.rotated else 0.0
        mirrored = rng.random() < views.flip
        if mirrored and half is not None:
            centre = np.array([width - 1 - centre[0], centre[1]])
        matrix = crop_matrices(centre[None], np.full((1, 2), size / PIXELS_PER_SCALE), input_wh, angle)
        if mirrored:
            matrix = matrix @ np.array([[-1.0, 0, width - 1], [0, 1, 0], [0, 0, 1]])
            order = self.skeleton.flip_order
            keypoints, weights = keypoints[order], weights[order]
        crop = _damage(self.store[row], rng) if rng.random() < views.damage else self.store[row]
        return View(crop, matrix[0], transform_points(matrix, keypoints[None])[0], weights)

    def _half_region(self, keypoints: FloatArray, rng: np.random.Generator) -> tuple[DoubleArray, float] | None:
        """Centre and width of a region around the upper or lower half, None where too little of it is labelled.

        Source: `half_body_transform` of HRNet's code.
        """
        half = keypoints[self._halves[int(rng.integers(2))]]
        half = half[~np.isnan(half[:, 0])].astype(np.float64)
        if len(half) < 3:
            return None
        low, high = half.min(axis=0), half.max(axis=0)
        width, height = 1.5 * (high - low)
        return (low + high) / 2, max(width, height * self.size_wh[0] / self.size_wh[1], 16.0)


def store_crops(annotations: Annotations, size_wh: tuple[int, int], folder: Path) -> PersonCrops:
    """Crops of all people, cut once and kept in a file of the folder."""
    width, height = size_wh
    centres, scales = centres_and_scales(xyxy_to_xywh(annotations.boxes), size_wh)
    matrices = crop_matrices(centres, scales * ROOM, size_wh)
    first_rows = np.searchsorted(annotations.picture, np.arange(len(annotations.paths) + 1))

    def cut(number: int, image: Image) -> Image:
        return warp_crops(image, matrices[first_rows[number] : first_rows[number + 1]], size_wh)

    key = [str(annotations.paths[0].parent), width, height, ROOM, annotations.boxes.round(1).tolist()]
    store = open_store(folder, key, annotations.paths, cut, "cutting out people")
    keypoints = transform_points(matrices, annotations.keypoints).astype(np.float32)
    return PersonCrops(store, size_wh, keypoints, annotations.weights, annotations.skeleton)


def _damage(image: Image, rng: np.random.Generator) -> Image:
    """The picture with compression artefacts or blurred by motion."""
    if rng.random() < 0.5:
        quality = int(rng.integers(10, 50))
        compressed = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))[1]
        return np.asarray(cv2.imdecode(compressed, cv2.IMREAD_COLOR), np.uint8)
    length = int(rng.integers(3, 12))
    line = np.zeros((length, length), np.float32)
    line[length // 2] = 1
    turn = cv2.getRotationMatrix2D(((length - 1) / 2, (length - 1) / 2), float(rng.uniform(0, 180)), 1)
    kernel = cv2.warpAffine(line, turn, (length, length))
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)
