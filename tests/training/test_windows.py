"""Windows stay in the picture and away from people."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tracker.training.windows import find_window_around, find_window_beside

SIZE_WH = (300, 200)
NOBODY = np.zeros((0, 4))


def overlap(window: npt.NDArray[Any], boxes: npt.NDArray[Any]) -> float:
    """Pixels that a window has in common with boxes."""
    sizes = np.minimum(window[2:], boxes[:, 2:]) - np.maximum(window[:2], boxes[:, :2])
    return float(np.maximum(sizes, 0).prod(axis=1).sum())


@pytest.mark.parametrize(
    "people",
    [
        pytest.param(NOBODY, id="nobody"),
        pytest.param(np.array([[0.0, 0, 90, 200]]), id="somebody at the left"),
        pytest.param(np.array([[0.0, 0, 60, 200], [200, 100, 260, 180]]), id="two"),
    ],
)
def test_windows_beside_people(people: npt.NDArray[Any]) -> None:
    windows = [find_window_beside(people, SIZE_WH, np.random.default_rng(seed)) for seed in range(40)]
    found = np.array([window for window in windows if window is not None])
    assert len(found) > 20
    assert all(overlap(window, people) == 0 for window in found)
    assert (found >= 0).all()
    assert (found[:, 2:] <= SIZE_WH).all()
    sizes = found[:, 2:] - found[:, :2]
    assert sizes.min() >= 47
    assert len(np.unique(sizes, axis=0)) > 15


@pytest.mark.parametrize("size_wh", [(300, 200), (20, 30), (1, 1)])
def test_no_window_where_people_are_everywhere_or_the_picture_is_tiny(size_wh: tuple[int, int]) -> None:
    everywhere = np.array([[0.0, 0, *size_wh]])
    assert find_window_beside(everywhere, size_wh, np.random.default_rng(0)) is None
    alone = find_window_beside(NOBODY, size_wh, np.random.default_rng(0))
    assert (alone is None) == (size_wh == (1, 1))


ANIMAL = np.array([100.0, 50, 160, 130])


def test_windows_around_an_animal_hold_it_and_more() -> None:
    windows = [find_window_around(ANIMAL, NOBODY, SIZE_WH, np.random.default_rng(seed)) for seed in range(40)]
    shares = []
    for window in windows:
        assert window is not None
        assert (window[:2] <= ANIMAL[:2] + 0.5).all()
        assert (window[2:] >= ANIMAL[2:] - 0.5).all()
        assert (window >= 0).all()
        assert (window[2:] <= SIZE_WH).all()
        shares.append((window[2:] - window[:2]).prod() / (60 * 80))
    assert 1 <= min(shares) < 1.4
    assert 2.5 < max(shares) <= 4.1


def test_windows_around_an_animal_are_tight_where_people_are_near() -> None:
    beside = np.array([[170.0, 0, 230, 200]])
    for seed in range(40):
        window = find_window_around(ANIMAL, beside, SIZE_WH, np.random.default_rng(seed))
        assert window is not None
        assert overlap(window, beside) == 0
        assert overlap(window, ANIMAL[None]) > 0.97 * 60 * 80


def test_no_window_around_an_animal_on_somebodys_lap() -> None:
    assert find_window_around(ANIMAL, np.array([[90.0, 0, 170, 200]]), SIZE_WH, np.random.default_rng(0)) is None
    # The sides of windows and people may touch.
    tight = np.array([120.0, 50, 160, 130])
    assert find_window_around(tight, np.array([[160.0, 50, 160, 130]]), SIZE_WH, np.random.default_rng(0)) is not None
