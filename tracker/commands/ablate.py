"""`ablate`: the paper's ablation on rendered scenes, as one table of id switches and people found."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from tracker.commands.options import HelpFormatter, add_tracking_options, tracker_config
from tracker.errors import UsageError
from tracker.tracking.config import Similarity, TrackerConfig

if TYPE_CHECKING:
    from tracker.evaluation.oracle import IdentityCount


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "ablate",
        help="compare similarities, propagation and memory on rendered scenes",
        description="Track all rendered scenes with each similarity, without propagation and without the memory of "
        "lost people; print id switches and the share of people found. The true poses with noise and misses stand "
        "in for the networks; everything else is the real pipeline.",
        formatter_class=HelpFormatter,
    )
    group = parser.add_argument_group("scenes")
    group.add_argument("--seeds", type=int, default=3, metavar="N", help="variants of each scene")
    group.add_argument("--frames", type=int, default=60, metavar="N", help="length of each, at 25 frames per second")
    add_tracking_options(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the table to stdout, in Markdown, row by row."""
    if args.seeds < 1 or args.frames < 2:
        raise UsageError("--seeds must be 1 or more and --frames 2 or more")
    config = tracker_config(args)
    from tqdm import tqdm

    from tracker.evaluation.scenes import SCENARIOS

    rows: dict[str, dict[str, list[IdentityCount]]] = {}
    for scene in tqdm(SCENARIOS, unit="scene", disable=not sys.stderr.isatty(), leave=False):
        for label, count in _count(scene, args, _settings(config)):
            rows.setdefault(label, {}).setdefault(scene, []).append(count)
    print(f"| setting | {' | '.join(SCENARIOS)} | switches | found |\n|---|{'---|' * (len(SCENARIOS) + 2)}")
    print("\n".join(_row(label, counts) for label, counts in rows.items()))
    return 0


def _settings(config: TrackerConfig) -> Mapping[str, TrackerConfig]:
    """The rows: each similarity, then the given settings without one part at a time."""
    rows = {name: replace(config, similarity=name) for name in get_args(Similarity)}
    rows["no propagation"] = replace(config, propagation=False)
    rows["plain merge"] = replace(config, merge="plain")
    rows["no memory"] = replace(config, max_lost=0)
    return rows


def _count(
    scene: str, args: argparse.Namespace, settings: Mapping[str, TrackerConfig]
) -> Iterator[tuple[str, IdentityCount]]:
    """Identities in each variant of a scene, with each of the settings."""
    from tracker.evaluation.oracle import OracleEstimator, RecordedFlow, count_switches, track_scene
    from tracker.evaluation.scenes import render_scene
    from tracker.flow import create_flow

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
