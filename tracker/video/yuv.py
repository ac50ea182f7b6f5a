"""Frames for the encoder: of pictures in BGR, or of a decoder's planes where nothing was drawn on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import av
import cv2
import numpy as np

from tracker.types import DoubleArray, Frame, Image, Planes, Rect
from tracker.video.planes import BT709, views_of

# Rows and columns at which a picture is looked at, to see what its conversion lost.
_SAMPLES = 32


@dataclass(frozen=True)
class Ground:
    """What a picture is drawn on, known before: an encoder can take its planes for the rest of the picture.

    lost_luma: how much darker luma comes back from the image that was made of them.
    """

    planes: Planes
    lost_luma: float

    @classmethod
    def of(cls, frame: Frame) -> Ground | None:
        """That of a frame on which nothing was drawn yet; None without planes, and where a side is odd."""
        if frame.planes is None or any(side % 2 for side in frame.size_wh):
            return None
        return cls(frame.planes, _lost_luma(frame.planes, frame.image))

    def fits(self, colors: tuple[int, int, int], size_wh: tuple[int, int]) -> bool:
        """Whether it has those colours, as `Planes` have them, and that width and height."""
        return (self.planes.colors, self.planes.luma.shape[::-1]) == (colors, size_wh)


def converted(image: Image, matrix: int) -> Any:
    """The frame of a picture (H, W, 3) whose sides are even; OpenCV's matrix takes half the time of FFmpeg's."""
    frame = _new_frame(image)
    _convert(image, _bgr_to_yuv(matrix), views_of(frame))
    return frame


def redrawn(image: Image, ground: Ground, rects: Iterable[Rect]) -> Any:
    """The frame of a picture (H, W, 3) that was drawn on a ground: outside of the rectangles it is its planes."""
    frame, planes = _new_frame(image), ground.planes
    luma, blue, red = views_of(frame)
    luma[:], blue[:], red[:] = planes.luma, planes.blue, planes.red
    matrix = _bgr_to_yuv(planes.matrix).copy()
    matrix[0, 3] += ground.lost_luma
    for x1, y1, x2, y2 in _even(rects, image):
        part, halves = np.s_[y1:y2, x1:x2], np.s_[y1 // 2 : y2 // 2, x1 // 2 : x2 // 2]
        _convert(image[part], matrix, (luma[part], blue[halves], red[halves]))
    return frame


def _lost_luma(planes: Planes, image: Image) -> float:
    """How much darker luma comes back from the image that was made of planes: swscale rounds down.

    Without it rectangles would show, a level darker than what is around them.
    """
    every = np.s_[:: max(len(image) // _SAMPLES, 1), :: max(image.shape[1] // _SAMPLES, 1)]
    back = cv2.transform(np.ascontiguousarray(image[every]), _bgr_to_yuv(planes.matrix)[:1])
    lost = np.sort(planes.luma[every] - back.astype(np.float32), axis=None)
    # The median; NumPy's own loads `numpy.ma`, 10 ms of CPU.
    return float(lost[(lost.size - 1) // 2] + lost[lost.size // 2]) / 2


def _new_frame(image: Image) -> Any:
    return av.VideoFrame(image.shape[1], image.shape[0], "yuv420p")


def _convert(image: Image, matrix: DoubleArray, views: Sequence[Image]) -> None:
    """Bring a picture (h, w, 3) of even sides into planes."""
    yuv = cv2.transform(image, matrix)
    small = cv2.resize(yuv, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)
    for channel, (source, view) in enumerate(zip((yuv, small, small), views, strict=True)):
        cv2.extractChannel(source, channel, view)


@cache
def _bgr_to_yuv(matrix: int) -> DoubleArray:
    """(3, 4): takes blue, green and red, 0–255, to luma and the differences of blue and red, in limited range.

    matrix: as `Planes` have it.
    """
    red, blue = (0.2126, 0.0722) if matrix == BT709 else (0.299, 0.114)
    luma = np.array([blue, 1 - red - blue, red])
    of_blue, of_red = (np.array([1, 0, 0]) - luma) / (2 - 2 * blue), (np.array([0, 0, 1]) - luma) / (2 - 2 * red)
    return np.column_stack([np.stack([219 * luma, 224 * of_blue, 224 * of_red]) / 255, [16, 128, 128]])


def _even(rects: Iterable[Rect], image: Image) -> list[Rect]:
    """The parts of rectangles inside a picture, widened to even bounds; the whole picture where they are no less."""
    height, width = image.shape[:2]
    inside = [
        (max(x1, 0) // 2 * 2, max(y1, 0) // 2 * 2, min(x2 + x2 % 2, width), min(y2 + y2 % 2, height))
        for x1, y1, x2, y2 in rects
    ]
    found = [(x1, y1, x2, y2) for x1, y1, x2, y2 in inside if x1 < x2 and y1 < y2]
    size = sum((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in found)
    return found if size < width * height else [(0, 0, width, height)]
