"""A painted street for people to walk in: sky, houses and a paved square, woven of noise."""

from __future__ import annotations

import cv2
import numpy as np

from tracker.types import FloatArray, Image

# Rows of a picture of 720 lines.
HORIZON = 300.0
_PAVING = 340.0


def paint_backdrop(size_wh: tuple[int, int], horizon: float, scale: float, rng: np.random.Generator) -> Image:
    """A picture (H, W, 3) uint8 BGR.

    horizon: its row, in pixels. scale: pixels per line of a 720-line picture.
    """
    width, height = size_wh
    lines = (np.arange(height, dtype=np.float32)[:, None] - horizon) / scale + HORIZON
    sky = np.clip(lines / HORIZON, 0, 1)[..., None] * np.array((6, 48, 96), np.float32) + (226, 178, 118)
    picture = np.where(lines[..., None] < _PAVING, sky, np.array((166, 178, 188), np.float32))
    picture = np.repeat(picture, width, axis=1).astype(np.float32)
    _paint_houses(picture, horizon, scale, rng)
    # The paving is coarser towards the camera, as the sky is towards the top.
    nearness = np.clip(np.abs(lines - HORIZON) / 420, 0, 1)
    fine, coarse = _noise((height, width), 12 * scale, rng), _noise((height, width), 90 * scale, rng)
    picture += 14 * ((1 - nearness) * fine + nearness * coarse)[..., None]
    # Without the finest detail, shifts of the camera by half a pixel do not flicker.
    smooth = cv2.GaussianBlur(np.clip(picture, 0, 255), (0, 0), max(0.6, 0.7 * scale))
    return smooth.astype(np.uint8)


def _paint_houses(picture: FloatArray, horizon: float, scale: float, rng: np.random.Generator) -> None:
    """A row of houses with gaps, and their windows."""
    x = rng.uniform(-60, 0)

    def rectangle(left: float, top: float, wide: float, high: float, colour: list[float]) -> None:
        corners = np.rint(np.array([(left, top - HORIZON), (left + wide, top + high - HORIZON)]) * scale).astype(int)
        start, end = np.add(corners, [0, round(horizon)]).tolist()
        cv2.rectangle(picture, start, end, colour, -1)

    while x < picture.shape[1] / scale:
        wide, storeys = rng.uniform(90, 170), int(rng.integers(2, 5))
        eaves = _PAVING - 46 * storeys
        rectangle(x, eaves - 12, wide, 12, rng.uniform((52, 62, 118), (84, 92, 168)).tolist())
        rectangle(x, eaves, wide, 46 * storeys, rng.uniform((100, 130, 145), (190, 205, 225)).tolist())
        for place in range(storeys * int(wide // 34)):
            storey, column = divmod(place, int(wide // 34))
            rectangle(x + 12 + 34 * column, eaves + 10 + 46 * storey, 16, 25, [122, 98, 78])
        x += wide + rng.choice([4, 60, 110])


def _noise(shape_hw: tuple[int, int], patch: float, rng: np.random.Generator) -> FloatArray:
    """Smooth texture (H, W) of mean 0 and deviation 1, its largest patches so many pixels wide."""
    total = np.zeros(shape_hw, np.float32)
    for octave in range(4):
        cell = max(patch / 2**octave, 1)
        grid_hw = int(shape_hw[0] / cell) + 3, int(shape_hw[1] / cell) + 3
        coarse = rng.normal(0, 0.7**octave, grid_hw).astype(np.float32)
        total += cv2.resize(coarse, shape_hw[::-1], interpolation=cv2.INTER_CUBIC)
    return (total - total.mean()) / (total.std() + np.float32(1e-6))
