"""`bench`: milliseconds per stage and end-to-end frames per second, on a clip or a rendered scene."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.commands.options import (
    add_model_options,
    add_tracking_options,
    read_engine,
    read_settings,
    refuse_networks,
)
from tracker.errors import UsageError

if TYPE_CHECKING:
    from tracker.job.job import Settings
    from tracker.pipeline import Pipeline
    from tracker.video.source import VideoSource


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "bench",
        help="measure milliseconds per stage and frames per second",
        description="Track, draw and encode a clip several times; print the median milliseconds of each stage and "
        "end-to-end frames per second. Without --input a rendered crowd of twelve is tracked, whose truth stands "
        "in for the networks. Compare figures of one run only: machines are noisy. `profile --rounds` measures "
        "networks alone.",
    )
    parser.moved["--networks"] = "`profile --rounds 20 FILE`"
    group = parser.add_argument_group("measurement")
    group.add_argument("--input", metavar="SOURCE", help="video file or folder of images")
    group.add_argument("--max-frames", type=int, default=150, metavar="N", help="frames to stop after")
    group.add_argument("--repeat", type=int, default=3, metavar="N", help="runs to take medians of")
    add_model_options(parser)
    add_tracking_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print a table to stdout."""
    if args.repeat < 1 or args.max_frames < 1:
        raise UsageError("--repeat and --max-frames must be 1 or more")
    if args.input is None:
        refuse_networks(args, "without --input the truth stands in for networks", "name a clip with --input")
    runs = [_measure(args) for _ in range(args.repeat)]
    medians = {stage: statistics.median(run[stage] for run in runs) for stage in runs[0]}
    for stage, value in medians.items():
        print(f"{stage:<12}{value:8.1f} ms")
    print(f"{'end to end':<12}{1e3 / medians['wall']:8.1f} frames/s")
    return 0


def _measure(args: argparse.Namespace) -> dict[str, float]:
    """Milliseconds per frame of each stage, of all stages and of the wall clock, in one run."""
    from tracker.job.job import Job, Outputs, Span
    from tracker.job.run import load_pipeline, open_input, run_job

    settings = read_settings(args)
    with tempfile.TemporaryDirectory() as folder:
        outputs = Outputs(overlay=Path(folder) / "bench.mp4")
        job = Job(args.input or "", settings, Span(max_frames=args.max_frames), outputs)
        source, pipeline = (open_input(job)[0], None) if args.input else _open_scene(args, settings)
        with source:
            report = run_job(job, source, pipeline or load_pipeline(settings, read_engine(args)))
    seconds = report.busy_s | {"all stages": sum(report.busy_s.values()), "wall": report.wall_s}
    return {stage: 1e3 * value / max(report.frames, 1) for stage, value in seconds.items()}


def _open_scene(args: argparse.Namespace, settings: Settings) -> tuple[VideoSource, Pipeline | None]:
    """A rendered crowd, painted beforehand, and a pipeline that knows its truth."""
    from tracker.scenes.oracle import SceneNetworks, SceneReader
    from tracker.scenes.rendering import render_scene
    from tracker.video.source import VideoSource

    networks = SceneNetworks()
    pipeline = networks.pipeline(settings.flow, settings.config, settings.detect_every, args.detector_batch)
    frames = list(render_scene("crowd", (1280, 720), args.max_frames))
    return VideoSource(SceneReader("crowd", frames, args.max_frames, networks)), pipeline
