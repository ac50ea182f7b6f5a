"""Top-down networks that give a heatmap per keypoint, as of Simple Baselines, and those trained with UDP or DARK."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from tracker.pose.family import Outputs, Shapes, TopDownFamily
from tracker.pose.heatmaps import average_flipped, decode_dark, decode_heatmaps
from tracker.types import FloatArray, IntArray


def _pick(shapes: Shapes, num_keypoints: int | None) -> Sequence[str]:
    maps = [name for name, shape in shapes.items() if len(shape) == 4]
    if num_keypoints is None:
        return maps
    named = [name for name in maps if shapes[name][1] == num_keypoints]
    return named if len(named) == 1 else []


def _average(outputs: Outputs, mirrored: Outputs, flip_order: IntArray, *, shift: bool) -> Outputs:
    return {name: average_flipped(maps, mirrored[name], flip_order, shift=shift) for name, maps in outputs.items()}


def _decode(outputs: Outputs, *, dark_kernel: int | None) -> tuple[FloatArray, FloatArray, tuple[int, int]]:
    heatmaps = _draw(outputs)
    found = decode_dark(heatmaps, dark_kernel) if dark_kernel else decode_heatmaps(heatmaps)
    return *found, (heatmaps.shape[3], heatmaps.shape[2])


def _draw(outputs: Outputs) -> FloatArray:
    (heatmaps,) = outputs.values()
    return heatmaps


def heatmap_family(*, udp: bool = False, dark_kernel: int | None = None) -> TopDownFamily:
    """Networks of heatmaps; udp: with its crops and cells. dark_kernel: as of `decode_dark`; None: a quarter offset."""
    return TopDownFamily(
        signature="heatmaps [b, K, h, w]",
        pick=_pick,
        # UDP's first and last columns mirror each other.
        average=partial(_average, shift=not udp),
        decode=partial(_decode, dark_kernel=dark_kernel),
        draw=_draw,
        udp=udp,
    )


HEATMAPS = heatmap_family()
