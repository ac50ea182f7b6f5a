"""Fitting images into a detector's input, and points there and back."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.detection.letterbox import letterbox


@pytest.mark.parametrize(
    ("image_wh", "size_wh", "inner_wh"),
    [
        pytest.param((960, 540), (416, 416), (416, 234), id="wide: room below"),
        pytest.param((480, 640), (416, 416), (312, 416), id="tall: room on the right"),
        pytest.param((100, 50), (320, 320), (320, 160), id="small images are enlarged"),
        pytest.param((1279, 719), (416, 256), (416, 234), id="odd sizes"),
        pytest.param((4000, 3), (416, 32), (416, 1), id="a line keeps one pixel"),
    ],
)
def test_the_image_is_in_the_corner_and_grey_around(
    image_wh: tuple[int, int], size_wh: tuple[int, int], inner_wh: tuple[int, int]
) -> None:
    image = np.full((image_wh[1], image_wh[0], 3), (10, 20, 30), np.uint8)
    picture, scale_wh = letterbox(image, size_wh)
    width, height = inner_wh
    assert picture.shape == (size_wh[1], size_wh[0], 3)
    assert (picture[:height, :width] == (10, 20, 30)).all()
    assert (picture[height:] == 114).all()
    assert (picture[:, width:] == 114).all()
    assert scale_wh.dtype == np.float32
    np.testing.assert_allclose(scale_wh, np.array(inner_wh) / image_wh, rtol=1e-6)
