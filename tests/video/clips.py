"""Clips that the tests of this folder make for themselves."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

RED, GREEN, BLUE, WHITE = (0, 0, 255), (0, 255, 0), (255, 0, 0), (255, 255, 255)


def corner_image(width: int = 128, height: int = 64) -> np.ndarray[Any, Any]:
    """Red, green / blue, white: every orientation looks different."""
    image = np.empty((height, width, 3), np.uint8)
    image[: height // 2, : width // 2], image[: height // 2, width // 2 :] = RED, GREEN
    image[height // 2 :, : width // 2], image[height // 2 :, width // 2 :] = BLUE, WHITE
    return image


def numbered_image(number: int, width: int = 64, height: int = 48) -> np.ndarray[Any, Any]:
    """A grey that says which picture it is, of 30 that stay apart after lossy coding."""
    return np.full((height, width, 3), 8 + 8 * number, np.uint8)


def number_of(image: np.ndarray[Any, Any]) -> int:
    """Which `numbered_image` this is, after decoding."""
    return round((float(image.mean()) - 8) / 8)


def oriented_jpeg(image: np.ndarray[Any, Any], orientation: int) -> bytes:
    """A JPEG whose EXIF tag says how it is to be turned, from 1 to 8."""
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    tiff = b"MM\0*\0\0\0\x08" + b"\0\x01" + struct.pack(">HHIHH", 0x112, 3, 1, orientation, 0) + bytes(4)
    segment = b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff
    return encoded[:2] + segment + encoded[2:]


def noise_images(count: int) -> list[np.ndarray[Any, Any]]:
    """Pictures that do not compress, so that each of them takes its share of a file."""
    return list(np.random.default_rng(0).integers(0, 255, (count, 64, 128, 3), dtype=np.uint8))


def write_clip(
    path: Path,
    images: Sequence[np.ndarray[Any, Any]],
    *,
    fps: Fraction = Fraction(30),
    times_s: Sequence[float] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    **container_options: str,
) -> Path:
    """A video file, with those times if any are given."""
    with av.open(str(path), "w", options=container_options) as container:
        stream: Any = container.add_stream(codec, rate=fps)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pix_fmt
        if times_s:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 90_000)
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, "bgr24").reformat(format=pix_fmt)
            if times_s:
                frame.pts, frame.time_base = round(times_s[index] * 90_000), Fraction(1, 90_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def patch_matrix(path: Path, a: int, b: int, c: int, d: int) -> None:
    """Give an mp4 the matrix that phones write: the 36 bytes before width and height in `tkhd`."""
    matrix = struct.pack(">9i", *(value << 16 for value in (a, b, 0, c, d, 0, 0, 0, 1 << 14)))
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 20 + 16
    data[at : at + 36] = matrix
    path.write_bytes(data)


# A grey picture of 64 by 64 by x265: the decoder's configuration box, and the coded slice.
_HEVC_CONFIG = (
    "00000072687663430104080000009fa8000000001ef000fcfdf8f800000f03200001001740010c01ffff0408000003009fa8"
    "00000300001eba024021000100264201010408000003009fa800000300001ea020810596ea4932b9a0200000030020000003"
    "002122000100074401c172b02240"
)
_HEVC_TILE = "0000000f2801af78eb0201ffe6aba0b845479c"


def write_tiled_heic(path: Path) -> None:
    """A picture as phones store it: two tiles in HEVC, and an item that says how they lie side by side."""
    config, tile = map(bytes.fromhex, (_HEVC_CONFIG, _HEVC_TILE))
    grid = struct.pack(">4B2H", 0, 0, 0, 1, 128, 64)
    ids = range(1, 4)
    kinds = (b"hvc1", b"hvc1", b"grid")
    entries = [
        _box(b"infe", struct.pack(">I2H", 2 << 24, i, 0), kind, b"\0") for i, kind in zip(ids, kinds, strict=True)
    ]
    sizes = [_box(b"ispe", struct.pack(">3I", 0, width, 64)) for width in (64, 128)]
    described = [struct.pack(">H3B", i, 2, 0x81, 2) for i in ids[:2]] + [struct.pack(">H2B", 3, 1, 3)]

    def meta(start: int) -> bytes:
        places = [(1, start, tile), (2, start, tile), (3, start + len(tile), grid)]
        located = [struct.pack(">3H2I", i, 0, 1, place, len(item)) for i, place, item in places]
        return _box(
            b"meta",
            bytes(4),
            _box(b"hdlr", bytes(8), b"pict", bytes(13)),
            _box(b"pitm", struct.pack(">IH", 0, 3)),
            _box(b"iloc", struct.pack(">I2BH", 0, 0x44, 0, 3), *located),
            _box(b"iinf", struct.pack(">IH", 0, 3), *entries),
            _box(b"iref", bytes(4), _box(b"dimg", struct.pack(">4H", 3, 2, 1, 2))),
            _box(b"iprp", _box(b"ipco", config, *sizes), _box(b"ipma", struct.pack(">2I", 0, 3), *described)),
        )

    head = _box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    path.write_bytes(head + meta(len(head + meta(0)) + 8) + _box(b"mdat", tile, grid))


def _box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", len(content) + 8, kind) + content


def write_sounding_clip(
    path: Path, codec: str, *, rate: int = 48_000, seconds: int = 2, layout: str = "stereo"
) -> Path:
    """Black pictures in silence, but for a flash and a tone of a picture's length at the first second."""
    with av.open(str(path), "w") as container:
        sound: Any = container.add_stream(codec, rate=rate, layout=layout)
        pictures: Any = container.add_stream("libx264", rate=25, options={"bf": "0"})
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        samples = rate // 25
        for number in range(25 * seconds):
            is_loud = number == 25
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 255 * is_loud, np.uint8), "bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(pictures.encode(frame))
            wave = 0.8 * is_loud * np.sin(2 * np.pi * 1000 * np.arange(samples) / rate)
            waves = np.stack([wave] * av.AudioLayout(layout).nb_channels).astype(np.float32)
            heard = av.AudioFrame.from_ndarray(waves, "fltp", layout)
            heard.sample_rate, heard.pts, heard.time_base = rate, number * samples, Fraction(1, rate)
            container.mux(sound.encode(heard))
        container.mux(pictures.encode(None))
        container.mux(sound.encode(None))
    return path


def flashes_and_tones(path: Path) -> tuple[list[float], list[float]]:
    """When pictures turn bright, and when it gets loud."""
    with av.open(str(path)) as container:
        frames: Any = container.decode(video=0)
        bright = [float(frame.time) for frame in frames if frame.to_ndarray(format="gray").mean() > 128]
    loud: list[float] = []
    with av.open(str(path)) as container:
        heard: Any = container.decode(audio=0) if container.streams.audio else ()
        for frame in heard:
            (first, *_), scale = frame.to_ndarray(), 1.0 if "flt" in frame.format.name else 32768.0
            loud.extend(float(frame.time) + np.flatnonzero(np.abs(first) > 0.25 * scale) / frame.sample_rate)
    return _onsets(bright), _onsets(loud)


def _onsets(times_s: Sequence[float]) -> list[float]:
    """Those of the times that come after a pause."""
    return [time_s for before, time_s in zip([-1.0, *times_s], times_s, strict=False) if time_s - before > 0.3]
