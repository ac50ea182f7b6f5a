"""Options that several commands share, and how they become the parts of a pipeline."""

from __future__ import annotations

import argparse
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.errors import UsageError
from tracker.tracking.config import MERGES, SIMILARITIES, TrackerConfig

if TYPE_CHECKING:
    from tracker.pose.grouping import GroupingConfig

_DEFAULTS = TrackerConfig()
# The names that `tracker.flow` knows, repeated so that --help does not load OpenCV.
FLOWS = ("dis", "lk", "none")
# Likewise, the names that `tracker.pipeline`, `tracker.pose.grouping` and `tracker.detection` know.
POSES = ("top-down", "bottom-up")
GROUPINGS = ("assignment", "skeleton")
DETECTOR_TYPES = ("person-detector", "rtmdet", "rtmdet-raw", "yolox", "yolox-nms", "picodet")


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows every default that is not None; wide enough for one line per option."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or (action.nargs == 0 and action.const is not None):
            return action.help
        if isinstance(action.default, bool):
            return f"{action.help} (default: {'on' if action.default else 'off'})"
        return super()._get_help_string(action)


def add_batch_options(parser: argparse.ArgumentParser) -> None:
    """What concerns data sets and several inputs: --split, --overlays, --workers and what belongs to it."""
    group = parser.add_argument_group(
        "data sets and several inputs",
        "An input whose outputs were made with the same settings and networks is left out; NAME.fingerprint beside "
        "them says how they were made.",
    )
    group.add_argument("--split", metavar="NAME", help="part of the data set; default: val, or the only one")
    group.add_argument("--overlays", action="store_true", help="overlay videos beside the predictions of a data set")
    group.add_argument("--workers", type=_count, metavar="N", help="processes; default: 1, or one for each of --gpus")
    group.add_argument("--gpus", type=_gpu_numbers, metavar="N,...", help="CUDA devices that workers take in turn")
    group.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="Ray cluster, or auto; its machines must see inputs and networks at the same paths",
    )
    group.add_argument(
        "--threads", type=_count, metavar="N", help="of each process on the CPU; default: cores by workers, if several"
    )


def refuse_batch_options(args: argparse.Namespace) -> None:
    """Raise UsageError for an option that has no meaning with a single input."""
    for option in ("workers", "gpus", "ray"):
        if getattr(args, option):
            raise UsageError(f"--{option} is for data sets and several inputs; leave it out, or name several")


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d*", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} must be 1 or more")
    return int(text)


def _gpu_numbers(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+(,\d+)*", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} must be numbers of CUDA devices such as 0,1")
    return tuple(map(int, text.split(",")))


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """--pose, --detector, --pose-model, --device and what belongs to them."""
    group = parser.add_argument_group("networks")
    add_pose_option(group)
    group.add_argument(
        "--detector",
        type=Path,
        metavar="FILE",
        help="person detector: .onnx, or .safetensors of ours; default: as shipped",
    )
    add_detector_options(group)
    group.add_argument("--detector-score", type=float, default=0.5, metavar="S", help="least score of a person")
    group.add_argument(
        "--detect-every",
        type=int,
        default=1,
        metavar="N",
        help="look for people in every N-th frame; flow carries them between",
    )
    group.add_argument(
        "--detector-batch", type=int, default=1, metavar="N", help="frames detected at once: suits a GPU, adds latency"
    )
    group.add_argument(
        "--pose-model",
        type=Path,
        metavar="FILE",
        help="pose network: .onnx, .safetensors of ours, a pose_resnet or LitePose checkpoint; default: as shipped",
    )
    group.add_argument(
        "--flip-test", action="store_true", help="average with the mirrored picture: more exact, half the speed"
    )
    group.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or cuda:N")
    _add_grouping_options(parser)


def add_pose_option(group: Any) -> None:
    """--pose: how poses are estimated; `litepose` is what bottom-up was called."""
    group.add_argument(
        "--pose",
        type=lambda name: "bottom-up" if name == "litepose" else name,
        choices=POSES,
        default="top-down",
        help="poses in the boxes of a detector, or bottom-up by a network that finds everybody at once",
    )


def _add_grouping_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("bottom-up estimation")
    group.add_argument(
        "--grouping", choices=GROUPINGS, help="assign keypoints to people, or link them along the skeleton; "
        "default: assignment",
    )  # fmt: skip
    group.add_argument("--max-people", type=int, metavar="N", help="people in a frame, at most; default: 30")
    group.add_argument("--peak-threshold", type=float, metavar="X", help="least height of a keypoint; default: 0.1")
    group.add_argument(
        "--tag-threshold", type=float, metavar="X", help="tags nearer than this belong together; default: 1"
    )
    group.add_argument(
        "--person-score", type=float, metavar="X", help="least mean height of a person's keypoints; default: 0.3"
    )


def add_detector_options(group: Any) -> None:
    """How the detector's file is to be read: --detector-type and --detector-size."""
    group.add_argument(
        "--detector-type", choices=DETECTOR_TYPES, help="family of the detector; default: told by the file"
    )
    group.add_argument(
        "--detector-size", type=int, metavar="PX", help="input side of a detector that leaves it open; default: 416"
    )


