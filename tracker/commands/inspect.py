"""`inspect`: pictures of what the pose networks see in images, and of what is true."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tracker.commands.evaluation_inputs import load_detector_of, load_poses_of
from tracker.commands.options import OF_DETECTORS, OF_POSES, add_network_options, natural, refuse_detector
from tracker.errors import InputError, ModelError, UsageError
from tracker.outputs import check_output, make_folder

if TYPE_CHECKING:
    from tracker.datasets.coco import GroundTruth, Picture
    from tracker.pose.top_down import TopDownEstimator
    from tracker.skeletons import Skeleton
    from tracker.types import Image, Poses

    # Draws an image, beside the people who are truly in it, where they are known.
    Draw = Callable[[Image, Poses | None], dict[str, Image]]

# The names of the pictures, by --pose.
_PICTURES = {
    "top-down": ("heatmaps", "sum", "skeletons", "people"),
    "bottom-up": ("heatmaps", "sum", "skeletons", "tags"),
}


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "inspect",
        help="draw what the pose networks see in an image",
        description="Draw what the pose networks see in images: NAME_heatmaps.png has a map for each keypoint, "
        "NAME_sum.png their sum, NAME_skeletons.png the people, whose numbers are the same in all pictures. "
        "NAME_people.png has the crops of --pose top-down with the heatmaps of each person, NAME_tags.png the tags of "
        "--pose bottom-up. With --gt the truth stands beside.",
    )
    group = parser.add_argument_group("input and output")
    group.add_argument(
        "images", nargs="+", metavar="IMAGE", help="image, folder of images, or quoted pattern such as 'dir/*.jpg'"
    )
    group.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the pictures")
    group.add_argument("--overwrite", action="store_true", help="replace pictures that exist")
    group.add_argument(
        "--gt", type=Path, metavar="FILE", help="true keypoints in COCO's format; images are found in it by their name"
    )
    group.add_argument("--max-people", type=natural, default=10, metavar="N", help="best people of an image to draw")
    add_network_options(parser.add_argument_group("networks"), "pose", "boxes", *OF_DETECTORS, *OF_POSES)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the pictures of each image into the folder."""
    _check_combination(args)
    from tracker.datasets.coco import read_ground_truth
    from tracker.evaluation.inspection import read_true_poses
    from tracker.video.images import read_image

    images = _find_images(args.images)
    truth = read_ground_truth(args.gt) if args.gt else None
    pictures = [_find_picture(truth, path) if truth else None for path in images]
    make_folder(args.output)
    outputs = _outputs(args, images, args.pose)
    pose, draw, skeleton = _load(args)
    if pose != args.pose:
        outputs = _outputs(args, images, pose)
    for image, picture, files in zip(images, pictures, outputs, strict=True):
        true = read_true_poses(picture, truth.skeleton, skeleton) if picture and truth else None
        _write(draw(read_image(image), true), files)
    return 0


def _check_combination(args: argparse.Namespace) -> None:
    if args.pose == "bottom-up":
        refuse_detector(args)
        if args.boxes == "ground-truth":
            raise UsageError("--pose bottom-up looks at no boxes; leave out --boxes")
    if args.boxes == "ground-truth":
        if not args.gt:
            raise UsageError("--boxes ground-truth needs the true boxes; name them with --gt")
        if args.detector:
            raise UsageError("--boxes ground-truth leaves the detector nothing to do; leave out --detector")


def _find_images(specs: Sequence[str]) -> list[Path]:
    """The images that are named, each once; InputError for what is none."""
    from tracker.video.images import is_image
    from tracker.video.source import files_of

    images: dict[Path, None] = {}
    for spec in specs:
        files = files_of(spec)
        if not files:
            raise InputError(f"{spec} is no image and no folder or pattern of images; check the name")
        for path in files:
            if not is_image(path):
                raise InputError(f"{path} is no image; of a video save a frame first, or use `track`")
            images[path] = None
    return list(images)


def _find_picture(truth: GroundTruth, image: Path) -> Picture:
    """The picture of the ground truth that has the image's name; of several the one in folders of the same names."""
    alike = [picture for picture in truth.pictures if Path(picture.file_name).name == image.name]
    if len(alike) > 1:
        alike = [picture for picture in alike if image.resolve().as_posix().endswith(f"/{picture.file_name}")]
    if len(alike) != 1:
        raise InputError(
            f"{truth.path} has {len(alike) or 'no'} images of the name {image.name}; name the ground truth of "
            f"{image}, or leave --gt out"
        )
    return alike[0]


def _outputs(args: argparse.Namespace, images: Sequence[Path], pose: str) -> list[dict[str, Path]]:
    """The pictures of each image, by name, none of which is there already."""
    outputs = [{name: args.output / f"{path.stem}_{name}.png" for name in _PICTURES[pose]} for path in images]
    inputs = {image.resolve() for image in images}
    for path, count in Counter(path for files in outputs for path in files.values()).items():
        if path.resolve() in inputs:
            raise UsageError(f"to write {path} would overwrite one of the images; name another folder")
        if count > 1:
            raise UsageError(f"{count} of the images would be drawn to {path}; inspect them in calls of their own")
        check_output(path, args.overwrite)
    return outputs


def _load(args: argparse.Namespace) -> tuple[str, Draw, Skeleton]:
    """How the networks see images, as for --pose, what draws one by them, and their keypoints.

    Their names and engines go to stderr.
    """
    from tracker.evaluation.inspection import inspect_bottom_up
    from tracker.pose.bottom_up import BottomUpEstimator
    from tracker.types import PoseFinder

    poses = load_poses_of(args)
    if isinstance(poses, BottomUpEstimator):
        return "bottom-up", partial(inspect_bottom_up, poses, max_people=args.max_people), poses.skeleton
    if isinstance(poses, PoseFinder):
        raise ModelError(f"{poses.name} gives people and no maps, which are what is drawn here; name another file")
    return "top-down", _draws_top_down(args, poses), poses.skeleton


def _draws_top_down(args: argparse.Namespace, estimator: TopDownEstimator) -> Draw:
    from tracker.evaluation.inspection import inspect_top_down
    from tracker.types import Candidates

    detector = None if args.boxes == "ground-truth" else load_detector_of(args)

    def draw(image: Image, true: Poses | None) -> dict[str, Image]:
        if detector:
            boxes = Candidates.from_detections(detector.detect([image])[0])
        else:
            people = cast("Poses", true)
            boxes = Candidates(people.boxes, people.box_scores, people.origin)
        return inspect_top_down(estimator, image, boxes, true, args.max_people)

    return draw


def _write(drawn: Mapping[str, Image], files: Mapping[str, Path]) -> None:
    """Write the pictures, and say where each is."""
    from tracker.video.writer import PictureWriter

    for name, picture in drawn.items():
        with PictureWriter(files[name]) as writer:
            writer.write(picture, time_s=0)
        print(f"written: {files[name]}", file=sys.stderr)
