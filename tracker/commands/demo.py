"""`demo`: a rendered scene, tracked and drawn; needs no network, no video and no download."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.commands.options import HelpFormatter
from tracker.errors import OutputError, UsageError
from tracker.outputs import check_output

if TYPE_CHECKING:
    from tracker.evaluation.scenes import SceneFrame
    from tracker.types import TrackedPoses

_SCENES = ("crossing", "hidden", "fast", "leaving", "pan", "crowd", "exercise", "shake")


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "demo",
        help="track a rendered scene: needs no network and no video",
        description="Render a scene of walking figures, track them, and draw the result. The figures' true poses "
        "with noise, gaps and misses stand in for the networks; flow, tracking and drawing are the real ones.",
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--scene", choices=_SCENES, default="crowd", help="what happens in it")
    parser.add_argument("--frames", type=int, default=100, metavar="N", help="length, at 25 frames per second")
    parser.add_argument("--output", type=Path, default=Path("demo"), metavar="FOLDER", help="folder for the results")
    parser.add_argument("--overwrite", action="store_true", help="replace results that exist")
    parser.add_argument("-v", "--verbose", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write SCENE.mp4, SCENE.jsonl and SCENE.png (the middle frame) and say how many ids switched."""
    from tracker.evaluation.oracle import OracleEstimator, count_switches, track_scene
    from tracker.evaluation.scenes import render_scene
    from tracker.flow import create_flow
    from tracker.tracking.config import TrackerConfig

    if args.frames < 1:
        raise UsageError(f"--frames must be 1 or more, not {args.frames}")
    files = [args.output / f"{args.scene}{suffix}" for suffix in (".mp4", ".jsonl", ".png")]
    _prepare_folder(args.output, files, args.overwrite)
    frames = render_scene(args.scene, (1280, 720), args.frames)
    tracked = track_scene(frames, create_flow("dis"), TrackerConfig(), OracleEstimator())
    count = count_switches((frame.people, people) for frame, people in _draw(tracked, files, args.frames))
    print(
        f"{args.frames} frames, {len(count.ids)} people, {count.switches} id switches, "
        f"{100 * count.num_matched / max(count.num_people, 1):.0f} % of the poses found\n"
        f"written: {', '.join(map(str, files))}",
        file=sys.stderr,
    )
    return 0


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
    from fractions import Fraction

    import cv2
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
                picture.write_bytes(cv2.imencode(".png", drawn)[1].tobytes())
            yield frame, people
