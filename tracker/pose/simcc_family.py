"""Top-down networks that give two curves per keypoint, along x and along y (SimCC): RTMPose, DWPose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracker.nets import IMAGENET_MEAN, IMAGENET_STD
from tracker.pose.family import Outputs, Shapes, TopDownFamily
from tracker.types import FloatArray, IntArray

# Curves are longer than inputs, which are at least so large; other networks' outputs of boxes are short.
_LEAST_LENGTH = 32
# Bins of a curve for each cell of the heatmaps that are drawn: as large as those of other networks.
_BINS = 8


def _pick(shapes: Shapes, num_keypoints: int | None) -> Sequence[str]:
    """The curve along x, then that along y: so they are named or, of other names, in this order."""
    if [len(shape) for shape in shapes.values()] != [3, 3]:
        return []
    counts = {num_keypoints, *(shape[1] for shape in shapes.values())} - {None}
    if len(counts) > 1 or any(shape[2] is not None and shape[2] < _LEAST_LENGTH for shape in shapes.values()):
        return []
    return sorted(shapes, key=lambda name: name[-1]) if {name[-1] for name in shapes} == {"x", "y"} else list(shapes)


def _average(outputs: Outputs, mirrored: Outputs, flip_order: IntArray) -> Outputs:
    """Without a shift, as published: the mirrored curve along x lies a bin, half a pixel, to the right."""
    back = [curves[:, flip_order] for curves in mirrored.values()]
    back[0] = back[0][..., ::-1]
    return {name: (own + other) * np.float32(0.5) for (name, own), other in zip(outputs.items(), back, strict=True)}


def _decode(outputs: Outputs) -> tuple[FloatArray, FloatArray, tuple[int, int]]:
    """The highest bins; the score is the smaller of the two maxima, which may exceed 1.

    Source: Li et al. (ECCV 2022); `get_simcc_maximum` of MMPose.
    """
    x, y = outputs.values()
    positions = np.stack([x.argmax(axis=2), y.argmax(axis=2)], axis=2).astype(np.float32)
    return positions, np.minimum(x.max(axis=2), y.max(axis=2)), (x.shape[2], y.shape[2])


def _draw(outputs: Outputs) -> FloatArray:
    """The smaller of the two curves at each place, of which cells have the highest bin around them."""
    x, y = (_coarse(curve) for curve in outputs.values())
    return np.minimum(x[:, :, None], y[..., None])


def _coarse(curves: FloatArray) -> FloatArray:
    """(N, K, n / 8) highest values within four bins of every eighth of curves (N, K, n)."""
    centres = np.arange(0, curves.shape[2], _BINS)
    highest: FloatArray = np.maximum.reduceat(curves, np.maximum(centres - _BINS // 2, 0), axis=2)
    return highest


SIMCC = TopDownFamily(
    signature="curves [b, K, w] along x and [b, K, h] along y",
    pick=_pick,
    average=_average,
    decode=_decode,
    draw=_draw,
    usual={"color": "rgb", "mean": IMAGENET_MEAN, "std": IMAGENET_STD},
)
