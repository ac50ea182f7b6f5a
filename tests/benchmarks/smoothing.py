"""What smoothing takes away and leaves, how late it is, and what it costs: `python -m tests.benchmarks.smoothing`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tracker.after.filters import OneEuro
from tracker.after.second_pass import SecondPass, run_second_pass
from tracker.formats import FrameResult, Header, Results
from tracker.skeletons import COCO_17
from tracker.types import Poses, TrackedPoses

SIZE = 200.0
"""Pixels: the mean of the sides of everybody's box."""


def results_of(offsets: Any, times_s: Sequence[float], num_people: int = 1) -> Results:
    """People whose keypoints are all off by offsets (T, 2) or (T, N, K, 2) pixels from where they stand."""
    place = np.stack([np.full(17, 100.0), np.linspace(10, 290, 17)], axis=1)
    offsets = np.asarray(offsets, np.float64).reshape(len(times_s), *np.shape(offsets)[1:-1], 2)
    if offsets.ndim == 2:
        offsets = offsets[:, None, None]
    frames = []
    for index, (time_s, offset) in enumerate(zip(times_s, offsets, strict=True)):
        keypoints = np.broadcast_to(place + offset, (num_people, 17, 2)).astype(np.float32)
        poses = replace(
            Poses.empty(17),
            keypoints=keypoints,
            scores=np.full((num_people, 17), 0.9, np.float32),
            boxes=np.tile(np.float32([50, 0, 150, 300]), (num_people, 1)),
            box_scores=np.ones(num_people, np.float32),
            origin=np.zeros(num_people, np.int8),
        )
        ids, ones = np.arange(1, num_people + 1), np.ones(num_people)
        people = TrackedPoses(poses, ids, ones.astype(np.float32), ones.astype(np.bool_))
        frames.append(FrameResult(index, float(time_s), people))
    return Results(Header(COCO_17, "", (640, 480), None), tuple(frames))


def smoothed(offsets: Any, times_s: Sequence[float], smooth: str) -> Any:
    """The path (T, 2) of the first keypoint after a second pass."""
    worked = run_second_pass(results_of(offsets, times_s), SecondPass(smooth=smooth), 0.4)
    return np.array([frame.tracked.poses.keypoints[0, 0] for frame in worked.frames], np.float64)


def noise_left(smooth: str, rate_hz: float, noise: float) -> float:
    """The share of its variance that a still pose keeps; noise: σ, in person sizes."""
    times_s = np.arange(0, 20, 1 / rate_hz)
    offsets = np.random.default_rng(0).normal(0, noise * SIZE, (len(times_s), 2))
    settled = slice(round(rate_hz), -round(rate_hz))
    return float(smoothed(offsets, times_s, smooth)[settled].var(axis=0).sum() / offsets[settled].var(axis=0).sum())


def swing_left(smooth: str, rate_hz: float, amplitude: float, swing_hz: float = 2.0) -> tuple[float, float]:
    """The share of its amplitude that a swing keeps, and how late it is, in ms; amplitude: in person sizes."""
    times_s = np.arange(0, 20, 1 / rate_hz)
    wave = np.exp(2j * np.pi * swing_hz * times_s)
    offsets = np.stack([amplitude * SIZE * wave.imag, 0 * times_s], axis=1)
    settled = slice(round(rate_hz), -round(rate_hz))
    path = smoothed(offsets, times_s, smooth)[settled, 0]
    path -= path.mean()
    wave, given = wave[settled], offsets[settled, 0]
    turn = np.angle((path * wave.conj()).sum() / (given * wave.conj()).sum())
    return float(np.abs(path).max() / np.abs(given).max()), float(-turn / (2 * np.pi * swing_hz) * 1e3)


def _cost_ms(num_people: int) -> tuple[float, float]:
    """CPU time per frame of One-Euro as people come, and of a second pass with Butterworth."""
    times_s = np.arange(0, 10, 1 / 30)
    offsets = np.random.default_rng(0).normal(0, 1, (len(times_s), num_people, 17, 2))
    results = results_of(offsets, times_s.tolist(), num_people)
    start, follower = time.process_time(), OneEuro(0.4)
    for frame in results.frames:
        follower.smooth(frame.tracked, frame.time_s)
    middle = time.process_time()
    run_second_pass(results, SecondPass(smooth="butterworth", fill_gaps_s=0.2), 0.4)
    return tuple(1e3 * spent / len(times_s) for spent in (middle - start, time.process_time() - middle))  # type: ignore[return-value]


def main() -> None:
    """Print the tables."""
    print(
        "| filter | frames/s | variance kept of noise of 0.3, 0.6, 1.2 % "
        "| of a 2 Hz swing of 10, 20, 30 %: kept | ms late |"
    )
    print("|---|---|---|---|---|")
    for smooth in ("one-euro", "butterworth"):
        for rate_hz in (25.0, 30.0, 60.0):
            noises = [f"{noise_left(smooth, rate_hz, noise):.0%}" for noise in (0.003, 0.006, 0.012)]
            swings = [swing_left(smooth, rate_hz, amplitude) for amplitude in (0.1, 0.2, 0.3)]
            kept, late = (
                ", ".join(form.format(swing[i]) for swing in swings) for i, form in enumerate(("{:.0%}", "{:.0f}"))
            )
            print(f"| {smooth} | {rate_hz:.0f} | {', '.join(noises)} | {kept} | {late} |")
    _cost_ms(20)  # SciPy is loaded
    print("20 people: {:.2f} ms of CPU time per frame by One-Euro, {:.2f} by Butterworth".format(*_cost_ms(20)))


if __name__ == "__main__":
    main()
