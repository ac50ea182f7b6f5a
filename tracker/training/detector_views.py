"""How pictures are put together to teach a detector: alone, zoomed in or out, or in mosaics."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from tracker.detection.letterbox import PADDING
from tracker.training.animals import Animals
from tracker.training.annotations import Annotations
from tracker.training.image_store import StoredPictures, shrink_pictures, stored_fields
from tracker.training.recipes import Layouts
from tracker.training.windows import find_window_around, find_window_beside
from tracker.types import BoolArray, DoubleArray, FloatArray, Image

# Stored pictures are shrunk to this longer side.
_LONGEST = 480
# What windows beside people count: somebody small may have been overlooked there.
_BACKGROUND_WEIGHT = 0.4

_Rect: TypeAlias = tuple[int, int, int, int]


def _none(*shape: int) -> FloatArray:
    return np.zeros((0, *shape), np.float32)


@dataclass(frozen=True, eq=False)
class Scene:
    """A composed picture, or what a place of one adds to it.

    image: (S, S, 3) uint8 BGR. boxes: (N, 4) xyxy pixels, of the annotated people that can be seen. scores: (N,)
    in 0–1, how surely the boxes hold a person. is_sure: (N,), those that do without doubt. empty: (M, 4) xyxy pixels,
    regions that show nobody. empty_weights: (M,) in 0–1, what they count: somebody may have been overlooked.
    """

    image: Image
    boxes: FloatArray = field(default_factory=lambda: _none(4))
    scores: FloatArray = field(default_factory=_none)
    is_sure: BoolArray = field(default_factory=lambda: np.zeros(0, bool))
    empty: FloatArray = field(default_factory=lambda: _none(4))
    empty_weights: FloatArray = field(default_factory=_none)


@dataclass(frozen=True, eq=False)
class PictureStore(StoredPictures):
    """Stored pictures to teach a detector.

    scales: (M,), stored size over the annotated one. animals: in the pictures with people.
    """

    scales: DoubleArray
    animals: Animals

    def compose(self, first: int, layouts: Layouts, size: int, rng: Generator) -> Scene:
        """A scene of `size` pixels a side with picture `first` of those with people, and others."""
        count = 1 + int(rng.choice(3, p=layouts.grids))
        zooms = layouts.zoom_alone if count == 1 else layouts.zoom_in_mosaic
        canvas = np.full((size, size, 3), PADDING, np.uint8)
        parts = []
        for place, rect in enumerate(_split(size, count, rng)):
            empty = self._choose_empty(layouts, rng) if rng.random() < layouts.negatives else None
            if empty is None:
                row = int(self.with_people[first] if place == 0 else rng.choice(self.with_people))
                parts.append(self._put_people(canvas, rect, row, zooms, rng))
            else:
                parts.append(_put_nobody(canvas, rect, empty, layouts, rng))
        names = [part_field.name for part_field in fields(Scene)[1:]]
        return Scene(canvas, **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def _put_people(self, canvas: Image, rect: _Rect, row: int, zooms: tuple[float, float], rng: Generator) -> Scene:
        """Put a picture into a rectangle; the people who are seen of it."""
        image = self.images[row]
        matrix = _fit(image, rect, zooms, rng)
        _paste(canvas, image, matrix, rect)
        people = self.people_in(row)
        moved, seen = _move_boxes(self.annotations.boxes[people] * self.scales[row], matrix, rect)
        certainties, is_sure = self.annotations.certainties[people], self.is_sure[people]
        return Scene(canvas, moved[seen].astype(np.float32), certainties[seen], is_sure[seen])

    def _choose_empty(self, layouts: Layouts, rng: Generator) -> tuple[Image, float] | None:
        """What shows nobody, a picture or a window of one, and what it counts; None where chance finds nothing."""
        kind = rng.random()
        if kind < layouts.animals and len(self.animals):
            number = int(rng.integers(len(self.animals)))
            row = int(self.animals.picture[number])
            image, box = self.images[row], self.animals.boxes[number] * self.scales[row]
            window, weight = find_window_around(box, self._maybe_people(row), _size_wh(image), rng), 1.0
        elif layouts.animals <= kind < layouts.animals + layouts.backgrounds:
            row = int(rng.choice(self.with_people))
            image = self.images[row]
            window, weight = find_window_beside(self._maybe_people(row), _size_wh(image), rng), _BACKGROUND_WEIGHT
        else:
            return (self.images[int(rng.choice(self.negatives))], 1.0) if len(self.negatives) else None
        return None if window is None else (image[window[1] : window[3], window[0] : window[2]], weight)

    def _maybe_people(self, row: int) -> DoubleArray:
        """Boxes (N, 4) of those who may be people, in pixels of the stored picture."""
        rows = self.people_in(row)
        maybe = self.annotations.certainties[rows] > 0
        return np.asarray(self.annotations.boxes[rows][maybe] * self.scales[row], np.float64)


def store_pictures(annotations: Annotations, folder: Path, animals: Animals | None = None) -> PictureStore:
    """The pictures of annotated people, shrunk once and kept in a file of the folder; animals in them, if known.

    Animals of pictures without people are left out: those are shown as a whole.
    """
    images = shrink_pictures(annotations, folder, longest=_LONGEST)
    return PictureStore(
        **stored_fields(annotations, images, annotations.is_sure, np.ones(len(annotations), bool)),
        scales=np.minimum(1, _LONGEST / images.source_sizes_wh.max(axis=1)),
        animals=Animals.none() if animals is None else animals[~annotations.is_negative[animals.picture]],
    )


def _split(size: int, count: int, rng: Generator) -> list[_Rect]:
    """Rectangles x0, y0, x1, y1 of a grid with uneven lines."""

    def lines() -> list[int]:
        inner = (np.arange(1, count) + rng.uniform(-0.3, 0.3, count - 1)) * size / count
        return [0, *inner.round().astype(int).tolist(), size]

    columns, rows = lines(), lines()
    return [(columns[i], rows[j], columns[i + 1], rows[j + 1]) for j in range(count) for i in range(count)]


def _fit(image: Image, rect: _Rect, zooms: tuple[float, float], rng: Generator) -> DoubleArray:
    """Matrix (2, 3) that puts an image into a rectangle, so many times as large as fills it, mirrored or not."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = rect
    scale = max((x1 - x0) / width, (y1 - y0) / height) * float(np.exp(rng.uniform(*np.log(zooms))))
    sides = ((x0, x1, width), (y0, y1, height))
    shift = [low + rng.random() * (high - low - length * scale) for low, high, length in sides]
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    if rng.random() < 0.5:
        matrix[0] = [-scale, 0, shift[0] + (width - 1) * scale]
    return matrix


