"""Cameras: a thread keeps only the newest picture, so that the delay never grows."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Protocol

import cv2

from tracker.errors import InputError
from tracker.types import Image

# A driver that hangs must not keep the program from ending.
_DRIVER_TIMEOUT_S = 5.0

# Versions of OpenCV differ in where setLogLevel is.
_LOGGING: Any = getattr(cv2.utils, "logging", cv2)
_SILENT = 0


class Capture(Protocol):
    """What is used of `cv2.VideoCapture`."""

    def read(self) -> tuple[bool, Image]:
        """Whether a picture came, and the picture."""

    def release(self) -> None:
        """Give the camera back."""


class CameraReader:
    """The newest picture of a camera each time one is asked for; times count from the first picture."""

    is_live = True
    fps: Fraction | None = None
    num_frames: int | None = None

    def __init__(self, index: int, capture: Capture | None = None) -> None:
        """capture: an open camera; None opens the one of that index, or raises InputError."""
        self.name = f"camera {index}"
        self.warning: str | None = None
        self._capture = capture or _open_camera(index)
        self._newest: tuple[float, Image] | None = None
        self._ended = False
        self._error: Exception | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._grab, name=self.name, daemon=True)
        self._thread.start()

    def read(self, start_s: float) -> Iterator[tuple[float, Image]]:
        """Time and picture of frames from `start_s` on, until the camera ends or is closed."""
        origin_s: float | None = None
        while (newest := self._take()) is not None:
            taken_s, image = newest
            origin_s = taken_s if origin_s is None else origin_s
            if taken_s - origin_s >= start_s:
                yield taken_s - origin_s, image
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Stop the thread and give the camera back."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join(_DRIVER_TIMEOUT_S)

    def _take(self) -> tuple[float, Image] | None:
        """The newest picture nobody has taken yet, waiting for it; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._ended)
            newest, self._newest = self._newest, None
            return newest

    def _grab(self) -> None:
        try:
            while not self._ended:
                arrived, image = self._capture.read()
                if not arrived:
                    self.warning = f"{self.name} stopped giving pictures; check its cable and other programs"
                    return
                with self._changed:
                    self._newest = time.monotonic(), image
                    self._changed.notify_all()
        except Exception as error:  # noqa: BLE001  carried to the thread that reads
            self._error = error
        finally:
            self._capture.release()
            with self._changed:
                self._ended = True
                self._changed.notify_all()


def _open_camera(index: int) -> Capture:
    # OpenCV tells every backend's failure on stderr; one line of ours says it all.
    level = _LOGGING.setLogLevel(_SILENT)
    try:
        capture = cv2.VideoCapture(index)
    finally:
        _LOGGING.setLogLevel(level)
    if not capture.isOpened():
        raise InputError(f"there is no camera {index}, or another program uses it; try another number")
    return capture  # type: ignore[return-value]
