"""`bench`: milliseconds per stage and end-to-end frames per second, on a clip or a rendered scene."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.commands.options import (
    add_model_options,
    add_tracking_options,
    names_networks,
    read_engine,
    read_settings,
)
from tracker.errors import UsageError

if TYPE_CHECKING:
    from tracker.pipeline import Pipeline
    from tracker.types import Frame


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "bench",
        help="measure milliseconds per stage and frames per second",
        description="Track, draw and encode a clip several times; print the median milliseconds of each stage and "
        "end-to-end frames per second. Without --input a rendered crowd of twelve is tracked, whose truth stands "
        "in for the networks. With --networks: milliseconds per picture (a person or a frame) of network files alone; "
        "preparing pictures and reading outputs is not counted. Compare figures of one run only: machines are noisy.",
    )
    group = parser.add_argument_group("measurement")
    group.add_argument("--input", metavar="SOURCE", help="video file or folder of images")
    group.add_argument("--max-frames", type=int, default=150, metavar="N", help="frames to stop after")
    group.add_argument("--repeat", type=int, metavar="N", help="runs to take medians of; default: 3, of networks 20")
    group.add_argument("--networks", type=Path, nargs="+", metavar="FILE", help=".onnx and .safetensors files")
    add_model_options(parser)
    add_tracking_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print a table to stdout."""
    repeat = args.repeat if args.repeat is not None else 20 if args.networks else 3
    if repeat < 1 or args.max_frames < 1:
        raise UsageError("--repeat and --max-frames must be 1 or more")
    if args.networks:
        return _measure_networks(args, repeat)
    if args.input is None and names_networks(args):
        raise UsageError(
            "without --input the truth stands in for networks; leave out --detector, --pose-model and --pose, "
            "or name a clip with --input"
        )
    runs = [_measure(args) for _ in range(repeat)]
    stages = runs[0].keys()
    medians = {stage: statistics.median(run[stage] for run in runs) for stage in stages}
    for stage, value in medians.items():
        print(f"{stage:<12}{value:8.1f} ms")
    print(f"{'end to end':<12}{1e3 / medians['wall']:8.1f} frames/s")
    return 0


def _measure_networks(args: argparse.Namespace, rounds: int) -> int:
    from tracker.commands.network_times import measure_networks
    from tracker.detection.detector import DEFAULT_SIZE

    size = DEFAULT_SIZE if args.detector_size is None else args.detector_size
    table = measure_networks(args.networks, size, args.device, rounds)
    print(f"ms per picture, median of {rounds} rounds; preparing pictures and reading outputs not counted\n{table}")
    return 0


def _measure(args: argparse.Namespace) -> dict[str, float]:
    """Milliseconds per frame of each stage, of all stages and of the wall clock, in one run."""
    if args.input is None:
        return _time(*_scene(args))
    from tracker.job.run import load_pipeline
    from tracker.video.source import open_source

    settings = read_settings(args)
    with open_source(args.input, max_frames=args.max_frames) as source:
        return _time(load_pipeline(settings, read_engine(args)), source)


def _scene(args: argparse.Namespace) -> tuple[Pipeline, Iterable[Frame]]:
    """A rendered crowd, painted beforehand, and a pipeline that knows its truth."""
    from tracker.flow import create_flow
    from tracker.pipeline import Pipeline
    from tracker.scenes.oracle import OracleEstimator, SceneNetworks
    from tracker.scenes.rendering import render_scene

    config = read_settings(args).config
    networks = SceneNetworks(OracleEstimator())
    pipeline = Pipeline(networks, networks, create_flow(args.flow), config, args.detect_every, args.detector_batch)
    frames = list(render_scene("crowd", (1280, 720), args.max_frames))
    return pipeline, networks.watch(frames)


def _time(pipeline: Pipeline, frames: Iterable[Frame]) -> dict[str, float]:
    from tracker.job.report import Report
    from tracker.job.run import track
    from tracker.job.sinks import OverlaySink
    from tracker.video.overlay import OverlayRenderer
    from tracker.video.writer import VideoWriter

    report = Report.on(pipeline)
    with tempfile.TemporaryDirectory() as folder:
        video = VideoWriter(Path(folder) / "bench.mp4")
        track(pipeline, frames, [OverlaySink(OverlayRenderer(pipeline.skeleton), video, pipeline.times)], report)
    seconds = report.busy_s | {"all stages": sum(report.busy_s.values()), "wall": report.wall_s}
    return {stage: 1e3 * value / max(report.frames, 1) for stage, value in seconds.items()}
