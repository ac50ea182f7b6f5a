"""Pictures whose motion is known exactly: views of one large textured canvas through affine maps."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from tracker.types import FloatArray, Image

CANVAS_WH = (1700, 1000)
# The first view's corner on the canvas: room on all sides for the second one.
_ORIGIN = (200, 140)


@cache
def canvas(seed: int) -> Image:
    """A texture with detail of 6 to 150 pixels; another scene for each seed."""
    rng = np.random.default_rng(seed)
    width, height = CANVAS_WH
    levels = np.full((height, width, 1), 120, np.float32)
    for grain, strength in ((6, 14), (24, 22), (150, 30)):
        noise = rng.normal(0, strength, (height // grain + 2, width // grain + 2)).astype(np.float32)
        levels += cv2.resize(noise, CANVAS_WH, interpolation=cv2.INTER_CUBIC)[..., None]
    levels = levels * rng.uniform(0.8, 1.2, 3)
    return np.clip(levels, 0, 255).astype(np.uint8)


def affine(shift: tuple[float, float] = (0, 0), angle_deg: float = 0, scale: float = 1) -> FloatArray:
    """(2, 3): turns and scales about the middle of a 640 × 360 view, then shifts, all in pixels."""
    matrix = cv2.getRotationMatrix2D((319.5, 179.5), angle_deg, scale)
    matrix[:, 2] += shift
    return matrix.astype(np.float32)


def transform(points: FloatArray, motion: FloatArray) -> FloatArray:
    """Where the motion (2, 3) takes points (N, 2)."""
    return points @ motion[:, :2].T + motion[:, 2]


def view(seed: int, motion: FloatArray | None = None, size_wh: tuple[int, int] = (640, 360)) -> Image:
    """The canvas after a motion (2, 3) of everything that is seen: content at p is at motion(p) now."""
    motion = affine() if motion is None else motion
    to_view = motion @ np.array([[1, 0, -_ORIGIN[0]], [0, 1, -_ORIGIN[1]], [0, 0, 1]], np.float32)
    return cv2.warpAffine(canvas(seed), to_view, size_wh, flags=cv2.INTER_CUBIC)


def change_exposure(image: Image, gain: float, offset: float = 0) -> Image:
    """Brighter or darker, clipped to 0–255."""
    return np.clip(image * gain + offset, 0, 255).astype(np.uint8)


def blur_along_x(image: Image, length: int) -> Image:
    """Motion blur of that many pixels."""
    return cv2.blur(image, (length, 1))


def grid(size_wh: tuple[int, int] = (640, 360), margin: float = 90, step: float = 45) -> FloatArray:
    """Points (N, 2) at odd places, a margin away from the border."""
    x, y = np.meshgrid(
        np.arange(margin + 0.3, size_wh[0] - margin, step), np.arange(margin + 0.7, size_wh[1] - margin, step)
    )
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)
