"""Regions: the parts of a picture around points, so that nothing is searched where nobody is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import cv2
import numpy as np

from tracker.types import FloatArray, IntArray

# Rows and columns of a picture.
Region: TypeAlias = tuple[slice, slice]

# Points are told apart by squares of so many pixels, of which a region has four on each side of a point: with two, who
# moves by half their width is lost.
_SIDE = 8
_MARGIN = 4
_LEAST = (2 * _MARGIN + 1) * _SIDE


def regions_around(points: FloatArray, size_wh: tuple[int, int]) -> Iterator[tuple[Region, IntArray]]:
    """Rectangles in a picture around points (N, 2) inside it, and the rows (M,) of the points that each is for.

    Points whose surroundings touch share a region, every point has one. Regions may overlap; none is narrower than 72
    pixels where the picture is not.
    """
    width, height = size_wh
    columns, rows = (points / _SIDE).astype(np.int64).T
    asked = np.zeros((height // _SIDE + 1, width // _SIDE + 1), np.uint8)
    asked[rows, columns] = 1
    near = cv2.dilate(asked, np.ones((2 * _MARGIN + 1, 2 * _MARGIN + 1), np.uint8))
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(near)
    owners = labels[rows, columns]
    for label in sorted(set(owners.tolist())):
        left, top, wide, high = (boxes[label, :4] * _SIDE).tolist()
        region = _within(top, high, height), _within(left, wide, width)
        yield region, np.flatnonzero(owners == label)


def moved_region(region: Region, step: FloatArray, shape: tuple[int, ...]) -> tuple[Region, FloatArray]:
    """The region moved by about a step (2,) along x and y, inside a picture of shape (h, w), and by what exactly."""
    shifts = [
        max(min(round(distance), limit - side.stop), -side.start)
        for side, distance, limit in zip(region, step[::-1].tolist(), shape, strict=True)
    ]
    rows, columns = (slice(side.start + shift, side.stop + shift) for side, shift in zip(region, shifts, strict=True))
    return (rows, columns), np.array(shifts[::-1], np.float32)


def _within(start: int, length: int, limit: int) -> slice:
    """From `start` on, but not too short, and inside 0–limit."""
    start = max(min(start, limit - max(length, _LEAST)), 0)
    return slice(start, min(start + max(length, _LEAST), limit))
