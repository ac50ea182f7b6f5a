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


@pytest.mark.parametrize("preset", [cv2.DISOPTICAL_FLOW_PRESET_FAST, cv2.DISOPTICAL_FLOW_PRESET_MEDIUM])
def test_the_field_points_from_the_previous_picture_to_the_current(preset: int) -> None:
    field = compute_flow(grey(0), grey(0, (6, -2.5)), preset)
    assert field.shape == (180, 320, 2)
    assert field.dtype == np.float32
    np.testing.assert_allclose(np.median(field[30:-30, 30:-30], axis=(0, 1)), [6, -2.5], atol=0.15)


def test_equal_windows_correlate_fully_whatever_their_brightness() -> None:
    dark = grey(0) // 2
    correlation, contrast = compare_windows(dark, dark + 100, still())
    np.testing.assert_allclose(correlation, 1, atol=1e-3)
    assert correlation.dtype == contrast.dtype == np.float32


def test_the_flow_brings_the_windows_together() -> None:
    field = still() + np.float32([12, 0])
    together, _ = compare_windows(grey(0), grey(0, (12, 0)), field)
    apart, _ = compare_windows(grey(0), grey(0, (12, 0)), still())
    assert np.median(together[20:-20, 20:-20]) > 0.99
    assert np.median(apart) < 0.6


def test_a_negative_picture_correlates_negatively() -> None:
    correlation, _ = compare_windows(grey(0), 255 - grey(0), still())
    assert np.median(correlation) < -0.6


def test_flat_windows_are_alike_whatever_their_level() -> None:
    black, white = np.zeros(SIZE_WH[::-1], np.uint8), np.full(SIZE_WH[::-1], 255, np.uint8)
    correlation, contrast = compare_windows(black, white, still())
    np.testing.assert_allclose(correlation, 1)
    np.testing.assert_allclose(contrast, 0)


def test_contrast_is_the_larger_variance_by_hand() -> None:
    stripes = np.zeros((20, 20), np.uint8)
    stripes[:, 10:] = 90
    field = np.zeros((20, 20, 2), np.float32)
    _, contrast = compare_windows(np.zeros_like(stripes), stripes, field, window=9)
    # Columns 6 to 14 around column 10: four of 0 and five of 90.
    assert contrast[10, 10] == pytest.approx(4 / 9 * 5 / 9 * 90**2, rel=1e-4)
    assert contrast[10, 3] == 0
