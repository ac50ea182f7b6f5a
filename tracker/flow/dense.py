"""Dense optical flow: a coarse field per pair of frames, and fine ones around the points that are asked for."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tracker.flow.cuts import is_cut
from tracker.flow.inverse_search import compare_windows, compute_flow
from tracker.flow.pictures import Picture, PictureMotion, median_step
from tracker.flow.regions import Region, moved_region, regions_around
from tracker.flow.still import NoMotion
from tracker.types import BoolArray, FloatArray, Image, Motion, Planes

_ROW = 256

# The coarse field ends at an eighth of the resolution, at a tenth of what a fine one costs.
_COARSE = 3

# Correlation from which the surroundings of a point count as found again. It keeps 19 of 20 points that were
# followed well, as a check backwards does, which would double the time.
_FOUND = 0.69


@dataclass(frozen=True)
class DenseFlow:
    """Flow by dense inverse search on grey pictures (Kroeger et al., ECCV 2016).

    The whole picture is searched coarsely, which tells how camera and people move; the fine search starts from there,
    and only around the points that a motion is asked for. It is nearly as exact as a fine search everywhere.
    Certain is a point whose surroundings look the same before and after, but for their brightness: not one that is
    covered now, or moved too fast to be followed.
    max_side: longest side of the pictures in pixels; the time taken grows with its square.
    """

    max_side: int = 384

    def prepare(self, image: Image, planes: Planes | None = None) -> Picture:
        """The small grey picture of an image (H, W, 3) uint8 BGR."""
        return Picture.of(image, self.max_side, planes)

    def between(self, previous: Picture, current: Picture) -> Motion:
        """The motion from one picture to the next, or a cut. May run in several threads at once."""
        if is_cut(previous, current):
            return NoMotion(is_cut=True)
        coarse = compute_flow(previous.grey, current.grey, finest_scale=_COARSE)
        search = _FineSearch(previous.grey, current.grey, coarse)
        return PictureMotion(previous, search.follow, search.glance)


@dataclass(frozen=True)
class _FineSearch:
    """Two grey pictures (h, w), and the flow between them as far as it is known before anybody asks.

    coarse: (h, w, 2) picture pixels along x and y.
    """

    previous: Image
    current: Image
    coarse: FloatArray

    def follow(self, points: FloatArray) -> tuple[FloatArray, BoolArray]:
        """Distances (N, 2) and certainty (N,) of the points (N, 2)."""
        distances, certain = np.empty_like(points), np.empty(len(points), np.bool_)
        height, width = self.previous.shape
        for region, rows in regions_around(points, (width, height)):
            distances[rows], certain[rows] = self._follow_in(region, points[rows])
        return distances, certain

    def glance(self, points: FloatArray) -> FloatArray:
        """Distances (N, 2) of the points (N, 2) by the coarse flow."""
        return _sample(self.coarse, points)

    def _follow_in(self, region: Region, points: FloatArray) -> tuple[FloatArray, BoolArray]:
        """The same of the points of a region."""
        arrival, step = moved_region(region, median_step(_sample(self.coarse, points)), self.previous.shape)
        previous, current = self.previous[region].copy(), self.current[arrival].copy()
        # NumPy takes ten times as long on arrays whose last axis has two elements.
        start = np.asarray(cv2.subtract(self.coarse[region], np.array([*step, 0.0, 0.0])), np.float32)
        field = compute_flow(previous, current, refinements=2, start=start)
        correlation, _ = compare_windows(previous, current, field)
        rows, columns = region
        places = points - np.array([columns.start, rows.start], np.float32)
        return _sample(field, places) + step, _sample(correlation, places)[:, 0] >= _FOUND


def _sample(values: FloatArray, points: FloatArray) -> FloatArray:
    """Values (N, C) of a map (h, w, C) or (h, w) at points (N, 2) inside it, bilinear."""
    # OpenCV limits the sides of what it samples: the points are laid out as rows of bounded length.
    rows = -(-len(points) // _ROW)
    places = np.zeros((rows * _ROW, 2), np.float32)
    places[: len(points)] = points
    x, y = places.reshape(rows, _ROW, 2).transpose(2, 0, 1).copy()
    sampled = cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.reshape(sampled, (len(places), -1))[: len(points)].astype(np.float32, copy=False)
