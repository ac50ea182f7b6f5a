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
