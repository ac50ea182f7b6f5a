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
class NoMotion:
    """The motion that leaves every point where it is, or that across a cut, of which nothing is known."""

    is_cut: bool

    def move(self, points: FloatArray) -> MovedPoints:
        """Points (N, 2) as they are; every finite one is reliable, but none across a cut."""
        reliable = np.isfinite(points).all(axis=1) & (not self.is_cut)
        return MovedPoints(points.astype(np.float32), np.asarray(reliable, np.bool_))


class NoFlow:
    """No optical flow: points stay where they are. Cuts are recognised all the same."""

    def prepare(self, image: Image, planes: Planes | None = None) -> Picture:
        """A small grey picture of an image (H, W, 3) uint8 BGR."""
        return Picture.of(image, _MAX_SIDE, planes)

    def between(self, previous: Picture, current: Picture) -> Motion:
        """A cut, or no motion at all."""
        return NoMotion(is_cut(previous, current))
