"""Cuts are seen between any two scenes, and never in one scene, however wild."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from tests.flow.synthetic import affine, blur_along_x, change_exposure, view
from tracker.flow.cuts import is_cut
from tracker.flow.pictures import Picture
from tracker.types import Image

CLIPS = Path(__file__).parents[3] / "shared" / "clips"
SCENE = view(0)


def cut_between(previous: Image, current: Image) -> bool:
    return is_cut(Picture.of(previous, 480), Picture.of(current, 480))


def with_person(right: int) -> Image:
    """The scene with somebody, 300 pixels wide and as tall as the picture, up to column `right`."""
    image = view(0)
    visible = min(right, 300)
    image[:, right - visible : right] = view(7, size_wh=(300, 360))[:, 300 - visible :]
    return image


def flat(level: int) -> Image:
    return np.full((360, 640, 3), level, np.uint8)


@pytest.mark.parametrize(
    ("previous", "current"),
    [
        (SCENE, view(0, affine(shift=(160, 0)))),  # pan, a quarter of the picture
        (SCENE, view(0, affine(shift=(0, 80)))),  # tilt
        (SCENE, blur_along_x(SCENE, 61)),  # the camera jerks: one frame is blurred
        (blur_along_x(SCENE, 51), blur_along_x(view(0, affine(shift=(50, 0))), 51)),  # pan with its blur
        (SCENE, view(0, affine(angle_deg=6))),  # roll
        (SCENE, view(0, affine(scale=1.12))),  # zoom
        (SCENE, change_exposure(SCENE, 1.5, 10)),  # exposure up
        (SCENE, change_exposure(SCENE, 0.3)),  # exposure down
        (SCENE, change_exposure(SCENE, 1.2, 60)),  # flash
        (with_person(300), with_person(420)),  # somebody runs through
        (flat(0), flat(0)),  # black
        (flat(30), flat(220)),  # flash on a wall
    ],
)
def test_one_scene_has_no_cut(previous: Image, current: Image) -> None:
    assert not cut_between(previous, current)
    assert not cut_between(current, previous)


@pytest.mark.parametrize(
    ("previous", "current"),
    [
        *[(SCENE, view(seed)) for seed in range(1, 6)],  # scenes of the same colours and grain
        (SCENE, SCENE[:, ::-1]),  # the same histogram: the room, mirrored
        (SCENE, SCENE[::-1]),  # upside down
        (SCENE, flat(0)),  # black between two scenes
        (SCENE, view(0, size_wh=(636, 360))),  # another size, the same scene
        (SCENE, view(0, size_wh=(360, 640))),  # another orientation
        (SCENE, np.zeros((1, 1, 3), np.uint8)),  # the smallest image
    ],
)
def test_two_scenes_have_a_cut_between_them(previous: Image, current: Image) -> None:
    assert cut_between(previous, current)
    assert cut_between(current, previous)


def decode(path: Path, num_frames: int) -> list[Image]:
    with av.open(str(path)) as container:
        frames = container.decode(video=0)
        return [next(frames).to_ndarray(format="bgr24") for _ in range(num_frames)]


@pytest.mark.shared
@pytest.mark.skipif(not CLIPS.is_dir(), reason="the real clips are not beside this checkout")
def test_real_clips_have_cuts_only_where_they_are_joined() -> None:
    paths = sorted(path for path in CLIPS.iterdir() if path.suffix in {".mp4", ".gif"})
    scenes = [[resized(Picture.of(image, 480)) for image in decode(path, 16)] for path in paths]
    assert len(scenes) >= 2
    for a, scene in enumerate(scenes):
        for step in (1, 3, 5):
            assert not any(is_cut(scene[i], scene[i + step]) for i in range(0, 16 - step, 2)), paths[a]
        for b, other in enumerate(scenes):
            assert a == b or is_cut(scene[-1], other[0]), (paths[a], paths[b])


def resized(picture: Picture) -> Picture:
    """The same picture, as if all clips had one size: a cut must be seen by its content."""
    return Picture(picture.grey, picture.thumb, (640, 360))
