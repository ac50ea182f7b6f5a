"""Smoothing with a glance ahead: every frame comes out once, in order, and nothing lags."""

from __future__ import annotations

import numpy as np
import pytest

from tests.after.walks import results, walk
from tests.benchmarks.smoothing import results_of
from tracker.after.ahead import AheadSmoother
from tracker.formats import Results
from tracker.types import Frame, TrackedPoses


def smoothed(given: Results, most: float = 60 * 0.135 + 1, height: int = 1) -> list[TrackedPoses]:
    """Everybody smoothed, where fewer than so many frames wait."""
    smoother, found = AheadSmoother[Frame](0.4), list[tuple[Frame, TrackedPoses]]()
    image = np.broadcast_to(np.uint8(0), (height, 4000, 3))
    for frame in given.frames:
        found += smoother.add(Frame(frame.index, frame.time_s, image), frame.tracked)
        assert frame.index - len(found) < most
    found += smoother.rest()
    assert [frame.index for frame, _ in found] == [frame.index for frame in given.frames]
    return [people for _, people in found]


@pytest.mark.parametrize(("height", "most"), [(1, 60), (4000, 2**29 // (4000 * 4000 * 3))])
def test_few_frames_wait_whatever_their_rate_and_size(height: int, most: int) -> None:
    times_s = np.arange(300) / 1000
    noise = np.random.default_rng(0).normal(0, 2, (len(times_s), 2))
    left = np.array([people.poses.keypoints[0, 0] for people in smoothed(results_of(noise, times_s), most, height)])
    assert left.var(axis=0).sum() < 0.4 * noise.var(axis=0).sum()


def test_noise_goes_and_motion_stays_where_it_is() -> None:
    for rate_hz, most in ((25, 0.4), (30, 0.4), (60, 0.25)):
        times_s = np.arange(0, 10, 1 / rate_hz)
        noise = np.random.default_rng(0).normal(0, 2, (len(times_s), 2))
        left = np.array([people.poses.keypoints[0, 0] for people in smoothed(results_of(noise, times_s))])
        assert left.var(axis=0).sum() < most * noise.var(axis=0).sum()
        swing = np.stack([40 * np.sin(4 * np.pi * times_s), 0 * times_s], axis=1)
        path = np.array([people.poses.keypoints[0, 0] for people in smoothed(results_of(swing, times_s))])
        assert np.abs(path - [100, 10] - swing)[:, 0].max() < 0.05 * 40


def test_people_come_and_go_and_weak_keypoints_are_filled_between_sure_ones_alone() -> None:
    given = results({1: walk(0, 40, 0, 2), 2: walk(10, 12, 300), 3: walk(20, 40, 500)}, 44)
    for index in (15, 38, 39):
        poses = given.frames[index].tracked.poses
        poses.keypoints[0, 4], poses.scores[0, 4] = 999, 0.1
    found = smoothed(given)
    for frame, people in zip(given.frames, found, strict=True):
        assert people.track_ids.tolist() == frame.tracked.track_ids.tolist()
        weak = frame.tracked.poses.scores < 0.4
        close = np.abs(people.poses.keypoints - frame.tracked.poses.keypoints).max(axis=2) < 1e-3
        assert close[~weak].all()
        np.testing.assert_allclose(people.poses.boxes, frame.tracked.poses.boxes, atol=1e-3)
    np.testing.assert_allclose(found[15].poses.keypoints[0, 4], [30 - 9 + 18 / 4, 50], atol=1e-3)
    assert found[15].poses.scores[0, 4] == np.float32(0.8)
    assert found[38].poses.keypoints[0, 4].tolist() == [999, 999]
