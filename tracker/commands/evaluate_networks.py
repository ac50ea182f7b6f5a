"""`evaluate networks`: pose networks side by side."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.commands.evaluation_inputs import check_outputs, estimation_of, on_each, write_json
from tracker.commands.options import HelpFormatter, add_detector_options
from tracker.errors import InputError, UsageError

if TYPE_CHECKING:
    from tracker.evaluation.coco import GroundTruth, Picture
    from tracker.evaluation.estimation import Estimation
    from tracker.evaluation.network_comparison import ComparedNetwork
    from tracker.evaluation.profile import Profile
    from tracker.types import Image, Poses


def add_parser(measures: Any) -> None:
    """Add the measure and its options."""
    parser = measures.add_parser(
        "networks",
        help="size, cost, accuracy and speed of several pose networks",
        description="A table, and a plot, of pose networks on annotated pictures: parameters, multiply-accumulates of "
        "one run (a top-down network runs once for each person), OKS AP, mean OKS, and milliseconds per picture with "
        "everything: the detector, crops or maps, and grouping.",
        formatter_class=HelpFormatter,
    )
    group = parser.add_argument_group("what is measured")
    group.add_argument("--gt", type=Path, required=True, metavar="FILE", help="ground truth in COCO's format")
    group.add_argument("--images", type=Path, required=True, metavar="DIR", help="its pictures")
    group.add_argument(
        "--top-down", type=Path, nargs="+", default=[], metavar="FILE", help="networks for the boxes of a detector"
    )
    group.add_argument(
        "--bottom-up", "--litepose", type=Path, nargs="+", default=[], metavar="FILE", help="networks without boxes"
    )
    group.add_argument(
        "--boxes", choices=("detector", "ground-truth"), default="detector", help="boxes for top-down networks"
    )
    group.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    group.add_argument("--plot", type=Path, metavar="FILE", help="draw mean OKS over milliseconds as PNG")
    group.add_argument("--overwrite", action="store_true", help="replace files that exist")
    group.add_argument("-v", "--verbose", action="store_true", help="show the traceback of an error")
    group = parser.add_argument_group("networks")
    group.add_argument("--detector", type=Path, metavar="FILE", help="person detector (ONNX); default: as shipped")
    add_detector_options(group)
    group.add_argument(
        "--detector-score", type=float, default=0.01, metavar="S", help="least score of a person; AP wants a low one"
    )
    group.add_argument("--flip-test", action="store_true", help="average with the mirrored picture")
    group.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or cuda:N")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the table to stdout, in Markdown."""
    from tracker.evaluation.coco import check_pictures, load_pycocotools, read_ground_truth
    from tracker.evaluation.network_comparison import as_table, draw_comparison
    from tracker.evaluation.posetrack.plots import check_can_draw

    if not args.top_down and not args.bottom_up:
        raise UsageError("there is nothing to compare; name networks with --top-down or --bottom-up")
    check_outputs(args, args.json, args.plot)
    load_pycocotools()
    if args.plot:
        check_can_draw()
    truth = read_ground_truth(args.gt)
    check_pictures(truth, args.images)
    if not truth.pictures:
        raise InputError(f"{args.gt} lists no pictures; name another file")
    # All load before the first is measured, which may take hours.
    rows = [_measure(*network, truth, args.images) for network in list(_load(args))]
    print(as_table(rows))
    if args.json:
        write_json(args.json, [asdict(row) for row in rows])
    if args.plot:
        draw_comparison(rows, args.plot)
    return 0


def _load(args: argparse.Namespace) -> Iterator[tuple[str, Profile | None, Estimation]]:
    """Name, cost and way of each network."""
    for pose in ("top-down", "bottom-up"):
        for path in getattr(args, pose.replace("-", "_")):
            given = argparse.Namespace(**vars(args) | {"pose": pose, "pose_model": path})
            yield path.name, _cost(path), estimation_of(given)


def _measure(
    name: str, cost: Profile | None, estimation: Estimation, truth: GroundTruth, folder: Path
) -> ComparedNetwork:
    """Estimate poses in all pictures, behind a progress bar."""
    from tracker.evaluation.network_comparison import compare_network

    times_s = []

    def estimate(picture: Picture, image: Image) -> Poses:
        start = time.perf_counter()
        poses = estimation.estimate(picture, image)
        times_s.append(time.perf_counter() - start)
        return poses

    return compare_network(name, cost, estimation, truth, on_each(truth, folder, estimate), times_s)


def _cost(path: Path) -> Profile | None:
    """None of an ONNX file, whose layers are not counted."""
    from tracker.evaluation.profile import profile

    return None if path.suffix == ".onnx" else profile(str(path))
