"""`ablate`: the paper's ablation, on a PoseTrack data set or on rendered scenes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.commands.options import Parser, add_detector_options, add_tracking_options, tracker_config
from tracker.errors import UsageError
from tracker.tracking.config import TrackerConfig
from tracker.tracking.similarities import SIMILARITIES

if TYPE_CHECKING:
    from tracker.scenes.oracle import IdentityCount

_FOR_DATA_SETS = (
    *("gt", "split", "oracles", "sweep", "json"),
    *("detector", "detector_type", "detector_size", "pose_model", "flip_test"),
)


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "ablate",
        help="compare similarities, propagation, queues and detectors",
        description="Track a PoseTrack data set with the settings of the paper's table 4, with queues of several "
        "lengths and with each detector. mAP is of all keypoints, MOTA of those from --keypoint-threshold on, both as "
        "poseval has them; switches are counted over all keypoints. Networks and flow compute a result once, for all "
        "settings; images per second (fps) are made up of the times that the results took which a setting needs, and "
        "of its tracking: one stage after the other, without drawing. Without --input all rendered scenes are tracked, "
        "with the true poses with noise and misses in place of the networks: id switches, and the share of people "
        "found.",
    )
    group = parser.add_argument_group("data set")
    group.add_argument("--input", type=Path, metavar="DATASET", help="PoseTrack data set")
    group.add_argument("--gt", type=Path, metavar="DIR", help="ground truth; default: that of the data set")
    group.add_argument("--split", metavar="NAME", help="part of the data set; default: val, or the only one")
    group.add_argument(
        "--oracles",
        action="store_true",
        help="add rows in which the truth stands in for boxes, keypoints or ids of labeled images",
    )
    group.add_argument(
        "--sweep",
        action="store_true",
        help="add rows that differ in one threshold each, and one with the best of each",
    )
    group.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    group.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    _add_networks(parser)
    group = parser.add_argument_group("rendered scenes, without --input")
    group.add_argument("--seeds", type=int, default=3, metavar="N", help="variants of each scene")
    group.add_argument("--frames", type=int, default=60, metavar="N", help="length of each, at 25 frames per second")
    add_tracking_options(parser)
    parser.set_defaults(run=run)


def _add_networks(parser: Parser) -> None:
    group = parser.add_argument_group("networks for a data set")
    group.add_argument(
        "--detector",
        type=Path,
        action="append",
        metavar="FILE",
        help="person detector; several times for a row each, the first being that of all other rows",
    )
    add_detector_options(group)
    group.add_argument("--detector-score", type=float, default=0.5, metavar="S", help="least score of a person")
    group.add_argument("--pose-model", type=Path, metavar="FILE", help="pose network; default: as shipped")
    group.add_argument("--flip-test", action="store_true", help="average with the mirrored crop")
    group.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or cuda:N")


def run(args: argparse.Namespace) -> int:
    """Print the table to stdout, in Markdown, row by row."""
    config = tracker_config(args)
    if args.input:
        from tracker.commands.ablate_dataset import ablate_dataset

        return ablate_dataset(args, config)
    for option in _FOR_DATA_SETS:
        if getattr(args, option):
            raise UsageError(f"--{option.replace('_', '-')} is for data sets; name one with --input, or leave it out")
    return _ablate_scenes(args, config)


def _ablate_scenes(args: argparse.Namespace, config: TrackerConfig) -> int:
    if args.seeds < 1 or args.frames < 2:
        raise UsageError("--seeds must be 1 or more and --frames 2 or more")
    from tqdm import tqdm

    from tracker.scenes.scripts import SCENARIOS

    rows: dict[str, dict[str, list[IdentityCount]]] = {}
    for scene in tqdm(SCENARIOS, unit="scene", disable=None, leave=False):
        for label, count in _count(scene, args, _settings(config)):
            rows.setdefault(label, {}).setdefault(scene, []).append(count)
    print(f"| setting | {' | '.join(SCENARIOS)} | switches | found |\n|---|{'---|' * (len(SCENARIOS) + 2)}")
    print("\n".join(_row(label, counts) for label, counts in rows.items()))
    return 0


def _settings(config: TrackerConfig) -> Mapping[str, TrackerConfig]:
    """The rows: each similarity, then the given settings without one part at a time."""
    rows = {name: replace(config, similarity=name) for name in SIMILARITIES}
    rows["no propagation"] = replace(config, propagation=False)
    rows["plain merge"] = replace(config, merge="plain")
    rows["no memory"] = replace(config, max_lost=0)
    return rows


def _count(
    scene: str, args: argparse.Namespace, settings: Mapping[str, TrackerConfig]
) -> Iterator[tuple[str, IdentityCount]]:
    """Identities in each variant of a scene, with each of the settings."""
    from tracker.flow import create_flow
    from tracker.scenes.oracle import OracleEstimator, RecordedFlow, count_switches, track_scene
    from tracker.scenes.rendering import render_scene

    for seed in range(args.seeds):
        frames = list(render_scene(scene, num_frames=args.frames, seed=seed))
        flow = RecordedFlow(frames, create_flow(args.flow))
        for label, config in settings.items():
            tracked = track_scene(frames, flow, config, OracleEstimator(seed=seed))
            yield label, count_switches((frame.people, people) for frame, people in tracked)


def _row(label: str, counts: Mapping[str, Sequence[IdentityCount]]) -> str:
    switches = [sum(count.switches for count in of_scene) for of_scene in counts.values()]
    flat = [count for of_scene in counts.values() for count in of_scene]
    found = sum(count.num_matched for count in flat) / max(sum(count.num_people for count in flat), 1)
    return f"| {label} | {' | '.join(map(str, switches))} | {sum(switches)} | {100 * found:.1f} % |"
