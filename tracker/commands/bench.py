"""`bench`: what a frame costs by stage, on a clip or a drawn crowd, and how that grows."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.commands.evaluation_inputs import add_output_options, check_outputs
from tracker.commands.options import (
    add_model_options,
    add_tracking_options,
    natural,
    read_engine,
    read_settings,
)
from tracker.errors import UsageError

if TYPE_CHECKING:
    from tracker.job.measure import Measure, Measurement

# By what --scale names: the values that are tried, of which the others are the usual ones.
_SCALES: Mapping[str, Sequence[int]] = {
    "people": (1, 5, 10, 20),
    "height": (360, 720, 1080, 2160),
    "queue": (1, 4, 8, 16),
}


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "bench",
        help="measure what a frame costs, stage by stage",
        description="Track, draw and encode a clip several times; print medians by stage: wall milliseconds, and CPU "
        "milliseconds, which other programs on the machine disturb less. Without --input a drawn crowd is tracked, in "
        "which the networks do their work and the truth answers. Compare figures of one run only. `profile --rounds` "
        "measures networks alone.",
    )
    parser.moved["--networks"] = "`profile --rounds 20 FILE`"
    group = parser.add_argument_group("measurement")
    group.add_argument("--input", metavar="SOURCE", help="video file or folder of images")
    group.add_argument("--max-frames", type=natural, default=150, metavar="N", help="frames to stop after")
    group.add_argument("--repeat", type=natural, default=3, metavar="N", help="runs to take medians of")
    group.add_argument("--people", dest="crowd", type=natural, default=12, metavar="N", help="in the drawn crowd")
    group.add_argument("--height", type=natural, default=720, metavar="PX", help="of the drawn crowd, in 16:9")
    group.add_argument(
        "--scale",
        nargs="+",
        choices=_SCALES,
        default=[],
        help="also with more and fewer people, pixels, or past frames",
    )
    group.add_argument("--plot", type=Path, metavar="FILE", help="draw CPU time by stage as PNG")
    add_output_options(group)
    add_model_options(parser)
    add_tracking_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print a table to stdout."""
    _check(args)
    check_outputs(args, args.json, args.plot)
    runs = {"as asked": {"": _measure(args, is_whole=True)}}
    print(_table(runs["as asked"][""]))
    for scale in args.scale:
        runs[scale] = {str(value): _measure(_scaled(args, scale, value)) for value in _SCALES[scale]}
        print(f"\n{_scale_table(scale, runs[scale])}")
    if args.json:
        from tracker.outputs import write_json

        write_json(args.json, {name: {key: one.as_json() for key, one in of.items()} for name, of in runs.items()})
    if args.plot:
        _draw(runs, args.plot)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse what does not go together."""
    if args.input is None and args.pose == "bottom-up":
        raise UsageError("bottom-up networks find nobody in a drawn crowd; name a clip with --input")
    if args.input is None and args.speed not in (None, "exact"):
        raise UsageError(f"--speed {args.speed} leaves out no work where the truth answers; name a clip with --input")
    if args.input is None and args.height % 2:
        raise UsageError(f"--height must be even, not {args.height}")
    if args.input is not None and {"people", "height"} & set(args.scale):
        raise UsageError("--scale people and height are for the drawn crowd; leave out --input, or take --scale queue")
    if args.plot:
        from tracker.plots import check_can_draw

        check_can_draw()


def _scaled(args: argparse.Namespace, scale: str, value: int) -> argparse.Namespace:
    return argparse.Namespace(**vars(args) | {{"queue": "queue_length", "people": "crowd"}.get(scale, scale): value})


def _measure(args: argparse.Namespace, *, is_whole: bool = False) -> Measurement:
    """Medians of the runs; is_whole: with the memory that a frame takes anew, where that can be known."""
    from tracker.job.measure import RETURNING, elsewhere, fresh_memory_mb, measure, middle

    found = middle(_run(args, [measure] * args.repeat))
    if is_whole and sys.platform == "linux":
        fewer = argparse.Namespace(**vars(args) | {"max_frames": min(args.max_frames, 60)})
        (found.fresh_mb,) = elsewhere(RETURNING, _run, fewer, [fresh_memory_mb])
    return found


def _run(args: argparse.Namespace, measures: Sequence[Measure]) -> list[Any]:
    """What each of these says of a run of its own."""
    from tracker.job.measure import run_measures

    crowd = (args.crowd, args.height, args.max_frames)
    return run_measures(read_settings(args), read_engine(args), measures, args.input, *crowd)


def _table(found: Measurement) -> str:
    """By stage, and what is to be said of the whole."""
    from tracker.evaluation.tables import markdown_table
    from tracker.runtime import num_cores

    rows: list[list[Any]] = [[stage, wall, found.cpu_ms[stage]] for stage, wall in found.wall_ms.items()]
    rows += [["libraries' threads", None, found.other_cpu_ms], ["a frame", found.frame_wall_ms, found.frame_cpu_ms]]
    chain, chain_ms = found.slowest_chain
    width, height = found.size_wh
    lines = [
        markdown_table(["ms", "wall", "CPU"], rows),
        f"{1e3 / found.frame_wall_ms:.1f} frames/s end to end, {found.frames} frames of {width}×{height}",
        f"overlap {found.overlap:.0%}: {' + '.join(chain)} take {chain_ms:.1f} ms one after another, the CPU time by "
        f"{num_cores()} cores is {found.frame_cpu_ms / num_cores():.1f} ms",
    ]
    if found.fresh_mb is not None:
        pictures = f"{found.fresh_mb / (3e-6 * width * height):.1f} pictures"
        lines.append(f"fresh memory {found.fresh_mb:.1f} MB a frame, as {pictures}")
    if found.memory_mb is not None:
        growth = "" if found.growth_kb is None else f", {found.growth_kb:+.0f} kB by 1,000 frames in the second half"
        lines.append(f"memory {found.memory_mb:.0f} MB at most{growth}")
    return "\n".join([*lines, *found.parts])


def _scale_table(scale: str, runs: Mapping[str, Measurement]) -> str:
    from tracker.evaluation.tables import markdown_table

    stages = list(next(iter(runs.values())).cpu_ms)
    header = [f"{scale}, CPU ms", *stages, "libraries' threads", "a frame", "wall", "MB"]
    rows = [
        [key, *one.cpu_ms.values(), one.other_cpu_ms, one.frame_cpu_ms, one.frame_wall_ms, one.memory_mb]
        for key, one in runs.items()
    ]
    return markdown_table(header, rows)


def _draw(runs: Mapping[str, Mapping[str, Measurement]], path: Path) -> None:
    """A stacked bar of CPU time for each value of each scale, side by side."""
    from tracker.plots import new_figure, save_figure

    figure = new_figure(4 * len(runs), 4)
    for axes, (name, of) in zip(figure.subplots(1, len(runs), squeeze=False)[0], runs.items(), strict=True):
        base = [0.0] * len(of)
        for stage in [*next(iter(of.values())).cpu_ms, "libraries' threads"]:
            heights = [one.cpu_ms.get(stage, one.other_cpu_ms) for one in of.values()]
            axes.bar(list(of), heights, bottom=base, label=stage)
            base = [low + more for low, more in zip(base, heights, strict=True)]
        axes.set(title=name, ylabel="CPU ms a frame")
    figure.axes[0].legend(fontsize="small")
    save_figure(figure, path)
