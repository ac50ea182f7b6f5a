"""Pictures of interlaced video, of high dynamic range, with damage, and with pixels that are not square."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.people import poses_of, with_ids
from tests.video.clips import corner_image, noise_images, number_of, numbered_image, write_clip
from tracker.skeletons import COCO_17
from tracker.types import Frame, TrackedPoses
from tracker.video.aspect import fit_people, shrunk, square_frame, square_pixels
from tracker.video.source import VideoSource, open_source

NOTE = "interlaced pictures were deinterlaced (--no-deinterlace leaves them)"


def read(path: Path, **options: Any) -> tuple[list[Frame], VideoSource]:
    with open_source(str(path), **options) as source:
        return list(source), source


# --- interlaced video


def moving_bar(number: int, height: int = 96) -> np.ndarray[Any, Any]:
    """Two fields, in which a bar has gone on."""
    image = np.full((height, 160, 3), 40, np.uint8)
    for field in (0, 1):
        image[field::2, 8 * number + 4 * field :][:, :24] = 220
    return image


def combing(frame: Frame) -> float:
    """How much lines differ from those beside them."""
    green = frame.image[..., 1].astype(float)
    return float(np.abs(green[1:-1] - (green[:-2] + green[2:]) / 2).mean())


def write_fields(path: Path, codec: str, options: dict[str, str], heights: Sequence[int] = (96,)) -> Path:
    data = b""
    for height in heights:
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream(codec, rate=25, options=options)
            stream.width, stream.height, stream.pix_fmt = 160, height, "yuv420p"
            for number in range(12):
                frame = av.VideoFrame.from_ndarray(moving_bar(number, height), "bgr24").reformat(format="yuv420p")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        data += path.read_bytes()
    path.write_bytes(data)
    return path


FIELDS = [
    pytest.param("x.mpg", "mpeg2video", {"flags": "+ildct+ilme"}, id="MPEG-2"),
    pytest.param("x.ts", "libx264", {"x264-params": "interlaced=1"}, id="H.264"),
]


@pytest.mark.parametrize(("name", "codec", "options"), FIELDS)
def test_interlaced_video_is_deinterlaced(tmp_path: Path, name: str, codec: str, options: dict[str, str]) -> None:
    path = write_fields(tmp_path / name, codec, options)
    frames, source = read(path)
    as_stored, untouched = read(path, deinterlace=False)
    assert (source.note, source.warning, untouched.note) == (NOTE, None, None)
    assert [frame.time_s for frame in frames] == [frame.time_s for frame in as_stored]
    assert max(map(combing, frames)) < 1
    assert min(map(combing, as_stored)) > 4


def test_a_start_in_interlaced_video_gives_the_same_pictures(tmp_path: Path) -> None:
    path = write_fields(tmp_path / "x.ts", "libx264", {"x264-params": "interlaced=1"})
    whole, started = read(path)[0], read(path, start_s=0.2)[0]
    assert [frame.time_s for frame in started] == [frame.time_s for frame in whole[5:]]
    for frame, same in zip(started, whole[5:], strict=True):
        np.testing.assert_array_equal(frame.image, same.image)


def test_interlaced_video_may_change_its_size(tmp_path: Path) -> None:
    path = write_fields(tmp_path / "x.ts", "mpeg2video", {"flags": "+ildct+ilme"}, heights=(96, 64))
    frames, _ = read(path)
    heights = [frame.size_wh[1] for frame in frames]
    assert heights == sorted(heights, reverse=True)
    assert heights.count(96) >= 11
    assert heights.count(64) == 12
    assert max(map(combing, frames)) < 1


def test_progressive_video_stays_as_it_is(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "x.mp4", [moving_bar(n) for n in range(8)])
    frames, source = read(path)
    assert source.note is None
    np.testing.assert_array_equal(frames[3].image, read(path, deinterlace=False)[0][3].image)


# --- high dynamic range

PQ, HLG = 16, 18


def write_hdr(path: Path, transfer: int, codes: Sequence[float]) -> Path:
    """Grey pictures of 10 bits with these codes within 0 and 1."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx265", rate=25, options={"x265-params": "log-level=none:lossless=1"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p10le"
        codec = stream.codec_context
        codec.colorspace = codec.color_primaries = 9
        codec.color_trc, codec.color_range = transfer, 1
        for code in codes:
            frame = av.VideoFrame(64, 64, "yuv420p10le")
            for plane, value in zip(frame.planes, (round(64 + 876 * code), 512, 512), strict=True):
                plane.update(np.full(plane.buffer_size // 2, value, np.uint16).tobytes())
            frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range = 9, 9, transfer, 1
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("transfer", "codes"),
    [
        # 36.5 cd/m² (grey of 18 %), 203 (white paper), 1000 (a light)
        pytest.param(PQ, (0.409, 0.581, 0.7518), id="PQ"),
        pytest.param(HLG, (0.43, 0.75, 1.0), id="HLG"),
    ],
)
def test_high_dynamic_range_looks_as_standard_range_does(tmp_path: Path, transfer: int, codes: Sequence[float]) -> None:
    frames, source = read(write_hdr(tmp_path / "x.mkv", transfer, [0, *codes]))
    black, grey, white, light = (float(frame.image.mean()) for frame in frames)
    assert black == 0
    assert grey == pytest.approx(117, abs=6)  # which is that of 18 % in sRGB
    assert 215 < white < 240
    assert light > 250
    assert source.note == "pictures of high dynamic range were tone-mapped"


def test_standard_range_in_ten_bits_stays_as_it_is(tmp_path: Path) -> None:
    frames, source = read(write_hdr(tmp_path / "x.mkv", 1, [0, 0.5, 1]))
    assert [float(frame.image.mean()) for frame in frames] == pytest.approx([0, 127, 255], abs=2)
    assert source.note is None


# --- damage


@pytest.mark.parametrize(("name", "codec"), [("x.ts", "libx264"), ("x.mkv", "mpeg4"), ("x.ts", "mpeg2video")])
def test_pictures_that_show_damage_are_counted(tmp_path: Path, name: str, codec: str) -> None:
    path = write_clip(tmp_path / name, noise_images(30), codec=codec)
    data = bytearray(path.read_bytes())
    for sixth in range(1, 6):  # of one picture alone a decoder of several threads does not always tell
        start = len(data) * sixth // 6
        data[start : start + 300] = bytes(300)
    path.write_bytes(data)
    _, source = read(path)
    assert source.warning is not None
    assert source.warning.startswith(f"{name} is damaged or cut off: damage shows in ")


# --- pixels that are not square


def write_stretched(path: Path, aspect: Fraction) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 144, 114, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        for number in range(4):
            image = numbered_image(number, stream.width, stream.height)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24").reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("name", ["x.mp4", "x.mkv", "x.ts", "x.mov"])
@pytest.mark.parametrize("aspect", [Fraction(64, 45), Fraction(4, 3), Fraction(8, 9)])
def test_frames_know_the_shape_of_their_pixels(tmp_path: Path, name: str, aspect: Fraction) -> None:
    frames, source = read(write_stretched(tmp_path / name, aspect))
    assert source.pixel_aspect == aspect
    assert source.size_wh == (144, 114)
    square = square_frame(frames[2])
    assert square.size_wh == (round(144 * aspect), 114)
    assert square.pixel_aspect == 1
    assert number_of(square.image) == 2


@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(1, 100), Fraction(1000)])
def test_senseless_shapes_of_pixels_are_left_alone(tmp_path: Path, aspect: Fraction) -> None:
    frames, source = read(write_stretched(tmp_path / "x.mkv", aspect))
    assert source.pixel_aspect == 1
    assert square_frame(frames[0]) is frames[0]


