"""Folders of images as videos."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from tracker.errors import InputError
from tracker.types import Image

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


class FolderReader:
    """The images of a folder in natural order (2 before 10), one per 1/fps seconds."""

    is_live = False
    warning: str | None = None

    def __init__(self, path: Path, fps: Fraction) -> None:
        """InputError if the folder holds no image or cannot be listed."""
        self.name = path.resolve().name
        self.fps: Fraction | None = fps
        self._paths = _list_images(path)
        self.num_frames: int | None = len(self._paths)
        self._rate = fps

    def read(self, start_s: float) -> Iterator[tuple[float, Image]]:
        """Time and picture of each image from `start_s` on; InputError names an image that is broken."""
        first = math.ceil(Fraction(start_s).limit_denominator(1_000_000) * self._rate)
        for position, path in enumerate(self._paths[first:], first):
            yield float(position / self._rate), read_image(path)

    def close(self) -> None:
        """Nothing is held open."""


def read_image(path: Path) -> Image:
    """Picture (H, W, 3) uint8 BGR, upright by its EXIF tag; InputError if it cannot be read."""
    try:
        data = np.fromfile(path, np.uint8)  # cv2.imread knows no paths outside the code page of Windows
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its permissions") from error
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise InputError(f"{path} is no image or is damaged; remove it or copy it again")
    return image  # type: ignore[return-value]


def _list_images(folder: Path) -> list[Path]:
    try:
        entries = [p for p in folder.iterdir() if _is_image(p)]
    except OSError as error:
        raise InputError(f"{folder} cannot be listed ({error.strerror}); check its permissions") from error
    if not entries:
        raise InputError(f"{folder} holds no images ({' '.join(sorted(_SUFFIXES))}); name a video or an image folder")
    return sorted(entries, key=lambda p: _natural_key(p.name))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES and not path.name.startswith(".") and path.is_file()


def _natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key in which runs of digits compare as numbers.

    >>> sorted(["f10.png", "f2.png"], key=_natural_key)
    ['f2.png', 'f10.png']
    """
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(0, int(part), part) if part[0] in "0123456789" else (1, 0, part.lower()) for part in parts]
