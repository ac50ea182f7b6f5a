"""A painted street for people to walk in: sky, hills, houses, trees and a paved square."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from tracker.types import FloatArray, Image

# Rows of a picture of 720 lines.
HORIZON = 300.0
_GROUND = 334.0
_PAVING = 372.0

_STOREY = 46


def paint_backdrop(size_wh: tuple[int, int], horizon: float, scale: float, rng: np.random.Generator) -> Image:
    """A picture (H, W, 3) uint8 BGR.

    horizon: its row, in pixels. scale: pixels per line of a 720-line picture.
    """
    painter = _Painter(size_wh, horizon, scale, rng)
    painter.landscape()
    painter.houses()
    painter.square()
    painter.trees()
    picture = np.clip(painter.canvas, 0, 255).astype(np.uint8)
    # Without the finest detail, shifts of the camera by half a pixel do not flicker.
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), max(0.6, 0.7 * scale)), np.uint8)


class _Painter:
    """Paints in places of a 720-line picture; `x` and `y` (H, W) are those of the pixels."""

    def __init__(self, size_wh: tuple[int, int], horizon: float, scale: float, rng: np.random.Generator) -> None:
        width, height = size_wh
        rows, columns = np.mgrid[:height, :width].astype(np.float32)
        self.x, self.y = columns / scale, (rows - horizon) / scale + HORIZON
        self.width = width / scale
        self.canvas = np.zeros((height, width, 3), np.float32)
        self._scale, self._horizon, self._rng = scale, horizon, rng

    def landscape(self) -> None:
        """Sky with clouds, and two ranges of hills."""
        height = self.y / HORIZON
        self._cover(np.ones_like(self.y), (226, 178, 118))
        self._cover(np.clip(height, 0, 1), (232, 226, 214))
        rows, columns = self.y.shape
        clouds = np.asarray(cv2.resize(self._noise(120, 5, (rows, columns // 2 + 1)), (columns, rows)))
        self._cover(np.clip(0.55 * clouds - 0.1, 0, 0.85) * np.clip(1.15 - height, 0, 1), (250, 249, 247))
        forest = 7 * self._noise(14)
        for crest, colour, length in ((196, (186, 178, 140), 310), (236, (132, 158, 112), 190)):
            start = self._rng.uniform(0, 6.28)
            ridge = crest + 22 * np.sin(self.x / length * 2 + start) + 10 * np.sin(self.x / length * 5.3)
            self._cover(np.clip(self.y - ridge, 0, 1), colour, forest)

    def houses(self) -> None:
        """A row of houses with gaps."""
        x = self._rng.uniform(-60, 0)
        while x < self.width:
            wide, storeys = float(self._rng.uniform(90, 170)), int(self._rng.integers(2, 4))
            eaves = HORIZON + 40 - _STOREY * storeys
            self._rectangle((x, eaves), (x + wide, HORIZON + 40), self._colour((120, 150, 165), (190, 205, 225)))
            self._roof(x, wide, eaves)
            self._windows(x, wide, eaves, storeys)
            x += wide + float(self._rng.choice([4, 4, 60, 110]))

    def square(self) -> None:
        """A lawn, and paving slabs that grow towards the camera."""
        patches = self._noise(70)
        self._cover(np.clip(self.y - _GROUND, 0, 1), (70, 142, 108), 9 * self._noise(6, 3) + 7 * patches)
        nearness = np.maximum(self.y - HORIZON, 20) / 420
        rows, columns = 3.2 / nearness, (self.x - self.x.mean()) / (nearness * 150)
        joints = np.maximum(_joint(rows, nearness * 40), _joint(columns, nearness * 20))
        slabs = self._rng.uniform(-9, 9, (64, 256))
        slab = slabs[np.floor(rows).astype(np.int64) % 64, np.floor(columns).astype(np.int64) % 256]
        grain = slab + 6 * patches + 7 * self._noise(9) - 34 * joints
        self._cover(np.clip(self.y - _PAVING, 0, 1), (166, 178, 188), grain)
        self._cover(np.clip(4 - np.abs(self.y - _PAVING), 0, 1), (196, 200, 202))

    def trees(self) -> None:
        """Trees on the lawn, their crowns made of many tufts, dark at the bottom and bright at the top."""
        rng = self._rng
        for place in np.arange(rng.uniform(20, 120), self.width, 210):
            x, foot, size = place + rng.uniform(-50, 50), HORIZON + rng.uniform(46, 62), rng.uniform(44, 66)
            self._line((x, foot), (x, foot - 80), (52, 74, 96), 9)
            leaf = self._colour((44, 104, 66), (72, 138, 110))
            for across, up in np.clip(rng.normal(0, 0.42, (90, 2)), -0.8, 0.8):
                centre = self._at(x + across * size, foot - 80 - (0.7 + up) * size)
                tuft = leaf * (0.9 + 0.35 * up + rng.uniform(-0.12, 0.12))
                cv2.circle(self.canvas, centre, max(1, round(rng.uniform(5, 12) * self._scale)), tuft.tolist(), -1)

    def _roof(self, x: float, wide: float, eaves: float) -> None:
        ridge, right = eaves - 34, x + wide
        corners = [(x - 6, eaves), (x + 18, ridge), (right - 18, ridge), (right + 6, eaves)]
        tile = self._colour((52, 62, 118), (84, 92, 168))
        cv2.fillPoly(self.canvas, [np.array([self._at(*corner) for corner in corners], np.int32)], tile.tolist())
        for course in np.arange(0.2, 1, 0.2):
            row, inset = eaves - 34 * course, 24 * course - 6
            self._line((x + inset, row), (right - inset, row), 0.8 * tile, 0)

    def _windows(self, x: float, wide: float, eaves: float, storeys: int) -> None:
        columns = int(wide // 34)
        for place in range(storeys * columns):
            storey, column = divmod(place, columns)
            left, top = x + wide / columns * (column + 0.5) - 8, eaves + 10 + _STOREY * storey
            self._rectangle((left - 2, top - 2), (left + 18, top + 27), (232, 236, 238))
            self._rectangle((left, top), (left + 16, top + 25), (122, 98, 78))
            self._line((left + 8, top), (left + 8, top + 25), (225, 228, 230), 0)

    def _at(self, x: float, y: float) -> tuple[int, int]:
        """The pixel at a place."""
        return round(x * self._scale), round((y - HORIZON) * self._scale + self._horizon)

    def _colour(self, darkest: Sequence[float], brightest: Sequence[float]) -> npt.NDArray[np.float64]:
        return self._rng.uniform(darkest, brightest)

    def _rectangle(self, start: tuple[float, float], end: tuple[float, float], colour: npt.ArrayLike) -> None:
        cv2.rectangle(self.canvas, self._at(*start), self._at(*end), np.asarray(colour).tolist(), -1)

    def _line(self, start: tuple[float, float], end: tuple[float, float], colour: npt.ArrayLike, wide: float) -> None:
        thickness = max(1, round(wide * self._scale))
        cv2.line(self.canvas, self._at(*start), self._at(*end), np.asarray(colour).tolist(), thickness)

    def _cover(self, share: FloatArray, colour: tuple[int, int, int], grain: FloatArray | float = 0.0) -> None:
        """Mix in a colour, with brighter and darker grain (H, W), by a share (H, W) in 0–1."""
        paint = np.asarray(colour, np.float32) + np.asarray(grain, np.float32)[..., None]
        self.canvas += share[..., None] * (paint - self.canvas)

    def _noise(self, patch: float, octaves: int = 4, shape_hw: tuple[int, int] | None = None) -> FloatArray:
        """Smooth texture (H, W) of mean 0 and deviation 1, its largest patches `patch` lines wide."""
        height, width = shape_hw or self.y.shape
        total = np.zeros((height, width), np.float32)
        for octave in range(octaves):
            cell = max(patch * self._scale / 2**octave, 1)
            grid_hw = int(height / cell) + 3, int(width / cell) + 3
            coarse = self._rng.normal(0, 0.6**octave, grid_hw).astype(np.float32)
            total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        return (total - total.mean()) / (total.std() + np.float32(1e-6))


def _joint(position: FloatArray, sharpness: FloatArray) -> FloatArray:
    """1 on the joints between slabs, which lie at whole positions, 0 within a slab."""
    away = np.abs(position - np.rint(position))
    return np.clip(1.5 - away * np.clip(sharpness * 8, 20, 120), 0, 1).astype(np.float32)
