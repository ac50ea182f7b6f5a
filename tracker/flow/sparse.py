"""Sparse optical flow: pyramidal Lucas-Kanade at the points themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np

from tracker.flow.cuts import is_cut
from tracker.flow.pictures import Picture, PictureMotion
from tracker.flow.still import NoMotion
from tracker.types import BoolArray, FloatArray, Image, Motion, Planes

# Five levels see motions of an eighth of the picture; larger windows lose limbs that move fast.
_WINDOW_WH = (15, 15)
_LAST_LEVEL = 4

# As exact on real clips as OpenCV's 30 steps of 0.01 pixels, in three quarters of the time.
_STEPS = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 10, 0.03)

# Distance, in picture pixels, by which a point may miss its start on the way there and back.
_MAX_MISS = 1.0

# Brightness and contrast that all pictures are brought to, in grey levels.
_MEAN, _DEVIATION = 128.0, 48.0
_MIN_DEVIATION = 5.0


@dataclass(frozen=True)
class SparseFlow:
    """Flow by pyramidal Lucas-Kanade on grey pictures of one brightness and contrast.

    Certain is a point that comes back to its start when it is followed backwards (Kalal et al., ICPR 2010). A point
    that is lost stays where it was.
    max_side: longest side of the pictures in pixels.
    """

    max_side: int = 480

    def prepare(self, image: Image, planes: Planes | None = None) -> Picture:
        """The small grey picture of an image (H, W, 3) uint8 BGR, at one brightness and contrast.

        Lucas-Kanade itself would take a change of exposure for motion. Its pyramid is built in `move`:
        OpenCV's Python binding takes none that is ready.
        """
        picture = Picture.of(image, self.max_side, planes)
        return replace(picture, grey=_normalise(picture.grey))

    def between(self, previous: Picture, current: Picture) -> Motion:
        """A motion that looks for points when it is asked to move them, or a cut."""
        if is_cut(previous, current):
            return NoMotion(is_cut=True)
        return PictureMotion(previous, partial(_follow, previous.grey, current.grey))


def _follow(previous: Image, current: Image, points: FloatArray) -> tuple[FloatArray, BoolArray]:
    there, found = _search(previous, current, points)
    back, found_back = _search(current, previous, there)
    certain = found & found_back & (np.linalg.norm(back - points, axis=1) <= _MAX_MISS)
    return np.where(certain[:, None], there - points, np.float32(0)), certain


def _search(previous: Image, current: Image, points: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Lucas-Kanade: points (N, 2) in the current picture, and which of them were found, (N,)."""
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        previous,
        current,
        points,
        np.empty_like(points),
        winSize=_WINDOW_WH,
        maxLevel=_LAST_LEVEL,
        criteria=_STEPS,
    )
    return np.asarray(there, np.float32), np.asarray(found)[:, 0] == 1


def _normalise(grey: Image) -> Image:
    gain = _DEVIATION / max(float(grey.std()), _MIN_DEVIATION)
    levels = (grey - grey.mean()) * gain + _MEAN
    return np.clip(levels, 0, 255).astype(np.uint8)
