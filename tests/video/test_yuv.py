"""What the encoder is given: the decoder's own planes, but for what was drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.flow.synthetic import view
from tests.video.test_planes import write_marked
from tracker.types import Frame, Image, Planes, Rect
from tracker.video.planes import views_of
from tracker.video.source import open_source
from tracker.video.writer import VideoWriter
from tracker.video.yuv import Ground, converted, redrawn

RED = (0, 0, 255)


@pytest.fixture(params=[1, 5, 6], ids=["BT.709", "BT.601", "SMPTE 170M"])
def frame(request: pytest.FixtureRequest, tmp_path: Path) -> Frame:
    with open_source(str(write_marked(tmp_path / "x.mp4", request.param)), keeps_planes=True) as source:
        return next(iter(source))


def redraw(frame: Frame, image: Image, *rects: tuple[int, int, int, int]) -> list[Image]:
    ground = Ground.of(frame)
    assert ground
    return views_of(redrawn(image, ground, rects))


def stored(frame: Frame) -> tuple[Image, Image, Image]:
    assert frame.planes
    return frame.planes.luma, frame.planes.blue, frame.planes.red


def test_what_nothing_was_drawn_on_stays_as_decoded(frame: Frame) -> None:
    for found, expected in zip(redraw(frame, frame.image), stored(frame), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "rect", [(100, 50, 140, 90), (101, 51, 140, 91), (0, 0, 1, 1), (637, 355, 640, 360), (-9, -9, 5, 700)]
)
def test_drawn_parts_alone_are_converted(frame: Frame, rect: tuple[int, int, int, int]) -> None:
    image = frame.image.copy()
    x1, y1, x2, y2 = (max(bound, 0) for bound in rect)
    image[y1:y2, x1:x2] = RED
    assert frame.planes
    whole = views_of(converted(image, frame.planes.matrix))
    inside = np.zeros((360, 640), bool)
    inside[y1 // 2 * 2 : y2 + y2 % 2, x1 // 2 * 2 : x2 + x2 % 2] = True
    halves = inside[::2, ::2]
    found = redraw(frame, image, rect)
    for part, kept, full, mask in zip(found, stored(frame), whole, (inside, halves, halves), strict=True):
        np.testing.assert_array_equal(part[~mask], kept[~mask])
        assert np.abs(part[mask].astype(int) - full[mask]).max() <= 2  # what the conversion to BGR lost is added


def test_rectangles_do_not_show(frame: Frame) -> None:
    """Conversions to BGR and back leave luma as bright as it was."""
    for found, expected in zip(redraw(frame, frame.image, (0, 0, 640, 360)), stored(frame), strict=True):
        assert abs(float(found.mean()) - float(expected.mean())) < 0.3


def encode(path: Path, *frames: tuple[Frame, list[Rect] | None]) -> list[Any]:
    """Pictures on which nothing was drawn, and the rectangles inside which something may have been."""
    with VideoWriter(path, crf=0) as video:
        for index, (frame, rects) in enumerate(frames):
            video.write(frame.image, index / 25, Ground.of(frame), rects)
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def test_a_video_states_the_colours_of_the_planes_it_was_given(tmp_path: Path, frame: Frame) -> None:
    """Later pictures without them, as of another size, are converted by the same matrix."""
    assert frame.planes
    other = Frame(1, 0.04, view(1))
    first, second, third = encode(tmp_path / "out.mp4", (frame, []), (other, []), (frame, None))
    assert (first.colorspace, first.color_range) == (frame.planes.matrix, 1)
    for found, expected in zip(views_of(first), stored(frame), strict=True):
        np.testing.assert_array_equal(found, expected)  # without loss at a crf of 0
    for decoded, image in ((second, other.image), (third, frame.image)):
        for found, expected in zip(views_of(decoded), views_of(converted(image, frame.planes.matrix)), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_where_anything_may_have_changed_everything_is_converted(tmp_path: Path, frame: Frame) -> None:
    (decoded,) = encode(tmp_path / "out.mp4", (frame, None))
    assert decoded.colorspace == 1
    for found, expected in zip(views_of(decoded), views_of(converted(frame.image, 1)), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("size_wh", [(63, 48), (64, 47), (32, 24)])
def test_planes_of_another_size_than_the_video_has_are_left(tmp_path: Path, size_wh: tuple[int, int]) -> None:
    plane, halves = (
        np.zeros(size_wh[::-1], np.uint8),
        np.zeros(((size_wh[1] + 1) // 2, (size_wh[0] + 1) // 2), np.uint8),
    )
    planes = Planes(plane, halves, halves, 1, 1, 1, lambda _: plane)
    grey = Frame(0, 0.0, np.full((*size_wh[::-1], 3), 128, np.uint8)).with_planes(planes)
    first = Frame(0, 0.0, np.full((48, 64, 3), 128, np.uint8))
    for decoded in encode(tmp_path / "out.mp4", (first, []), (grey, [])):
        assert views_of(decoded)[0].max() == pytest.approx(126, abs=2)
