"""Parts of pictures that show nobody: around animals, or anywhere beside the people."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracker.types import DoubleArray, IntArray

# Sides of a window beside people: least pixels, and shares of the picture's shorter side.
_LEAST_SIDE, _SHARES = 48, (0.4, 1.0)
# Natural logarithm of the largest ratio of width and height.
_ELONGATION = 0.5
_NUM_TRIES = 20
# Windows around an animal, over its size: as drawn between the first and the last, or tighter where people are near.
_GROWTHS = (1.0, 2.0)
# People are larger than their boxes by this share of them.
_MARGIN = 0.1
# Pixels that a window has at least on each side.
_LEAST = 8


def find_window_beside(
    people: npt.NDArray[np.floating], size_wh: tuple[int, int], rng: np.random.Generator
) -> IntArray | None:
    """A window xyxy in whole pixels of a picture that meets none of the boxes (N, 4); None where chance finds none."""
    short = min(size_wh)
    shares = rng.uniform(*_SHARES, _NUM_TRIES)
    ratios = np.exp(rng.uniform(-_ELONGATION, _ELONGATION, _NUM_TRIES) / 2)
    sizes = (shares * short)[:, None] * np.stack([ratios, 1 / ratios], axis=1)
    sizes = np.clip(sizes, min(_LEAST_SIDE, short), size_wh)
    corners = rng.random((_NUM_TRIES, 2)) * (np.array(size_wh) - sizes)
    return _first_free(np.concatenate([corners, corners + sizes], axis=1), people)


def find_window_around(
    animal: npt.NDArray[np.floating],
    people: npt.NDArray[np.floating],
    size_wh: tuple[int, int],
    rng: np.random.Generator,
) -> IntArray | None:
    """A window xyxy in whole pixels of a picture around a box (4,), that meets none of people's (N, 4).

    It is tight where people are near; None where they are too near.
    """
    centre, size = (animal[:2] + animal[2:]) / 2, animal[2:] - animal[:2]
    growths = np.linspace(rng.uniform(*_GROWTHS), _GROWTHS[0], 4)[:, None]
    # Moved so that the animal stays inside.
    shifts = rng.uniform(-0.5, 0.5, 2) * (growths - 1) * size
    windows = np.concatenate([centre + shifts - growths * size / 2, centre + shifts + growths * size / 2], axis=1)
    return _first_free(windows.clip(0, [*size_wh, *size_wh]), people)


def _first_free(windows: DoubleArray, people: npt.NDArray[np.floating]) -> IntArray | None:
    margin = _MARGIN * (people[:, 2:] - people[:, :2])
    low, high = people[:, :2] - margin, people[:, 2:] + margin
    meets = np.all((windows[:, None, :2] < high) & (windows[:, None, 2:] > low), axis=2)
    whole = np.rint(windows).astype(np.int64)
    is_large = np.all(whole[:, 2:] - whole[:, :2] >= _LEAST, axis=1)
    free = np.flatnonzero(is_large & ~np.any(meets, axis=1))
    return whole[free[0]] if len(free) else None
