"""Top-down networks that give a heatmap per keypoint, as of Simple Baselines."""

from __future__ import annotations

from collections.abc import Sequence

from tracker.pose.crops import heatmap_to_image
from tracker.pose.family import Outputs, Shapes, TopDownFamily
from tracker.pose.heatmaps import average_flipped, decode_heatmaps
from tracker.types import FloatArray, IntArray


def _pick(shapes: Shapes, num_keypoints: int | None) -> Sequence[str]:
    maps = [name for name, shape in shapes.items() if len(shape) == 4]
    if num_keypoints is None:
        return maps
    named = [name for name in maps if shapes[name][1] == num_keypoints]
    return named if len(named) == 1 else []


def _average(outputs: Outputs, mirrored: Outputs, flip_order: IntArray) -> Outputs:
    return {name: average_flipped(maps, mirrored[name], flip_order) for name, maps in outputs.items()}


def _decode(outputs: Outputs, centres: FloatArray, scales: FloatArray) -> tuple[FloatArray, FloatArray]:
    (heatmaps,) = outputs.values()
    positions, peaks = decode_heatmaps(heatmaps)
    size_wh = heatmaps.shape[3], heatmaps.shape[2]
    return heatmap_to_image(positions, centres, scales, size_wh), peaks


HEATMAPS = TopDownFamily(
    signature="heatmaps [b, K, h, w]",
    pick=_pick,
    average=_average,
    decode=_decode,
)
