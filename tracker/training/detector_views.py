"""How pictures are put together to teach a detector: alone, zoomed in or out, or in mosaics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tracker.detection.letterbox import PADDING
from tracker.training.annotations import Annotations
from tracker.training.image_store import ImageStore, open_store
from tracker.types import BoolArray, DoubleArray, FloatArray, Image, IntArray

# Stored pictures are shrunk to this longer side.
_LONGEST = 480


@dataclass(frozen=True)
class Layouts:
    """How scenes are put together.

    grids: shares of scenes of 1×1, 2×2 and 3×3 pictures. zoom_alone, zoom_in_mosaic: least and largest size of a
    picture, over that which fills its place. negatives: share of the places given to pictures without people.
    """

    grids: tuple[float, float, float] = (0.45, 0.4, 0.15)
    zoom_alone: tuple[float, float] = (0.5, 2.2)
    zoom_in_mosaic: tuple[float, float] = (0.7, 1.4)
    negatives: float = 0.25


@dataclass(frozen=True, eq=False)
class Scene:
    """A composed picture.

    image: (S, S, 3) uint8 BGR. boxes: (N, 4) xyxy pixels, of the annotated people that can be seen. scores: (N,)
    in 0–1, how surely the boxes hold a person. is_sure: (N,), those that do without doubt. empty: (M, 4) xyxy pixels,
    regions that are known to show nobody.
    """

    image: Image
    boxes: FloatArray
    scores: FloatArray
    is_sure: BoolArray
    empty: FloatArray


@dataclass(frozen=True, eq=False)
class PictureStore:
    """Stored pictures of annotated people.

    scales: (M,), stored size over the annotated one. is_sure: (N,), of the annotations. with_people, negatives: rows
    of the pictures in which somebody is annotated, as often as they come, and of those known to show nobody.
    first_rows: (M + 1,), where each picture's people begin.
    """

    images: ImageStore
    annotations: Annotations
    scales: DoubleArray
    is_sure: BoolArray
    with_people: IntArray
    negatives: IntArray
    first_rows: IntArray

    def compose(self, first: int, layouts: Layouts, size: int, rng: np.random.Generator) -> Scene:
        """A scene of `size` pixels a side with picture `first` of those with people, and others."""
        count = 1 + int(rng.choice(3, p=layouts.grids))
        zooms = np.log(layouts.zoom_alone if count == 1 else layouts.zoom_in_mosaic)
        canvas = np.full((size, size, 3), PADDING, np.uint8)
        boxes: list[npt.NDArray[Any]] = [np.zeros((0, 4))]
        scores: list[npt.NDArray[Any]] = [np.zeros(0)]
        is_sure: list[BoolArray] = [np.zeros(0, bool)]
        empty: list[npt.NDArray[Any]] = [np.zeros((0, 4))]
        for place, rect in enumerate(_split(size, count, rng)):
            row = self._choose(first if place == 0 else None, layouts.negatives, rng)
            image = self.images[row]
            matrix = _fit(image, rect, float(np.exp(rng.uniform(*zooms))), rng)
            _paste(canvas, image, matrix, rect)
            people = slice(self.first_rows[row], self.first_rows[row + 1])
            moved, seen = _move_boxes(self.annotations.boxes[people] * self.scales[row], matrix, rect)
            boxes.append(moved[seen])
            scores.append(self.annotations.certainties[people][seen])
            is_sure.append(self.is_sure[people][seen])
            if self.annotations.is_negative[row]:
                empty.append(np.array([rect], np.float64))
        return Scene(
            image=canvas,
            boxes=np.concatenate(boxes).astype(np.float32),
            scores=np.concatenate(scores).astype(np.float32),
            is_sure=np.concatenate(is_sure),
            empty=np.concatenate(empty).astype(np.float32),
        )

    def _choose(self, wanted: int | None, negatives: float, rng: np.random.Generator) -> int:
        if len(self.negatives) and rng.random() < negatives:
            return int(rng.choice(self.negatives))
        return int(self.with_people[wanted] if wanted is not None else rng.choice(self.with_people))


def store_pictures(annotations: Annotations, folder: Path) -> PictureStore:
    """The pictures of annotated people, shrunk once and kept in a file of the folder."""

    def shrink(_: int, image: Image) -> tuple[Image]:
        factor = _LONGEST / max(image.shape)
        if factor >= 1:
            return (image,)
        return (np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8),)

    key = [[str(path) for path in annotations.paths], _LONGEST]
    images = open_store(folder, key, annotations.paths, shrink, "shrinking pictures")
    return PictureStore(
        images=images,
        annotations=annotations,
        scales=np.minimum(1, _LONGEST / images.source_sizes_wh.max(axis=1)),
        is_sure=annotations.is_sure,
        with_people=np.unique(annotations.picture),
        negatives=np.flatnonzero(annotations.is_negative),
        first_rows=np.searchsorted(annotations.picture, np.arange(len(images) + 1)),
    )


def _split(size: int, count: int, rng: np.random.Generator) -> list[tuple[int, int, int, int]]:
    """Rectangles x0, y0, x1, y1 of a grid with uneven lines."""

    def lines() -> list[int]:
        inner = (np.arange(1, count) + rng.uniform(-0.3, 0.3, count - 1)) * size / count
        return [0, *inner.round().astype(int).tolist(), size]

    columns, rows = lines(), lines()
    return [(columns[i], rows[j], columns[i + 1], rows[j + 1]) for j in range(count) for i in range(count)]


def _fit(image: Image, rect: tuple[int, int, int, int], zoom: float, rng: np.random.Generator) -> DoubleArray:
    """Matrix (2, 3) that puts an image into a rectangle, `zoom` times as large as fills it, mirrored or not."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = rect
    scale = max((x1 - x0) / width, (y1 - y0) / height) * zoom
    sides = ((x0, x1, width), (y0, y1, height))
    shift = [low + rng.random() * (high - low - length * scale) for low, high, length in sides]
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    if rng.random() < 0.5:
        matrix[0] = [-scale, 0, shift[0] + (width - 1) * scale]
    return matrix


