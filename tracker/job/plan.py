"""What is to be done with each of several inputs: its job, and where its outputs go."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path, PurePath, PurePosixPath

from tracker.errors import InputError, OutputError, UsageError
from tracker.formats import FORMATS, check_results_output, format_of
from tracker.formats.posetrack_dataset import PoseTrackDataset, find_dataset
from tracker.job.job import Job, Outputs, describe_input
from tracker.outputs import PIPE, check_output, make_folder, partial_path, real_path
from tracker.video.images import is_image
from tracker.video.source import files_of, is_pattern, match_inputs
from tracker.video.stream import is_address
from tracker.video.writer import PictureFolder, check_container, is_picture

# What ends the names of outputs without their suffix.
_OUTPUT = re.compile(r"_tracked(\.partial)?$")
# The options of what is made, by fields of `Outputs`.
_OF_PICTURES = {
    "show_unconfirmed": "--show-unconfirmed",
    "draw": "--draw",
    "line_width": "--line-width",
    "blur_faces": "--blur-faces",
}
_OF_OVERLAYS = {"audio": "--no-audio", "crf": "--crf"}
_OF_POSES = {
    "format": "--format",
    "confirmed_only": "--confirmed-only",
    "person_height_m": "--person-height",
    "second_pass": "a second pass (--smooth, --stitch, --fill-gaps, --drop-shorter)",
}


def plan_jobs(
    inputs: Sequence[str], wanted: Job, *, split: str | None = None, overlays: bool = False
) -> tuple[list[Job], bool]:
    """A job for each input, with its own files as outputs; and whether these go to folders.

    wanted: what all have in common, whose outputs are as they were asked for. split, overlays: of a data set. Without a
    named file the overlay of an image is a picture, that of all else a video. Inputs of one name keep the folders in
    which they differ. Folders for the outputs of several inputs are made. Raises UsageError for options that do not go
    together, and for outputs of an unknown kind, over an input, or over one another; OutputError for a folder that
    cannot be made. Whether outputs exist is not looked at.
    """
    _check_pipes(inputs, wanted.outputs)
    dataset = next(filter(None, map(find_dataset, map(Path, filter(None, inputs)))), None)
    if dataset:
        _check_dataset(dataset, inputs, wanted)
        jobs, is_batch = _plan_sequences(wanted, dataset, split, overlays), True
    elif split or overlays:
        option = "--split" if split else "--overlays"
        raise UsageError(f"{option} is for data sets, and {inputs[0]} is no PoseTrack data set; leave it out")
    else:
        specs = [spec for given in inputs for spec in _inputs_of(given)]
        is_batch = specs != list(inputs) or len(specs) > 1
        if is_batch and wanted.outputs.poses == PIPE:
            raise UsageError("--poses - is for one input, but of several each has its own poses; name a folder")
        names = _names_of(specs)
        jobs = [_plan_one(wanted, spec, names[spec], is_batch) for spec in specs]
    _refuse_unused(wanted.outputs, [job.outputs for job in jobs], "add --overlays" if dataset else "name --output")
    _refuse_collisions(jobs)
    if is_batch:
        _make_folders(wanted.outputs.files, jobs)
    for job in jobs:
        _check_kinds(job)
    return jobs, is_batch


def check_outputs(job: Job) -> None:
    """Refuse outputs that cannot or must not be written, as `tracker.outputs.check_output` does, and taken ports.

    Before that InputError for a pattern that nothing matches, whose outputs are named after its folder.
    """
    if is_pattern(job.input) and not files_of(job.input):
        raise InputError(f"nothing matches {job.input}; check the pattern")
    outputs = job.outputs
    if outputs.overlay and job.has_picture_folder:
        if outputs.overlay.exists() and not outputs.overwrite:
            raise OutputError(
                f"{outputs.overlay} exists; move it away or pass --overwrite, which replaces its pictures"
            )
    elif outputs.overlay:
        check_output(outputs.overlay, outputs.overwrite)
    if outputs.poses:
        check_results_output(outputs.poses, outputs.format, outputs.overwrite)
    if outputs.serve:
        outputs.serve.bind().close()


def _check_pipes(inputs: Sequence[str], outputs: Outputs) -> None:
    if str(PIPE) in inputs and len(inputs) > 1:
        raise UsageError("stdin is tracked alone; name the other inputs in another call")
    if outputs.overlay == PIPE:
        raise UsageError("stdout takes poses, not the overlay or a folder; name a file for --output")


def _check_dataset(dataset: PoseTrackDataset, inputs: Sequence[str], wanted: Job) -> None:
    """Raise UsageError for what has no meaning with a data set."""
    if len(inputs) > 1:
        raise UsageError(f"{dataset.root} is a data set, which is tracked alone; name the other inputs in another call")
    if not wanted.outputs.overlay:
        raise UsageError(f"{dataset.root} is a data set; name the folder for its predictions: --output DIR")
    given = {"poses": wanted.outputs.poses, "show": wanted.outputs.show, "start": wanted.span.start_s}
    given |= {"photos": wanted.photos} | {name: getattr(wanted.settings, name) for name in ("people", "only", "region")}
    for option in filter(given.get, given):
        raise UsageError(f"--{option} has no meaning with the data set {dataset.root}; leave it out")


def _plan_sequences(wanted: Job, dataset: PoseTrackDataset, split: str | None, overlays: bool) -> list[Job]:
    chosen = split or dataset.default_split
    if not split and chosen not in dataset.splits:
        raise UsageError(f"{dataset.root} has the splits {', '.join(dataset.splits)}; name one with --split")
    suffix = FORMATS[wanted.outputs.format or "posetrack"].suffix
    folder = wanted.outputs.overlay or Path()
    settings = replace(wanted.settings, speed=wanted.settings.speed or "exact")
    jobs = []
    for sequence in dataset.sequences(chosen):
        overlay = folder / f"{sequence.name}.mp4" if overlays else None
        outputs = replace(wanted.outputs, overlay=overlay, poses=folder / f"{sequence.name}{suffix}")
        jobs.append(
            replace(wanted, input=str(sequence.annotation), outputs=outputs, sequence=sequence, settings=settings)
        )
    return jobs


def _inputs_of(given: str) -> list[str]:
    """The inputs that are named; outputs of ours in a folder of videos are none."""
    inputs = match_inputs(given)
    if inputs == [given] or not Path(given).is_dir():
        return inputs
    return [spec for spec in inputs if not _OUTPUT.search(Path(spec).stem)] or [given]


def _plan_one(wanted: Job, spec: str, name: PurePath, has_folders: bool) -> Job:
    if wanted.photos and not all(map(is_image, files_of(spec) or [Path(spec)])):
        raise UsageError(f"--photos is for pictures, and {describe_input(spec)} is none; leave it out")
    if wanted.photos and wanted.outputs.second_pass.does_something:
        raise UsageError("--photos has nothing to smooth, stitch or fill from picture to picture; leave one out")
    job = replace(wanted, input=spec, photos=wanted.photos or is_image(Path(spec)))
    return replace(job, outputs=_choose_outputs(job, name, has_folders))


def _choose_outputs(job: Job, name: PurePath, has_folders: bool) -> Outputs:
    wanted = job.outputs
    if not (wanted.overlay or wanted.poses or wanted.show or wanted.serve):
        wanted, has_folders = replace(wanted, overlay=Path(), poses=Path()), True
    if not has_folders:
        return wanted
    suffix = "" if job.has_picture_folder else ".png" if job.photos else ".mp4"
    overlay = wanted.overlay and wanted.overlay / f"{name}_tracked{suffix}"
    poses = wanted.poses and wanted.poses / f"{name}_tracked{FORMATS[wanted.format or 'jsonl'].suffix}"
    return replace(wanted, overlay=overlay, poses=poses)


def _names_of(specs: Iterable[str]) -> Mapping[str, PurePath]:
    """What the outputs of each input are called after: its name, below folders where inputs of one name differ."""
    places = {spec: _place_of(spec) for spec in specs}
    alike = defaultdict[str, list[tuple[str, ...]]](list)
    for place in places.values():
        alike[place[-1]].append(place)
    return {spec: PurePath(*place[_num_shared(alike[place[-1]]) :]) for spec, place in places.items()}


def _num_shared(places: Sequence[tuple[str, ...]]) -> int:
    """How many folders from the first on are the same for all; all of them for one place alone."""
    levels = zip(*(place[:-1] for place in places), strict=False)
    return sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, levels))


def _place_of(spec: str) -> tuple[str, ...]:
    """The folders of an input and its name: of a file, folder or address, without what file systems refuse."""
    path = real_path(Path(spec))
    if spec.isdigit():
        parts = [f"camera{spec}"]
    elif spec == str(PIPE):
        parts = ["stdin"]
    elif is_address(spec):
        host, *parts = PurePosixPath(describe_input(spec).partition("://")[2]).parts
        parts = [host, *parts[:-1], PurePosixPath(parts[-1]).stem] if parts else [host]
    else:
        folder = next(parent for parent in (path, *path.parents) if not is_pattern(str(parent)))
        parts = [*folder.parts[1:-1], folder.name if folder.is_dir() else folder.stem]
    return tuple(re.sub(r'[<>:"|?*]', "_", part) for part in parts if part != "..")


def _refuse_unused(wanted: Outputs, planned: Sequence[Outputs], remedy_of_overlays: str) -> None:
    """Raise UsageError for an option of what is not made of any input."""
    usual = Outputs()
    for options, is_made, what, remedy in (
        (_OF_PICTURES, any(one.overlay or one.show or one.serve for one in planned), "overlays", remedy_of_overlays),
        (_OF_OVERLAYS, any(one.overlay for one in planned), "overlay videos", remedy_of_overlays),
        (_OF_POSES, any(one.poses for one in planned), "poses", "name --poses"),
    ):
        given = [option for name, option in options.items() if getattr(wanted, name) != getattr(usual, name)]
        if given and not is_made:
            raise UsageError(f"{given[0]} is for {what}, and none are written; leave it out, or {remedy}")


def _refuse_collisions(jobs: Sequence[Job]) -> None:
    inputs = {real_path(Path(job.input.removeprefix("file://"))) for job in jobs}
    for path, count in Counter(path for job in jobs for path in job.outputs.files).items():
        if not inputs.isdisjoint(map(real_path, (path, partial_path(path)))):
            raise UsageError(f"to write {path} would overwrite the input; name another output")
        if count > len(jobs):
            raise UsageError(f"--output and --poses are the same file {path}; name two")
        if count > 1:
            raise UsageError(f"{count} of the inputs would be written to {path}; track them in calls of their own")


def _make_folders(wanted: Iterable[Path], jobs: Iterable[Job]) -> None:
    for folder in wanted:
        if re.match(r"\.[a-zA-Z]", folder.suffix) and not folder.is_dir():  # of results/v1.2 it is a number
            raise UsageError(f"{folder} looks like a file, but of several inputs each has its own; name a folder")
    for folder in dict.fromkeys([*wanted, *(path.parent for job in jobs for path in job.outputs.files)]):
        make_folder(folder)


def _check_picture_folder(folder: Path, job: Job) -> None:
    if is_picture(folder) or folder.suffix.lower() == ".mp4":
        raise UsageError(f"{folder} is one file, but of photos each has a picture of its own; name a folder")
    if real_path(folder) in {real_path(path.parent) for path in files_of(job.input)}:
        raise UsageError(f"pictures in {folder} would overwrite the input; name another folder")
    written: dict[str, Path] = {}
    for path in files_of(job.input):
        name = PictureFolder.name_in(str(path))
        if (other := written.setdefault(name, path)) != path:
            both = f"{other.name} and {path.name} would both be written as {Path(name).name}"
            raise UsageError(f"{both}; rename one of them")


def _check_kinds(job: Job) -> None:
    outputs = job.outputs
    if outputs.poses and not format_of(outputs.poses, outputs.format).keeps_height and outputs.person_height_m:
        raise UsageError(f"--person-height scales TRC and C3D, and {outputs.poses} holds pixels; leave it out")
    if outputs.overlay and job.has_picture_folder:
        _check_picture_folder(outputs.overlay, job)
    elif outputs.overlay and not is_picture(outputs.overlay):
        check_container(outputs.overlay)
    elif outputs.overlay and not (is_image(Path(job.input)) or job.span.max_frames == 1):
        raise UsageError(
            f"{outputs.overlay} holds one picture, and {job.name} is no single image; name a video file "
            "that ends in .mp4, or pass --max-frames 1"
        )
