"""Motions without a flow: the pictures stand still, or have nothing in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracker.flow.cuts import is_cut
from tracker.flow.pictures import Picture
from tracker.types import FloatArray, Image, Motion, MovedPoints, Planes

# Cuts are all that is looked for, and thumbs show them.
_MAX_SIDE = 192


@dataclass(frozen=True)
class SceneCut:
    """The motion across a cut: there is none."""

    is_cut = True

    def move(self, points: FloatArray) -> MovedPoints:
        """Points (N, 2) as they are, all unreliable."""
        return MovedPoints(points.astype(np.float32), np.zeros(len(points), np.bool_))


@dataclass(frozen=True)
class Stillness:
    """The motion that leaves every point where it is."""

    is_cut = False

    def move(self, points: FloatArray) -> MovedPoints:
        """Points (N, 2) as they are; every finite one is reliable."""
        return MovedPoints(points.astype(np.float32), np.asarray(np.isfinite(points).all(axis=1)))


class NoFlow:
    """No optical flow: points stay where they are. Cuts are recognised all the same."""

    def prepare(self, image: Image, planes: Planes | None = None) -> Picture:
        """A small grey picture of an image (H, W, 3) uint8 BGR."""
        return Picture.of(image, _MAX_SIDE, planes)

    def between(self, previous: Picture, current: Picture) -> Motion:
        """A cut, or no motion at all."""
        return SceneCut() if is_cut(previous, current) else Stillness()
