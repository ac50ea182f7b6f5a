"""Boxes out of maps of logits and side distances."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from tracker.detection.maps import STRIDES, decode_maps
from tracker.nets import rtmdet
from tracker.types import FloatArray

NOBODY = -20.0
INPUT_WH = (96, 64)


def _maps(height: int = INPUT_WH[1], width: int = INPUT_WH[0]) -> list[FloatArray]:
    """Maps of an input of that size in which nobody is."""
    maps = [np.ones((5, height // stride, width // stride), np.float32) for stride in STRIDES]
    for cell_map in maps:
        cell_map[0] = NOBODY
    return maps


def _logit(score: float) -> float:
    return math.log(score / (1 - score))


def _put(maps: list[FloatArray], level: int, cell: tuple[int, int], score: float, sides: npt.ArrayLike) -> None:
    """A person at (row, column) of a map."""
    maps[level][0, *cell] = _logit(score)
    maps[level][1:, *cell] = sides


def test_the_strides_are_those_of_the_network() -> None:
    assert rtmdet.STRIDES == STRIDES


@pytest.mark.parametrize(
    ("level", "cell", "box"),
    [
        pytest.param(0, (3, 5), [40 - 1, 24 - 2, 40 + 3, 24 + 4], id="stride 8: column 5 is x 40, row 3 is y 24"),
        pytest.param(1, (3, 5), [80 - 1, 48 - 2, 80 + 3, 48 + 4], id="stride 16"),
        pytest.param(2, (1, 2), [64 - 1, 32 - 2, 64 + 3, 32 + 4], id="stride 32, last cell"),
        pytest.param(2, (0, 0), [-1, -2, 3, 4], id="the first cell is at 0, not in the middle of its pixels"),
    ],
)
def test_distances_are_from_the_point_of_the_cell(level: int, cell: tuple[int, int], box: list[float]) -> None:
    maps = _maps()
    _put(maps, level, cell, 0.8, [1, 2, 3, 4])
    maps[0][0, 0, :2] = -1e4  # does no harm
    boxes, scores = decode_maps(maps, INPUT_WH, 0.5)
    np.testing.assert_array_equal(boxes, [box])
    np.testing.assert_allclose(scores, [0.8], rtol=1e-6)
    assert boxes.dtype == scores.dtype == np.float32


@pytest.mark.parametrize(
    ("threshold", "found"),
    [
        pytest.param(0.5, 2, id="a logit of 0 is a score of 0.5, which is enough"),
        pytest.param(0.51, 1, id="above"),
    ],
)
def test_the_threshold(threshold: float, found: int) -> None:
    maps = _maps()
    _put(maps, 0, (0, 0), 0.5, [1, 1, 1, 1])
    _put(maps, 0, (5, 5), 0.99, [1, 1, 1, 1])
    assert len(decode_maps(maps, INPUT_WH, threshold)[1]) == found


@pytest.mark.parametrize(
    "maps",
    [
        pytest.param(_maps(96, 64), id="of a tall input"),
        pytest.param(_maps()[::-1], id="coarse to fine"),
        pytest.param(_maps()[:2], id="one is missing"),
        pytest.param([m[:4] for m in _maps()], id="without a score"),
    ],
)
def test_maps_of_other_shapes_are_refused(maps: list[FloatArray]) -> None:
    with pytest.raises(ValueError, match="other shapes than 96×64 px"):
        decode_maps(maps, INPUT_WH, 0.5)
