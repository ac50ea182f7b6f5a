"""`bench`: milliseconds per stage and end-to-end frames per second, on a clip or a rendered scene."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.commands.options import (
    HelpFormatter,
    add_model_options,
    add_tracking_options,
    model_options,
    names_networks,
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
        formatter_class=HelpFormatter,
    )
    group = parser.add_argument_group("measurement")
    group.add_argument("--input", metavar="SOURCE", help="video file or folder of images")
    group.add_argument("--max-frames", type=int, default=150, metavar="N", help="frames to stop after")
    group.add_argument("--repeat", type=int, metavar="N", help="runs to take medians of; default: 3, of networks 20")
    group.add_argument("--networks", type=Path, nargs="+", metavar="FILE", help=".onnx and .safetensors files")
    add_model_options(parser)
    add_tracking_options(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="show the traceback of an error")
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
    from tracker.video.source import open_source

    if args.input is None:
        return _time(*_scene(args))
    from tracker.pipeline import build_pipeline

    options = model_options(args)
    with open_source(args.input, max_frames=args.max_frames) as source:
        return _time(build_pipeline(**options), source)


def _scene(args: argparse.Namespace) -> tuple[Pipeline, Iterable[Frame]]:
    """A rendered crowd, painted beforehand, and a pipeline that knows its truth."""
    from tracker.flow import create_flow
    from tracker.pipeline import Pipeline
    from tracker.scenes.oracle import OracleEstimator, SceneNetworks
    from tracker.scenes.rendering import render_scene

    options = model_options(args)
    networks = SceneNetworks(OracleEstimator())
    flow, config = create_flow(args.flow), options["config"]
    pipeline = Pipeline(networks, networks, flow, config, args.detect_every, args.detector_batch)
    frames = list(render_scene("crowd", (1280, 720), args.max_frames))
    return pipeline, networks.watch(frames)


def _time(pipeline: Pipeline, frames: Iterable[Frame]) -> dict[str, float]:
    from tracker.video.overlay import OverlayRenderer
    from tracker.video.writer import VideoWriter

    overlay = OverlayRenderer(pipeline.estimator.skeleton)
    times, number, start = pipeline.times, 0, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        video = VideoWriter(Path(folder) / "bench.mp4")
        with video, closing(pipeline.run(frames)) as tracked:
            for frame, people in tracked:
                with times.measure("draw"):
                    picture = overlay.draw(frame.image, people, time_s=frame.time_s)
                with times.measure("encode"):
                    video.write(picture, frame.time_s)
                number += 1
    wall_s = time.perf_counter() - start
    stages = dict(times.busy_s)
    per_frame = stages | {"all stages": sum(stages.values()), "wall": wall_s}
    return {stage: 1e3 * seconds / max(number, 1) for stage, seconds in per_frame.items()}
