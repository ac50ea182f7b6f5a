from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.flow.synthetic import affine, view
from tracker.flow.inverse_search import compare_windows, compute_flow
from tracker.types import FloatArray, Image

SIZE_WH = (320, 180)


def grey(seed: int, shift: tuple[float, float] = (0, 0)) -> Image:
    return cv2.cvtColor(view(seed, affine(shift=shift), SIZE_WH), cv2.COLOR_BGR2GRAY)


def still() -> FloatArray:
    return np.zeros((*SIZE_WH[::-1], 2), np.float32)


@pytest.mark.parametrize("size_wh", [(182, 33), (128, 47), (40, 150), (64, 64), (32, 32)])
def test_a_coarse_search_stays_inside_pictures_of_any_shape(size_wh: tuple[int, int]) -> None:
    before, after = (cv2.cvtColor(view(0, affine(shift=(x, 0)), size_wh), cv2.COLOR_BGR2GRAY) for x in (0, 3))
    field = compute_flow(before, after, finest_scale=3)
    assert np.median(field[..., 0]) == pytest.approx(3, abs=1)
    assert np.median(field[..., 1]) == pytest.approx(0, abs=1)


def test_equal_windows_correlate_fully_whatever_their_brightness() -> None:
    dark = grey(0) // 2
    correlation, contrast = compare_windows(dark, dark + 100, still())
    np.testing.assert_allclose(correlation, 1, atol=1e-3)
    assert correlation.dtype == contrast.dtype == np.float32


def test_flat_windows_are_alike_whatever_their_level() -> None:
    black, white = np.zeros(SIZE_WH[::-1], np.uint8), np.full(SIZE_WH[::-1], 255, np.uint8)
    correlation, contrast = compare_windows(black, white, still())
    np.testing.assert_allclose(correlation, 1)
    np.testing.assert_allclose(contrast, 0)


def test_contrast_is_the_larger_variance_by_hand() -> None:
    stripes = np.zeros((20, 20), np.uint8)
    stripes[:, 10:] = 90
    field = np.zeros((20, 20, 2), np.float32)
    _, contrast = compare_windows(np.zeros_like(stripes), stripes, field)
    # Columns 6 to 14 around column 10: four of 0 and five of 90.
    assert contrast[10, 10] == pytest.approx(4 / 9 * 5 / 9 * 90**2, rel=1e-4)
    assert contrast[10, 3] == 0


def test_a_negative_picture_correlates_negatively() -> None:
    correlation, _ = compare_windows(grey(0), 255 - grey(0), still())
    assert np.median(correlation) < -0.6