def one_person(box: Sequence[float]) -> TrackedPoses:
    x1, y1, x2, y2 = box
    keypoints = np.linspace((x1, y1), (x2, y2), 17, dtype=np.float32)[None]
    keypoints[0, 3] = np.nan
    scores = np.where(np.isnan(keypoints[..., 0]), 0, 0.9)
    return with_ids(poses_of(keypoints, scores=scores, boxes=box), [1])


def test_people_go_with_their_picture_and_back() -> None:
    frame = Frame(0, 0, corner_image(90, 60), pixel_aspect=64 / 45)
    people = one_person((-0.5, -0.5, 44.5, 29.5))  # the red quarter
    square, fitted = square_pixels(frame, people)
    assert square.size_wh == (128, 60)
    np.testing.assert_allclose(fitted.poses.boxes, [[-0.5, -0.5, 63.5, 29.5]])
    back = fit_people(fitted, square, frame)
    np.testing.assert_allclose(back.poses.keypoints, people.poses.keypoints, atol=1e-3)
    np.testing.assert_allclose(back.poses.boxes, people.poses.boxes, atol=1e-3)
    assert len(square_pixels(frame, TrackedPoses.empty(COCO_17.num_keypoints))[1]) == 0


@pytest.mark.parametrize("size_wh", [(90, 60), (61, 92), (91, 61)])
def test_people_go_with_a_smaller_picture(size_wh: tuple[int, int]) -> None:
    frame = Frame(0, 0, np.zeros((*size_wh[::-1], 3), np.uint8))
    frame.image[30:60, 15:45] = 255
    small = replace(frame, image=shrunk(frame.image, 31))
    assert small.size_wh == (size_wh[0] // 3, size_wh[1] // 3)
    boxes = fit_people(one_person((14.5, 29.5, 44.5, 59.5)), frame, small).poses.boxes
    (x1, y1), (x2, y2) = np.rint(boxes + 0.5).astype(int).reshape(2, 2)
    shown = np.zeros_like(small.image)
    shown[y1:y2, x1:x2] = 255
    np.testing.assert_array_equal(small.image, shown)
    assert shrunk(frame.image, 92) is frame.image


def test_pictures_with_square_pixels_are_not_copied() -> None:
    frame, people = Frame(0, 0, corner_image()), one_person((0, 0, 9, 9))
    assert square_pixels(frame, people) == (frame, people)
