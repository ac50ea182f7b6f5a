"""Points and ignore regions."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.evaluation.posetrack.regions import in_regions

SQUARE = [(10, 10), (20, 10), (20, 20), (10, 20)]
TRIANGLE = [(0, 0), (10, 20), (20, 0)]
PENTAGRAM = [(0, 8), (16, 8), (3, 0), (8, 14), (13, 0)]


@pytest.mark.parametrize(
    ("point", "polygon", "inside"),
    [
        pytest.param((15, 15), SQUARE, True, id="inside"),
        pytest.param((25, 15), SQUARE, False, id="beside"),
        pytest.param((15, 5), SQUARE, False, id="above"),
        pytest.param((10, 15), SQUARE, False, id="on the left side"),
        pytest.param((20, 15), SQUARE, False, id="on the right side"),
        pytest.param((15, 10), SQUARE, False, id="on the upper side"),
        pytest.param((15, 20), SQUARE, False, id="on the lower side"),
        pytest.param((20, 20), SQUARE, False, id="on a vertex"),
        pytest.param((np.nextafter(20, 0), 15), SQUARE, True, id="as near to a side as can be"),
        pytest.param((5, 10), TRIANGLE, False, id="on a slanted side"),
        pytest.param((np.nextafter(5, 9), 10), TRIANGLE, True, id="as near to a slanted side as can be"),
        pytest.param((10, 10), TRIANGLE, True, id="at the height of no vertex"),
        pytest.param((0, 20), TRIANGLE, False, id="at the height of the apex"),
        pytest.param((8, 20 / 3), PENTAGRAM, False, id="in the middle of a pentagram, surrounded twice"),
        pytest.param((8, 12), PENTAGRAM, True, id="in a tip of a pentagram"),
        pytest.param((15, 15), [*SQUARE, SQUARE[0]], True, id="in a polygon that is closed"),
        pytest.param((10, 15), [*SQUARE, SQUARE[0]], False, id="on the last side of one"),
        pytest.param((15, 15), SQUARE[::-1], True, id="in one that goes round the other way"),
        pytest.param((np.nan, np.nan), SQUARE, False, id="no keypoint"),
    ],
)
def test_a_point_and_a_polygon(point: tuple[float, float], polygon: list[tuple[float, float]], inside: bool) -> None:
    assert in_regions(np.array([point]), [np.array(polygon, float)]).tolist() == [inside]


def test_rounding_does_not_decide() -> None:
    """On paper the point is the middle of a side. In binary it is inside, which a cross product rounds off."""
    triangle, point = [(0.2, 0.7), (0.2, 0.1), (0.5, 0.4)], (0.35, 0.25)
    assert (0.5 - 0.2) * (0.25 - 0.1) - (0.4 - 0.1) * (0.35 - 0.2) == 0
    assert is_inside(point, triangle)
    assert in_regions(np.array([point]), [np.array(triangle)]).tolist() == [True]


def test_any_of_several_regions_counts() -> None:
    """Where two overlap, a point is still ignored; a side of one may lie inside another."""
    moved = np.array(SQUARE, float) + 5
    points = np.array([[(12, 12), (17, 17)], [(15, 17), (5, 5)]], float)
    assert in_regions(points, [np.array(SQUARE, float), moved]).tolist() == [[True, True], [True, False]]
    assert in_regions(points, [moved]).tolist() == [[False, True], [False, False]]


def is_inside(point: tuple[float, float], polygon: list[tuple[float, float]]) -> bool:
    """With fractions, by a ray to the left."""
    x, y = map(Fraction, point)
    odd = False
    corners = [(Fraction(a), Fraction(b)) for a, b in [*polygon, polygon[0]]]
    for (ax, ay), (bx, by) in pairwise(corners):
        if (
            (bx - ax) * (y - ay) == (by - ay) * (x - ax)
            and min(ax, bx) <= x <= max(ax, bx)
            and min(ay, by) <= y <= max(ay, by)
        ):
            return False
        if (ay <= y) != (by <= y) and ax + (y - ay) * (bx - ax) / (by - ay) < x:
            odd = not odd
    return odd


COORDINATE = st.integers(0, 7).map(lambda value: value / 10)
POINT = st.tuples(COORDINATE, COORDINATE)


@settings(deadline=None, max_examples=150)
@given(st.lists(POINT, min_size=3, max_size=8), st.lists(POINT, min_size=1, max_size=12))
def test_every_point_is_decided_exactly(polygon: list[tuple[float, float]], points: list[tuple[float, float]]) -> None:
    found = in_regions(np.array(points), [np.array(polygon)])
    assert found.tolist() == [is_inside(point, polygon) for point in points]
