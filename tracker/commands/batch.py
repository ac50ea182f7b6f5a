"""Many inputs in one call of `track`: what is complete is left out, what fails does not end the others."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tracker.commands.batch_input import load_pipeline, track_task
from tracker.commands.cluster import track_on_cluster
from tracker.commands.fingerprint import SUFFIX, Fingerprint, describe_files, describe_settings
from tracker.commands.progress import Progress
from tracker.commands.tasks import check_outputs, outputs_of
from tracker.commands.workers import assign_devices, track_in_workers
from tracker.errors import UsageError
from tracker.outputs import partial_path
from tracker.runtime import num_cores


def run_batch(args: argparse.Namespace, tasks: Sequence[argparse.Namespace], options: Mapping[str, Any]) -> int:
    """Track each of the tasks that is not complete, as `args` says by whom; 1 if one failed.

    options: of the pipeline. Raises UsageError for options that exclude one another, OutputError for outputs that exist
    and were made otherwise, both before any network is loaded; then what keeps networks from being loaded.
    """
    from tracker.video.source import check_range

    _check_options(args)
    check_range(args.fps, args.start, args.end, args.max_frames)
    noun = "sequences" if tasks[0].sequence else "inputs"
    common = describe_settings(args)
    marked = [_with_fingerprint(task, common) for task in tasks]
    to_do = [task for task in marked if not _is_complete(task)]
    if len(to_do) < len(tasks):
        num_done = len(tasks) - len(to_do)
        print(f"{num_done} of {len(tasks)} {noun} were complete; --overwrite tracks them again", file=sys.stderr)
    if not to_do:
        return 0
    with Progress(noun, len(tasks), len(tasks) - len(to_do), verbose=args.verbose) as progress:
        _track_all(args, to_do, options, progress)
    print("\n".join(progress.summary()), file=sys.stderr)
    return 1 if progress.num_failed else 0


def _check_options(args: argparse.Namespace) -> None:
    if args.gpus and args.device != "auto":
        raise UsageError("--gpus and --device both say where networks run; leave one out")
    if args.show and (args.workers or args.gpus or args.ray):
        raise UsageError("--show is for one process; leave out --workers, --gpus and --ray")
    if args.ray and (args.workers or args.gpus):
        raise UsageError("the Ray cluster decides how many workers there are; leave out --workers and --gpus")
    if args.ray and args.format == "openpose":
        raise UsageError("--format openpose writes folders, which --ray does not bring back; name another format")


def _with_fingerprint(task: argparse.Namespace, common: Mapping[str, Any]) -> argparse.Namespace:
    """The task with its fingerprint; without where nothing stays to be compared, or the user may end it early."""
    from tracker.video.source import files_of

    outputs = outputs_of(task)
    files = [task.sequence.annotation] if task.sequence else files_of(task.input)
    if not outputs or not files or task.show:
        return task
    made_of = {**common, "input": describe_files(files)}
    return _with(task, fingerprint=Fingerprint(outputs[-1].with_name(f"{outputs[-1].name}{SUFFIX}"), made_of))


def _is_complete(task: argparse.Namespace) -> bool:
    """Whether there is nothing to do; otherwise outputs can be written and lose nothing. Raises OutputError if not."""
    outputs = outputs_of(task)
    exists = any(path.exists() for output in outputs for path in (output, partial_path(output)))
    fits = task.fingerprint.fits(outputs) if task.fingerprint and exists and not task.overwrite else None
    if not fits:
        is_own = fits is False
        check_outputs(_with(task, overwrite=task.overwrite or is_own))
    return bool(fits)


def _track_all(
    args: argparse.Namespace, tasks: Sequence[argparse.Namespace], options: Mapping[str, Any], progress: Progress
) -> None:
    longest_first = sorted(tasks, key=_num_bytes, reverse=True)
    if args.ray:
        track_on_cluster(longest_first, options, args.ray, args.threads or 1, progress)
        return
    gpus = args.gpus or ()
    num_workers = args.workers or max(len(gpus), 1)
    devices = assign_devices(min(num_workers, len(tasks)), args.device, gpus)
    if num_workers == 1:
        pipeline = load_pipeline({**options, "device": devices[0]}, args.threads)
        for task in tasks:
            progress.end_input(track_task(task, pipeline, progress.count_frames))
        return
    num_threads = args.threads or max(num_cores() // num_workers, 1)
    track_in_workers(longest_first, options, devices, num_threads, progress)


def _num_bytes(task: argparse.Namespace) -> int:
    """The size of an input's files, which goes with its length; 0 where it is not known."""
    return int(task.fingerprint.made_of["input"]["bytes"]) if task.fingerprint else 0


def _with(task: argparse.Namespace, **changes: Any) -> argparse.Namespace:
    return argparse.Namespace(**vars(task) | changes)
