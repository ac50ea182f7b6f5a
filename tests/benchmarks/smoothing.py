"""What smoothing takes away and leaves, how late it is, and what it costs: `python -m tests.benchmarks.smoothing`.

With an annotation file of PoseTrack18 and results of its sequence, which `track --format jsonl` makes: how right raw
and smoothed keypoints are. With results alone: how much they shake.
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

from tests.people import poses_of, with_ids
from tracker.after.ahead import smooth_ahead
from tracker.after.filters import OneEuro
from tracker.after.second_pass import SecondPass, run_second_pass
from tracker.after.table import PeopleTable
from tracker.formats import FrameResult, Header, Results, read_results
from tracker.skeletons import COCO_17
from tracker.types import Frame

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
        keypoints = np.broadcast_to(place + offset, (num_people, 17, 2))
        poses = poses_of(keypoints, scores=0.9, boxes=[50, 0, 150, 300])
        people = with_ids(poses, range(1, num_people + 1), similarities=1)
        frames.append(FrameResult(index, float(time_s), people))
    return Results(Header(COCO_17, "", (640, 480), None), tuple(frames))


def smoothed(offsets: Any, times_s: Sequence[float], smooth: str) -> Any:
    """The paths (T, 17, 2) of the first person's keypoints after a second pass."""
    worked = worked_by(smooth, results_of(offsets, times_s))
    return np.array([frame.tracked.poses.keypoints[0] for frame in worked.frames], np.float64)


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


def shaking(results: Results) -> float:
    """The median of sure keypoints' second differences from frame to frame, in percent of the size of their person."""
    table, shares = PeopleTable.of(results), list[float]()
    for _, rows in table.tracks():
        poses, frames = table.poses[rows], table.frames[rows]
        off = np.hypot(*np.diff(poses.keypoints, 2, axis=0).transpose(2, 0, 1))
        sizes = (poses.boxes[:, 2:] - poses.boxes[:, :2]).mean(axis=1)[1:-1, None]
        is_sure = poses.scores >= 0.4
        is_sure = is_sure[2:] & is_sure[1:-1] & is_sure[:-2] & (frames[2:] - frames[:-2] == 2)[:, None]
        shares += (off / sizes)[is_sure].tolist()
    return 100 * float(np.median(shares))


def noise_left(smooth: str, times_s: Any, noise: float) -> float:
    """The share of its variance that a still pose keeps; noise: σ, in person sizes, white."""
    offsets = np.random.default_rng(0).normal(0, noise * SIZE, (len(times_s), 1, 17, 2))
    settled = _settled(times_s)
    left = smoothed(offsets, times_s, smooth)[settled]
    return float(left.var(axis=0).sum() / offsets[settled].var(axis=0).sum())


def swing_left(smooth: str, times_s: Any, amplitude: float, swing_hz: float = 2.0) -> tuple[float, float]:
    """The share of its amplitude that a swing keeps, and how late it is, in ms; amplitude: in person sizes.

    Amplitudes are those from the lowest to the highest point of a period, in the median.
    """
    phases = 2 * np.pi * swing_hz * times_s
    offsets = np.stack([amplitude * SIZE * np.sin(phases), 0 * times_s], axis=1)
    settled = _settled(times_s)
    path, given = smoothed(offsets, times_s, smooth)[settled, 0, 0], offsets[settled, 0]
    starts = np.flatnonzero(np.diff(np.floor(phases[settled] / (2 * np.pi)))) + 1
    periods = zip(np.split(path, starts)[1:-1], np.split(given, starts)[1:-1], strict=True)
    kept = [np.ptp(left) / np.ptp(whole) for left, whole in periods]
    parts = np.stack([np.sin(phases), np.cos(phases), np.ones(len(phases))], axis=1)[settled]
    in_phase, late, _ = np.linalg.lstsq(parts, path)[0]
    return float(np.median(kept)), round(float(-np.arctan2(late, in_phase) / (2 * np.pi * swing_hz) * 1e3), 1) + 0.0


def _settled(times_s: Any) -> Any:
    """(T,): what is a second from the ends."""
    return (times_s >= 1) & (times_s <= times_s[-1] - 1)


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
    if len(sys.argv) == 2:
        results = read_results(sys.argv[1])
        print(*(f"{smooth}: {shaking(worked_by(smooth, results)):.1f}" for smooth in ("off", *_FILTERS)))
        return
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
        for rate_hz in (12.5, 24.0, 25.0, 30.0, 60.0):
            times_s = np.arange(0, 20, 1 / rate_hz)
            noises = [f"{noise_left(smooth, times_s, noise):.0%}" for noise in (0.003, 0.006, 0.012)]
            swings = [swing_left(smooth, times_s, amplitude) for amplitude in (0.1, 0.2, 0.3)]
            kept, late = (
                ", ".join(form.format(swing[i]) for swing in swings) for i, form in enumerate(("{:.0%}", "{:.0f}"))
            )
            print(f"| {smooth} | {rate_hz:g} | {', '.join(noises)} | {kept} | {late} |")
    _cost_ms("butterworth", 20)  # SciPy is loaded
    costs = ", ".join(f"{_cost_ms(smooth, 20):.2f} by {smooth}" for smooth in _FILTERS)
    print(f"20 people, ms of CPU time per frame: {costs}")


if __name__ == "__main__":
    main()
