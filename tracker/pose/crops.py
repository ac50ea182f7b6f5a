"""Everything that maps an image into a pose network and back.

The published convention: index coordinates without half-pixel shifts, the box centre at (W / 2, H / 2) of the
crop, and the same formula for the input (W, H) and the heatmap (w, h). UDP (Huang et al., CVPR 2020) counts from the
first pixel to the last instead: the region's edges come to 0 and W − 1, of heatmaps to 0 and w − 1. A region of the
image is a centre in pixels and a scale, its width and height in units of 200 pixels, as in the official code.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tracker.types import DoubleArray, FloatArray, Image

PIXELS_PER_SCALE = 200.0
_PADDING = np.float32(1.25)
# Bottom-up networks halve their input up to this often on the way to their coarsest map.
_SIZE_STEP = 64


def centres_and_scales(boxes_xywh: npt.NDArray[Any], size_wh: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Regions around boxes, with the shape of the network input `size_wh` and a quarter more.

    boxes_xywh: (N, 4) pixels. Returns centres (N, 2) in pixels and scales (N, 2) in units of 200 pixels. A
    box without width and height has scale 0.
    Source: `_box2cs` of the official code, with its rule that a centre at exactly x = −1 gets no padding.
    """
    aspect = size_wh[0] / size_wh[1]
    boxes = boxes_xywh.astype(np.float64, copy=False)
    centres = (boxes[:, :2] + boxes[:, 2:] * 0.5).astype(np.float32)
    width = np.maximum(boxes[:, 2], boxes[:, 3] * aspect)
    height = np.maximum(boxes[:, 3], boxes[:, 2] / aspect)
    scales = (np.stack([width, height], axis=1) / PIXELS_PER_SCALE).astype(np.float32)
    scales[centres[:, 0] != -1] *= _PADDING
    return centres, scales


def fit_whole_image(image_wh: tuple[int, int], input_size: int) -> tuple[tuple[int, int], DoubleArray, DoubleArray]:
    """Width and height of the input to a bottom-up network, and the region of the image that it shows.

    input_size: the short side in pixels. Both sides are rounded to multiples of 64, which stretches the region a
    little beyond the image. Returns centre (1, 2) and scale (1, 2) as of `centres_and_scales`; the centre is a whole
    pixel.
    Source: `get_multi_scale_size` of the official code of LitePose, at scale 1.
    """
    width, height = image_wh
    short, long = min(image_wh), max(image_wh)
    in_short = _round_size(input_size)
    in_long = _round_size(in_short / short * long)
    stretched = in_long / in_short * short
    portrait = width < height
    size_wh = (in_short, in_long) if portrait else (in_long, in_short)
    region_wh = (short, stretched) if portrait else (stretched, short)
    centre = np.floor([[width / 2 + 0.5, height / 2 + 0.5]])
    return size_wh, centre, np.array([region_wh]) / PIXELS_PER_SCALE


def fit_in_middle(image_wh: tuple[int, int], size_wh: tuple[int, int]) -> DoubleArray:
    """The map (1, 2, 3), as of `crop_matrices`, from an image to an input in whose middle it lies as large as it fits.

    Source: `BottomupResize` of MMPose; Ultralytics rounds the margins to whole pixels.
    """
    width, height = image_wh
    region_wh = max(width, height * size_wh[0] / size_wh[1]), max(height, width * size_wh[1] / size_wh[0])
    return crop_matrices(np.array([[width / 2, height / 2]]), np.array([region_wh]) / PIXELS_PER_SCALE, size_wh)


def _round_size(size: float) -> int:
    return int((size + _SIZE_STEP - 1) // _SIZE_STEP * _SIZE_STEP)


def crop_matrices(
    centres: npt.NDArray[Any],
    scales: npt.NDArray[Any],
    size_wh: tuple[int, int],
    rotations_deg: npt.NDArray[Any] | float = 0.0,
    *,
    udp: bool = False,
) -> DoubleArray:
    """Affine maps (N, 2, 3) from image pixels to the pixels of a crop, or heatmap, of `size_wh`.

    centres, scales: (N, 2); only the scale's width acts, the shape is that of `size_wh`; with `udp` both act.
    rotations_deg: (N,) or one for all; positive turns the crop's content anticlockwise as seen.
    Source: `get_affine_transform` of the official code, in closed form; UDP: Huang et al. 2020, section 3.
    """
    last_wh = np.array(size_wh) - udp
    zooms = last_wh / (PIXELS_PER_SCALE * scales.astype(np.float64))
    if not udp:
        zooms[:, 1] = zooms[:, 0]
    angles = np.broadcast_to(np.radians(rotations_deg), len(zooms))
    cosines, sines = np.cos(angles), np.sin(angles)
    linear = zooms[..., None] * np.stack([cosines, sines, -sines, cosines], axis=1).reshape(-1, 2, 2)
    shift = last_wh / 2 - (linear @ centres[..., None].astype(np.float64))[..., 0]
    return np.concatenate([linear, shift[..., None]], axis=2)


def invert_matrices(matrices: DoubleArray) -> DoubleArray:
    """Inverses (N, 2, 3) of affine maps (N, 2, 3)."""
    a, b, c, d = matrices[:, :, :2].reshape(-1, 4).T
    linear = (np.stack([d, -b, -c, a]) / (a * d - b * c)).T.reshape(-1, 2, 2)
    return np.concatenate([linear, -linear @ matrices[:, :, 2:]], axis=2)


def transform_points(matrices: DoubleArray, points: npt.NDArray[Any]) -> DoubleArray:
    """Points (N, K, 2) mapped by matrices (N, 2, 3); NaN stays NaN."""
    return points @ matrices[:, :, :2].transpose(0, 2, 1) + matrices[:, None, :, 2]


def heatmap_to_image(
    points: npt.NDArray[Any],
    centres: FloatArray,
    scales: FloatArray,
    heatmap_wh: tuple[int, int],
    *,
    udp: bool = False,
) -> FloatArray:
    """Image pixels (N, K, 2) of points (N, K, 2) on the heatmaps of the regions.

    Source: `get_final_preds` of the official code.
    """
    to_image = invert_matrices(crop_matrices(centres, scales, heatmap_wh, udp=udp))
    return transform_points(to_image, points).astype(np.float32)


def warp_crops(image: Image, matrices: DoubleArray, size_wh: tuple[int, int], *, outside: int = 0) -> Image:
    """Crops (N, h, w, 3) uint8 of an image (H, W, 3), bilinear.

    matrices: (N, 2, 3) from image to crop. outside: what the grey beside the image is, black by default.
    """
    width, height = size_wh
    crops = np.empty((len(matrices), height, width, 3), np.uint8)
    for crop, matrix in zip(crops, matrices, strict=True):
        cv2.warpAffine(image, matrix, size_wh, dst=crop, flags=cv2.INTER_LINEAR, borderValue=(outside,) * 3)
    return crops
