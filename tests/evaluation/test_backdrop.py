import numpy as np
import pytest

from tracker.evaluation.backdrop import HORIZON, paint_backdrop


def paint(size_wh=(320, 180), seed=0) -> np.ndarray:
    return paint_backdrop(size_wh, HORIZON * size_wh[1] / 720, size_wh[1] / 720, np.random.default_rng(seed))


@pytest.mark.parametrize("size_wh", [(320, 180), (180, 320), (64, 48), (33, 17)])
def test_a_backdrop_has_the_size_asked_for(size_wh):
    picture = paint(size_wh)
    assert picture.shape == (size_wh[1], size_wh[0], 3)
    assert picture.dtype == np.uint8


def test_the_seed_decides():
    np.testing.assert_array_equal(paint(seed=4), paint(seed=4))
    assert (paint(seed=4) != paint(seed=5)).mean() > 0.5


def test_the_sky_is_blue_and_the_ground_is_textured():
    picture = paint().astype(int)
    sky, ground = picture[:20], picture[120:]
    assert sky[..., 0].mean() > sky[..., 2].mean() + 20
    # Optical flow needs grain on most of the ground: brightness varies within small windows.
    windows = ground[:60, :320, 1].reshape(6, 10, 32, 10).std(axis=(1, 3))
    assert np.quantile(windows, 0.1) > 2
