"""Inputs of a batch on a Ray cluster: the machines read inputs and networks where this one does, and send results."""

from __future__ import annotations

import functools
import logging
import re
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from tracker.errors import DeviceError, TrackerError, UsageError, load_extra
from tracker.job.job import Engine, Job, Outputs, Settings
from tracker.job.progress import Progress
from tracker.job.report import Outcome
from tracker.job.run import load_pipeline, try_job
from tracker.outputs import writing
from tracker.pipeline import Pipeline
from tracker.runtime import muted_native_stderr
from tracker.video.source import absolute_spec

# How often Ray begins an input anew whose worker was lost.
_MAX_RETRIES = 3
_PATIENCE_S = 10
# An outcome, and the content of each output by its name.
_Result: TypeAlias = tuple[Outcome, dict[str, bytes]]


def track_on_cluster(jobs: Sequence[Job], engine: Engine, address: str, progress: Progress) -> None:
    """Have all jobs done by the cluster at that address, or by the one that `auto` finds; outputs are written here.

    Each is one task of Ray, which needs a CPU for each of the threads, and a GPU unless the device is the CPU or the
    cluster has none. Ray begins a task anew, elsewhere, whose worker is lost. Raises DependencyError without Ray,
    DeviceError for a cluster that is not there or lacks what is asked for, and what keeps networks from being loaded.
    """
    ray: Any = load_extra("ray")
    num_threads = engine.num_threads or 1
    with _connected(ray, address):
        num_gpus = _num_gpus(ray, engine.device)
        _check_cpus(ray, num_threads)
        remote = ray.remote(num_cpus=num_threads, num_gpus=num_gpus, max_retries=_MAX_RETRIES)(_track_there)
        for_all = ray.put(replace(engine, num_threads=num_threads, device="cuda" if num_gpus else "cpu"))
        waiting = {remote.remote(_job_there(job), for_all): job for job in jobs}
        while waiting:
            (reference, *_), _ = ray.wait(list(waiting))
            outcome = _receive(ray, reference, waiting.pop(reference))
            progress.count_frames(outcome.report.frames if outcome.report else 0)
            progress.end_input(outcome)
            del reference  # Ray keeps a result as long as somebody may ask for it


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


def _job_there(job: Job) -> Job:
    """The job where another folder is the working one: with absolute paths, and outputs that have a name alone."""
    settings, sequence = job.settings, job.sequence
    if sequence:
        roots = tuple(root.absolute() for root in sequence.roots)
        sequence = replace(sequence, annotation=sequence.annotation.absolute(), roots=roots)
    files = {name: getattr(settings, name) for name in ("detector", "pose_model", "appearance")}
    moved: Any = {name: path.absolute() for name, path in files.items() if isinstance(path, Path)}
    settings = replace(settings, **moved)
    outputs = _moved(job.outputs, lambda path: Path(path.name))
    return Job(absolute_spec(job.input), settings, job.span, outputs, sequence)


def _moved(outputs: Outputs, move: Callable[[Path], Path]) -> Outputs:
    overlay, poses = (path and move(path) for path in (outputs.overlay, outputs.poses))
    return replace(outputs, overlay=overlay, poses=poses)


def _track_there(job: Job, engine: Engine) -> _Result:
    """What a worker of Ray does: track one input into a folder that does not last."""
    pipeline = _load_once(job.settings, engine)
    with tempfile.TemporaryDirectory() as folder:
        job = replace(job, outputs=_moved(job.outputs, lambda path: Path(folder, path)))
        outcome = try_job(job, pipeline, on_frame=lambda: None)
        written = job.outputs.files if outcome.report else []
        return outcome, {path.name: path.read_bytes() for path in written}


@functools.lru_cache(maxsize=1)
def _load_once(settings: Settings, engine: Engine) -> Pipeline:
    """The pipeline, which the next task of the same process finds loaded."""
    return load_pipeline(settings, engine)


def _receive(ray: Any, reference: Any, job: Job) -> Outcome:
    """The outcome of a job that is done, and its outputs on this machine's disk."""
    try:
        result: _Result = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        return Outcome(job.name, error=f"its workers were lost ({type(error).__name__})")
    outcome, contents = result
    if outcome.report is None:
        return outcome
    try:
        with job.claimed_outputs():
            for path in job.outputs.files:
                with writing(path) as partial:
                    partial.write_bytes(contents[path.name])
    except TrackerError as error:
        return Outcome(job.name, error=str(error))
    return replace(outcome, report=replace(outcome.report, outputs=job.outputs.files))
