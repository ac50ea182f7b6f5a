"""Many inputs in one call of `track`: what is complete is left out, what fails does not end the others."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tracker import __version__
from tracker.errors import ModelError, UsageError
from tracker.formats import format_of
from tracker.job.cluster import track_on_cluster
from tracker.job.fingerprint import SUFFIX, Fingerprint, describe_files
from tracker.job.job import Crew, Engine, Job
from tracker.job.plan import check_outputs
from tracker.job.progress import Progress
from tracker.job.run import load_pipeline, try_job
from tracker.job.workers import assign_devices, track_in_workers
from tracker.nets.build import Kind
from tracker.outputs import partial_path
from tracker.pose.settings import settings_path
from tracker.runtime import num_cores
from tracker.video.source import check_range, files_of
from tracker.weights import find_default, sha256_of

# What changes outputs without changing whom they are about.
_OF_OUTPUTS = (
    *("format", "confirmed_only", "show_unconfirmed", "draw", "line_width", "blur_faces", "audio", "crf"),
    *("smooth_overlay", "person_height_m"),
)


def run_batch(jobs: Sequence[Job], engine: Engine, crew: Crew, *, verbose: bool = False) -> int:
    """Do each of the jobs that is not complete; 1 if one failed. All have the same settings.

    Raises UsageError for options that exclude one another, OutputError for outputs that exist and were made otherwise,
    both before any network is loaded; then what keeps networks from being loaded.
    """
    _check_options(jobs[0], engine, crew)
    span = jobs[0].span
    check_range(span.fps, span.start_s, span.end_s, span.max_frames)
    noun = "sequences" if jobs[0].sequence else "inputs"
    common = describe_settings(jobs[0], engine)
    marked = [_with_fingerprint(job, common) for job in jobs]
    to_do = [job for job in marked if not _is_complete(job)]
    if len(to_do) < len(jobs):
        num_done = len(jobs) - len(to_do)
        print(f"{num_done} of {len(jobs)} {noun} were complete; --overwrite tracks them again", file=sys.stderr)
    if not to_do:
        return 0
    with Progress(noun, len(jobs), len(jobs) - len(to_do), verbose=verbose) as progress:
        _track_all(to_do, engine, crew, progress)
    print("\n".join(progress.summary()), file=sys.stderr)
    return 1 if progress.num_failed else 0


def describe_settings(job: Job, engine: Engine) -> dict[str, Any]:
    """What all outputs of a batch have in common: settings, networks and version of the program.

    Networks are described by what is in their files. Raises ModelError for one that is missing.
    """
    settings = asdict(job.settings)
    files = {name: settings.pop(name) for name in ("pose_model", "detector")}
    outputs = {name: getattr(job.outputs, name) for name in _OF_OUTPUTS} | asdict(job.outputs.second_pass)
    has_boxes = job.settings.pose == "top-down"
    networks = {"pose network": _digest(files["pose_model"], "pose" if has_boxes else "bottom-up", engine)}
    if has_boxes:
        networks["detector"] = _digest(files["detector"], "detector", engine)
    if isinstance(settings["appearance"], Path):
        networks["appearance"] = [sha256_of(settings.pop("appearance"))]
    span = asdict(job.span)
    del span["reconnect_s"]  # of live sources, which have no fingerprint
    flat = settings | settings.pop("config") | {"grouping": settings["grouping"]} | span | outputs
    described: dict[str, Any] = {"version": __version__, "settings": flat, "networks": networks}
    return json.loads(json.dumps(described))  # as it will be read


def _digest(path: Path | None, kind: Kind, engine: Engine) -> list[str]:
    """The sha256 of a network's file and of the settings beside it, and a precision that changes results."""
    path = path or find_default(kind, engine.device, engine=engine.engine)
    if not path.is_file():
        raise ModelError(f"there is no network file {path}; check the name")
    files = [sha256_of(file) for file in (path, settings_path(path)) if file.is_file()]
    return [*files, *(["bfloat16"] if engine.engine == "openvino-bf16" else [])]


def _check_options(job: Job, engine: Engine, crew: Crew) -> None:
    if crew.gpus and engine.device != "auto":
        raise UsageError("--gpus and --device both say where networks run; leave one out")
    if job.outputs.show and crew != Crew():
        raise UsageError("--show is for one process; leave out --workers, --gpus and --ray")
    if crew.ray and (crew.workers or crew.gpus):
        raise UsageError("the Ray cluster decides how many workers there are; leave out --workers and --gpus")
    if crew.ray and job.outputs.format == "openpose":
        raise UsageError("--format openpose writes folders, which --ray does not bring back; name another format")
    if job.outputs.poses and format_of(job.outputs.poses, job.outputs.format).is_per_person:
        raise UsageError(
            f"--format {job.outputs.format} is of one input: write jsonl here, and convert each afterwards"
        )


def _with_fingerprint(job: Job, common: Mapping[str, Any]) -> Job:
    """The job with its fingerprint; without where nothing stays to be compared, or the user may end it early."""
    outputs = job.outputs.files
    files = [job.sequence.annotation] if job.sequence else files_of(job.input)
    if not outputs or not files or job.outputs.show:
        return job
    made_of = {**common, "input": describe_files(files)}
    return replace(job, fingerprint=Fingerprint(outputs[-1].with_name(f"{outputs[-1].name}{SUFFIX}"), made_of))


def _is_complete(job: Job) -> bool:
    """Whether there is nothing to do; otherwise outputs can be written and lose nothing. Raises OutputError if not."""
    outputs = job.outputs.files
    exists = any(path.exists() for output in outputs for path in (output, partial_path(output)))
    fits = job.fingerprint.fits(outputs) if job.fingerprint and exists and not job.outputs.overwrite else None
    if not fits:
        is_own = fits is False
        check_outputs(replace(job, outputs=replace(job.outputs, overwrite=job.outputs.overwrite or is_own)))
    return bool(fits)


def _track_all(jobs: Sequence[Job], engine: Engine, crew: Crew, progress: Progress) -> None:
    bytes_of = {job.input: job.fingerprint.made_of["input"]["bytes"] for job in jobs if job.fingerprint}
    longest_first = sorted(jobs, key=lambda job: bytes_of.get(job.input, 0), reverse=True)
    if crew.ray:
        track_on_cluster(longest_first, engine, crew.ray, progress)
        return
    num_workers = crew.workers or max(len(crew.gpus), 1)
    devices = assign_devices(min(num_workers, len(jobs)), engine.device, crew.gpus)
    if num_workers == 1:
        pipeline = load_pipeline(jobs[0].settings, replace(engine, device=devices[0]))
        for job in jobs:
            progress.end_input(try_job(job, pipeline, progress.count_frames))
        return
    num_threads = engine.num_threads or max(num_cores() // num_workers, 1)
    track_in_workers(longest_first, replace(engine, num_threads=num_threads), devices, progress)
