"""`track`: poses with ids out of a video, as an overlay video, a results file or a live window."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.commands.options import (
    Parser,
    add_model_options,
    add_overlay_options,
    add_people_options,
    add_second_pass_options,
    add_tracking_options,
    height_m,
    natural,
    read_address,
    read_engine,
    read_second_pass,
    read_settings,
)
from tracker.commands.quick_start import quick_start
from tracker.errors import UsageError
from tracker.formats import FORMATS
from tracker.outputs import PIPE
from tracker.skeletons import SKELETONS

if TYPE_CHECKING:
    from tracker.after.second_pass import SecondPass
    from tracker.job.job import Job, Known, Settings

# What has no meaning where a file stands for the detector, and for the pose network; and values that are not None
# without the option.
_OF_DETECTOR = ("speed", "detector", "detector_type", "detector_size", "detector_batch")
_OF_POSES = ("pose", "pose_model", "flip_test", "grouping", "device", "engine")
_UNSET = {"pose": "top-down", "flip_test": False, "device": "auto", "engine": "auto", "detector_batch": 1}


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "track",
        help="track people's poses in a video",
        description="Track people's poses in a video. With none of --output, --poses, --show and --serve, "
        "NAME_tracked.mp4 (of an image .png) and NAME_tracked.jsonl are written to this folder. Of several inputs each "
        "has outputs of these names, and --output and --poses name folders.",
    )
    _add_inputs_and_outputs(parser)
    add_people_options(parser)
    add_model_options(parser)
    group = parser.add_argument_group("in place of networks")
    group.add_argument("--boxes", type=Path, metavar="FILE", help="boxes, MOT's, COCO's or results, for the detector's")
    group.add_argument(
        "--poses-in",
        type=Path,
        metavar="PATH",
        help="poses, OpenPose's, AlphaPose's, COCO's or results, to give ids to",
    )
    add_tracking_options(parser)
    group = parser.add_rare_group("poses of other programs")
    group.add_argument("--skeleton", choices=SKELETONS, help="keypoints of --poses-in, where it does not say")
    _add_batch_options(parser)
    _add_rare_options(parser)
    parser.set_defaults(run=run)


def _add_inputs_and_outputs(parser: Parser) -> None:
    group = parser.add_argument_group("input and output")
    group.add_argument(
        "--input", required=True, nargs="+", metavar="SOURCE",
        help="video, image, folder of images or videos, quoted pattern, camera number, address (rtsp://, http://), "
        "- for stdin, or PoseTrack data set",
    )  # fmt: skip
    group.add_argument(
        "--output", type=Path, metavar="FILE", help="overlay: .mp4, or a picture; of a data set its folder"
    )
    group.add_argument(
        "--poses", type=Path, metavar="FILE", help="poses with ids, in the format of the suffix; - for jsonl on stdout"
    )
    group.add_argument("--format", choices=FORMATS, metavar="NAME", help=f"of --poses: {', '.join(FORMATS)}")
    group.add_argument("--show", action="store_true", help="live window: q quits, space pauses, s saves")
    group.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    group.add_argument("--start", type=float, metavar="S", help="first second to track; default: 0")
    group.add_argument("--end", type=float, metavar="S", help="second to stop at; default: the end")
    group.add_argument("--max-frames", type=int, metavar="N", help="frames to stop after; default: all")
    group.add_argument(
        "--fps", type=float, metavar="R", help="rate to take instead of the input's own; of images, default: 25"
    )


def _add_rare_options(parser: Parser) -> None:
    group = parser.add_rare_group("cameras and live streams")
    group.add_argument(
        "--reconnect",
        type=float,
        default=math.inf,
        metavar="S",
        help="seconds for which one that drops is tried again, 0: not at all",
    )
    group = parser.add_rare_group("the live view")
    group.add_argument(
        "--serve",
        type=read_address,
        metavar="[HOST:]PORT",
        help="show the overlay in browsers, of this machine by default",
    )
    group = parser.add_rare_group("interlaced video")
    group.add_argument(
        "--no-deinterlace", dest="deinterlace", action="store_false", help="leave pictures that are flagged as they are"
    )
    group = parser.add_rare_group("pictures that do not follow one another")
    group.add_argument(
        "--photos", action="store_true", help="of folders: each by itself, without ids, with an overlay of its own"
    )
    group = parser.add_rare_group("people who are not confirmed yet")
    group.add_argument("--confirmed-only", action="store_true", help="leave unconfirmed people out of --poses")
    group = parser.add_rare_group("TRC and C3D")
    group.add_argument("--person-height", type=height_m, metavar="M", help="metres that people are tall, to scale by")
    add_second_pass_options(
        parser.add_rare_group(
            "second pass over the poses",
            "At the end of a file; .jsonl and .npz keep ids and keypoints as they were at first, too. Overlays are "
            "smoothed in any case, over a tenth of a second on either side, unless --smooth is off.",
        )
    )
    group = parser.add_rare_group("the overlay")
    add_overlay_options(group)
    group.add_argument("--crf", type=_crf, default=23, metavar="N", help="quality of the video: 0 lossless, 51 worst")


def _add_batch_options(parser: Parser) -> None:
    group = parser.add_rare_group(
        "data sets and several inputs",
        "An input whose outputs were made with the same settings and networks is left out; NAME.fingerprint beside "
        "them says how they were made.",
    )
    group.add_argument("--split", metavar="NAME", help="part of the data set; default: val, or the only one")
    group.add_argument("--overlays", action="store_true", help="overlay videos beside the predictions of a data set")
    group.add_argument("--workers", type=natural, metavar="N", help="processes; default: 1, or one for each of --gpus")
    group.add_argument("--gpus", type=_gpu_numbers, metavar="N,...", help="CUDA devices that workers take in turn")
    group.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="Ray cluster, or auto; its machines must see inputs and networks at the same paths",
    )
    group.add_argument(
        "--threads", type=natural, metavar="N", help="of each process on the CPU; default: cores by workers, if several"
    )


def _crf(text: str) -> int:
    if not re.fullmatch(r"\d{1,2}", text, re.ASCII) or int(text) > 51:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 0 to 51")
    return int(text)


def _gpu_numbers(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+(,\d+)*", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} must be numbers of CUDA devices such as 0,1")
    return tuple(map(int, text.split(",")))


def run(args: argparse.Namespace) -> int:
    """Track each input as the arguments say; 1 if one of several failed."""
    with quick_start():
        from tracker.job.job import Crew
        from tracker.job.plan import check_outputs
        from tracker.job.run import open_input, open_pipeline, run_job

        jobs, is_batch = read_jobs(args)
    engine, crew = read_engine(args), Crew(args.workers, args.gpus or (), args.ray)
    if is_batch:
        from tracker.job.batch import run_batch

        _refuse(args, ("boxes", "poses_in", "serve"), "is of one input; track it in a call of its own")
        return run_batch(jobs, engine, crew, verbose=args.verbose)
    for option in ("workers", "gpus", "ray"):
        if getattr(crew, option):
            raise UsageError(f"--{option} is for data sets and several inputs; leave it out, or name several")
    check_outputs(jobs[0])
    job = jobs[0]
    source, _ = open_input(job)
    with source:
        report = run_job(job, source, open_pipeline(job, source, engine))
    report.print()
    return 0


def read_jobs(args: argparse.Namespace) -> tuple[list[Job], bool]:
    """The jobs that the arguments ask for, and whether they are a batch; raises what `plan_jobs` does."""
    from tracker.job.job import Job, Outputs, Span
    from tracker.job.plan import plan_jobs

    same = {field.name: getattr(args, field.name) for field in fields(Outputs) if field.name in vars(args)}
    smoothing = {"smooth_overlay": args.smooth != "off", "second_pass": _second_pass(args)}
    outputs = Outputs(**(same | smoothing), overlay=args.output, person_height_m=args.person_height)
    span = Span(args.fps, args.start, args.end, args.max_frames, args.deinterlace, args.reconnect)
    settings, known = _read_people(args)
    wanted = Job("", settings, span, outputs, known=known, photos=args.photos)
    return plan_jobs(args.input, wanted, split=args.split, overlays=args.overlays)


def _second_pass(args: argparse.Namespace) -> SecondPass:
    todo = read_second_pass(args)
    if todo.does_something and args.poses == PIPE:
        raise UsageError("a second pass needs the end before the first frame is out, and stdout has none; name a file")
    return todo


def _read_people(args: argparse.Namespace) -> tuple[Settings, Known | None]:
    """The settings, and who need not be found; UsageError for what does not go together.

    Whose poses are known is carried by the flow only if the user says so: carried people keep their moved keypoints.
    """
    from tracker.job.job import Known

    if args.blur_faces:
        _refuse(
            args, ("people", "only", "region"), "leaves people out, whom --blur-faces would not find; leave one out"
        )
    if args.skeleton and not args.poses_in:
        raise UsageError("--skeleton is for --poses-in; leave it out")
    if str(PIPE) in args.input and PIPE in (args.poses_in, args.boxes):
        raise UsageError("stdin is one input, of pictures or of people; name a file for one of them")
    if args.poses_in:
        _refuse(args, ("boxes", *_OF_DETECTOR, *_OF_POSES), "has no meaning with --poses-in; leave one out")
        settings = read_settings(argparse.Namespace(**({"propagation": False} | vars(args))))
        return settings, Known(args.poses_in, "poses", SKELETONS.get(args.skeleton))
    if args.boxes:
        _refuse(args, (*_OF_DETECTOR, "pose"), "has no meaning with --boxes; leave one out")
    settings = read_settings(args)
    if args.blur_faces:  # between looks, nobody is seen who comes
        settings = replace(settings, speed=settings.speed or "exact")
    return settings, Known(args.boxes, "boxes") if args.boxes else None


def _refuse(args: argparse.Namespace, options: Iterable[str], reason: str) -> None:
    """Raise UsageError if one of the options is given."""
    for option in options:
        if getattr(args, option) != _UNSET.get(option):
            raise UsageError(f"--{option.replace('_', '-')} {reason}")
