"""The small grey picture of an image that every flow works on, and points that go there and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from tracker.types import BoolArray, FloatArray, Image, MovedPoints, Planes

# Narrower pictures leave DIS no rows on its coarsest level: it then answers with NaN, or raises.
_MIN_SIDE = 32
_MAX_ASPECT = 4

# The columns and rows of points that tell how the background moves.
_GRID_WH = (16, 9)

# All thumbs have one size, whatever the image's shape: a cut is a matter of content, not of proportion.
THUMB_WH = (96, 64)


@dataclass(frozen=True)
class Picture:
    """A grey copy of an image at a bounded size.

    grey: (h, w) uint8. thumb: (64, 96) uint8, the same stretched to a size that all images share.
    size_wh: width and height of the image itself.
    """

    grey: Image
    thumb: Image
    size_wh: tuple[int, int]

    @classmethod
    def of(cls, image: Image, max_side: int, planes: Planes | None = None) -> Picture:
        """The picture of an image (H, W, 3) uint8 BGR, with no side above `max_side` pixels.

        planes: as for `FlowEstimator`.
        """
        height, width = image.shape[:2]
        small_wh = _small_size((width, height), max_side)
        small = planes.grey(small_wh) if planes else _resize(_to_grey(image), small_wh)
        return cls(small, _resize(small, THUMB_WH), (width, height))

    @property
    def scale(self) -> FloatArray:
        """(2,): picture pixels per image pixel, along x and y; they differ for very long images."""
        return np.divide(self.grey.shape[::-1], self.size_wh, dtype=np.float32)

    def contains(self, points: FloatArray) -> BoolArray:
        """(N,): which points (N, 2), in image pixels, lie on a pixel of the image."""
        inside = (points >= -0.5) & (points <= np.array(self.size_wh) - 0.5)
        return np.asarray(inside.all(axis=1))


@dataclass(frozen=True)
class PictureMotion:
    """A motion from a picture to one of the next image, of the same size.

    follow: takes points (M, 2) inside the picture, in its pixels, and gives how far each went, (M, 2), and
    whether that is certain, (M,). It never sees a point that is not finite. glance: takes such points and gives about
    how far each went, (M, 2), at next to no cost; None where that is not to be had.
    """

    previous: Picture
    follow: Callable[[FloatArray], tuple[FloatArray, BoolArray]]
    glance: Callable[[FloatArray], FloatArray] | None = None
    is_cut = False

    def move(self, points: FloatArray) -> MovedPoints:
        """Where points (N, 2) of the older frame went, in image pixels.

        Reliable is a point that is followed with certainty and lies in the image before and after. One outside goes
        with the nearest pixel of the image's border; one that is not finite stays as it is.
        """
        if points.ndim != 2 or points.shape[1] != 2:
            raise ValueError(f"points must be (N, 2), got {points.shape}")
        moved = points.astype(np.float32)
        reliable = np.zeros(len(points), np.bool_)
        known = np.isfinite(moved).all(axis=1)
        if known.any():
            picture, old = self.previous, moved[known]
            last_pixel = np.subtract(picture.grey.shape[::-1], 1, dtype=np.float32)
            distances, certain = self.follow(np.clip((old + 0.5) * picture.scale - 0.5, 0, last_pixel))
            new = old + distances / picture.scale
            moved[known] = new
            reliable[known] = certain & picture.contains(old) & picture.contains(new)
        return MovedPoints(moved, reliable)

    def background(self, boxes: FloatArray) -> FloatArray:
        """How far what is outside boxes (N, 4) went: the median (2,) in image pixels; 0 where that is unknown."""
        sides = zip(_GRID_WH, self.previous.size_wh, strict=True)
        x, y = (np.arange(0.5, n, dtype=np.float32) * np.float32(side / n) - np.float32(0.5) for n, side in sides)
        in_x, in_y = ((p >= boxes[:, i, None]) & (p <= boxes[:, i + 2, None]) for i, p in enumerate((x, y)))
        rows, columns = np.nonzero(~(in_y.T @ in_x))
        points = (np.stack([x[columns], y[rows]], axis=1) + np.float32(0.5)) * self.previous.scale - np.float32(0.5)
        if not (self.glance and len(points)):
            return np.zeros(2, np.float32)
        return np.asarray(median_step(self.glance(points)) / self.previous.scale, np.float32)


def median_step(steps: FloatArray) -> FloatArray:
    """The median (2,) of finite steps (N, 2), at least one; NumPy's own is slower, and loads `numpy.ma` for it."""
    ordered = np.sort(steps.T)
    return (ordered[:, (len(steps) - 1) // 2] + ordered[:, len(steps) // 2]) * np.float32(0.5)


def _to_grey(image: Image) -> Image:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)


def _resize(grey: Image, size_wh: tuple[int, int]) -> Image:
    return np.asarray(cv2.resize(grey, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def _small_size(size_wh: tuple[int, int], max_side: int) -> tuple[int, int]:
    scale = min(1.0, max_side / max(size_wh))
    width, height = (round(side * scale) for side in size_wh)
    least = max(_MIN_SIDE, max(width, height) // _MAX_ASPECT)
    return max(width, least), max(height, least)
