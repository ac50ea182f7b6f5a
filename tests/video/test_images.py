from __future__ import annotations

import base64
import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.video.clips import BLUE, GREEN, RED, WHITE, corner_image, number_of, numbered_image, oriented_jpeg
from tracker.errors import InputError
from tracker.types import Image
from tracker.video.images import read_image
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


@pytest.mark.parametrize(
    ("pattern", "numbers", "fps"),
    [
        ("f*.png", [0, 1, 2], 25),  # in natural order, not that of the alphabet
        ("f?.png", [0, 1], 10),
        ("**/*.png", [4, 0, 1, 2, 3], 25),  # in folders, too
        ("f[12].png", [0, 1], 25),
    ],
)
def test_a_pattern_of_images_is_a_video(tmp_path: Path, pattern: str, numbers: list[int], fps: int) -> None:
    write_images(tmp_path, "f1.png", "f2.png", "f10.png", "g1.png")
    (tmp_path / "a").mkdir()
    cv2.imwrite(str(tmp_path / "a" / "1.png"), numbered_image(4))
    with open_source(str(tmp_path / pattern), fps=fps) as source:
        frames = list(source)
    assert [number_of(f.image) for f in frames] == numbers
    assert [f.time_s for f in frames] == [position / fps for position in range(len(numbers))]


def test_a_picture_whose_name_looks_like_a_pattern_is_that_picture(tmp_path: Path) -> None:
    write_images(tmp_path, "f1.png", "f[1].png")
    assert [number_of(f.image) for f in open_source(str(tmp_path / "f[1].png"))] == [1]


# --- faults


def bmp(width: int, height: int) -> bytes:
    """The header of a BMP, with a pixel."""
    return struct.pack("<2sI4xIIiiHH24x", b"BM", 62, 54, 40, width, height, 1, 24) + bytes(8)


def altered_png(kind: bytes) -> bytes:
    """A PNG with a note, in which the first byte of a chunk of that kind has another value."""
    data = bytearray(cv2.imencode(".png", numbered_image(1))[1].tobytes())
    note = b"tEXtauthor\0nobody"
    data[33:33] = struct.pack(">I", len(note) - 4) + note + struct.pack(">I", zlib.crc32(note))  # after the header
    data[data.index(kind) + 4] ^= 1
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"no picture", id="text"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(40), id="only a PNG's signature"),
        pytest.param(altered_png(b"IDAT"), id="a PNG with a byte that changed"),
        pytest.param(bmp(1 << 21, 1), id="wider than OpenCV takes"),
        pytest.param(bmp(100_000, 100_000), id="more pixels than OpenCV takes"),
    ],
)
def test_a_broken_image_is_left_out_and_named(tmp_path: Path, capfd: pytest.CaptureFixture[str], data: bytes) -> None:
    write_images(tmp_path, "1.png", "2.png", "3.png")
    (tmp_path / "2.png").write_bytes(data)
    with open_source(str(tmp_path)) as source:
        assert [(f.index, f.time_s, number_of(f.image)) for f in source] == [(0, 0.0, 0), (2, 0.08, 2)]
    assert source.warning is not None
    assert source.warning.startswith("1 of 3 images left out (")
    assert source.warning.endswith("2.png is no image or is damaged; remove it or copy it again")
    assert capfd.readouterr().err == ""


def test_an_altered_note_in_a_png_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(altered_png(b"tEXt"))
    assert [number_of(f.image) for f in open_source(str(tmp_path / "1.png"))] == [1]


@pytest.mark.parametrize(
    ("num_images", "message"),
    [
        (1, r"^[^;]*0\.png is no image or is damaged"),
        (3, r"^3 of 3 images left out \(0\.png, 1\.png, 2\.png\); the last of them: .*2\.png is no image"),
    ],
)
def test_without_any_whole_image_there_is_no_video(tmp_path: Path, num_images: int, message: str) -> None:
    for number in range(num_images):
        (tmp_path / f"{number}.png").touch()
    with pytest.raises(InputError, match=message):
        open_source(str(tmp_path))


