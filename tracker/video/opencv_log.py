"""OpenCV's own messages on stderr, where one line of ours says it all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2

# Versions of OpenCV differ in where setLogLevel is.
_LOGGING: Any = getattr(cv2.utils, "logging", cv2)
_SILENT = 0


@contextmanager
def opencv_silenced() -> Iterator[None]:
    """Nothing of OpenCV's log reaches stderr inside."""
    level = _LOGGING.setLogLevel(_SILENT)
    try:
        yield
    finally:
        _LOGGING.setLogLevel(level)
