"""Measures what the defaults of the tracker give, and what other values of one setting at a time would.

    python -m tests.benchmarks.defaults --tracks FILE --dataset DIR --scenes

Three sources, a table each: FILE has true tracks, which are observed with simulated errors (`simulated_video`); DIR is
a PoseTrack data set, tracked with the included networks; the scenes are those of `ablate`. Sequences of FILE are split
in two by name: values are to be chosen by one half and judged by the other. All settings meet the same errors, so that
their difference from the defaults varies less between seeds than the figures themselves; ± is the deviation of that
difference. Ten minutes on one core; the dataset's images are looked at once.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import TypeAlias

import numpy as np
from tqdm import tqdm

from tests.benchmarks.simulated_video import Errors, SimulatedVideo, read_tracks, track
from tracker.evaluation.ablation import Ablation, Outcome, Setting, predicted_frame
from tracker.evaluation.posetrack.measure import Timeline, measure_sequence
from tracker.evaluation.posetrack.mot import MotCounts
from tracker.evaluation.recording import Networks
from tracker.flow import create_flow
from tracker.formats.posetrack import PoseTrackSequence
from tracker.formats.posetrack_dataset import find_dataset
from tracker.pipeline import build_pipeline
from tracker.scenes.oracle import IdentityCount, OracleEstimator, RecordedFlow, count_switches, track_scene
from tracker.scenes.rendering import render_scene
from tracker.scenes.scripts import SCENARIOS
from tracker.tracking.config import TrackerConfig
from tracker.types import TrackedPoses

DEFAULTS = "defaults"
VALUES: Mapping[str, tuple[float, ...]] = {
    "gate": (0.05, 0.1, 0.15, 0.2, 0.3),
    "queue_length": (1, 2, 4, 8, 16),
    "merge_iou": (0.3, 0.4, 0.5, 0.6),
    "keypoint_threshold": (0.2, 0.3, 0.4, 0.5, 0.6),
    "min_hits": (1, 2, 3, 5),
    "max_lost": (0, 30, 60, 150),
}
# That of all sequences of the Multi-Person PoseTrack data.
SIZE_WH = (960, 540)
# Settings by their labels in the tables.
Settings: TypeAlias = Mapping[str, TrackerConfig]


@dataclass(frozen=True)
class Tally:
    """What a setting gives in some sequences.

    mot: with every person counted, for the dummy objects of poseval weigh much in short sequences. switches: changes of
    a person's id. false_people: ids that are confirmed and never right. num_confirmed: how many of num_people true
    people, counted over all frames, have a confirmed id.
    """

    mot: MotCounts
    switches: int
    false_people: int
    num_confirmed: int
    num_people: int

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def figures(self) -> tuple[float, ...]:
        """MOTA, switches, false people, percentage of people confirmed."""
        mota = float(self.mot.figures()["mota"][-1])
        return mota, self.switches, self.false_people, 100 * self.num_confirmed / self.num_people


def count_person_switches(timeline: Timeline) -> int:
    """How often a person has another id than when last seen; their id is that of most of their keypoints."""
    held = np.flatnonzero(timeline.holders >= 0)
    rows = held[np.lexsort((timeline.frames[held], timeline.track_ids[held]))]
    same_person, other_id = np.diff(timeline.track_ids[rows]) == 0, np.diff(timeline.holders[rows]) != 0
    return int((same_person & other_id).sum())


def tally(truth: PoseTrackSequence, tracked: Sequence[TrackedPoses], keypoint_threshold: float) -> Tally:
    """Measure what a tracker gave for each frame of a sequence."""
    pairs = list(zip(truth.frames, tracked, strict=True))
    frames = (predicted_frame(true, people.poses, people.track_ids) for true, people in pairs)
    measured = measure_sequence(truth, PoseTrackSequence(truth.name, "18", tuple(frames)), keypoint_threshold)
    timeline = measured.timeline
    confirmed = [set(people.track_ids[people.confirmed].tolist()) for _, people in pairs]
    # Only frames that list somebody are on the timeline.
    listed = [ids for ids, (true, _) in zip(confirmed, pairs, strict=True) if len(true)]
    holders = timeline.holders.tolist()
    return Tally(
        mot=measured.mot_every_person,
        switches=count_person_switches(timeline),
        false_people=len(set().union(*confirmed) - set(holders)),
        num_confirmed=sum(holder in listed[frame] for frame, holder in zip(timeline.frames, holders, strict=True)),
        num_people=len(holders),
    )


def is_held_out(name: str) -> bool:
    """Whether a sequence judges values rather than choosing them; by name, hence for ever."""
    return zlib.crc32(name.encode()) % 2 == 1


def compare_on_tracks(args: argparse.Namespace, settings: Settings, seeds: Sequence[int]) -> None:
    """Print the table of the simulated videos."""
    sequences = [pair for pair in read_tracks(args.tracks) if len(pair[0].frames) >= args.least_frames]
    rate, _ = Errors().cover_run
    errors = replace(Errors(), cover_run=(rate, args.cover_frames))
    tallies: dict[tuple[str, bool, int], list[Tally]] = {}
    for seed in seeds:
        for truth, hidden in _bar(sequences, f"tracks, seed {seed}"):
            video = SimulatedVideo(truth, hidden, SIZE_WH, seed, errors)
            for label, config in settings.items():
                outcome = tally(truth, list(track(video, config)), config.keypoint_threshold)
                tallies.setdefault((label, is_held_out(truth.name), seed), []).append(outcome)
    halves = sorted({is_held_out(truth.name) for truth, _ in sequences})
    rows = {
        label: [np.array([reduce(add, tallies[label, half, seed]).figures() for seed in seeds]) for half in halves]
        for label in settings
    }
    columns = ("MOTA", "switches", "false people", "confirmed %")
    print(f"\n{len(sequences)} sequences of true tracks, simulated errors, {len(seeds)} seeds")
    print(" | ".join("those held out" if half else "those to choose by" for half in halves))
    _print_head(columns * len(halves))
    for label, figures in rows.items():
        bases = [None] * len(halves) if label == DEFAULTS else rows[DEFAULTS]
        _print_row(label, [cell for pair in zip(figures, bases, strict=True) for cell in _cells(*pair)])


def _cells(figures: np.ndarray, base: np.ndarray | None) -> list[str]:
    """figures: (seeds, columns). Their mean or, with a base, that of the difference and its deviation."""
    if base is None:
        return [f"{mean:.2f}" for mean in figures.mean(axis=0)]
    differences = figures - base
    deviations = differences.std(axis=0, ddof=1) if len(differences) > 1 else [np.nan] * differences.shape[1]
    return [
        f"{mean:+.2f} ± {deviation:.2f}" for mean, deviation in zip(differences.mean(axis=0), deviations, strict=True)
    ]


def compare_on_scenes(settings: Settings, seeds: Sequence[int]) -> None:
    """Print the table of the rendered scenes."""
    counts: dict[str, list[IdentityCount]] = {label: [] for label in settings}
    for scene in _bar(SCENARIOS, "scenes"):
        for seed in seeds:
            frames = list(render_scene(scene, seed=seed))
            flow = RecordedFlow(frames, create_flow("dis"))
            for label, config in settings.items():
                tracked = track_scene(frames, flow, config, OracleEstimator(seed=seed))
                counts[label].append(count_switches((frame.people, people) for frame, people in tracked))
    print(f"\nRendered scenes, {len(seeds)} variants of each")
    _print_head(["switches", "found"])
    for label, of_setting in counts.items():
        switches = sum(count.switches for count in of_setting)
        found = sum(count.num_matched for count in of_setting) / sum(count.num_people for count in of_setting)
        _print_row(label, [str(switches), f"{100 * found:.1f} %"])


def compare_on_dataset(args: argparse.Namespace, settings: Settings) -> None:
    """Print the table of real images; switches are over all keypoints, fifteen for a person."""
    pipeline = build_pipeline(detector=args.detector, pose_model=args.pose_model, device="cpu", num_threads=1)
    dataset = find_dataset(args.dataset)
    assert dataset is not None, f"{args.dataset} is no PoseTrack data set"
    networks = Networks([pipeline.detector], pipeline.estimator, pipeline.flow)
    ablation = Ablation(dataset.sequences(dataset.default_split), networks)
    labels = {Setting(config): label for label, config in settings.items()}
    print(f"\n{args.dataset.name}, {pipeline.detector.name}, {pipeline.estimator.name}")
    _print_head(["mAP", "MOTA", "switches"])
    for setting, outcome in ablation.run(labels):
        _print_row(labels[setting], _columns(outcome))


def _columns(outcome: Outcome) -> list[str]:
    return [f"{outcome.ap['Total']:.1f}", f"{outcome.mot['Total']:.1f}", str(outcome.num_switches)]


def _print_head(columns: Sequence[str]) -> None:
    print(f"\n| setting | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")


def _print_row(label: str, cells: Sequence[str]) -> None:
    print(f"| {label} | {' | '.join(cells)} |", flush=True)


def _bar(items: Iterable, label: str) -> Iterable:
    return tqdm(list(items), label, disable=not sys.stderr.isatty(), leave=False)


def _settings(names: Sequence[str], together: Sequence[str]) -> Settings:
    """The defaults, each other value of the named settings, and all values of `together` at once."""
    base = TrackerConfig()
    settings = {DEFAULTS: base}
    for name in names:
        others = (value for value in VALUES[name] if value != getattr(base, name))
        settings |= {f"{name} {value:g}": replace(base, **{name: value}) for value in others}
    if together:
        pairs = [pair.split("=") for pair in together]
        values = {name: type(getattr(base, name))(value) for name, value in pairs}
        settings[" ".join(together)] = replace(base, **values)
    return settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=Path, metavar="FILE")
    parser.add_argument("--dataset", type=Path, metavar="DIR")
    parser.add_argument("--scenes", action="store_true")
    parser.add_argument("--detector", type=Path, metavar="FILE", help="for the data set; default: as shipped")
    parser.add_argument("--pose-model", type=Path, metavar="FILE", help="likewise")
    parser.add_argument("--least-frames", type=int, default=0, metavar="N", help="leave out shorter sequences of FILE")
    parser.add_argument(
        "--cover-frames",
        type=float,
        default=Errors().cover_run[1],
        metavar="N",
        help="how long people stay hidden, on average; default: %(default)g",
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--first-seed", type=int, default=0, metavar="N")
    parser.add_argument("--only", nargs="*", choices=VALUES, default=list(VALUES), help="settings to vary")
    parser.add_argument("--together", nargs="*", default=[], metavar="NAME=VALUE", help="a row with all of these")
    args = parser.parse_args()

    settings = _settings(args.only, args.together)
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    parts: list[tuple[object, Callable[[], None]]] = [
        (args.dataset, lambda: compare_on_dataset(args, settings)),
        (args.tracks, lambda: compare_on_tracks(args, settings, seeds)),
        (args.scenes, lambda: compare_on_scenes(settings, seeds)),
    ]
    for wanted, compare in parts:
        if wanted:
            compare()


if __name__ == "__main__":
    main()
