"""`demo`: a clip made on the spot, tracked and drawn; needs no video and no download."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tracker.commands.options import (
    add_model_options,
    add_tracking_options,
    names_networks,
    read_engine,
    read_settings,
    tracker_config,
)
from tracker.errors import UsageError
from tracker.outputs import check_output, make_folder

if TYPE_CHECKING:
    from tracker.scenes.oracle import IdentityCount
    from tracker.scenes.photo import PhotoFrame
    from tracker.scenes.rendering import People, SceneFrame
    from tracker.types import TrackedPoses

_PHOTO = "photo"
_RENDERED = ("crossing", "hidden", "fast", "leaving", "pan", "crowd", "exercise", "shake")


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "demo",
        help="make a clip and track it: needs no video",
        description="Make a clip, track it and draw the result. In the scene `photo` two copies of a photographed "
        "person walk past each other, and the networks find them. In the others, rendered figures walk; their true "
        "poses with noise, gaps and misses stand in for the networks.",
    )
    parser.add_argument("--scene", choices=(_PHOTO, *_RENDERED), default=_PHOTO, help="what happens in it")
    parser.add_argument("--frames", type=int, default=150, metavar="N", help="length, at 25 frames per second")
    parser.add_argument("--output", type=Path, default=Path("demo"), metavar="FOLDER", help="folder for the results")
    parser.add_argument("--overwrite", action="store_true", help="replace results that exist")
    add_model_options(parser)
    add_tracking_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the results into the folder and say how many ids switched."""
    if args.frames < 1:
        raise UsageError(f"--frames must be 1 or more, not {args.frames}")
    if args.scene == _PHOTO:
        _run_photo(args)
    elif names_networks(args):
        raise UsageError(
            f"--scene {args.scene} is tracked without networks; leave out --detector, --pose-model and --pose, "
            f"or take --scene {_PHOTO}"
        )
    else:
        _run_rendered(args)
    return 0


def _run_photo(args: argparse.Namespace) -> None:
    """Write the clip, track it as `track` does, and compare with the truth."""
    from tracker.formats.record import convert_people
    from tracker.job.job import Job, Outputs
    from tracker.job.run import load_pipeline, open_input, run_job
    from tracker.job.sinks import Watch
    from tracker.scenes.oracle import count_switches
    from tracker.scenes.photo import PhotoScene
    from tracker.skeletons import COCO_17

    settings = read_settings(args)
    endings = (".mp4", "_tracked.mp4", "_tracked.jsonl", "_tracked.png")
    clip, overlay, poses, picture = files = [args.output / f"{_PHOTO}{ending}" for ending in endings]
    _prepare_folder(args.output, files, args.overwrite)
    scene, pipeline = PhotoScene(), load_pipeline(settings, read_engine(args))
    truth = _write_clip(clip, scene.frames(args.frames))
    job = Job(str(clip), settings, outputs=Outputs(overlay, poses))
    tracked: list[TrackedPoses] = []
    source, _ = open_input(job)
    with source:
        report = run_job(job, source, pipeline, Watch(lambda _, people: tracked.append(people)))
    _write_picture(picture, overlay, args.frames // 2)
    report.print()
    found = (convert_people(people, pipeline.skeleton, COCO_17) for people in tracked)
    count = count_switches(zip(truth, found, strict=True))
    both = "both people kept their ids" if _all_kept(count, truth) else "NOT everybody kept one id"
    print(f"written: {picture}\nthe clip: {clip}\n{both}: {_describe(count)}", file=sys.stderr)


def _write_clip(path: Path, frames: Iterator[PhotoFrame]) -> list[People]:
    """Write the pictures as a video, and give back the truth about each."""
    from tracker.video.writer import VideoWriter

    truth = []
    with VideoWriter(path, fps=Fraction(25)) as film:
        for frame in frames:
            film.write(frame.image, frame.time_s)
            truth.append(frame.people)
    return truth


def _all_kept(count: IdentityCount, truth: list[People]) -> bool:
    """Whether each true person was found, and always with the same id."""
    return count.switches == 0 and len(count.ids) == len(truth[0])


def _describe(count: IdentityCount) -> str:
    found = 100 * count.num_matched / max(count.num_people, 1)
    return f"{len(count.ids)} people, {count.switches} id switches, {found:.0f} % of the poses found"


def _run_rendered(args: argparse.Namespace) -> None:
    """Render, track with an oracle in place of the networks, draw and count on the way."""
    from tqdm import tqdm

    from tracker.flow import create_flow
    from tracker.formats import Header, open_writer
    from tracker.job.report import Report
    from tracker.job.run import track
    from tracker.job.sinks import OverlaySink, ResultSink, Watch
    from tracker.pipeline import Pipeline
    from tracker.scenes.oracle import OracleEstimator, SceneNetworks, count_switches
    from tracker.scenes.rendering import render_scene
    from tracker.video.overlay import OverlayRenderer
    from tracker.video.writer import VideoWriter

    config = tracker_config(args)
    video, poses, picture = files = [args.output / f"{args.scene}{suffix}" for suffix in (".mp4", ".jsonl", ".png")]
    _prepare_folder(args.output, files, args.overwrite)
    networks = SceneNetworks(OracleEstimator())
    pipeline = Pipeline(networks, networks, create_flow(args.flow), config)
    results = open_writer(poses, Header(pipeline.skeleton, video.stem, (1280, 720), 25.0))
    film = VideoWriter(video, fps=Fraction(25))
    pairs: list[tuple[People, TrackedPoses]] = []
    sinks = [
        ResultSink(results, pipeline.times),
        OverlaySink(OverlayRenderer(pipeline.skeleton), film, pipeline.times),
        Watch(lambda frame, people: pairs.append((cast("SceneFrame", frame).people, people))),
    ]
    frames = tqdm(render_scene(args.scene, (1280, 720), args.frames), total=args.frames, disable=None, leave=False)
    track(pipeline, networks.watch(frames), sinks, Report.on(pipeline))
    _write_picture(picture, video, args.frames // 2)
    count = count_switches(pairs)
    print(f"{args.frames} frames, {_describe(count)}\nwritten: {', '.join(map(str, files))}", file=sys.stderr)


def _prepare_folder(folder: Path, files: list[Path], overwrite: bool) -> None:
    make_folder(folder)
    for path in files:
        check_output(path, overwrite)


def _write_picture(path: Path, video: Path, number: int) -> None:
    """Keep a frame of a video as a picture."""
    from tracker.video.source import open_source
    from tracker.video.writer import PictureWriter

    with open_source(str(video)) as frames, PictureWriter(path) as picture:
        picture.write(next(islice(frames, number, None)).image, time_s=0)
