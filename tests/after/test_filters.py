"""What smoothing takes away, what it leaves, and what it never crosses."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.smoothing import noise_left, results_of, smoothed, swing_left
from tracker.after.filters import OneEuro, butterworth, hampel
from tracker.types import DoubleArray


def times_at(rate_hz: float, how: str = "even") -> DoubleArray:
    """Eight seconds of them: even, in whole milliseconds, or up to 30 % off."""
    even_s = np.arange(0, 8, 1 / rate_hz)
    if how == "shaken":
        return even_s + np.random.default_rng(0).uniform(-0.15, 0.15, len(even_s)) / rate_hz
    return even_s.round(3) if how == "milliseconds" else even_s


@pytest.mark.parametrize("smooth", ["one-euro", "butterworth"])
@pytest.mark.parametrize(
    ("rate_hz", "how"),
    [
        *((rate_hz, "even") for rate_hz in (12.5, 24, 29.97, 60, 120)),
        *((rate_hz, how) for rate_hz in (25, 60) for how in ("milliseconds", "shaken")),
    ],
)
def test_noise_goes_and_motion_stays(smooth: str, rate_hz: float, how: str) -> None:
    times_s = times_at(rate_hz, how)
    # White noise reaches up to half the frame rate: of that at 12.5 frames per second a third is under 2 Hz.
    assert rate_hz < 24 or noise_left(smooth, times_s, 0.006) <= 0.3
    kept, late_ms = swing_left(smooth, times_s, 0.2)
    assert 0.95 <= kept <= 1.01
    assert -0.5 <= late_ms <= (20 if smooth == "one-euro" else 0.5)


def test_butterworth_keeps_a_swing_at_the_least_rates() -> None:
    for rate_hz in (9, 10, 11, 12):  # seven frames are longer than the swing
        assert 0.95 <= swing_left("butterworth", times_at(rate_hz), 0.2)[0] <= 1.01


@pytest.mark.parametrize("smooth", ["one-euro", "butterworth"])
def test_times_are_those_of_the_frames_and_sizes_those_of_people(smooth: str) -> None:
    numbers = np.random.default_rng(1)
    times_s = np.cumsum(numbers.choice([1 / 60, 1 / 30, 1 / 20], 400))
    offsets = np.stack([40 * np.sin(4 * np.pi * times_s), 0 * times_s], axis=1)
    path = smoothed(offsets, times_s, smooth) - smoothed(0 * offsets, times_s, smooth)
    assert np.abs(path[20:-20, 0, 0] - offsets[20:-20, 0]).max() < (12 if smooth == "one-euro" else 4)


def test_one_euro_is_the_same_at_any_resolution() -> None:
    small = results_of(np.random.default_rng(0).normal(0, 3, (30, 2)), np.arange(30) / 30)
    filters = OneEuro(0.4), OneEuro(0.4)
    for frame in small.frames:
        people = frame.tracked
        large = type(people)(
            type(people.poses)(
                keypoints=people.poses.keypoints * 4,
                scores=people.poses.scores,
                boxes=people.poses.boxes * 4,
                box_scores=people.poses.box_scores,
                origin=people.poses.origin,
            ),
            people.track_ids,
            people.similarities,
            people.confirmed,
        )
        found = [f.smooth(each, frame.time_s).poses.keypoints for f, each in zip(filters, (people, large), strict=True)]
        np.testing.assert_allclose(4 * found[0], found[1], rtol=1e-4)


def test_one_euro_holds_over_what_is_missing_and_begins_anew_after_half_a_second() -> None:
    times_s = np.array([0, 0.04, 0.08, 0.12, 0.8, 0.84])
    results = results_of(np.array([[0, 0], [0, 0], [80, 0], [0, 0], [80, 0], [80, 0]], float), times_s)
    follower, found = OneEuro(0.4), []
    for frame in results.frames:
        poses = frame.tracked.poses
        if frame.index == 2:  # a wild keypoint with a low score, a missing one, and a box that is not known
            poses.scores[0, 0], poses.keypoints[0, 1], poses.scores[0, 1], poses.boxes[0] = 0.1, np.nan, 0, np.nan
        found.append(follower.smooth(frame.tracked, frame.time_s).poses.keypoints[0])
    assert found[2][0].tolist() == [180, 10]
    assert np.isnan(found[2][1]).all()
    np.testing.assert_allclose(found[3][:2], found[1][:2], atol=1e-3)
    assert 100 < found[3][2, 0] < 180  # a sure keypoint that jumps is followed
    np.testing.assert_allclose(found[4][:, 0], 180)
    again = follower.smooth(results.frames[0].tracked, 0.0)  # time goes back
    np.testing.assert_allclose(again.poses.keypoints, results.frames[0].tracked.poses.keypoints)


def test_short_segments_and_cut_offs_out_of_reach_stay_as_they_are() -> None:
    values = np.random.default_rng(0).normal(size=(9, 2))
    times_s = np.arange(9) / 30
    np.testing.assert_array_equal(butterworth(values[:3], times_s[:3], 6), values[:3])
    np.testing.assert_array_equal(butterworth(values, times_s, 15.1), values)
    assert np.isfinite(butterworth(values[:4], times_s[:4], 6)).all()
    line = np.linspace(0, 8, 9)[:, None] * [1.0, -2.0]
    np.testing.assert_allclose(butterworth(line, times_s, 6), line, atol=0.01)  # the ends are not bent
    spike = line.copy()
    spike[4] = 100
    np.testing.assert_allclose(hampel(spike, times_s), line, atol=2.1)
