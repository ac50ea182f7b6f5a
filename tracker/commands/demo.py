"""`demo`: a clip made on the spot, tracked and drawn; needs no video and no download."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.commands.options import (
    HelpFormatter,
    add_model_options,
    add_tracking_options,
    model_options,
    names_networks,
    tracker_config,
)
from tracker.errors import OutputError, UsageError
from tracker.outputs import check_output

if TYPE_CHECKING:
    from tracker.scenes.oracle import IdentityCount
    from tracker.scenes.photo import PhotoFrame
    from tracker.scenes.rendering import People, SceneFrame
    from tracker.skeletons import Skeleton
    from tracker.types import Image, TrackedPoses

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
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--scene", choices=(_PHOTO, *_RENDERED), default=_PHOTO, help="what happens in it")
    parser.add_argument("--frames", type=int, default=150, metavar="N", help="length, at 25 frames per second")
    parser.add_argument("--output", type=Path, default=Path("demo"), metavar="FOLDER", help="folder for the results")
    parser.add_argument("--overwrite", action="store_true", help="replace results that exist")
    add_model_options(parser)
    add_tracking_options(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run, confirmed_only=False, show=False, show_unconfirmed=False, format=None)


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
    from tracker.commands.run import track_source
    from tracker.pipeline import build_pipeline
    from tracker.scenes.oracle import count_switches
    from tracker.scenes.photo import PhotoScene
    from tracker.video.source import open_source

    options = model_options(args)
    endings = (".mp4", "_tracked.mp4", "_tracked.jsonl", "_tracked.png")
    clip, overlay, poses, picture = files = [args.output / f"{_PHOTO}{ending}" for ending in endings]
    _prepare_folder(args.output, files, args.overwrite)
    scene, pipeline = PhotoScene(), build_pipeline(**options)
    truth = _write_clip(clip, scene.frames(args.frames))
    tracked: list[TrackedPoses] = []
    outputs = argparse.Namespace(**vars(args) | {"output": overlay, "poses": poses})
    with open_source(str(clip)) as source:
        report = track_source(outputs, source, pipeline, watch=tracked.append)
    skeleton = pipeline.estimator.skeleton
    with open_source(str(overlay)) as drawn:
        _write_picture(picture, next(islice(drawn, args.frames // 2, None)).image)
    report.print()
    count = count_switches((people, _as_coco(found, skeleton)) for people, found in zip(truth, tracked, strict=True))
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


def _as_coco(tracked: TrackedPoses, skeleton: Skeleton) -> TrackedPoses:
    """The same people with COCO's keypoints, which the truth has."""
    from tracker.skeletons import COCO_17, convert_keypoints

    keypoints, scores = convert_keypoints(tracked.poses.keypoints, tracked.poses.scores, skeleton, COCO_17)
    return replace(tracked, poses=replace(tracked.poses, keypoints=keypoints, scores=scores))


def _all_kept(count: IdentityCount, truth: list[People]) -> bool:
    """Whether each true person was found, and always with the same id."""
    return count.switches == 0 and len(count.ids) == len(truth[0])


def _describe(count: IdentityCount) -> str:
    found = 100 * count.num_matched / max(count.num_people, 1)
    return f"{len(count.ids)} people, {count.switches} id switches, {found:.0f} % of the poses found"


def _run_rendered(args: argparse.Namespace) -> None:
    """Render, track with an oracle in place of the networks, draw and count on the way."""
    from tracker.flow import create_flow
    from tracker.scenes.oracle import OracleEstimator, count_switches, track_scene
    from tracker.scenes.rendering import render_scene

    config = tracker_config(args)
    files = [args.output / f"{args.scene}{suffix}" for suffix in (".mp4", ".jsonl", ".png")]
    _prepare_folder(args.output, files, args.overwrite)
    frames = render_scene(args.scene, (1280, 720), args.frames)
    tracked = track_scene(frames, create_flow(args.flow), config, OracleEstimator())
    count = count_switches((frame.people, people) for frame, people in _draw(tracked, files, args.frames))
    print(f"{args.frames} frames, {_describe(count)}\nwritten: {', '.join(map(str, files))}", file=sys.stderr)


def _prepare_folder(folder: Path, files: list[Path], overwrite: bool) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder} ({error.strerror}); name another") from error
    for path in files:
        check_output(path, overwrite)


def _draw(
    tracked: Iterable[tuple[SceneFrame, TrackedPoses]], files: list[Path], num_frames: int
) -> Iterator[tuple[SceneFrame, TrackedPoses]]:
    """Pass the frames on, drawn and written on their way."""
    from tqdm import tqdm

    from tracker.formats import Header, open_writer
    from tracker.skeletons import COCO_17
    from tracker.video.overlay import OverlayRenderer
    from tracker.video.writer import VideoWriter

    video, poses, picture = files
    overlay = OverlayRenderer(COCO_17)
    header = Header(COCO_17, video.stem, (1280, 720), 25.0)
    with (
        VideoWriter(video, fps=Fraction(25)) as film,
        open_writer(poses, header) as results,
        tqdm(tracked, total=num_frames, unit="frame", disable=not sys.stderr.isatty(), leave=False) as bar,
    ):
        for frame, people in bar:
            drawn = overlay.draw(frame.image, people, time_s=frame.time_s)
            film.write(drawn, frame.time_s)
            results.write(frame, people)
            if frame.index == num_frames // 2:
                _write_picture(picture, drawn)
            yield frame, people


def _write_picture(path: Path, image: Image) -> None:
    import cv2

    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