def _put_nobody(canvas: Image, rect: _Rect, empty: tuple[Image, float], layouts: Layouts, rng: Generator) -> Scene:
    """Fill a rectangle with an image that shows nobody and what it counts; the empty region."""
    image, weight = empty
    angle = rng.uniform(-1, 1) * layouts.rotation_deg
    matrix = _rotate(_fit(image, rect, layouts.zoom_negatives, rng), rect, angle)
    _paste(canvas, image, matrix, rect, cv2.BORDER_REFLECT_101)
    return Scene(canvas, empty=np.array([rect], np.float32), empty_weights=np.array([weight], np.float32))


def _rotate(matrix: DoubleArray, rect: _Rect, angle_deg: float) -> DoubleArray:
    """The matrix (2, 3) followed by a rotation about the middle of a rectangle."""
    rotation = cv2.getRotationMatrix2D(((rect[0] + rect[2]) / 2, (rect[1] + rect[3]) / 2), angle_deg, 1.0)
    return np.asarray(rotation @ np.vstack([matrix, [0, 0, 1]]), np.float64)


def _paste(
    canvas: Image, image: Image, matrix: DoubleArray, rect: _Rect, border_mode: int = cv2.BORDER_CONSTANT
) -> None:
    x0, y0, x1, y1 = rect
    factor = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if factor < 0.6:  # zoomed out: bilinear sampling would skip pixels
        image = np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
        matrix = matrix @ np.diag([1 / factor, 1 / factor, 1])
    local = matrix - np.array([[0, 0, x0], [0, 0, y0]])
    cv2.warpAffine(
        image, local, (x1 - x0, y1 - y0), dst=canvas[y0:y1, x0:x1], flags=cv2.INTER_LINEAR,
        borderMode=border_mode, borderValue=(PADDING,) * 3,
    )  # fmt: skip


def _size_wh(image: Image) -> tuple[int, int]:
    return image.shape[1], image.shape[0]


def _move_boxes(boxes: npt.NDArray[Any], matrix: DoubleArray, rect: _Rect) -> tuple[DoubleArray, BoolArray]:
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
