"""`render`: the overlay video again, from results and the video that was tracked."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.after.ahead import smooth_ahead
from tracker.after.second_pass import FILL_GAPS_S, SMOOTHERS, SecondPass, run_second_pass, without_smoothing
from tracker.commands.convert import keypoint_threshold_of, read_frames
from tracker.commands.options import add_overlay_options
from tracker.errors import InputError, UsageError
from tracker.formats import Results
from tracker.outputs import check_apart, check_output, counted, real_path, told_what_is_left
from tracker.types import Frame, TrackedPoses

if TYPE_CHECKING:
    from tracker.video.overlay import OverlayRenderer
    from tracker.video.source import VideoSource

# Results state times to the microsecond, video files at best to a tick of their clock.
_TIME_TOLERANCE_S = 1e-3


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "render",
        help="draw the overlay again from results, without networks",
        description="Draw the people in POSES, a results file of any format, into VIDEO. Frames are matched by their "
        "number in the video and checked by time. What was tracked from --start is drawn from there, and to the end of "
        "the video, if POSES is .jsonl or .npz, which state times.",
    )
    parser.add_argument(
        "poses", type=Path, metavar="POSES", help="results that `track` or `convert` wrote; - for stdin"
    )
    parser.add_argument("video", metavar="VIDEO", help="the video or folder of images that was tracked")
    parser.add_argument("--output", type=Path, metavar="FILE", help="overlay video; default: VIDEO_rendered.mp4 here")
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")
    parser.add_argument("--start", type=float, metavar="S", help="first second to draw; default: as tracked, or 0")
    parser.add_argument("--max-frames", type=int, metavar="N", help="frames to stop after; default: all")
    parser.add_argument("--fps", type=float, metavar="R", help="rate of images; default: that in POSES, or 25")
    parser.add_argument(
        "--keypoint-threshold", type=float, metavar="X", help="lower scores are not drawn; default: as tracked"
    )
    parser.add_argument(
        "--smooth",
        choices=SMOOTHERS,
        help="filter over time; default: where POSES are as tracked, over a tenth of a second on either side",
    )
    add_overlay_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the overlay video."""
    if args.video.isdigit():
        raise UsageError(f"camera {args.video} shows something else now; name the video that was tracked")
    output = _choose_output(args)
    results = _smoothed(read_frames(args.poses), args.smooth)
    from tracker.video.faces import BLUR_NOTE
    from tracker.video.source import open_source

    start_s = _start_of(results) if args.start is None else args.start
    fps = args.fps or rate_of(args.video, results)
    with open_source(args.video, fps=fps, start_s=start_s, max_frames=args.max_frames) as source:
        _check_size(args, results, source)
        num_frames, drawn, note = _draw(args, results, source, output)
    if args.blur_faces:
        print(f"note: {BLUR_NOTE}", file=sys.stderr)
    if note:
        print(f"note: {note}", file=sys.stderr)
    last = results.frames[-1].index
    if drawn > last:
        print(f"note: {args.poses} ends at frame {last}, {args.video} at {drawn}", file=sys.stderr)
    people = [frame.tracked for frame in results.frames if len(frame.tracked)]
    if people and not (args.show_unconfirmed or any(tracked.confirmed.any() for tracked in people)):
        print(f"note: nobody in {args.poses} is confirmed; --show-unconfirmed draws them", file=sys.stderr)
    print(f"written: {output}, {counted(num_frames, 'frame')}", file=sys.stderr)
    return 0


def _smoothed(results: Results, smooth: str | None) -> Results:
    """The people as the user wants them filtered; by default as they are."""
    if smooth is None:
        return results
    if smooth == "off":
        return without_smoothing(results)
    todo = SecondPass(smooth=smooth, fill_gaps_s=FILL_GAPS_S)
    return run_second_pass(results, todo, keypoint_threshold_of(results))


def _choose_output(args: argparse.Namespace) -> Path:
    from tracker.video.writer import check_container

    output: Path = args.output or Path(f"{real_path(Path(args.video)).stem}_rendered.mp4")
    check_container(output)
    check_apart(output, Path(args.video))
    check_output(output, args.overwrite)
    return output


