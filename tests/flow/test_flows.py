"""What every flow promises, and how exact the two that measure are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.flow.synthetic import affine, change_exposure, grid, transform, view
from tracker.flow import FLOW_NAMES, DenseFlow, SparseFlow, create_flow
from tracker.types import FloatArray, FlowEstimator, Image, Motion, SeesBackground

MEASURING = ("dis", "lk")
AT_FULL_SIZE = [pytest.param(kind(640), id=kind.__name__) for kind in (DenseFlow, SparseFlow)]


def motion_between(flow: FlowEstimator, previous: Image, current: Image) -> Motion:
    return flow.between(flow.prepare(previous), flow.prepare(current))


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown flow 'raft'; known: dis, lk, none"):
        create_flow("raft")


@pytest.mark.parametrize("flow", AT_FULL_SIZE)
@pytest.mark.parametrize(
    ("motion", "error_px"),
    [
        (affine(), 0.05),  # nothing moves
        (affine(shift=(3.7, -2.2)), 0.2),  # a walk
        (affine(shift=(25.5, 11.25)), 0.25),  # a run
        (affine(shift=(-60, 20)), 0.5),  # a fast camera pan
        (affine(angle_deg=2), 0.3),  # the camera rolls
        (affine(scale=1.04), 0.3),  # the camera zooms
    ],
)
def test_points_are_found_where_they_went(flow: FlowEstimator, motion: FloatArray, error_px: float) -> None:
    points = grid()
    moved = motion_between(flow, view(0), view(0, motion)).move(points)
    errors = np.linalg.norm(moved.points - transform(points, motion), axis=1)
    assert np.median(errors) < error_px
    assert np.mean(errors < 1.5) > 0.95
    assert moved.reliable.mean() > 0.95


@pytest.mark.parametrize("name", MEASURING)
def test_a_fast_object_is_followed_over_a_background_that_stands(name: str) -> None:
    previous, current = view(0, size_wh=(1280, 720)), view(0, size_wh=(1280, 720))
    person = view(1, size_wh=(120, 300))
    previous[200:500, 400:520], current[190:490, 460:580] = person, person
    points = grid((120, 300), margin=25, step=18) + np.float32([400, 200])
    moved = motion_between(create_flow(name), previous, current).move(points)
    errors = np.linalg.norm(moved.points - points - [60, -10], axis=1)
    assert np.mean(errors < 3) > 0.7  # what nears the edges may stick to the background


def test_the_background_moves_as_the_camera_does_whoever_walks_before_it() -> None:
    previous, current = view(0, size_wh=(1280, 720)), view(0, affine(shift=(-31, 8)), size_wh=(1280, 720))
    person = view(1, size_wh=(500, 700))
    previous[10:710, 300:800], current[10:710, 340:840] = person, person
    motion = motion_between(DenseFlow(), previous, current)
    assert isinstance(motion, SeesBackground)
    step = motion.background(np.array([[290, 0, 850, 719]], np.float32))
    assert step.dtype == np.float32
    np.testing.assert_allclose(step, (-31, 8), atol=1.5)
    assert motion.background(np.array([[-9, -9, 1290, 730]], np.float32)).tolist() == [0, 0]


@pytest.mark.parametrize("name", MEASURING)
@pytest.mark.parametrize(
    ("gain", "offset"),
    [
        (0.6, 0),  # exposure goes down
        (1.0, 25),  # a lamp is switched on
    ],
)
def test_a_change_of_exposure_is_no_motion(name: str, gain: float, offset: float) -> None:
    motion, points = affine(shift=(6.5, 3)), grid()
    current = change_exposure(view(0, motion), gain, offset)
    moved = motion_between(create_flow(name), view(0), current).move(points)
    errors = np.linalg.norm(moved.points - transform(points, motion), axis=1)
    assert np.median(errors) < 0.3
    assert moved.reliable.mean() > 0.9


@pytest.mark.parametrize(
    ("name", "share_taken_in"),
    [
        ("dis", 0.4),  # a dense field bends until much of what covers looks like what is covered
        ("lk", 0.1),
    ],
)
def test_points_that_are_covered_are_unreliable_and_the_others_are_not(name: str, share_taken_in: float) -> None:
    previous, current = view(0), view(0)
    current[100:260, 250:410] = view(5, size_wh=(160, 160))
    points = grid(step=12)
    moved = motion_between(create_flow(name), previous, current).move(points)
    inside = ((points > [258, 108]) & (points < [402, 252])).all(axis=1)
    outside = ((points < [230, 80]) | (points > [430, 280])).any(axis=1)
    assert moved.reliable[inside].mean() < share_taken_in
    assert moved.reliable[outside].mean() > 0.97


@pytest.mark.parametrize("name", MEASURING)
def test_points_that_leave_the_picture_are_unreliable(name: str) -> None:
    motion = affine(shift=(40, 0))
    moved = motion_between(create_flow(name), view(0), view(0, motion)).move(
        np.float32([[620, 100], [610, 200], [500, 100]])
    )
    assert moved.reliable.tolist() == [False, False, True]


@pytest.mark.parametrize("name", FLOW_NAMES)
def test_missing_points_stay_missing_and_do_not_disturb_the_others(name: str) -> None:
    points = grid()
    gaps = points.copy()
    gaps[::3] = np.nan
    gaps[1::6, 0] = np.nan
    gaps[4] = np.inf
    known = np.isfinite(gaps).all(axis=1)
    motion = motion_between(create_flow(name), view(0), view(0, affine(shift=(5, 2))))
    moved, alone = motion.move(gaps), motion.move(gaps[known])
    np.testing.assert_array_equal(moved.points[~known], gaps[~known])
    assert not moved.reliable[~known].any()
    np.testing.assert_array_equal(moved.points[known], alone.points)
    np.testing.assert_array_equal(moved.reliable[known], alone.reliable)


def test_without_flow_points_stay_and_all_finite_ones_are_reliable() -> None:
    points = np.float32([[10, 20], [np.nan, np.nan], [-5, 3]])
    moved = motion_between(create_flow("none"), view(0), view(0, affine(shift=(8, 0)))).move(points)
    np.testing.assert_array_equal(moved.points, points)
    assert moved.reliable.tolist() == [True, False, True]


@pytest.mark.parametrize("name", FLOW_NAMES)
@pytest.mark.parametrize("current", [view(9), view(0, size_wh=(640, 352))], ids=["scene", "size"])
def test_across_a_cut_nothing_moves_and_nothing_is_reliable(name: str, current: Image) -> None:
    points = grid()
    motion = motion_between(create_flow(name), view(0), current)
    assert motion.is_cut
    moved = motion.move(points)
    np.testing.assert_array_equal(moved.points, points)
    assert not moved.reliable.any()


@pytest.mark.parametrize("name", FLOW_NAMES)
@pytest.mark.parametrize(
    "size_wh",
    [
        (1, 1),  # the smallest image
        (3, 500),  # a column
        (700, 20),  # a strip, on which OpenCV alone answers NaN
        (1920, 8),  # a strip, on which OpenCV alone raises
        (33, 31),  # odd
    ],
)
def test_images_of_any_size_are_taken(name: str, size_wh: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size_wh[1], size_wh[0], 3), np.uint8)
    middle = np.array([size_wh], np.float32) / 2
    motion = motion_between(create_flow(name), noise, np.roll(noise, 1, axis=1))
    assert np.isfinite(motion.move(middle).points).all()


@pytest.mark.parametrize("name", FLOW_NAMES)
def test_one_flow_serves_several_threads(name: str) -> None:
    flow, points = create_flow(name), grid()
    pictures = [flow.prepare(view(0, affine(shift=(4.0 * step, step)))) for step in range(12)]

    def follow(step: int) -> FloatArray:
        return flow.between(pictures[step], pictures[step + 1]).move(points).points

    alone = [follow(step) for step in range(11)]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(follow, range(11)))
    np.testing.assert_array_equal(together, alone)
