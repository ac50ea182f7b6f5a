"""`evaluate networks`: pose networks side by side."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tracker.commands.evaluation_inputs import check_outputs, estimation_of, on_each
from tracker.commands.options import HelpFormatter, add_detector_options
from tracker.errors import InputError, UsageError
from tracker.outputs import partial_path, publish, write_json

if TYPE_CHECKING:
    from tracker.datasets.coco import GroundTruth, Picture
    from tracker.evaluation.estimation import Estimation
    from tracker.types import Image, Poses

# A network's name, height × width of its input, parameters, MACs of one run, OKS AP, mean OKS, and median milliseconds
# of a picture; None where a figure is not to be had.
Row: TypeAlias = Mapping[str, Any]


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
        "--bottom-up", "--bottom-up", type=Path, nargs="+", default=[], metavar="FILE", help="networks without boxes"
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
    from tracker.datasets.coco import check_pictures, read_ground_truth
    from tracker.evaluation.coco import load_pycocotools
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
    rows = [known | _measure(way, truth, args.images) for known, way in list(_load(args))]
    print(_table(rows))
    if args.json:
        write_json(args.json, rows)
    if args.plot:
        _draw(rows, args.plot)
    return 0


def _load(args: argparse.Namespace) -> Iterator[tuple[dict[str, Any], Estimation]]:
    """What is known of each network without running it, and its way to poses."""
    for pose in ("top-down", "bottom-up"):
        for path in getattr(args, pose.replace("-", "_")):
            given = argparse.Namespace(**vars(args) | {"pose": pose, "pose_model": path})
            yield {"name": path.name} | _cost(path), estimation_of(given)


def _cost(path: Path) -> dict[str, Any]:
    """None of an ONNX file, whose layers are not counted."""
    from tracker.evaluation.profile import profile

    if path.suffix == ".onnx":
        return dict.fromkeys(("size", "parameters", "macs"))
    cost = profile(str(path))
    return {"size": "×".join(map(str, cost.size_hw)), "parameters": cost.total.parameters, "macs": cost.total.macs}


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
    return {"ap": ap, "mean_oks": mean_oks(truth, results), "ms": 1e3 * statistics.median(times_s)}


def _table(rows: Iterable[Row]) -> str:
    lines = ["| network | input | M parameters | GMACs | OKS AP | mean OKS | ms per picture |", f"|{'---|' * 7}"]
    for row in rows:
        scaled = ((row["parameters"], 1e6), (row["macs"], 1e9), (row["ap"], 1), (row["mean_oks"], 1))
        figures = ("–" if value is None else f"{value / unit:.3f}" for value, unit in scaled)
        lines.append(f"| {' | '.join((row['name'], row['size'] or '–', *figures))} | {row['ms']:.1f} |")
    return "\n".join(lines)


def _draw(rows: Sequence[Row], path: Path) -> None:
    """Draw as PNG the mean OKS of each network over its milliseconds; the area of a dot is its parameters."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.5), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        at = row["ms"], row["mean_oks"] or 0.0
        axes.scatter(*at, s=40 + 60 * (row["parameters"] or 0) / 1e6, alpha=0.6)
        macs = "" if row["macs"] is None else f"\n{row['macs'] / 1e9:.2f} GMACs"
        axes.annotate(f"{row['name']}{macs}", at, xytext=(8, 8), textcoords="offset points", fontsize="small")
    axes.set(xlabel="ms per picture", ylabel="mean OKS", title="Area: parameters", ylim=(0, 1), xscale="log")
    axes.grid(alpha=0.3, which="both")
    figure.savefig(partial_path(path), dpi=100, format="png")
    publish(path)
