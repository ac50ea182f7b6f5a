"""`track`: poses with ids out of a video, as an overlay video, a results file or a live window."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tracker.commands.options import (
    HelpFormatter,
    add_batch_options,
    add_model_options,
    add_tracking_options,
    model_options,
    refuse_batch_options,
)
from tracker.commands.tasks import check_outputs, plan_tasks
from tracker.formats import FORMATS


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "track",
        help="track people's poses in a video",
        description="Track people's poses in a video: overlay video, results file, live window. With none of "
        "--output, --poses and --show, NAME_tracked.mp4 (of an image .png) and NAME_tracked.jsonl are written to this "
        "folder. Of several inputs each has outputs of these names, and --output and --poses name folders.",
        formatter_class=HelpFormatter,
    )
    group = parser.add_argument_group("input and output")
    group.add_argument(
        "--input",
        required=True,
        nargs="+",
        metavar="SOURCE",
        help="video or image file, folder of images or of videos, quoted pattern, camera number, address (rtsp://, "
        "http://, ...), or PoseTrack data set",
    )
    group.add_argument(
        "--output", type=Path, metavar="FILE",
        help="overlay video (.mp4), or picture (.png, .jpg); of a data set the folder for its predictions",
    )  # fmt: skip
    group.add_argument("--poses", type=Path, metavar="FILE", help="poses with ids, in the format of the suffix")
    group.add_argument("--format", choices=FORMATS, help="format of --poses; default: by its suffix")
    group.add_argument("--confirmed-only", action="store_true", help="leave unconfirmed people out of --poses")
    group.add_argument("--show", action="store_true", help="live window: q quits, space pauses, s saves a picture")
    group.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    group.add_argument("--start", type=float, metavar="S", help="first second to track; default: 0")
    group.add_argument("--end", type=float, metavar="S", help="second to stop at; default: the end")
    group.add_argument("--max-frames", type=int, metavar="N", help="frames to stop after; default: all")
    group.add_argument("--fps", type=float, metavar="R", help="frame rate of a source without timestamps; default: 25")
    add_batch_options(parser)
    add_model_options(parser)
    add_tracking_options(parser)
    group = parser.add_argument_group("overlay")
    group.add_argument("--show-unconfirmed", action="store_true", help="draw people who are not confirmed yet, too")
    parser.add_argument("-v", "--verbose", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Track each input as the arguments say; 1 if one of several failed."""
    tasks = plan_tasks(args)
    options = model_options(args)
    if tasks[0].is_batch:
        from tracker.commands.batch import run_batch

        return run_batch(args, tasks, options)
    (task,) = tasks
    refuse_batch_options(args)
    check_outputs(task)
    from tracker.commands.batch_input import load_pipeline
    from tracker.commands.run import open_input, track_source

    source, _ = open_input(task)
    with source:
        report = track_source(task, source, load_pipeline(options, args.threads))
    report.print()
    return 0
