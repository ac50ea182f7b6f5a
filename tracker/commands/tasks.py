"""What `track` is to do with each of its inputs: its arguments, and where its outputs go."""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from tracker.errors import UsageError
from tracker.formats import FORMATS, check_results_output, format_of
from tracker.formats.posetrack_dataset import PoseTrackDataset, find_dataset
from tracker.outputs import check_output, make_folder, partial_path, real_path

# What ends the names of outputs without their suffix.
_OUTPUT = re.compile(r"_tracked(\.partial)?$")


def plan_tasks(args: argparse.Namespace) -> list[argparse.Namespace]:
    """The arguments for each input: `input` is one of them, `output` and `poses` are its own files or None.

    Added are `name`, as it is called in messages; `sequence`, None unless it is one of a data set; `is_batch`, whether
    outputs go to folders; and `fingerprint`, None. Without a named file the overlay of an image is a picture, that of
    all else a video. Folders for the outputs of several inputs are made. Raises UsageError for options that do not go
    together, and for outputs of an unknown kind, over an input, or over one another; OutputError for a folder that
    cannot be made. Whether outputs exist is not looked at.
    """
    dataset = _find_dataset(args)
    tasks = _plan_sequences(args, dataset) if dataset else _plan_inputs(args)
    _refuse_collisions(tasks)
    if tasks[0].is_batch:
        for folder in filter(None, (args.output, args.poses)):
            _make_folder(folder)
    for task in tasks:
        _check_kinds(task)
    return tasks


def outputs_of(task: argparse.Namespace) -> list[Path]:
    """What a task writes."""
    return [path for path in (task.output, task.poses) if path]


def check_outputs(task: argparse.Namespace) -> None:
    """Refuse outputs that cannot or must not be written, as `tracker.outputs.check_output` does."""
    if task.output:
        check_output(task.output, task.overwrite)
    if task.poses:
        check_results_output(task.poses, task.format, task.overwrite)


def describe_input(spec: str) -> str:
    """An input as it may be shown: no password."""
    from tracker.video.stream import is_address, public_address

    return public_address(spec) if is_address(spec) else spec


def _find_dataset(args: argparse.Namespace) -> PoseTrackDataset | None:
    """The data set that is named; UsageError for options that have no meaning with it, or without."""
    dataset = next(filter(None, map(find_dataset, map(Path, filter(None, args.input)))), None)
    if dataset is None:
        if args.split or args.overlays:
            option = "--split" if args.split else "--overlays"
            raise UsageError(f"{option} is for data sets, and {args.input[0]} is no PoseTrack data set; leave it out")
        return None
    if len(args.input) > 1:
        raise UsageError(f"{dataset.root} is a data set, which is tracked alone; name the other inputs in another call")
    if not args.output:
        raise UsageError(f"{dataset.root} is a data set; name the folder for its predictions: --output DIR")
    for option in ("poses", "show", "start"):
        if getattr(args, option):
            raise UsageError(f"--{option} has no meaning with the data set {dataset.root}; leave it out")
    return dataset


def _plan_sequences(args: argparse.Namespace, dataset: PoseTrackDataset) -> list[argparse.Namespace]:
    split = args.split or dataset.default_split
    if not args.split and split not in dataset.splits:
        raise UsageError(f"{dataset.root} has the splits {', '.join(dataset.splits)}; name one with --split")
    suffix = FORMATS[args.format or "posetrack"].suffix
    return [
        _task(
            args,
            str(sequence.annotation),
            name=sequence.name,
            output=args.output / f"{sequence.name}.mp4" if args.overlays else None,
            poses=args.output / f"{sequence.name}{suffix}",
            sequence=sequence,
            is_batch=True,
        )
        for sequence in dataset.sequences(split)
    ]


def _plan_inputs(args: argparse.Namespace) -> list[argparse.Namespace]:
    inputs = [spec for given in args.input for spec in _inputs_of(given)]
    is_batch = inputs != args.input or len(inputs) > 1
    return [_choose_outputs(args, spec, is_batch) for spec in inputs]


def _inputs_of(given: str) -> list[str]:
    """The inputs that are named; outputs of ours in a folder of videos are none."""
    from tracker.video.source import match_inputs

    inputs = match_inputs(given)
    if inputs == [given] or not Path(given).is_dir():
        return inputs
    return [spec for spec in inputs if not _OUTPUT.search(Path(spec).stem)] or [given]


def _choose_outputs(args: argparse.Namespace, spec: str, is_batch: bool) -> argparse.Namespace:
    output, poses, has_folders = args.output, args.poses, is_batch
    if not (output or poses or args.show):
        output, poses, has_folders = Path(), Path(), True
    if has_folders:
        name = _name_of(spec)
        output = output and output / f"{name}_tracked{'.png' if _is_image(spec) else '.mp4'}"
        poses = poses and poses / f"{name}_tracked{FORMATS[args.format or 'jsonl'].suffix}"
    return _task(args, spec, name=describe_input(spec), output=output, poses=poses, sequence=None, is_batch=is_batch)


def _task(args: argparse.Namespace, spec: str, **facts: Any) -> argparse.Namespace:
    return argparse.Namespace(**vars(args) | facts | {"input": spec, "fingerprint": None})


def _is_image(spec: str) -> bool:
    from tracker.video.images import is_image

    return is_image(Path(spec))


def _name_of(spec: str) -> str:
    """What an input's outputs are called after: its file, folder or address, without what file systems refuse."""
    from tracker.video.source import is_pattern
    from tracker.video.stream import is_address

    path = real_path(Path(spec))
    if spec.isdigit():
        name = f"camera{spec}"
    elif is_address(spec):
        host, *parts = PurePosixPath(describe_input(spec).partition("://")[2]).parts
        name = PurePosixPath(parts[-1]).stem if parts else host
    elif is_pattern(spec):
        name = next(parent.name for parent in path.parents if not is_pattern(str(parent)))
    else:
        name = path.name if path.is_dir() else path.stem
    return re.sub(r'[<>:"|?*]', "_", name)


def _refuse_collisions(tasks: Sequence[argparse.Namespace]) -> None:
    outputs = [path for task in tasks for path in outputs_of(task)]
    inputs = {real_path(Path(task.input.removeprefix("file://"))) for task in tasks}
    for path, count in Counter(outputs).items():
        if not inputs.isdisjoint(map(real_path, (path, partial_path(path)))):
            raise UsageError(f"to write {path} would overwrite the input; name another output")
        if count > len(tasks):
            raise UsageError(f"--output and --poses are the same file {path}; name two")
        if count > 1:
            raise UsageError(f"{count} of the inputs would be written to {path}; track them in calls of their own")


def _make_folder(folder: Path) -> None:
    if re.match(r"\.[a-zA-Z]", folder.suffix) and not folder.is_dir():  # of results/v1.2 it is a number
        raise UsageError(f"{folder} looks like a file, but of several inputs each has its own; name a folder")
    make_folder(folder)


def _check_kinds(task: argparse.Namespace) -> None:
    if task.output:
        _check_overlay(task)
    if task.poses:
        format_of(task.poses, task.format)


def _check_overlay(task: argparse.Namespace) -> None:
    from tracker.video.writer import check_container, is_picture

    if not is_picture(task.output):
        check_container(task.output)
    elif not (_is_image(task.input) or task.max_frames == 1):
        raise UsageError(
            f"{task.output} holds one picture, and {describe_input(task.input)} is no single image; name a video file "
            "that ends in .mp4, or pass --max-frames 1"
        )
