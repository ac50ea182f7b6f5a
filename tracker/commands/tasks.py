"""What `track` is to do with each of its inputs: its arguments, and where its outputs go."""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tracker.errors import OutputError, UsageError
from tracker.formats import FORMATS, check_results_output, format_of
from tracker.outputs import check_output, partial_path


def plan_tasks(args: argparse.Namespace) -> list[argparse.Namespace]:
    """The arguments for each input: `input` is one of them, `output` and `poses` are its own files or None.

    Folders for the outputs of several inputs are made. Raises UsageError for outputs of an unknown kind, over an
    input, or over one another; OutputError for a folder that cannot be made. Whether outputs exist is not looked at.
    """
    from tracker.video.source import match_inputs

    inputs = [spec for given in args.input for spec in match_inputs(given)]
    is_batch = inputs != args.input or len(inputs) > 1
    tasks = [_choose_outputs(args, spec, is_batch) for spec in inputs]
    _refuse_collisions(tasks)
    if is_batch:
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


def _choose_outputs(args: argparse.Namespace, spec: str, is_batch: bool) -> argparse.Namespace:
    output, poses = args.output, args.poses
    if not (output or poses or args.show):
        output, poses, is_batch = Path(), Path(), True
    if is_batch:
        name = _name_of(spec)
        output = output and output / f"{name}_tracked.mp4"
        poses = poses and poses / f"{name}_tracked{FORMATS[args.format or 'jsonl'].suffix}"
    return argparse.Namespace(**vars(args) | {"input": spec, "output": output, "poses": poses})


def _name_of(spec: str) -> str:
    """What an input's outputs are called after: its file, folder or address, without what file systems refuse."""
    from tracker.video.source import is_pattern
    from tracker.video.stream import is_address

    path = Path(spec).resolve()
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
    inputs = {Path(task.input).resolve() for task in tasks}
    for path, count in Counter(outputs).items():
        if not inputs.isdisjoint((path.resolve(), partial_path(path).resolve())):
            raise UsageError(f"to write {path} would overwrite the input; name another output")
        if count > 1:
            raise UsageError(f"{count} of the inputs would be written to {path}; track them in calls of their own")


def _make_folder(folder: Path) -> None:
    if folder.suffix and not folder.is_dir():
        raise UsageError(f"{folder} looks like a file, but of several inputs each has its own; name a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder} ({error.strerror}); name another") from error


def _check_kinds(task: argparse.Namespace) -> None:
    if task.output:
        from tracker.video.writer import check_container

        check_container(task.output)
    if task.poses:
        format_of(task.poses, task.format)
