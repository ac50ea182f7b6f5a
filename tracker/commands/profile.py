"""`profile`: what networks cost, how long they take and how accurate they are, side by side."""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.commands.evaluation_inputs import (
    add_output_options,
    add_truth_options,
    check_outputs,
    estimation_of,
    on_each,
    read_pictures,
)
from tracker.commands.options import OF_DETECTORS, add_network_options, natural, network_file
from tracker.errors import InputError, UsageError
from tracker.outputs import write_json

if TYPE_CHECKING:
    from tracker.datasets.coco import GroundTruth, Picture
    from tracker.evaluation.estimation import Estimation
    from tracker.evaluation.profile import Cost, Profile
    from tracker.types import Image, Poses

_COUNTS = ("parameters", "GMACs", "Simple Baselines", "LitePose")
_ACCURACY = {"ap": "OKS AP", "mean_oks": "mean OKS", "ms_per_picture": "ms per picture"}
_LEGEND = (
    "MACs of one picture: convolutions and linear layers at output positions, deconvolutions at input positions. "
    "Simple Baselines' paper counts deconvolutions at output positions; LitePose's adds 2 per element of a batch norm "
    "and 1 per element of an activation layer."
)


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "profile",
        help="parameters, MACs, milliseconds and accuracy of networks",
        description=f"Print a row for each network; with -v of its parts, too. {_LEGEND} With --rounds, milliseconds "
        "per picture (a person or a frame) of the network alone, on one and two threads, one and four pictures at "
        "once. With --gt, OKS AP, mean OKS and milliseconds per picture with everything: the detector, crops or maps, "
        "and grouping. Compare figures of one run only: machines are noisy.",
    )
    names = "PoseResNet18, 34, 50, 101 or 152, PoseLiteHRNet, RTMDetNano, BottomUpMobileNet, LitePose-XS, S, M or L"
    parser.add_argument(
        "networks", nargs="*", type=_network, metavar="NET",
        help=f"{names}, a file, or a name of `weights list`; default: all of those names",
    )  # fmt: skip
    parser.add_argument("--bottom-up", type=network_file, nargs="+", metavar="FILE", help="networks without boxes")
    parser.add_argument("--size", type=_size_hw, metavar="HxW", help="of the picture; default: what each is used with")
    parser.add_argument(
        "--keypoints", type=natural, metavar="K", help="of networks by name; default: 17, PoseLiteHRNet 19"
    )
    parser.add_argument("--rounds", type=natural, metavar="N", help="runs to take median milliseconds of")
    add_output_options(parser)
    group = parser.add_argument_group("accuracy in annotated pictures")
    add_truth_options(group, required=False)
    group.add_argument("--plot", type=Path, metavar="FILE", help="draw mean OKS over milliseconds as PNG")
    score = {"default": 0.01, "help": "least score of a person; AP wants a low one"}
    add_network_options(group, "boxes", *OF_DETECTORS, "flip_test", "device", "engine", detector_score=score)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print a table to stdout, and write and draw it if asked."""
    _check_combination(args)
    check_outputs(args, args.json, args.plot)
    from tracker.evaluation.profile import NAMES, profile

    names = [*args.networks, *map(str, args.bottom_up or ())] or NAMES
    profiles = [profile(name, args.size, args.keypoints) for name in names]
    rows = [one.as_json() for one in profiles]
    columns = _time(profiles, rows, args) if args.rounds else []
    if args.gt:
        _measure_all(rows, args)
    print(_table(profiles, rows, columns, args.verbose))
    print(_LEGEND, file=sys.stderr)
    if args.json:
        write_json(args.json, rows)
    if args.plot:
        _draw(rows, args.plot)
    return 0


def _check_combination(args: argparse.Namespace) -> None:
    if bool(args.gt) != bool(args.images):
        raise UsageError("--gt and --images need each other")
    if args.plot and not args.gt:
        raise UsageError("--plot shows mean OKS; name annotated pictures with --gt and --images")
    if (args.rounds or args.gt) and not (args.networks or args.bottom_up):
        raise UsageError("there is nothing to run; name files of networks")


def _time(profiles: Sequence[Profile], rows: Sequence[dict[str, Any]], args: argparse.Namespace) -> list[str]:
    """Add milliseconds to the rows; the columns that have them."""
    from tracker.evaluation.timing import LOADS, time_networks

    files = [(Path(one.network), one.size_hw) for one in profiles]
    columns = [f"{threads} thr × {batch}" for threads, batch in LOADS]
    for row, times in zip(rows, time_networks(files, args.device, args.rounds, args.engine), strict=True):
        row["ms"] = dict(zip(columns, times, strict=True))
    return columns


def _measure_all(rows: Sequence[dict[str, Any]], args: argparse.Namespace) -> None:
    """Add accuracy to the rows. All networks load before the first is measured, which may take hours."""
    from tracker.evaluation.coco import load_pycocotools
    from tracker.plots import check_can_draw

    load_pycocotools()
    if args.plot:
        check_can_draw()
    truth = read_pictures(args)
    if not truth.pictures:
        raise InputError(f"{args.gt} lists no pictures; name another file")
    poses = ["top-down"] * len(args.networks) + ["bottom-up"] * (len(rows) - len(args.networks))
    named = [{"pose": pose, "pose_model": Path(row["network"])} for pose, row in zip(poses, rows, strict=True)]
    ways = [estimation_of(argparse.Namespace(**vars(args) | names)) for names in named]
    for row, way in zip(rows, ways, strict=True):
        row.update(_measure(way, truth, args.images))


def _measure(way: Estimation, truth: GroundTruth, folder: Path) -> dict[str, float | None]:
    """Estimate poses in all pictures, behind a progress bar."""
    from tracker.evaluation.coco import evaluate_results, keypoint_results
    from tracker.evaluation.mean_oks import mean_oks

    times_s = []

    def estimate(picture: Picture, image: Image) -> Poses:
        start = time.perf_counter()
        poses = way.estimate(picture, image)
        times_s.append(time.perf_counter() - start)
        return poses

    poses = on_each(truth, folder, estimate)
    results = keypoint_results(poses, way.skeleton, truth.skeleton, is_rescored=way.is_rescored)
    ap = evaluate_results(truth, results, "keypoints")["ap"]
    return {"ap": ap, "mean_oks": mean_oks(truth, results), "ms_per_picture": 1e3 * statistics.median(times_s)}


def _table(
    profiles: Sequence[Profile], rows: Sequence[dict[str, Any]], columns: Sequence[str], shows_parts: bool
) -> str:
    from tracker.evaluation.tables import markdown_table

    accuracy = [name for name in _ACCURACY if name in rows[0]]
    lines = []
    for one, row in zip(profiles, rows, strict=True):
        counts = _cells(one.total) if one.total else [None] * len(_COUNTS)
        measured = [*(row["ms"][column] for column in columns), *map(row.get, accuracy)]
        lines.append([one.network, "×".join(map(str, one.size_hw)), *counts, *measured])
        if shows_parts:
            blanks = [""] * len(measured)
            lines += [[f"  {name}", "", *_cells(cost), *blanks] for name, cost in one.stages.items()]
    header = ["network", "input", *_COUNTS, *columns, *(_ACCURACY[name] for name in accuracy)]
    return markdown_table(header, lines, digits=3)


def _cells(cost: Cost) -> list[Any]:
    macs = cost.macs, cost.macs_at_outputs, cost.macs_with_elements
    return [f"{cost.parameters:,}", *(count / 1e9 for count in macs)]


def _network(text: str) -> str:
    """A name of the catalogue becomes its file; other names and files stay."""
    from tracker.catalogue.entries import read_catalogue

    return str(network_file(text)) if text in read_catalogue() else text


def _size_hw(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)[x×](\d+)", text, re.ASCII)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is no height and width in pixels, such as 256x192")
    return int(match[1]), int(match[2])


def _draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw as PNG the mean OKS of each network over its milliseconds; the area of a dot is its parameters."""
    from tracker.plots import new_figure, save_figure

    figure = new_figure(8, 5.5)
    axes = figure.subplots()
    for row in rows:
        at = row["ms_per_picture"], row["mean_oks"] or 0.0
        axes.scatter(*at, s=40 + 60 * (row["parameters"] or 0) / 1e6, alpha=0.6)
        macs = "" if row["macs"] is None else f"\n{row['macs'] / 1e9:.2f} GMACs"
        axes.annotate(f"{Path(row['network']).name}{macs}", at, xytext=(8, 8), textcoords="offset points")
    axes.set(xlabel="ms per picture", ylabel="mean OKS", title="Area: parameters", ylim=(0, 1), xscale="log")
    axes.grid(alpha=0.3, which="both")
    save_figure(figure, path)
