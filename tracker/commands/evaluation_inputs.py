"""What commands that run networks on single pictures share: the networks, the pictures, and the outputs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tracker.errors import UsageError
from tracker.outputs import check_output

if TYPE_CHECKING:
    from tracker.datasets.coco import GroundTruth, Picture
    from tracker.evaluation.estimation import Estimation
    from tracker.pose.top_down import TopDownEstimator
    from tracker.types import Image, PersonDetector, PoseFinder

T = TypeVar("T")


def add_output_options(group: Any) -> None:
    """--json and --overwrite."""
    group.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    group.add_argument("--overwrite", action="store_true", help="replace files that exist")


def add_truth_options(group: Any, *, required: bool = True) -> None:
    """--gt and --images."""
    group.add_argument("--gt", type=Path, required=required, metavar="FILE", help="ground truth in COCO's format")
    group.add_argument("--images", type=Path, required=required, metavar="DIR", help="its pictures")


def check_outputs(args: argparse.Namespace, *outputs: Path | None) -> None:
    """Refuse outputs that exist, that are the same file twice, or that are an input."""
    taken = {
        path.resolve() for name in ("gt", "pred", "negatives", "annotations") if (path := getattr(args, name, None))
    }
    for path in filter(None, outputs):
        if path.resolve() in taken:
            raise UsageError(f"to write {path} would overwrite an input or another output; name another file")
        taken.add(path.resolve())
        check_output(path, args.overwrite)


def read_pictures(args: argparse.Namespace) -> GroundTruth:
    """The ground truth, whose pictures are all there."""
    from tracker.datasets.coco import check_pictures, read_ground_truth

    truth = read_ground_truth(args.gt)
    check_pictures(truth, args.images)
    return truth


def estimation_of(args: argparse.Namespace) -> Estimation:
    """How poses are estimated, by the options."""
    from tracker.evaluation.estimation import at_once, in_found_boxes, in_true_boxes
    from tracker.pose.top_down import TopDownEstimator

    poses = load_poses_of(args)
    if not isinstance(poses, TopDownEstimator):
        return at_once(poses)
    if args.boxes == "ground-truth":
        return in_true_boxes(poses)
    return in_found_boxes(detector=load_detector_of(args), estimator=poses)


def load_detector_of(args: argparse.Namespace) -> PersonDetector:
    """The detector that the options name, said on stderr."""
    from tracker.detection import load_detector

    settings = {"size": args.detector_size, "detector_type": args.detector_type, "engine": args.engine}
    return _tell(load_detector(args.detector, args.device, args.detector_score, **settings))


def load_estimator_of(args: argparse.Namespace) -> TopDownEstimator:
    """The top-down estimator that the options name, said on stderr."""
    from tracker.pose import load_estimator

    return _tell(load_estimator(args.pose_model, args.device, flip_test=args.flip_test, engine=args.engine))


def load_poses_of(args: argparse.Namespace) -> TopDownEstimator | PoseFinder:
    """What estimates poses by the options and, where they name no boxes, by the network's file; said on stderr."""
    from tracker.pose import load_poses
    from tracker.pose.family import FinderSettings

    is_bottom_up = args.pose != "top-down"
    has_boxes = not is_bottom_up and bool(args.detector or args.boxes == "ground-truth")
    sees = {"bottom_up": is_bottom_up, "has_boxes": has_boxes}
    settings = FinderSettings(flip_test=args.flip_test, least_score=args.detector_score)
    return _tell(load_poses(args.pose_model, args.device, **sees, settings=settings, engine=args.engine))


def _tell(network: Any) -> Any:
    """The same network; what it is and where it runs goes to stderr."""
    notes = (f"note: {line}" for line in (network.note or "").splitlines())
    print(f"{network.name}: {network.engine}", *notes, sep="\n", file=sys.stderr)
    return network


def on_each(truth: GroundTruth, folder: Path, work: Callable[[Picture, Image], T]) -> dict[int, T]:
    """What `work` gives for each picture, by image id."""
    from tqdm import tqdm

    from tracker.datasets.coco import read_picture

    pictures = tqdm(truth.pictures, unit="picture", disable=None, leave=False)
    return {picture.id: work(picture, read_picture(picture, folder)) for picture in pictures}