def test_opencv_says_nothing_about_a_broken_image(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.webp").write_bytes(b"RIFF\x20\0\0\0WEBPVP8 " + bytes(14))
    with pytest.raises(InputError, match="is no image"):
        read_image(tmp_path / "x.webp")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("length", [100, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_png_that_ends_within_a_chunk_is_not_given_the_memory_that_it_claims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    data = bytearray(png(8, 8, 8, 0, bytes(8)))
    data[33:37] = struct.pack(">I", length)  # that of the pixels
    (tmp_path / "x.png").write_bytes(data)
    monkeypatch.setattr("tracker.video.images.cv2.imdecode", lambda *_: pytest.fail("OpenCV would take the memory"))
    with pytest.raises(InputError, match="is no image or is damaged"):
        read_image(tmp_path / "x.png")


def test_what_follows_the_end_of_a_png_is_no_chunk(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(png(8, 8, 8, 0, bytes(8)) + b"\xff" * 20)
    assert read_image(tmp_path / "x.png").shape == (8, 8, 3)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.png cannot be read"):
        read_image(tmp_path / "gone.png")


# --- pixels


def png(width: int, height: int, bits: int, kind: int, row: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG in which every row is the same; kind: 0 grey, 3 palette, 4 grey and alpha, 6 RGBA."""
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    pixels = zlib.compress((b"\0" + row) * height)
    data = b"\x89PNG\r\n\x1a\n"
    for name, content in ((b"IHDR", header), *chunks, (b"IDAT", pixels), (b"IEND", b"")):
        data += struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return data


@pytest.mark.parametrize(
    ("data", "left_bgr", "right_bgr"),
    [
        pytest.param(png(2, 2, 8, 0, b"\x40\xc0"), (64,) * 3, (192,) * 3, id="grey"),
        pytest.param(png(2, 2, 1, 0, b"\x40"), (0,) * 3, (255,) * 3, id="one bit"),
        pytest.param(png(2, 2, 16, 0, b"\x40\x40\xc0\xc0"), (64,) * 3, (192,) * 3, id="16 bits are scaled"),
        pytest.param(png(2, 2, 16, 2, b"\x40\0\x80\0\xc0\0" * 2), (192, 128, 64), (192, 128, 64), id="48 bits"),
        pytest.param(
            png(2, 2, 8, 3, b"\0\1", (b"PLTE", b"\xff\0\0\0\xff\0")), (0, 0, 255), (0, 255, 0), id="palette"
        ),
        pytest.param(
            png(2, 2, 8, 3, b"\0\1", (b"PLTE", b"\xff\0\0\0\xff\0"), (b"tRNS", b"\0\x80")),
            (0, 0, 255), (0, 255, 0), id="palette with transparency, which is dropped",
        ),
        pytest.param(png(2, 2, 8, 4, b"\x40\0\xc0\x80"), (64,) * 3, (192,) * 3, id="grey and alpha"),
        pytest.param(png(2, 2, 8, 6, b"\1\2\3\0\4\5\6\x80"), (3, 2, 1), (6, 5, 4), id="colour and alpha"),
        pytest.param(png(2, 2, 16, 6, b"\1\1\2\2\3\3\0\0" * 2), (3, 2, 1), (3, 2, 1), id="64 bits"),
    ],
)  # fmt: skip
def test_every_kind_of_png_becomes_bgr(tmp_path: Path, data: bytes, left_bgr: Any, right_bgr: Any) -> None:
    (tmp_path / "x.png").write_bytes(data)
    np.testing.assert_array_equal(read_image(tmp_path / "x.png"), [[left_bgr, right_bgr]] * 2)


# 16x16, Adobe's inverted inks, as Photoshop writes them.
CMYK_JPEG = (
    "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwADAgIDAgIDAwMDBAMDBAUIBQUEBAUKBwcGCAwKDAwLCgsLDQ4SEA0OEQ4LCxAWEBETFBUVFQwPFxgWFBgS"
    "FBUU/8AAFAgAEAAQBEMRAE0RAFkRAEsRAP/EABYAAQEBAAAAAAAAAAAAAAAAAAAKCf/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAOBEMATQBZAEsA"
    "AD8A1TZVMqmqaVdVQAlXVUCqhVQD/9k="
)


def corners(image: Image) -> list[Any]:
    """The colours 4 pixels from the corners: above left, above right, below left, below right."""
    return [image[at] for at in ((4, 4), (4, -4), (-4, 4), (-4, -4))]


def test_a_cmyk_jpeg_has_its_colours(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(base64.b64decode(CMYK_JPEG))
    np.testing.assert_allclose(corners(read_image(tmp_path / "x.jpg")), (RED, GREEN, BLUE, WHITE), atol=3)


@pytest.mark.parametrize("suffix", [".tif", ".webp", ".bmp", ".jp2"])
def test_other_files_have_their_colours(tmp_path: Path, suffix: str) -> None:
    cv2.imwrite(str(tmp_path / f"x{suffix}"), corner_image())
    np.testing.assert_allclose(corners(read_image(tmp_path / f"x{suffix}")), (RED, GREEN, BLUE, WHITE), atol=8)


def test_a_16_bit_tiff_is_scaled(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "x.tif"), np.full((9, 7), 130 * 257, np.uint16))
    np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), np.full((9, 7, 3), 130, np.uint8))


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, (RED, GREEN, BLUE, WHITE)),  # as it is
        (2, (GREEN, RED, WHITE, BLUE)),  # mirrored
        (3, (WHITE, BLUE, GREEN, RED)),  # upside down
        (4, (BLUE, WHITE, RED, GREEN)),
        (5, (RED, BLUE, GREEN, WHITE)),  # across the diagonal
        (6, (BLUE, RED, WHITE, GREEN)),  # the usual portrait: turned clockwise to be seen
        (7, (WHITE, GREEN, BLUE, RED)),
        (8, (GREEN, WHITE, RED, BLUE)),  # portrait the other way round
    ],
)
def test_exif_orientation_is_honoured_once(tmp_path: Path, orientation: int, expected: tuple[Any, ...]) -> None:
    (tmp_path / "x.jpg").write_bytes(oriented_jpeg(corner_image(), orientation))
    image = read_image(tmp_path / "x.jpg")
    assert image.shape == ((64, 128, 3) if orientation < 5 else (128, 64, 3))
    np.testing.assert_allclose(corners(image), expected, atol=6)


@pytest.mark.parametrize("size_wh", [(1, 1), (3, 3), (12_000, 9)])
def test_pictures_of_extreme_sizes_are_read(tmp_path: Path, size_wh: tuple[int, int]) -> None:
    width, height = size_wh
    (tmp_path / "x.png").write_bytes(png(width, height, 1, 0, b"\xff" * -(-width // 8)))
    image = read_image(tmp_path / "x.png")
    assert image.shape == (height, width, 3)
    assert image[-1, -1].tolist() == [255] * 3
