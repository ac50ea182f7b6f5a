"""Inputs of a batch on a Ray cluster: the machines read inputs and networks where this one does, and send results."""

from __future__ import annotations

import argparse
import functools
import importlib
import logging
import re
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tracker.commands.batch_input import load_pipeline, track_task
from tracker.commands.progress import Outcome, Progress
from tracker.commands.tasks import outputs_of
from tracker.errors import DependencyError, DeviceError, TrackerError, UsageError
from tracker.outputs import explain_write_error, partial_path, publish
from tracker.runtime import muted_native_stderr

if TYPE_CHECKING:
    from tracker.pipeline import Pipeline

# How often Ray begins an input anew whose worker was lost.
_MAX_RETRIES = 3
_PATIENCE_S = 10
# An outcome, and the content of each output by its name.
_Result: TypeAlias = tuple[Outcome, dict[str, bytes]]


def track_on_cluster(
    tasks: Sequence[argparse.Namespace],
    options: Mapping[str, Any],
    address: str,
    num_threads: int,
    progress: Progress,
) -> None:
    """Have all tasks done by the cluster at that address, or by the one that `auto` finds; outputs are written here.

    Each is one task of Ray, which needs `num_threads` CPUs, and a GPU unless the device is the CPU or the cluster has
    none. Ray begins a task anew, elsewhere, whose worker is lost. Raises DependencyError without Ray, DeviceError for a
    cluster that is not there or lacks what is asked for, and what keeps networks from being loaded.
    """
    ray = _import_ray()
    with _connected(ray, address):
        num_gpus = _num_gpus(ray, options["device"])
        _check_cpus(ray, num_threads)
        remote = ray.remote(num_cpus=num_threads, num_gpus=num_gpus, max_retries=_MAX_RETRIES)(_track_there)
        for_all = ray.put((_options_there(options, num_gpus), num_threads))
        waiting = {remote.remote(_task_there(task), for_all): task for task in tasks}
        while waiting:
            (reference, *_), _ = ray.wait(list(waiting))
            task = waiting.pop(reference)
            outcome = _receive(ray, reference, task)
            progress.count_frames(outcome.report.frames if outcome.report else 0)
            progress.end_input(outcome)
            del reference  # Ray keeps a result as long as somebody may ask for it


def _import_ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise DependencyError(f"no cluster without ray ({error}); run: pip install 'pose-tracker[cluster]'") from error


@contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    try:
        _knock(address)
        with muted_native_stderr():  # each new try of connecting is a line there; what matters is raised
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:200].rstrip(".")
        raise DeviceError(
            f"no Ray cluster at {address} ({reason}); start one, name its address, or set RAY_AUTH_MODE as it has it"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()  # which ends what is still being done


def _knock(address: str) -> None:
    """OSError where nobody answers, which Ray would try for many minutes."""
    if place := re.fullmatch(r"([^:/]+):(\d+)", address):
        socket.create_connection((place[1], int(place[2])), timeout=_PATIENCE_S).close()


def _num_gpus(ray: Any, device: str) -> int:
    """How many GPUs a task needs."""
    has_gpus = ray.cluster_resources().get("GPU", 0) > 0
    if device.startswith("cuda") and not has_gpus:
        raise DeviceError(f"device {device} does not work: the Ray cluster has no GPU; use --device auto or cpu")
    return int(has_gpus and device != "cpu")


def _check_cpus(ray: Any, num_threads: int) -> None:
    """Refuse what Ray would wait for without an end."""
    most = max((int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]), default=0)
    if num_threads > most:
        raise UsageError(f"no machine of the Ray cluster has {num_threads} CPUs; pass --threads {most} or fewer")


def _options_there(options: Mapping[str, Any], num_gpus: int) -> dict[str, Any]:
    """The options of the pipeline: Ray shows a task its own GPU alone, and has another working folder."""
    paths = {name: options[name] and options[name].absolute() for name in ("detector", "pose_model")}
    return {**options, **paths, "device": "cuda" if num_gpus else "cpu"}


def _task_there(task: argparse.Namespace) -> argparse.Namespace:
    """The task with absolute paths, and with outputs that have a name alone."""
    from tracker.video.source import absolute_spec

    sequence = task.sequence
    if sequence:
        roots = tuple(root.absolute() for root in sequence.roots)
        sequence = replace(sequence, annotation=sequence.annotation.absolute(), roots=roots)
    return argparse.Namespace(
        **vars(task)
        | {
            "input": absolute_spec(task.input),
            "sequence": sequence,
            "output": task.output and Path(task.output.name),
            "poses": task.poses and Path(task.poses.name),
            "fingerprint": None,
        }
    )


def _track_there(task: argparse.Namespace, for_all: tuple[dict[str, Any], int]) -> _Result:
    """What a worker of Ray does: track one input into a folder that does not last."""
    options, num_threads = for_all
    pipeline = _load_once(tuple(options.items()), num_threads)
    with tempfile.TemporaryDirectory() as folder:
        task.output, task.poses = (path and Path(folder, path) for path in (task.output, task.poses))
        outcome = track_task(task, pipeline, on_frame=lambda: None)
        written = outputs_of(task) if outcome.report else []
        return outcome, {path.name: path.read_bytes() for path in written}


@functools.lru_cache(maxsize=1)
def _load_once(options: tuple[tuple[str, Any], ...], num_threads: int) -> Pipeline:
    """The pipeline, which the next task of the same process finds loaded."""
    return load_pipeline(dict(options), num_threads)


def _receive(ray: Any, reference: Any, task: argparse.Namespace) -> Outcome:
    """The outcome of a task that is done, and its outputs on this machine's disk."""
    try:
        result: _Result = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        return Outcome(task.name, error=f"its workers were lost ({type(error).__name__})")
    outcome, contents = result
    if outcome.report is None:
        return outcome
    try:
        _write(task, contents)
    except TrackerError as error:
        return Outcome(task.name, error=str(error))
    return replace(outcome, report=replace(outcome.report, outputs=outputs_of(task)))


def _write(task: argparse.Namespace, contents: Mapping[str, bytes]) -> None:
    outputs = outputs_of(task)
    if task.fingerprint:
        task.fingerprint.claim()
    for path in outputs:
        try:
            partial_path(path).write_bytes(contents[path.name])
            publish(path)
        except OSError as error:
            raise explain_write_error(path, error) from error
    if task.fingerprint:
        task.fingerprint.complete(outputs)
