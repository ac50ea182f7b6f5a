"""Ignore regions: which points lie strictly inside a polygon, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from tracker.types import BoolArray, DoubleArray

# Shewchuk's bound on the error of a difference of two products, relative to the sum of their sizes.
_UNSURE = (3 + 16 * 2**-53) * 2**-53


def in_regions(points: DoubleArray, polygons: Sequence[DoubleArray]) -> BoolArray:
    """Which points (…, 2) lie inside one of the polygons (P, 2) by the even-odd rule; not those on its boundary.

    The last vertex is joined to the first. NaN lies nowhere. No rounding decides: what floating point leaves in doubt
    is computed exactly. Source: `Polygon.contains` of shapely, by which the official tools decide.
    """
    flat = points.reshape(-1, 2)
    start = np.concatenate(polygons)
    end = np.concatenate([np.roll(polygon, -1, axis=0) for polygon in polygons])
    first_edges = np.cumsum([0, *map(len, polygons[:-1])])
    side, x, y = _side(flat, start, end), flat[:, :1], flat[:, 1:]
    low, high = np.minimum(start, end), np.maximum(start, end)
    touches = (side == 0) & (low[:, 0] <= x) & (x <= high[:, 0]) & (low[:, 1] <= y) & (y <= high[:, 1])
    # Of the edges that span its height, those a point has on its right.
    crosses = ((start[:, 1] > y) != (end[:, 1] > y)) & ((side > 0) == (end[:, 1] > start[:, 1]))
    odd = np.add.reduceat(crosses, first_edges, axis=1, dtype=np.int64) % 2 == 1
    inside = odd & ~np.logical_or.reduceat(touches, first_edges, axis=1)
    return inside.any(axis=1).reshape(points.shape[:-1])


def _side(points: DoubleArray, start: DoubleArray, end: DoubleArray) -> DoubleArray:
    """(N, E): positive or negative by the side of start → end on which a point lies, 0 on that line."""
    first = (end[:, 0] - start[:, 0]) * (points[:, 1:] - start[:, 1])
    second = (end[:, 1] - start[:, 1]) * (points[:, :1] - start[:, 0])
    side = first - second
    for point, edge in np.argwhere(np.abs(side) <= _UNSURE * (np.abs(first) + np.abs(second))):
        side[point, edge] = _exact_side(points[point], start[edge], end[edge])
    return side


def _exact_side(point: DoubleArray, start: DoubleArray, end: DoubleArray) -> int:
    x, y, start_x, start_y, end_x, end_y = map(Fraction, map(float, (*point, *start, *end)))
    side = (end_x - start_x) * (y - start_y) - (end_y - start_y) * (x - start_x)
    return (side > 0) - (side < 0)
