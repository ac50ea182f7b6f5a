from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.video.clips import BLUE, GREEN, RED, WHITE, corner_image, number_of, numbered_image
from tracker.errors import InputError
from tracker.video.folder import read_image
from tracker.video.source import open_source


def write_images(folder: Path, *names: str) -> Path:
    """Numbered pictures under those names."""
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        cv2.imwrite(str(folder / name), numbered_image(number))
    return folder


def test_images_come_in_natural_order_25_per_second(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "shots", "f1.png", "f2.png", "f10.png", "f10b.png", "g1.png")
    with open_source(str(folder)) as source:
        assert (source.name, source.size_wh, source.fps) == ("shots", (64, 48), Fraction(25))
        assert (source.num_frames, source.is_live, source.warning) == (5, False, None)
        frames = list(source)
    assert [number_of(f.image) for f in frames] == [0, 1, 2, 3, 4]
    assert [f.time_s for f in frames] == [0.0, 0.04, 0.08, 0.12, 0.16]


def test_only_images_that_are_seen_count(tmp_path: Path) -> None:
    folder = write_images(tmp_path, "a.JPG", "b.jpeg", "c.bmp", "d.webp", "e.tif", "f.tiff", "g.png")
    write_images(tmp_path, ".hidden.png")
    (folder / "notes.txt").write_text("not a picture")
    (folder / "more.png").mkdir()
    with open_source(str(folder)) as source:
        assert source.num_frames == 7
        assert len(list(source)) == 7


@pytest.mark.parametrize(
    ("options", "numbers", "first_s"),
    [
        ({"fps": 10}, [0, 1, 2, 3, 4, 5], 0.0),
        ({"fps": 10, "start_s": 0.3}, [3, 4, 5], 0.3),  # exactly on a picture
        ({"fps": 10, "start_s": 0.31}, [4, 5], 0.4),
        ({"fps": 10, "start_s": 0.1, "end_s": 0.4}, [1, 2, 3], 0.1),  # the end is exclusive
        ({"fps": Fraction(30000, 1001), "max_frames": 2}, [0, 1], 0.0),
    ],
)
def test_rate_and_range(tmp_path: Path, options: dict[str, Any], numbers: list[int], first_s: float) -> None:
    folder = write_images(tmp_path, *(f"{n}.png" for n in range(6)))
    with open_source(str(folder), **options) as source:
        assert source.num_frames == len(numbers)
        frames = list(source)
    assert [number_of(f.image) for f in frames] == numbers
    assert frames[0].time_s == first_s


def test_pictures_may_differ_in_size(tmp_path: Path) -> None:
    write_images(tmp_path, "1.png")
    cv2.imwrite(str(tmp_path / "2.png"), corner_image(20, 10))
    with open_source(str(tmp_path)) as source:
        assert [f.size_wh for f in source] == [(64, 48), (20, 10)]


@pytest.mark.parametrize(
    "data",
    [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(40)],
    ids=["empty", "text", "only a PNG's signature"],
)
def test_a_broken_image_is_named(tmp_path: Path, data: bytes) -> None:
    write_images(tmp_path, "1.png")
    (tmp_path / "2.png").write_bytes(data)
    with open_source(str(tmp_path)) as source, pytest.raises(InputError, match=r"2\.png is no image"):
        list(source)


@pytest.mark.parametrize(
    "image",
    [
        np.full((9, 7), 130, np.uint8),  # grey
        np.full((9, 7), 130 * 257, np.uint16),  # 16 bits
        np.full((9, 7, 4), 130, np.uint8),  # transparent
    ],
    ids=["grey", "16 bits", "alpha"],
)
def test_every_kind_of_png_becomes_bgr(tmp_path: Path, image: np.ndarray[Any, Any]) -> None:
    cv2.imwrite(str(tmp_path / "x.png"), image)
    np.testing.assert_array_equal(read_image(tmp_path / "x.png"), np.full((9, 7, 3), 130, np.uint8))


def test_exif_rotation_is_honoured(tmp_path: Path) -> None:
    encoded = cv2.imencode(".jpg", corner_image(), [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    # One EXIF entry: orientation 6, turn clockwise to view.
    tiff = b"MM\0*\0\0\0\x08" + b"\0\x01" + b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0" + b"\0\0\0\0"
    segment = b"\xff\xe1" + (len(tiff) + 8).to_bytes(2, "big") + b"Exif\0\0" + tiff
    (tmp_path / "x.jpg").write_bytes(encoded[:2] + segment + encoded[2:])
    image = read_image(tmp_path / "x.jpg")
    found = [image[8, 8], image[8, -8], image[-8, 8], image[-8, -8]]
    np.testing.assert_allclose(found, (BLUE, RED, WHITE, GREEN), atol=6)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.png cannot be read"):
        read_image(tmp_path / "gone.png")
