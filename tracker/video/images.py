"""Images as videos: a picture, a folder of them, or those that a pattern matches."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from tracker.errors import InputError
from tracker.types import Image
from tracker.video.opencv_log import opencv_silenced

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".jp2"})


class ImagesReader:
    """Images, one per 1/fps seconds, each in its own size; those that cannot be read leave a gap in the times."""

    is_live = False

    def __init__(self, name: str, paths: Sequence[Path], fps: Fraction) -> None:
        self.name = name
        self.fps: Fraction | None = fps
        self.num_frames: int | None = len(paths)
        self.warning: str | None = None
        self._paths = paths
        self._rate = fps

    def read(self, start_s: float) -> Iterator[tuple[float, Image]]:
        """Time and picture of each image from `start_s` on; InputError if the only image is broken."""
        first = math.ceil(Fraction(start_s).limit_denominator(1_000_000) * self._rate)
        left_out = 0
        for position, path in enumerate(self._paths[first:], first):
            try:
                image = read_image(path)
            except InputError as error:
                if self.num_frames == 1:
                    raise
                left_out += 1
                self.warning = f"{left_out} of {self.num_frames} images left out; the last of them: {error}"
            else:
                yield float(position / self._rate), image

    def close(self) -> None:
        """Nothing is held open."""


def open_folder(path: Path, fps: Fraction) -> ImagesReader:
    """The images of a folder in natural order (2 before 10); InputError if it has none or cannot be listed."""
    try:
        paths = [entry for entry in path.iterdir() if is_image(entry) and not entry.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{path} cannot be listed ({error.strerror}); check its permissions") from error
    if not paths:
        raise InputError(
            f"{path} holds no images ({' '.join(sorted(_SUFFIXES))}); name an image folder, a video, or videos by a "
            "pattern such as 'folder/*.mp4'"
        )
    return ImagesReader(path.resolve().name, sorted(paths, key=natural_key), fps)


def is_image(path: Path) -> bool:
    """Whether this is a file with the suffix of an image; an animated .gif counts as a video."""
    return path.suffix.lower() in _SUFFIXES and path.is_file()


def read_image(path: Path) -> Image:
    """Picture (H, W, 3) uint8 BGR, upright by its EXIF tag; InputError if it cannot be read.

    16 bits are scaled to 8, transparency is dropped, grey, palettes and CMYK are converted. Of an animation or
    several pages it is the first picture.
    """
    try:
        data = np.fromfile(path, np.uint8)  # cv2.imread knows no paths outside the code page of Windows
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its name and permissions") from error
    with opencv_silenced():
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise InputError(f"{path} is no image or is damaged; remove it or copy it again")
    return image  # type: ignore[return-value]


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sort key of file names, endings apart, in which runs of digits compare as numbers.

    >>> [path.name for path in sorted([Path("f10.png"), Path("f2.png"), Path("f.png")], key=natural_key)]
    ['f.png', 'f2.png', 'f10.png']
    """
    parts = re.findall(r"[0-9]+|[^0-9]+", str(path.parent / path.stem))
    return [(0, int(part), part) if part[0] in "0123456789" else (1, 0, part.lower()) for part in parts]