def rate_of(video: str, results: Results) -> float | None:
    """The rate that a video was given when it was tracked; of images, which have none, that of the results."""
    from tracker.video.images import is_image

    path = Path(video)
    stated = results.header.settings.get("fps")
    if isinstance(stated, float):
        return stated
    return None if path.is_file() and not is_image(path) else results.header.fps


def _start_of(results: Results) -> float | None:
    """Second of the video at which the results begin, None where frames without people may have been left out."""
    first = results.frames[0]
    if not results.header.source or not math.isfinite(first.time_s):
        return None
    return max(first.time_s - _TIME_TOLERANCE_S, 0)


def _check_size(args: argparse.Namespace, results: Results, source: VideoSource) -> None:
    stated = results.header.size_wh
    if stated and stated != source.size_wh:
        sizes = " by ".join(map(str, source.size_wh)), " by ".join(map(str, stated))
        raise InputError(
            f"{args.video} has {sizes[0]} pixels, {args.poses} was made of {sizes[1]}; name the video that was tracked"
        )


def _draw(args: argparse.Namespace, results: Results, source: VideoSource, output: Path) -> tuple[int, int, str | None]:
    """Write the video, with the people of the results.

    Gives the number of frames, the index of the last one, and what is to be said of the sound.
    """
    from tqdm import tqdm

    from tracker.video.aspect import square_pixels
    from tracker.video.writer import VideoWriter
    from tracker.video.yuv import Ground

    overlay = _overlay(args, results)
    num_frames, drawn = 0, -1
    matched = match_frames(args.video, args.poses, results, source)
    if args.smooth is None and not any(frame.tracked.raw is not None for frame in results.frames):
        matched = smooth_ahead(matched, keypoint_threshold_of(results))
    with (
        told_what_is_left(output),
        VideoWriter(output, fps=source.fps, sound=source.sound if args.audio else None) as film,
        tqdm(matched, total=source.num_frames, unit="frame", disable=not sys.stderr.isatty(), leave=False) as bar,
    ):
        for frame, tracked in bar:
            square, people = square_pixels(frame, tracked)
            ground = Ground.of(square)
            picture = overlay.draw(square.image, people, time_s=frame.time_s, in_place=ground is not None)
            film.write(picture, frame.time_s, ground, overlay.touched)
            num_frames, drawn = num_frames + 1, frame.index
        last = results.frames[-1].index
        if args.max_frames is None and last > drawn:
            raise InputError(
                f"{args.video} ends at frame {drawn}, but {args.poses} goes on to frame {last}; "
                "name the video that was tracked"
            )
    return num_frames, drawn, film.note


def match_frames(
    video: str, poses: Path, results: Results, frames: Iterable[Frame]
) -> Iterator[tuple[Frame, TrackedPoses]]:
    """Each frame with its people; InputError if the results have it at another time."""
    found = {frame.index: frame for frame in results.frames}
    nobody = TrackedPoses.empty(results.header.skeleton.num_keypoints)
    for frame in frames:
        result = found.get(frame.index)
        if result and abs(result.time_s - frame.time_s) > _TIME_TOLERANCE_S:  # never so for an unknown time
            raise InputError(
                f"frame {frame.index} is at {frame.time_s:.3f} s of {video}, at {result.time_s:.3f} s of "
                f"{poses}; name the video that was tracked, with the same --fps"
            )
        yield frame, result.tracked if result else nobody


def _overlay(args: argparse.Namespace, results: Results) -> OverlayRenderer:
    from tracker.video.overlay import PARTS, PHOTO_PARTS, OverlayRenderer

    threshold = args.keypoint_threshold
    if threshold is None:
        threshold = keypoint_threshold_of(results)
    return OverlayRenderer(
        results.header.skeleton,
        keypoint_threshold=threshold,
        show_unconfirmed=args.show_unconfirmed,
        draw=args.draw or (PHOTO_PARTS if results.header.settings.get("photos") else PARTS),
        line_width=args.line_width,
        names=results.header.names,
        blur_faces=args.blur_faces,
    )