def _paste(canvas: Image, image: Image, matrix: DoubleArray, rect: tuple[int, int, int, int]) -> None:
    x0, y0, x1, y1 = rect
    zoomed_out = abs(matrix[0, 0]) < 0.6
    if zoomed_out:  # bilinear sampling would skip pixels
        factor = abs(matrix[0, 0])
        image = np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
        matrix = matrix @ np.diag([1 / factor, 1 / factor, 1])
    local = matrix - np.array([[0, 0, x0], [0, 0, y0]])
    cv2.warpAffine(
        image, local, (x1 - x0, y1 - y0), dst=canvas[y0:y1, x0:x1], flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT, borderValue=(PADDING,) * 3,
    )  # fmt: skip


def _move_boxes(
    boxes: npt.NDArray[Any], matrix: DoubleArray, rect: tuple[int, int, int, int]
) -> tuple[DoubleArray, BoolArray]:
    """Boxes (N, 4) in the scene, cut to their rectangle, and which of them are still to be seen.

    A fifth of a person is enough, and less if it fills a tenth of the rectangle.
    """
    columns, rows = boxes[:, 0::2] * matrix[0, 0] + matrix[0, 2], boxes[:, 1::2] * matrix[1, 1] + matrix[1, 2]
    corners = np.stack([columns, rows], axis=2)
    whole = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    cut = whole.clip([rect[0], rect[1]] * 2, [rect[2], rect[3]] * 2)
    whole_areas, areas = ((b[:, 2:] - b[:, :2]).prod(axis=1) for b in (whole, cut))
    place = (rect[2] - rect[0]) * (rect[3] - rect[1])
    return cut, (areas >= np.minimum(0.2 * whole_areas, 0.1 * place)) & ((cut[:, 2:] - cut[:, :2]).min(axis=1) >= 4)
