"""Images fitted into a detector's input: scaled into the top-left corner or the middle, the rest grey."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tracker.types import FloatArray, Image

# The grey of RTMDet, YOLOX, YOLO and our own detector.
PADDING = 114


def letterbox(image: Image, size_wh: tuple[int, int], *, is_centred: bool = False) -> tuple[Image, FloatArray]:
    """The image scaled to fit, in the top-left corner or the middle of a grey picture of that size.

    Returns the picture (H, W, 3) uint8 and its scale in x and y (2,): a point of the image times the scale, of a
    centred one plus its `margins`, is the point of the picture. The two differ a little, because the scaled image has
    whole pixels.
    """
    image_wh = np.array([image.shape[1], image.shape[0]], np.float32)
    scale = float((size_wh / image_wh).min())
    width, height = np.maximum(np.rint(image_wh * scale), 1).astype(int).tolist()
    picture = np.full((size_wh[1], size_wh[0], 3), PADDING, np.uint8)
    scale_wh = np.array([width, height], np.float32) / image_wh
    left, top = margins((image.shape[1], image.shape[0]), scale_wh, size_wh).astype(int) if is_centred else (0, 0)
    inner = picture[top : top + height, left : left + width]
    cv2.resize(image, (width, height), dst=inner, interpolation=cv2.INTER_LINEAR)
    return picture, scale_wh


def margins(image_wh: tuple[int, int], scale_wh: FloatArray, size_wh: tuple[int, int]) -> FloatArray:
    """Grey pixels (2,) left of and above a scaled image in the middle of its letterbox; an odd one is on the far side.

    >>> margins((1279, 719), np.float32([640 / 1279, 360 / 719]), (640, 640)).tolist()
    [0.0, 140.0]
    """
    return ((np.array(size_wh) - np.rint(image_wh * scale_wh)) // 2).astype(np.float32)


def normalized_planes(picture: npt.NDArray[Any], mean: Sequence[float], std: Sequence[float]) -> FloatArray:
    """(value − mean) / std of a picture (H, W, 3), for each of its three channels, as planes (3, H, W)."""
    planes = np.empty((3, *picture.shape[:2]), np.float32)
    np.subtract(picture.transpose(2, 0, 1), np.array(mean, np.float32)[:, None, None], out=planes)
    planes /= np.array(std, np.float32)[:, None, None]
    return planes
