"""Dense optical flow: one field per pair of frames, whatever the number of points."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from tracker.flow.cuts import is_cut
from tracker.flow.inverse_search import compare_windows, compute_flow
from tracker.flow.pictures import Picture, PictureMotion
from tracker.flow.still import SceneCut
from tracker.types import BoolArray, FloatArray, Image, Motion

_ROW = 256

# Correlation from which the surroundings of a point count as found again. It keeps 19 of 20 points that were
# followed well, as a check backwards does, which would double the time.
_FOUND = 0.65


@dataclass(frozen=True)
class DenseFlow:
    """Flow by dense inverse search on grey pictures.

    Certain is a point whose surroundings look the same before and after, but for their brightness: not one that is
    covered now, or moved too fast to be followed.
    max_side: longest side of the pictures in pixels; the time taken grows with its square.
    """

    max_side: int = 480

    def prepare(self, image: Image) -> Picture:
        """The small grey picture of an image (H, W, 3) uint8 BGR."""
        return Picture.of(image, self.max_side)

    def between(self, previous: Picture, current: Picture) -> Motion:
        """The flow field from one picture to the next, or a cut. May run in several threads at once."""
        if is_cut(previous, current):
            return SceneCut()
        field = compute_flow(previous.grey, current.grey)
        correlation, _ = compare_windows(previous.grey, current.grey, field)
        return PictureMotion(previous, partial(_follow, field, correlation))


def _follow(field: FloatArray, correlation: FloatArray, points: FloatArray) -> tuple[FloatArray, BoolArray]:
    """How far points (N, 2) go in a flow field (h, w, 2); certain where the correlation (h, w) is high enough."""
    return _sample(field, points), _sample(correlation, points)[:, 0] >= _FOUND


def _sample(values: FloatArray, points: FloatArray) -> FloatArray:
    """Values (N, C) of a map (h, w, C) or (h, w) at points (N, 2) inside it, bilinear."""
    # OpenCV limits the sides of what it samples: the points are laid out as rows of bounded length.
    rows = -(-len(points) // _ROW)
    places = np.zeros((rows * _ROW, 2), np.float32)
    places[: len(points)] = points
    x, y = places.reshape(rows, _ROW, 2).transpose(2, 0, 1).copy()
    sampled = cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.reshape(sampled, (len(places), -1))[: len(points)].astype(np.float32, copy=False)
