from __future__ import annotations

import numpy as np
import pytest

from tracker.flow.regions import moved_region, regions_around

SIZE_WH = (480, 270)


def test_every_point_lies_in_its_own_region_with_room_around_it() -> None:
    points = np.random.default_rng(0).uniform(0, (479, 269), (12, 2)).astype(np.float32)
    seen = []
    for (rows, columns), members in regions_around(points, SIZE_WH):
        low, high = np.array([columns.start, rows.start]), np.array([columns.stop, rows.stop])
        room = np.minimum(points[members] - low, high - points[members])
        to_border = np.minimum(points[members], np.array(SIZE_WH) - points[members])
        assert (room >= np.minimum(to_border, 32) - 1e-3).all()
        seen += members.tolist()
    assert sorted(seen) == list(range(12))


@pytest.mark.parametrize(
    ("points", "count"),
    [
        ([[50, 50], [60, 80], [110, 80]], 1),  # a person
        ([[50, 50], [200, 50]], 2),  # two people
        ([], 0),
    ],
)
def test_points_that_are_near_share_a_region(points: list[list[float]], count: int) -> None:
    assert len(list(regions_around(np.array(points, np.float32).reshape(-1, 2), SIZE_WH))) == count


@pytest.mark.parametrize("point", [(0, 0), (479, 269), (240, 0), (100, 100)])
def test_no_region_is_narrow_unless_the_picture_is(point: tuple[float, float]) -> None:
    ((rows, columns), _), *others = regions_around(np.float32([point]), SIZE_WH)
    assert not others
    assert min(rows.stop - rows.start, columns.stop - columns.start) == 72
    assert 0 <= rows.start <= rows.stop <= 270
    assert 0 <= columns.start <= columns.stop <= 480
    ((region, _),) = regions_around(np.float32([[31, 3]]), (40, 32))
    assert region == (slice(0, 32), slice(0, 40))


def test_regions_move_no_farther_than_the_border() -> None:
    region, picture_hw = (slice(10, 50), slice(20, 60)), (270, 480)
    moved, step = moved_region(region, np.float32([7.4, -3.6]), picture_hw)
    assert (moved, step.tolist()) == ((slice(6, 46), slice(27, 67)), [7, -4])
    moved, step = moved_region(region, np.float32([-300, 900]), picture_hw)
    assert (moved, step.tolist()) == ((slice(230, 270), slice(0, 40)), [-20, 220])
