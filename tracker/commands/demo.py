"""`demo`: a clip made on the spot, tracked and drawn; needs no video and no download."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.commands.options import (
    add_model_options,
    add_tracking_options,
    natural,
    read_engine,
    read_settings,
    refuse_networks,
)
from tracker.outputs import check_output, counted, make_folder

if TYPE_CHECKING:
    from tracker.job.job import Job
    from tracker.pipeline import Pipeline
    from tracker.scenes.photo import PhotoFrame
    from tracker.scenes.rendering import People
    from tracker.types import TrackedPoses
    from tracker.video.source import VideoSource

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
    parser.add_argument("--frames", type=natural, default=150, metavar="N", help="length, at 25 frames per second")
    parser.add_argument("--output", type=Path, default=Path("demo"), metavar="FOLDER", help="folder for the results")
    parser.add_argument("--overwrite", action="store_true", help="replace results that exist")
    add_model_options(parser)
    add_tracking_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the results into the folder and say how many ids switched."""
    is_photo = args.scene == _PHOTO
    if not is_photo:
        refuse_networks(args, f"--scene {args.scene} is tracked without networks", f"take --scene {_PHOTO}")
    from tracker.job.job import Job, Outputs

    settings = read_settings(args)
    clip, stem = args.output / f"{_PHOTO}.mp4", f"{args.scene}_tracked" if is_photo else args.scene
    overlay, poses, picture = files = [args.output / f"{stem}{suffix}" for suffix in (".mp4", ".jsonl", ".png")]
    make_folder(args.output)
    for path in [clip, *files] if is_photo else files:
        check_output(path, args.overwrite)
    job = Job(str(clip), settings, outputs=Outputs(overlay, poses))
    source, pipeline, truth = (_open_photo if is_photo else _open_rendered)(args, job)
    _track(job, source, pipeline, truth)
    _write_picture(picture, overlay, args.frames // 2)
    return 0


def _open_photo(args: argparse.Namespace, job: Job) -> tuple[VideoSource, Pipeline, list[People]]:
    """The clip, which is written first, the networks, and the truth."""
    from tracker.job.run import load_pipeline, open_input
    from tracker.scenes.photo import PhotoScene

    scene, pipeline = PhotoScene(), load_pipeline(job.settings, read_engine(args))
    truth = _write_clip(Path(job.input), scene.frames(args.frames))
    return open_input(job)[0], pipeline, truth


def _open_rendered(args: argparse.Namespace, job: Job) -> tuple[VideoSource, Pipeline, list[People]]:
    """The scene as a video, an oracle in place of the networks, and the truth, which comes with the frames."""
    from tracker.appearance import load_appearance
    from tracker.scenes.playback import SceneNetworks, SceneReader
    from tracker.scenes.rendering import render_scene
    from tracker.video.source import VideoSource

    networks = SceneNetworks()
    appearance = load_appearance(job.settings.appearance, networks.skeleton)
    parts = (job.settings.flow, job.settings.config, job.settings.detect_every)
    pipeline = networks.pipeline(*parts, appearance=appearance)
    reader = SceneReader(args.scene, render_scene(args.scene, (1280, 720), args.frames), args.frames, networks)
    return VideoSource(reader), pipeline, reader.people


def _track(job: Job, source: VideoSource, pipeline: Pipeline, truth: list[People]) -> None:
    """Track as `track` does, and compare with the truth."""
    from tracker.evaluation.identities import count_switches
    from tracker.formats.record import convert_people
    from tracker.job.run import run_job
    from tracker.job.sinks import Watch
    from tracker.skeletons import COCO_17

    tracked: list[TrackedPoses] = []
    with source:
        report = run_job(job, source, pipeline, Watch(lambda _, people: tracked.append(people)))
    report.print()
    found = (convert_people(people, pipeline.skeleton, COCO_17) for people in tracked)
    count = count_switches(zip(truth, found, strict=True))
    kept = count.switches == 0 and len(count.ids) == len({person for people in truth for person in people.track_ids})
    share = 100 * count.num_matched / max(count.num_people, 1)
    people, switches = counted(len(count.ids), "person", "people"), counted(count.switches, "id switch", "id switches")
    verdict = "everybody kept one id" if kept else "NOT everybody kept one id"
    print(f"{verdict}: {people}, {switches}, {share:.0f} % of the poses found", file=sys.stderr)


def _write_clip(path: Path, frames: Iterable[PhotoFrame]) -> list[People]:
    """Write the pictures as a video, and give back the truth about each."""
    from tracker.video.writer import VideoWriter

    truth = []
    with VideoWriter(path, fps=Fraction(25)) as film:
        for frame in frames:
            film.write(frame.image, frame.time_s)
            truth.append(frame.people)
    print(f"the clip: {path}", file=sys.stderr)
    return truth


def _write_picture(path: Path, video: Path, number: int) -> None:
    """Keep a frame of a video as a picture."""
    from tracker.video.source import open_source
    from tracker.video.writer import PictureWriter

    with open_source(str(video)) as frames, PictureWriter(path) as picture:
        picture.write(next(islice(frames, number, None)).image, time_s=0)
    print(f"written: {path}", file=sys.stderr)
