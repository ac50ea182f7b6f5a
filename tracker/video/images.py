"""Images as videos: a picture, a folder of them, or those that a pattern matches."""

from __future__ import annotations

import math
import os
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from tracker.errors import InputError
from tracker.outputs import listed
from tracker.types import Image
from tracker.video.opencv_log import opencv_silenced

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".jp2"})
# Of pictures that are not read here, which somebody may miss.
_UNREAD = frozenset({".gif", ".heic", ".heif", ".avif", ".jxl"})


class ImagesReader:
    """Images, one per 1/fps seconds, each in its own size.

    One that cannot be read leaves a gap in the times, or is an InputError where `all_needed`.
    """

    is_live = False
    pictures = None

    def __init__(
        self, name: str, paths: Sequence[Path], fps: Fraction, *, all_needed: bool = False, ignored: Sequence[Path] = ()
    ) -> None:
        """ignored: files that somebody may take for images of these; they are named."""
        self.name = name
        self.fps: Fraction | None = fps
        self.num_frames: int | None = len(paths)
        self.warning = f"not read: {listed([path.name for path in ignored])}" if ignored else None
        self.place: int | None = None
        self.file: str | None = None
        self._paths = paths
        self._folder = Path(os.path.commonpath([path.parent for path in paths]))
        self._rate = fps
        self._all_needed = all_needed or len(paths) == 1

    def read(self, start_s: float) -> Iterator[tuple[float, Image]]:
        """Time and picture of each image from `start_s` on; InputError if one that is needed is broken."""
        first = math.ceil(Fraction(start_s).limit_denominator(1_000_000) * self._rate)
        before, left_out = self.warning, list[Path]()
        for position, path in enumerate(self._paths[first:], first):
            try:
                image = read_image(path)
            except InputError as error:
                if self._all_needed:
                    raise
                left_out.append(path)
                named = listed([path.name for path in left_out])
                loss = f"{len(left_out)} of {self.num_frames} images left out ({named})"
                self.warning = "; ".join(filter(None, (before, f"{loss}; the last of them: {error}")))
            else:
                self.place, self.file = position, path.relative_to(self._folder).as_posix()
                yield float(position / self._rate), image

    def stop(self) -> None:
        """Nothing is waited for."""

    def close(self) -> None:
        """Nothing is held open."""


def open_folder(path: Path, fps: Fraction) -> ImagesReader:
    """The images of a folder in natural order (2 before 10); InputError if it has none or cannot be listed."""
    entries = list_folder(path)
    paths = [entry for entry in entries if is_image(entry)]
    if not paths:
        raise InputError(
            f"{path} holds no images ({' '.join(sorted(_SUFFIXES))}); name an image folder, a video, or videos by a "
            "pattern such as 'folder/*.mp4'"
        )
    alike = (entry for entry in entries if entry.suffix.lower() in _SUFFIXES | _UNREAD)
    ignored = [entry for entry in alike if not is_image(entry) and not entry.is_dir()]  # or links to nothing
    return ImagesReader(path.resolve().name, paths, fps, ignored=ignored)


def list_folder(path: Path) -> list[Path]:
    """What is in a folder in natural order, hidden files left out; InputError if it cannot be listed."""
    try:
        return sorted((entry for entry in path.iterdir() if not entry.name.startswith(".")), key=natural_key)
    except OSError as error:
        raise InputError(f"{path} cannot be listed ({error.strerror}); check its permissions") from error


def is_image(path: Path) -> bool:
    """Whether this is a file with the suffix of an image; an animated .gif counts as a video."""
    return path.suffix.lower() in _SUFFIXES and path.is_file()


def read_image(path: Path) -> Image:
    """Picture (H, W, 3) uint8 BGR, upright by its EXIF tag; InputError if it cannot be read.

    16 bits are scaled to 8, transparency is dropped, grey, palettes and CMYK are converted. Of an animation or
    several pages it is the first picture.
    """
    try:
        data = path.read_bytes()  # cv2.imread knows no paths outside the code page of Windows
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its name and permissions") from error
    image = _decode(data)
    if image is None:
        raise InputError(f"{path} is no image or is damaged; remove it or copy it again")
    return image


def _decode(data: bytes) -> Image | None:
    if not data or _is_broken_png(data):
        return None
    try:
        with opencv_silenced():
            return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)  # type: ignore[return-value]
    except cv2.error:  # a size beyond its limits
        return None


def _is_broken_png(data: bytes) -> bool:
    """Whether a PNG ends within a chunk, or one that the picture needs was altered.

    OpenCV 5 would first take as much memory as a chunk claims, up to 4 GB, and libpng prints lines of its own.
    """
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return False
    place = 8
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if kind == b"IEND":
            return False
        stop = place + 8 + length
        if stop + 4 > len(data):
            return True
        is_needed = kind[:1].isupper()
        if is_needed and zlib.crc32(memoryview(data)[place + 4 : stop]) != int.from_bytes(data[stop : stop + 4], "big"):
            return True
        place = stop + 4
    return False


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sort key of file names, endings apart, in which runs of digits compare as numbers.

    >>> [path.name for path in sorted([Path("f10.png"), Path("f2.png"), Path("f.png")], key=natural_key)]
    ['f.png', 'f2.png', 'f10.png']
    """
    parts = re.findall(r"[0-9]+|[^0-9]+", str(path.parent / path.stem))
    return [(0, int(part), part) if part[0] in "0123456789" else (1, 0, part.lower()) for part in parts]