def add_tracking_options(parser: argparse.ArgumentParser) -> None:
    """Flow, similarity, propagation and the other settings of the tracker."""
    group = parser.add_argument_group("tracking")
    group.add_argument(
        "--flow",
        choices=FLOWS,
        default="dis",
        help="dense inverse search, Lucas-Kanade or none",
    )
    _setting(group, "similarity", choices=SIMILARITIES, help="what is compared to give ids on")
    _setting(group, "gate", help="least similarity that gives an id on")
    _setting(group, "queue_length", metavar="N", help="past frames that multi-flow compares with")
    _setting(group, "age_decay", help="factor on the similarity to a past frame for each frame since then")
    _setting(
        group,
        "propagation",
        action=argparse.BooleanOptionalAction,
        help="carry people by the flow where the detector misses them",
    )
    _setting(
        group,
        "merge",
        choices=MERGES,
        help="carried boxes yield to detections, or NMS by score over the union",
    )
    _setting(group, "merge_iou", help="IoU above which they do")
    _setting(
        group,
        "keypoint_threshold",
        help="keypoints under this score are not used for tracking and drawn faded",
    )
    _setting(group, "propagation_score", help="least mean keypoint score of a person to be carried")
    _setting(group, "box_expansion", help="growth of the box around carried keypoints")
    _setting(group, "score_decay", help="factor on the box score for each frame the detector misses a person")
    _setting(group, "min_box_score", help="a carried box with a lower score is given up")
    _setting(group, "duplicate_oks", help="OKS above which two poses are one person")
    _setting(group, "newcomer_oks", help="a pose more similar than this to a better one opens no new id")
    _setting(group, "min_hits", metavar="N", help="frames until a person is confirmed")
    _setting(group, "max_lost", metavar="N", help="frames for which a lost person is remembered")


def _setting(group: Any, name: str, **options: Any) -> None:
    """An option for a field of TrackerConfig: its default, and its type unless it is a switch."""
    default = getattr(_DEFAULTS, name)
    if "action" not in options:
        options["type"] = type(default)
        if "choices" not in options:
            options.setdefault("metavar", "X")
    group.add_argument(f"--{name.replace('_', '-')}", default=default, **options)


def tracker_config(args: argparse.Namespace) -> TrackerConfig:
    """The settings given on the command line; UsageError for one out of range."""
    values = {f.name: getattr(args, f.name) for f in fields(TrackerConfig) if hasattr(args, f.name)}
    try:
        return TrackerConfig(**values)
    except ValueError as error:
        raise UsageError(_in_options(str(error))) from error


def model_options(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `tracker.pipeline.build_pipeline`."""
    for option in ("detect_every", "detector_batch"):
        if getattr(args, option) < 1:
            raise UsageError(f"--{option.replace('_', '-')} must be 1 or more, not {getattr(args, option)}")
    if not 0 <= args.detector_score <= 1:
        raise UsageError(f"--detector-score must be within 0 and 1, not {args.detector_score}")
    if args.detect_every > 1 and not args.propagation:
        raise UsageError("--detect-every needs propagation to carry people between; leave out --no-propagation")
    if args.pose == "bottom-up":
        refuse_detector(args)
    names = (
        "pose",
        "detector",
        "pose_model",
        "device",
        "flow",
        "detect_every",
        "detector_batch",
        "flip_test",
        "detector_size",
        "detector_score",
        "detector_type",
    )
    made = {"config": tracker_config(args), "grouping": _grouping_config(args)}
    return {name: getattr(args, name) for name in names} | made


def names_networks(args: argparse.Namespace) -> bool:
    """Whether networks are named, or another kind of them than usual."""
    return bool(args.detector or args.pose_model or args.pose != "top-down")


def _grouping_config(args: argparse.Namespace) -> GroupingConfig:
    """The settings of the grouping; UsageError for a senseless one."""
    fields_of = {"grouping": "method", "max_people": "max_people", "tag_threshold": "tag_threshold"}
    fields_of |= {"peak_threshold": "detection_threshold", "person_score": "least_score"}
    given = {option: getattr(args, option) for option in fields_of if getattr(args, option) is not None}
    if given and args.pose != "bottom-up":
        raise UsageError(f"--{next(iter(given)).replace('_', '-')} is for --pose bottom-up; leave it out")
    from tracker.pose.grouping import TRACKED_GROUPING

    try:
        return replace(TRACKED_GROUPING, **{fields_of[option]: value for option, value in given.items()})
    except ValueError as error:
        name, _, rest = str(error).partition(" ")
        option = next(option for option, field in fields_of.items() if field == name)
        raise UsageError(f"--{option.replace('_', '-')} {rest}") from error


def refuse_detector(args: argparse.Namespace) -> None:
    """Raise UsageError for an option on the detector, which bottom-up estimation has none of."""
    for option in ("detector", "detector_type", "detector_size"):
        if getattr(args, option) is not None:
            raise UsageError(
                f"--pose bottom-up finds people without a detector; leave out --{option.replace('_', '-')}"
            )


def _in_options(message: str) -> str:
    """A message about a field of the config as one about its option."""
    name, _, rest = message.partition(" ")
    return f"--{name.replace('_', '-')} {rest}"
