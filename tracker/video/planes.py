"""The planes of decoded frames: luma, blue and red as they stand in memory."""

from __future__ import annotations

from functools import partial
from threading import Lock
from typing import Any

import numpy as np
from av.video.reformatter import VideoReformatter

from tracker.types import Image, Planes

# FFmpeg's AVColorSpace numbers, and those that swscale converts: RGB, BT.709, FCC, BT.601 twice, SMPTE 240M, BT.2020.
BT709, BT601 = 1, 5
_CONVERTIBLE = frozenset({0, BT709, 4, BT601, 6, 7, 9})
_OF_PLANES = frozenset({BT709, BT601, 6})

LIMITED_RANGE, FULL_RANGE = 1, 2


class PlaneReader:
    """Gives the planes of the frames of one stream."""

    def __init__(self) -> None:
        self._reformatter, self._turn = VideoReformatter(), Lock()

    def read(self, frame: Any) -> Planes | None:
        """Those of a decoded frame, without a copy; None where it is of another form than `Planes` are."""
        matrix = matrix_of(frame)
        if frame.format.name != "yuv420p" or frame.color_range == FULL_RANGE or matrix not in _OF_PLANES:
            return None
        if any(plane.line_size < plane.width for plane in frame.planes):  # rows from the lowest to the highest
            return None
        luma, blue, red = views_of(frame)
        for view in (luma, blue, red):
            view.flags.writeable = False  # what follows is decoded by means of them
        grey = partial(self._shrink, frame, matrix)
        return Planes(luma, blue, red, matrix, frame.color_primaries, frame.color_trc, grey)

    def _shrink(self, frame: Any, matrix: int, size_wh: tuple[int, int]) -> Image:
        # Of one matrix at both ends, luma alone is read: swscale takes a third of OpenCV's time.
        spaces = {"src_colorspace": matrix, "dst_colorspace": matrix}
        ranges = {"src_color_range": LIMITED_RANGE, "dst_color_range": FULL_RANGE}
        size = {"width": size_wh[0], "height": size_wh[1], "format": "gray8", "interpolation": "AREA", "threads": 1}
        with self._turn:
            small: Any = self._reformatter.reformat(frame, **size, **spaces, **ranges)  # type: ignore[arg-type]
        return np.ascontiguousarray(small.to_ndarray())  # narrow rows have padding, which OpenCV's flow does not take


def matrix_of(frame: Any) -> int:
    """The number of the matrix that a frame's colours are read by."""
    matrix: int = frame.colorspace
    if matrix in _CONVERTIBLE:
        return matrix
    # Players' convention for untagged files: high definition is BT.709.
    return BT709 if frame.width >= 1280 or frame.height > 576 else BT601


def views_of(frame: Any) -> list[Image]:
    """The planes of a frame of 8 bits, which they keep in memory, as arrays (H, W)."""
    return [
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
        for plane in frame.planes
    ]
