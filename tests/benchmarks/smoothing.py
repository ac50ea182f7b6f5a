"""What smoothing takes away and leaves, how late it is, and what it costs: `python -m tests.benchmarks.smoothing`.

With an annotation file of PoseTrack18 and results of its sequence, which `track --format jsonl` makes: how right raw
and smoothed keypoints are.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tracker.after.ahead import smooth_ahead
from tracker.after.filters import OneEuro
from tracker.after.second_pass import SecondPass, run_second_pass
from tracker.formats import FrameResult, Header, Results, read_results
from tracker.skeletons import COCO_17
from tracker.types import Frame, Poses, TrackedPoses

_FILTERS = ("ahead", "one-euro", "butterworth")
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
        poses = Poses(
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
    worked = worked_by(smooth, results_of(offsets, times_s))
    return np.array([frame.tracked.poses.keypoints[0, 0] for frame in worked.frames], np.float64)


def worked_by(smooth: str, results: Results) -> Results:
    """The results smoothed by a filter of `SecondPass`, or `ahead` as overlays are."""
    if smooth != "ahead":
        return run_second_pass(results, SecondPass(smooth=smooth, fill_gaps_s=0.2), 0.4)
    pixel = np.zeros((1, 1, 3), np.uint8)
    ahead = smooth_ahead(((Frame(each.index, each.time_s, pixel), each.tracked) for each in results.frames), 0.4)
    worked = tuple(replace(each, tracked=people) for each, (_, people) in zip(results.frames, ahead, strict=True))
    return replace(results, frames=worked)


def pckh(truth: Path, results: Results) -> list[float]:
    """Percent of the annotated keypoints within 0.5, 0.3, 0.2 and 0.1 head sizes of those of the nearest person."""
    content = json.loads(truth.read_text())
    places = {image["id"]: place for place, image in enumerate(content["images"])}
    known = results.header.skeleton.keypoint_names
    pairs = [(i, known.index(name)) for i, name in enumerate(content["categories"][0]["keypoints"]) if name in known]
    distances = list[float]()
    for person in content["annotations"]:
        marked = np.array(person["keypoints"], np.float64).reshape(-1, 3)
        of_truth, of_results = np.array([pair for pair in pairs if marked[pair[0], 2] > 0]).T
        found = results.frames[places[person["image_id"]]].tracked.poses.keypoints[:, of_results]
        off = np.hypot(*(found - marked[of_truth, :2]).transpose(2, 0, 1))
        nearest = off[np.nanargmin(np.nanmedian(off, axis=1))]
        distances += (nearest / (0.6 * np.hypot(*person["bbox_head"][2:]))).tolist()
    return [100 * float(np.mean(np.array(distances) <= reach)) for reach in (0.5, 0.3, 0.2, 0.1)]


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
    return float(np.abs(path).max() / np.abs(given).max()), round(float(-turn / (2 * np.pi * swing_hz) * 1e3), 1) + 0.0


def _cost_ms(smooth: str, num_people: int) -> float:
    """CPU time per frame; of One-Euro as people come."""
    times_s = np.arange(0, 10, 1 / 30)
    offsets = np.random.default_rng(0).normal(0, 1, (len(times_s), num_people, 17, 2))
    results = results_of(offsets, times_s.tolist(), num_people)
    start, follower = time.process_time(), OneEuro(0.4)
    if smooth == "one-euro":
        for frame in results.frames:
            follower.smooth(frame.tracked, frame.time_s)
    else:
        worked_by(smooth, results)
    return 1e3 * (time.process_time() - start) / len(times_s)


def main() -> None:
    """Print the tables."""
    if len(sys.argv) > 2:
        results = read_results(sys.argv[2])
        print("| | PCKh@0.5 | @0.3 | @0.2 | @0.1 |\n|---|---|---|---|---|")
        for smooth in ("off", *_FILTERS):
            shares = pckh(Path(sys.argv[1]), worked_by(smooth, results))
            print(f"| {smooth} | {' | '.join(f'{share:.1f}' for share in shares)} |")
        return
    print(
        "| filter | frames/s | variance kept of noise of 0.3, 0.6, 1.2 % "
        "| of a 2 Hz swing of 10, 20, 30 %: kept | ms late |"
    )
    print("|---|---|---|---|---|")
    for smooth in _FILTERS:
        for rate_hz in (25.0, 30.0, 60.0):
            noises = [f"{noise_left(smooth, rate_hz, noise):.0%}" for noise in (0.003, 0.006, 0.012)]
            swings = [swing_left(smooth, rate_hz, amplitude) for amplitude in (0.1, 0.2, 0.3)]
            kept, late = (
                ", ".join(form.format(swing[i]) for swing in swings) for i, form in enumerate(("{:.0%}", "{:.0f}"))
            )
            print(f"| {smooth} | {rate_hz:.0f} | {', '.join(noises)} | {kept} | {late} |")
    _cost_ms("butterworth", 20)  # SciPy is loaded
    costs = ", ".join(f"{_cost_ms(smooth, 20):.2f} by {smooth}" for smooth in _FILTERS)
    print(f"20 people, ms of CPU time per frame: {costs}")


if __name__ == "__main__":
    main()
