"""Whether videos as our overlays are, and as users have them, come back as they were written."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from tracker.doctor.findings import Finding

# Codecs that videos of users have, and what FFmpeg calls an encoder of each.
_CODECS = {
    **{"h264": "libx264", "hevc": "libx265", "vp9": "libvpx-vp9"},
    **{"av1": "libsvtav1", "mpeg4": "mpeg4", "mjpeg": "mjpeg"},
}


def check_video() -> Iterator[Finding]:
    """Encode pictures as our overlays are, and in what users bring; decode and compare them."""
    import av

    from tracker.runtime import muted_native_stderr

    works = []
    with tempfile.TemporaryDirectory() as folder:
        _compare(_write_overlay(Path(folder, "overlay.mp4")))
        for codec, encoder in _CODECS.items():
            if encoder in av.codec.codecs_available:
                with muted_native_stderr():  # x265 has much to say
                    _compare(_encode(Path(folder, f"{codec}.mkv"), encoder))
                works.append(codec)
    yield Finding("ok", f"PyAV {av.__version__}: {', '.join(works)} encoded, decoded and compared")


def _pictures() -> list[Any]:
    """Ten pictures of a square that moves."""
    import numpy as np

    pictures = []
    for number in range(10):
        picture = np.full((128, 192, 3), (40, 90, 160), np.uint8)
        picture[32:96, 10 * number : 10 * number + 64] = (200, 160, 60)
        pictures.append(picture)
    return pictures


def _write_overlay(path: Path) -> Path:
    from tracker.video.writer import VideoWriter

    with VideoWriter(path, fps=Fraction(25)) as video:
        for number, picture in enumerate(_pictures()):
            video.write(picture, number / 25)
    return path


def _encode(path: Path, encoder: str) -> Path:
    import av

    with av.open(str(path), "w") as video:
        stream: Any = video.add_stream(encoder, rate=25)
        stream.height, stream.width = _pictures()[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if encoder == "mjpeg" else "yuv420p"
        for picture in _pictures():
            video.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        video.mux(stream.encode(None))
    return path


def _compare(path: Path) -> None:
    """Raise RuntimeError unless the pictures come back."""
    import numpy as np

    from tracker.video.source import open_source

    with open_source(str(path)) as video:
        found = [frame.image for frame in video]
    if len(found) != len(_pictures()):
        raise RuntimeError(f"{path.name}: {len(found)} of {len(_pictures())} pictures come back")
    off = max(float(np.abs(a.astype(int) - b).mean()) for a, b in zip(found, _pictures(), strict=True))
    if off > 8:
        raise RuntimeError(f"{path.name}: pictures come back different, by {off:.0f} of 255 on average")
