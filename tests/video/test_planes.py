"""The decoder's own planes: when frames have them, and the grey pictures that come of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.flow.synthetic import view
from tests.video.clips import corner_image, patch_matrix, write_clip
from tracker.flow import create_flow
from tracker.types import Frame, Planes
from tracker.video.source import open_source


def read(path: Path, **options: Any) -> list[Frame]:
    with open_source(str(path), **options) as source:
        return list(source)


def planes_of(path: Path) -> list[Planes | None]:
    return [frame.planes for frame in read(path, keeps_planes=True)]


def write_marked(path: Path, matrix: int) -> Path:
    """A clip that names its matrix."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, 1
        for seed in range(3):
            frame = av.VideoFrame.from_ndarray(view(seed), "bgr24")
            container.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace=matrix)))
        container.mux(stream.encode(None))
    return path


def test_frames_have_the_planes_that_their_images_were_made_of(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "x.mp4", [corner_image(66, 50)] * 3)
    with av.open(str(path)) as container:
        stored = [frame.to_ndarray().tobytes() for frame in container.decode(video=0)]
    # The file is closed and every frame is held, as in the queues of a run.
    for planes, expected in zip(planes_of(path), stored, strict=True):
        assert planes is not None
        assert (planes.luma.shape, planes.blue.shape, planes.red.shape) == ((50, 66), (25, 33), (25, 33))
        assert b"".join(plane.tobytes() for plane in (planes.luma, planes.blue, planes.red)) == expected
        for plane in (planes.luma, planes.blue, planes.red):
            with pytest.raises(ValueError, match="read-only"):
                plane[0, 0] = 0


def test_planes_are_kept_for_who_asks(tmp_path: Path) -> None:
    assert [frame.planes for frame in read(write_clip(tmp_path / "x.mp4", [corner_image()] * 2))] == [None, None]


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("full.mp4", "libx264", "yuvj420p"),
        ("fine.mkv", "ffv1", "yuv444p"),
        ("deep.mkv", "ffv1", "yuv420p10le"),
        ("rgb.mkv", "ffv1", "bgr0"),
    ],
)
def test_pictures_of_other_forms_have_none(tmp_path: Path, name: str, codec: str, pix_fmt: str) -> None:
    assert planes_of(write_clip(tmp_path / name, [corner_image()] * 2, codec=codec, pix_fmt=pix_fmt)) == [None, None]


def test_turned_pictures_have_none(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "turned.mp4", [corner_image()] * 2)
    patch_matrix(path, 0, 1, -1, 0)
    assert planes_of(path) == [None, None]


def test_other_images_have_none(tmp_path: Path) -> None:
    frame = read(write_clip(tmp_path / "x.mp4", [corner_image()]), keeps_planes=True)[0]
    assert frame.planes
    assert replace(frame, image=frame.image // 2).planes is None
    with pytest.raises(ValueError, match="are not those of an image"):
        Frame(0, 0.0, frame.image[1:]).with_planes(frame.planes)


@pytest.mark.parametrize("matrix", [1, 5, 6])
@pytest.mark.parametrize("size_wh", [(320, 180), (384, 216), (640, 360), (97, 55)])
def test_the_grey_of_planes_is_that_of_the_image(tmp_path: Path, matrix: int, size_wh: tuple[int, int]) -> None:
    for frame in read(write_marked(tmp_path / "x.mp4", matrix), keeps_planes=True):
        assert frame.planes
        assert frame.planes.matrix == matrix
        expected = cv2.resize(cv2.cvtColor(frame.image, cv2.COLOR_BGR2GRAY), size_wh, interpolation=cv2.INTER_AREA)
        grey = frame.planes.grey(size_wh)
        assert np.abs(grey.astype(float) - expected).mean() < 2
        assert np.corrcoef(grey.ravel(), expected.ravel())[0, 1] > 0.999


def test_black_and_white_are_0_and_255(tmp_path: Path) -> None:
    images = [np.full((64, 64, 3), level, np.uint8) for level in (0, 128, 255)]
    found = [planes.grey((32, 32)) for planes in planes_of(write_clip(tmp_path / "x.mp4", images)) if planes]
    assert [float(grey.mean()) for grey in found] == pytest.approx([0, 128, 255], abs=1)


@pytest.mark.parametrize("name", ["dis", "lk", "none"])
def test_flows_look_at_planes_where_there_are_any(tmp_path: Path, name: str) -> None:
    frame = read(write_clip(tmp_path / "x.mp4", [view(0)]), keeps_planes=True)[0]
    flow = create_flow(name)
    of_planes, of_image = flow.prepare(np.zeros_like(frame.image), frame.planes), flow.prepare(frame.image)
    assert of_planes.size_wh == of_image.size_wh
    assert of_planes.grey.shape == of_image.grey.shape
    assert np.abs(of_planes.grey.astype(float) - of_image.grey).mean() < 3


@pytest.mark.parametrize("name", ["dis", "lk"])
@pytest.mark.parametrize("size_wh", [(360, 640), (300, 200)])
def test_upright_and_narrow_videos_are_followed(tmp_path: Path, name: str, size_wh: tuple[int, int]) -> None:
    """Of their small pictures FFmpeg's rows have padding."""
    before, after = read(write_clip(tmp_path / "x.mp4", [view(0, size_wh=size_wh)] * 2), keeps_planes=True)
    flow = create_flow(name, 320)
    motion = flow.between(*(flow.prepare(frame.image, frame.planes) for frame in (before, after)))
    middle = np.float32(size_wh)[None] / 2
    moved = motion.move(middle)
    np.testing.assert_allclose(moved.points, middle, atol=0.2)
    assert moved.reliable.all()
