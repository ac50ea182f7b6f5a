"""What a server takes on, and what it takes a file for."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import PurePosixPath
from typing import Literal, TypeAlias

from tracker.errors import InputError

Kind: TypeAlias = Literal["picture", "clip"]


@dataclass(frozen=True)
class Limits:
    """What protects a server; all of it holds for one request, but for the numbers that wait."""

    upload_mb: float = 64.0
    """Size of a file in megabytes."""
    upload_s: float = 60.0
    """Seconds in which a file must have come."""
    picture_mp: float = 40.0
    """Megapixels of a picture."""
    frame_mp: float = 9.0
    """Megapixels of the frames of a clip."""
    clip_s: float = 60.0
    """Length of a clip in seconds."""
    clip_frames: int = 3600
    """Frames of a clip."""
    picture_work_s: float = 30.0
    """Seconds that the work on a picture may take."""
    clip_work_s: float = 600.0
    """Seconds that the work on a clip may take."""
    waiting_pictures: int = 8
    """Pictures that wait or are on their way, beside the one in hand."""
    waiting_clips: int = 3
    """Clips that wait or are on their way, beside the one in hand."""
    kept_clips: int = 8
    """Clips of which results are kept."""
    kept_s: float = 900.0
    """Seconds for which results are kept."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (value > 0 or (value == 0 and field.name.startswith("waiting"))):  # NaN, too
                raise ValueError(f"{field.name} must be more than 0, not {value}")

    @property
    def upload_bytes(self) -> int:
        """Size of a file."""
        return round(self.upload_mb * 1e6)


# What begins a file: pattern of its first bytes, suffix, kind. FFmpeg would also follow playlists to other files.
_BEGINNINGS: tuple[tuple[bytes, str, Kind], ...] = (
    (rb"\xff\xd8\xff", ".jpg", "picture"),
    (rb"\x89PNG\r\n\x1a\n", ".png", "picture"),
    (rb"RIFF....WEBP", ".webp", "picture"),
    (rb"BM.{12}[\x0c\x28\x6c\x7c]\0\0\0", ".bmp", "picture"),
    (rb"....(?:ftyp(?!avi|hei|mif)|moov|mdat|wide)", ".mp4", "clip"),
    (rb"\x1a\x45\xdf\xa3", ".mkv", "clip"),
    (rb"RIFF....AVI ", ".avi", "clip"),
    (rb"GIF8[79]a", ".gif", "clip"),
    (rb"\x47.{187}\x47", ".ts", "clip"),
)
BEGINNING_BYTES = 512


def kind_of(beginning: bytes) -> tuple[str, Kind]:
    """Suffix and kind of a file by its first bytes; InputError for what is neither picture nor clip.

    >>> kind_of(b"GIF89a"), kind_of(bytes(4) + b"ftypisom")
    (('.gif', 'clip'), ('.mp4', 'clip'))
    """
    for pattern, suffix, kind in _BEGINNINGS:
        if re.match(pattern, beginning, re.DOTALL):
            return suffix, kind
    if re.match(rb"....ftyp(?:avi|hei|mif)", beginning, re.DOTALL):
        raise InputError("this is a HEIC or AVIF picture; save it as JPEG or PNG")
    if not beginning:
        raise InputError("the file is empty; choose another")
    raise InputError("this is no picture (JPEG, PNG, WebP, BMP) and no clip (MP4, MOV, WebM, MKV, AVI, GIF, TS)")


def safe_name(name: str, suffix: str) -> str:
    """What an uploaded file is called here: harmless characters of its own name, and the suffix of its content.

    >>> safe_name("C:\\\\..\\\\my clip.exe", ".mp4"), safe_name("../..", ".png")
    ('my_clip.mp4', 'upload.png')
    """
    stem = PurePosixPath(name.replace("\\", "/")).stem
    return (re.sub(r"[^A-Za-z0-9-]+", "_", stem)[:60].strip("_") or "upload") + suffix
