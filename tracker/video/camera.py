"""Cameras, through OpenCV."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import Any

import cv2

from tracker.errors import InputError
from tracker.types import Image
from tracker.video.live import LiveReader
from tracker.video.opencv_log import opencv_silenced


def open_camera(index: int, *, reconnect_s: float = math.inf) -> LiveReader:
    """The camera of that number; InputError if there is none. reconnect_s: as for `LiveReader`."""
    reopen = partial(_open, index)
    return LiveReader(f"camera {index}", reopen(), reopen=reopen, reconnect_s=reconnect_s)


def _open(index: int) -> CameraCapture:
    with opencv_silenced():
        capture = cv2.VideoCapture(index)
    if not capture.isOpened():
        raise InputError(f"there is no camera {index}, or another program uses it; try another number")
    return CameraCapture(capture)


class CameraCapture:
    """An open `cv2.VideoCapture`; its times are those at which pictures arrive."""

    is_cpp = True
    pictures = None

    def __init__(self, capture: Any) -> None:
        self._capture = capture

    def read(self) -> tuple[float, Image]:
        """The next picture and its time; EOFError once the camera gives none."""
        try:
            arrived, image = self._capture.read()
        except cv2.error:  # some drivers raise it when the camera is unplugged
            arrived = False
        if not arrived:
            raise EOFError("it gives no more pictures; check its cable, and whether another program uses it")
        return time.monotonic(), image

    def convert(self, picture: Image) -> Image:
        """It is one."""
        return picture

    def release(self) -> None:
        """Give the camera back."""
        self._capture.release()
