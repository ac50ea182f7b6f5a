"""Dense inverse search (Kroeger et al., ECCV 2016) as OpenCV has it, and a measure of how well it matched."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

from tracker.types import FloatArray, Image

# Side of the patches that are searched for, in pixels. With the presets' 8 and fewer steps those are lost who move by
# half their width.
_PATCH = 6
# Side of the squares that are compared, in pixels.
_WINDOW = 9
# Variance, in squared grey levels, that sensor noise and compression alone can give a window.
_NOISE = 16.0


def compute_flow(
    previous: Image,
    current: Image,
    preset: int = cv2.DISOPTICAL_FLOW_PRESET_FAST,
    *,
    finest_scale: int = 1,
    refinements: int = 5,
    start: FloatArray | None = None,
) -> FloatArray:
    """Flow field (h, w, 2): where each pixel of the previous picture went, in pixels along x and y.

    previous, current: (h, w) uint8 grey, no side under 12. preset: one of OpenCV's, but for what is set here.
    finest_scale: how often the resolution is halved where the search ends, if it begins there or above. refinements:
    rounds of variational smoothing at each scale. start: (h, w, 2), a field that is tried, too, which is written over.
    """
    # One object per call: it keeps buffers, so threads cannot share it, and making it takes 10 µs.
    search: Any = cv2.DISOpticalFlow.create(preset)
    # The fast presets stop at a quarter of the resolution, where limbs melt into the background.
    search.setFinestScale(min(finest_scale, _coarsest_scale(previous)))
    search.setVariationalRefinementIterations(refinements)
    search.setPatchSize(_PATCH)
    search.setGradientDescentIterations(25)
    return np.asarray(search.calc(previous, current, start), np.float32)


def _coarsest_scale(picture: Image) -> int:
    """How often OpenCV halves a picture (h, w) at most; where its search is to end above that, it reads outside."""
    short, long = sorted(picture.shape)
    return int(min(math.log2(long / (4 * _PATCH)) + 0.5, math.log2(short / _PATCH)))


def compare_windows(previous: Image, current: Image, field: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Correlation (h, w) in −1–1 around each pixel and around the place the flow took it to, and contrast.

    previous, current: (h, w) uint8 grey. field: (h, w, 2) pixels.
    The correlation is blind to local brightness and contrast; 1 where both windows are flat.
    The contrast (h, w) is the larger variance of the two windows, in squared grey levels.
    """
    before = previous.astype(np.float32)
    after = _warp(current, field).astype(np.float32)
    size = (_WINDOW, _WINDOW)
    mean_before, mean_after = cv2.blur(before, size), cv2.blur(after, size)
    # Rounding can leave a flat window a variance just below 0.
    var_before = np.maximum(cv2.blur(before * before, size) - mean_before * mean_before, 0)
    var_after = np.maximum(cv2.blur(after * after, size) - mean_after * mean_after, 0)
    covariance = cv2.blur(before * after, size) - mean_before * mean_after
    spread = np.sqrt((var_before + _NOISE) * (var_after + _NOISE))
    return np.divide(covariance + _NOISE, spread, dtype=np.float32), np.maximum(var_before, var_after)


def _warp(picture: Image, field: FloatArray) -> Image:
    """The picture (h, w) pulled back along the flow, its border repeated outside."""
    how = cv2.INTER_LINEAR | cv2.WARP_RELATIVE_MAP
    warped = cv2.remap(picture, field, None, how, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return np.asarray(warped, np.uint8)
