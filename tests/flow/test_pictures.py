from __future__ import annotations

import numpy as np
import pytest

from tracker.flow.pictures import Picture, PictureMotion, median_step
from tracker.types import BoolArray, FloatArray


def blank(width: int, height: int) -> Picture:
    return Picture.of(np.zeros((height, width, 3), np.uint8), 480)


@pytest.mark.parametrize(
    ("size_wh", "picture_hw"),
    [
        ((1920, 1080), (270, 480)),  # made smaller
        ((1080, 1920), (480, 270)),  # upright
        ((480, 270), (270, 480)),  # as large as allowed
        ((320, 240), (240, 320)),  # never made larger
        ((4000, 100), (120, 480)),  # a strip gets a quarter of its length
        ((5, 5), (32, 32)),  # nothing is smaller than OpenCV's flow can bear
    ],
)
def test_pictures_have_a_bounded_size(size_wh: tuple[int, int], picture_hw: tuple[int, int]) -> None:
    picture = blank(*size_wh)
    assert picture.grey.shape == picture_hw
    assert picture.size_wh == size_wh
    np.testing.assert_allclose(picture.scale * size_wh, picture_hw[::-1], rtol=1e-6)


def test_an_image_contains_its_pixels_whole() -> None:
    picture = blank(100, 50)
    inside = np.float32([[-0.5, -0.5], [99.5, 49.5], [50, 25]])
    outside = np.float32([[-0.6, 5], [99.6, 5], [5, -0.6], [5, 49.6], [np.nan, 5]])
    assert picture.contains(inside).all()
    assert not picture.contains(outside).any()


def test_the_centre_of_the_image_is_the_centre_of_the_picture() -> None:
    seen: list[FloatArray] = []

    def follow(points: FloatArray) -> tuple[FloatArray, BoolArray]:
        seen.append(points)
        return np.zeros_like(points), np.ones(len(points), np.bool_)

    centre = np.float32([[639.5, 359.5]])
    moved = PictureMotion(blank(1280, 720), follow).move(centre)
    np.testing.assert_allclose(seen[0], [[239.5, 134.5]], atol=1e-4)
    np.testing.assert_array_equal(moved.points, centre)


def test_only_points_inside_the_picture_are_followed() -> None:
    def follow(points: FloatArray) -> tuple[FloatArray, BoolArray]:
        assert points.tolist() == [[0, 0], [99, 49], [0, 10]]
        return points * 0 + np.float32([20, 0]), np.array([True, True, True])

    points = np.float32([[-1e30, -3], [np.nan, np.nan], [1e6, 70], [np.inf, 3], [-5, 10]])
    moved = PictureMotion(blank(100, 50), follow).move(points)
    np.testing.assert_array_equal(moved.points[[1, 3]], points[[1, 3]])
    assert moved.points[4].tolist() == [15, 10]
    assert not moved.reliable.any()
    with pytest.raises(ValueError, match="points must be"):
        PictureMotion(blank(100, 50), follow).move(np.zeros((4, 3), np.float32))


@pytest.mark.parametrize(
    ("distance", "certain", "reliable"),
    [
        ((-10.4, 0), True, True),  # onto the outer half of the first pixel
        ((-10.6, 0), True, False),  # just outside
        ((0, 0), False, False),  # what follow doubts
    ],
)
def test_who_leaves_the_image_is_unreliable(distance: tuple[float, float], certain: bool, reliable: bool) -> None:
    def follow(points: FloatArray) -> tuple[FloatArray, BoolArray]:
        return points * 0 + np.float32(distance), np.full(len(points), certain)

    moved = PictureMotion(blank(100, 50), follow).move(np.float32([[10, 10]]))
    assert moved.reliable.tolist() == [reliable]


@pytest.mark.parametrize("count", [1, 2, 3, 8, 101, 192])
def test_the_median_of_steps_is_numpys(count: int) -> None:
    steps = np.random.default_rng(count).normal(0, 5, (count, 2)).astype(np.float32)
    found = median_step(steps)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.median(steps, axis=0))
