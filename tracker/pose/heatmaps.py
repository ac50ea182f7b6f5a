"""Keypoints as heatmaps: Gaussian targets, where tags are read, peaks between cells, and the flip test."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from tracker.types import BoolArray, DoubleArray, FloatArray, IntArray

# Values of blurred heatmaps are brought into this range before the logarithm is taken.
_DARK_RANGE = 1e-3, 50.0
# Row and column of the cells around a peak whose differences are its derivatives, as in UDP's code.
_STENCIL = ((0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 1), (2, 2))


def encode_heatmaps(
    keypoints: npt.NDArray[Any],
    weights: npt.NDArray[Any],
    heatmap_wh: tuple[int, int],
    *,
    sigma: float = 2.0,
    stride: float = 4.0,
    whole_cells: bool = True,
) -> tuple[FloatArray, FloatArray]:
    """Gaussian targets (N, K, h, w) in 0–1 and their weights (N, K).

    keypoints: (N, K, 2) pixels of the network input; NaN is a missing keypoint. weights: (N, K), visibility.
    sigma: cells. stride: input pixels per cell. The Gaussian stands on a whole cell and ends at 3 sigma; a
    keypoint whose Gaussian misses the map gets weight 0, one of weight 0.5 or less an empty map.
    whole_cells: False puts the Gaussian where the keypoint really is, between cells.
    Source: `generate_target` of the official code; between cells, Zhang et al. (CVPR 2020), section 3.2.
    """
    present = ~np.isnan(keypoints).any(axis=2)
    cells = np.where(present[..., None], keypoints, 0) / stride
    if whole_cells:
        cells = np.trunc(cells + 0.5)
    reach = 3 * sigma
    # At −reach − 1 the window is empty yet counts as on the map, as published: an empty map of full weight.
    on_map = ((cells - reach < heatmap_wh) & (cells + reach + 1 >= 0)).all(axis=2)
    weights = np.where(present & on_map, weights, 0).astype(np.float32)
    columns, rows = (_bells(cells[..., axis], heatmap_wh[axis], sigma) for axis in (0, 1))
    targets = rows[..., :, None] * columns[..., None, :]
    targets[weights <= 0.5] = 0
    return targets, weights


def encode_people(
    keypoints: npt.NDArray[Any],
    heatmap_wh: tuple[int, int],
    sigma: float | npt.NDArray[Any] = 2.0,
    *,
    whole_cells: bool = True,
) -> FloatArray:
    """Heatmaps (K, h, w) in 0–1 of everybody in a picture: in each cell the highest of the people's Gaussians.

    keypoints: (N, K, 2) in cells of the map; NaN is a missing keypoint, and one outside the map gives nothing. sigma:
    cells, one number or (N, K). The Gaussian stands on a whole cell, the coordinates cut towards 0, and ends a cell
    beyond 3 sigma; where sigma is no whole number, it is off the cell by less than one, as published. whole_cells:
    False puts the Gaussian where the keypoint really is, and it ends at 3 sigma; cell 0 reaches from 0 to 1.
    Source: `HeatmapGenerator` and `ScaleAwareHeatmapGenerator` of the official LitePose code.
    """
    cells, is_inside = _whole_cells(keypoints, heatmap_wh)
    sigmas = np.broadcast_to(sigma, is_inside.shape)
    if whole_cells:
        columns, rows = (_pasted_bells(cells[..., axis], heatmap_wh[axis], 3 * sigmas + 1) for axis in (0, 1))
    else:
        centres = np.where(is_inside[..., None], keypoints, 0) - 0.5
        columns, rows = (_bells(centres[..., axis], heatmap_wh[axis], sigmas[..., None]) for axis in (0, 1))
    rows[~is_inside] = 0
    heatmaps = np.zeros((keypoints.shape[1], heatmap_wh[1], heatmap_wh[0]), np.float32)
    for person_rows, person_columns in zip(rows, columns, strict=True):
        np.maximum(heatmaps, person_rows[:, :, None] * person_columns[:, None, :], out=heatmaps)
    return heatmaps


def tag_positions(
    keypoints: npt.NDArray[Any], heatmap_wh: tuple[int, int], max_people: int = 30
) -> npt.NDArray[np.int32]:
    """Where the tags of people's keypoints are read: (max_people, K, 2), an index into the flattened tags and 1.

    keypoints: (N, K, 2) in cells; missing ones and those outside the map are left out. A person's keypoints come
    first in their row, without gaps; what is left of the table is 0, 0. People beyond `max_people` have no row.
    Source: `JointsGenerator` of the official LitePose code.
    """
    cells, is_inside = _whole_cells(keypoints, heatmap_wh)
    places = (np.arange(keypoints.shape[1]) * heatmap_wh[1] + cells[..., 1]) * heatmap_wh[0] + cells[..., 0]
    entries = np.stack([places * is_inside, is_inside], axis=2)
    order = np.argsort(~is_inside, axis=1, kind="stable")
    table = np.zeros((max_people, keypoints.shape[1], 2), np.int32)
    table[: len(keypoints)] = np.take_along_axis(entries, order[..., None], axis=1)[:max_people]
    return table


def find_peaks(heatmaps: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Cell (N, K, 2) as x, y, and value (N, K), of the highest point of heatmaps (N, K, h, w).

    Of equal values the first in raster order wins; where none is above 0 the cell is (0, 0).
    Source: `get_max_preds` of the official code.
    """
    n, num_keypoints, height, width = heatmaps.shape
    flat = heatmaps.reshape(n, num_keypoints, height * width)
    best = flat.argmax(axis=2)
    values = np.take_along_axis(flat, best[..., None], axis=2)[..., 0]
    best = np.where(values > 0, best, 0)
    return np.stack([best % width, best // width], axis=2).astype(np.float32), values


def decode_heatmaps(heatmaps: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Peaks as of `find_peaks`, each moved a quarter cell towards the higher neighbour on both axes.

    heatmaps: (N, K, h, w). Returns positions (N, K, 2) in cells and values (N, K). Peaks on the two first or
    the last columns or rows stay.
    Source: Xiao et al. 2018, section 2; `get_final_preds` of the official code.
    """
    positions, values = find_peaks(heatmaps)
    height, width = heatmaps.shape[2:]
    x, y = positions.astype(np.int64).transpose(2, 0, 1)
    n, k = np.nonzero((x > 1) & (x < width - 1) & (y > 1) & (y < height - 1))
    x, y = x[n, k], y[n, k]
    slope_x = heatmaps[n, k, y, x + 1] - heatmaps[n, k, y, x - 1]
    slope_y = heatmaps[n, k, y + 1, x] - heatmaps[n, k, y - 1, x]
    positions[n, k] += 0.25 * np.sign(np.stack([slope_x, slope_y], axis=1))
    return positions, values


def decode_dark(heatmaps: FloatArray, kernel: int) -> tuple[FloatArray, FloatArray]:
    """Peaks as of `find_peaks`, each moved to the top of the parabola through the logarithm of the blurred heatmap.

    heatmaps: (N, K, h, w). kernel: odd width in cells of the Gaussian that blurs them, 11 for targets of sigma 2 and 17
    for 3. Returns positions (N, K, 2) in cells and values (N, K). Where the parabola has no top the cell stays, and no
    peak moves by more than a cell on an axis.
    Source: Zhang et al. (CVPR 2020), section 3.1, with the differences and the range of UDP's code.
    """
    positions, values = find_peaks(heatmaps)
    x, y = positions.astype(np.int64).transpose(2, 0, 1)
    rows, columns = (_blur(cells, size, kernel) for cells, size in ((y, heatmaps.shape[2]), (x, heatmaps.shape[3])))
    log = np.log(np.clip(rows @ heatmaps @ columns.swapaxes(2, 3), *_DARK_RANGE))
    left_up, up, left, peak, right, down, right_down = (log[..., y, x] for y, x in _STENCIL)
    slope_x, slope_y = (right - left) / 2, (down - up) / 2
    bend_x, bend_y = right - 2 * peak + left, down - 2 * peak + up
    twist = (right_down - right - down + 2 * peak - left - up + left_up) / 2
    volume = bend_x * bend_y - twist**2
    has_top = (volume > 1e-9) & (bend_x < 0)
    steps = np.stack([twist * slope_y - bend_y * slope_x, twist * slope_x - bend_x * slope_y], axis=2)
    steps /= np.where(has_top, volume, np.inf)[..., None]
    return positions + np.clip(steps, -1, 1).astype(np.float32), values


def _blur(cells: IntArray, size: int, kernel: int) -> DoubleArray:
    """(N, K, 3, size): weights of the cells along an axis in the blurred ones before, at and after cells (N, K)."""
    around = np.clip(cells[..., None] + np.arange(-1, 2), 0, size - 1)
    return _blur_matrix(size, kernel)[around]


@lru_cache
def _blur_matrix(size: int, kernel: int) -> DoubleArray:
    """(size, size), from cells along an axis to blurred ones; the map is reflected at its outermost cells."""
    sigma = 0.15 * kernel + 0.35  # what OpenCV takes for a kernel
    weights = np.exp(-((np.arange(kernel) - kernel // 2) ** 2) / (2 * sigma**2))
    reflected = np.pad(np.eye(size), ((kernel // 2, kernel // 2), (0, 0)), mode="reflect")
    blurred: DoubleArray = sum(w * reflected[start : start + size] for start, w in enumerate(weights / weights.sum()))
    return blurred


def flip_back(heatmaps: FloatArray, flip_order: IntArray) -> FloatArray:
    """Heatmaps (N, K, h, w) of a mirrored image as those of the image.

    flip_order: (K,), the keypoint in each one's place in the mirrored image (`Skeleton.flip_order`).
    """
    return heatmaps[:, flip_order, :, ::-1]


def average_flipped(
    heatmaps: FloatArray, mirrored: FloatArray, flip_order: IntArray, *, shift: bool = True
) -> FloatArray:
    """Mean of the heatmaps (N, K, h, w) of an image and of its mirror image.

    shift: move the mirrored ones one column to the right first. With stride 4, their column j stands for
    pixel 4j + 3, moved for 4j − 1, which is nearer to the 4j that it is averaged with.
    Source: `validate` of the official code (TEST.FLIP_TEST, TEST.SHIFT_HEATMAP).
    """
    back = flip_back(mirrored, flip_order)
    if shift:
        back = np.concatenate([back[..., :1], back[..., :-1]], axis=3)
    return (heatmaps + back) * np.float32(0.5)


def _bells(centres: npt.NDArray[Any], size: int, sigma: float | npt.NDArray[Any]) -> FloatArray:
    """Gaussians (N, K, size) along one axis, 0 farther than 3 sigma from their centres (N, K).

    sigma: one number or (N, K, 1).
    """
    distances = np.arange(size) - centres[..., None]
    bells = np.exp(-(distances**2) / (2 * sigma**2))
    return np.where(np.abs(distances) <= 3 * sigma, bells, 0).astype(np.float32)


def _whole_cells(keypoints: npt.NDArray[Any], heatmap_wh: tuple[int, int]) -> tuple[IntArray, BoolArray]:
    """Cells (N, K, 2) of keypoints, and whether each (N, K) is labelled and on the map."""
    is_present = ~np.isnan(keypoints).any(axis=2)
    cells = np.where(is_present[..., None], keypoints, -1).astype(np.int64)
    return cells, is_present & ((cells >= 0) & (cells < heatmap_wh)).all(axis=2)


def _pasted_bells(cells: IntArray, size: int, reach: npt.NDArray[Any]) -> FloatArray:
    """Gaussians (N, K, size) along one axis, which are drawn about `reach` (N, K) and pasted around whole cells."""
    first, end = np.rint(cells - reach)[..., None], np.rint(cells + reach + 1)[..., None]
    places = np.arange(size)
    sigmas = (reach[..., None] - 1) / 3
    bells = np.exp(-((places - first - reach[..., None]) ** 2) / (2 * sigmas**2))
    return np.where((places >= first) & (places < end), bells, 0).astype(np.float32)
