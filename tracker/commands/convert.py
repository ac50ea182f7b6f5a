"""`convert`: results from one format into another, and PoseTrack's files from one of its forms into the other."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tracker.after.second_pass import work_over
from tracker.after.table import PeopleTable
from tracker.commands.options import add_second_pass_options, height_m, read_second_pass
from tracker.errors import InputError, UsageError
from tracker.formats import (
    FORMATS,
    READERS,
    SUFFIXES,
    Results,
    check_results_output,
    format_of,
    open_writer,
    read_results,
)
from tracker.formats.markers import HEIGHT, RATE, check_people, person_path
from tracker.formats.posetrack import read_content, version_of
from tracker.formats.posetrack_conversion import convert_posetrack
from tracker.formats.record import missing_in
from tracker.formats.trajectories import trajectories_of
from tracker.outputs import PIPE, check_apart, check_output, counted, make_folder, told_what_is_left
from tracker.skeletons import SKELETONS
from tracker.tracking.config import TrackerConfig

T = TypeVar("T")
# The forms between which PoseTrack's files are converted as its own tool does.
_POSETRACK_VERSIONS = {"posetrack17": "17", "posetrack18": "18"}
# Of frames per second.
_LARGEST = 10_000
# Of keypoints that are dropped; there may be a hundred more.
_MOST_NAMES = 12


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "convert",
        help="turn results into another format",
        description="Write the results in IN as OUT. What the format of OUT cannot hold is dropped, and named in one "
        "line. Keypoints are mapped by name. With --format posetrack17, a PoseTrack18 or 21 file or a folder of such "
        "files, annotations or predictions, is converted as PoseTrack's own tool does; posetrack18 does the reverse.",
    )
    parser.add_argument(
        "input",
        type=Path,
        metavar="IN",
        help=f"results ({', '.join(READERS)}), or a folder of OpenPose's or PoseTrack's files; - for stdin",
    )
    parser.add_argument(
        "output", type=Path, metavar="OUT", help=f"file to write ({', '.join(SUFFIXES)}), a folder, or - for stdout"
    )
    parser.add_argument("--format", choices=FORMATS, help="format of OUT; default: by its suffix")
    parser.add_argument("--skeleton", choices=SKELETONS, help="keypoints to write; default: those of IN")
    parser.add_argument(
        "--person-height", type=height_m, metavar="M", help="metres that people are tall, to scale TRC and C3D by"
    )
    parser.add_argument(
        "--fps", type=float, metavar="R", help="frames per second: of TRC and C3D, and of IN, where it states no times"
    )
    add_plot_option(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    group = parser.add_argument_group(
        "second pass", "IN stays as it is; .jsonl and .npz hold ids and keypoints as they were at first, too."
    )
    add_second_pass_options(group)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Convert one file or folder."""
    if args.output != PIPE:
        check_apart(args.output, args.input)
    version = _POSETRACK_VERSIONS.get(args.format)
    if version and (sources := _posetrack_files(args.input, version)):
        return _convert_posetrack(args, sources, version)
    check_results_output(args.output, args.format, args.overwrite)
    check_plot(args)
    todo = read_second_pass(args)
    results = with_options(read_frames(args.input), args)
    if todo.does_something:
        worked = work_over(PeopleTable.of(results), results.header, todo, keypoint_threshold_of(results))
        results = worked.table.results(replace(results, header=worked.header))
        print(worked.summary, file=sys.stderr)
    skeleton, wanted = results.header.skeleton, SKELETONS.get(args.skeleton, results.header.skeleton)
    results = results.in_skeleton(wanted)
    with (
        told_what_is_left(args.output),
        suppress(BrokenPipeError),
        open_writer(args.output, results.header, args.format) as writer,
    ):
        for frame in results.frames:
            writer.write(frame, frame.tracked)
    names = missing_in(writer.skeleton or wanted, skeleton)
    if len(names) > _MOST_NAMES:
        names = [*names[:_MOST_NAMES], f"{len(names) - _MOST_NAMES} other keypoints"]
    dropped = sorted(writer.drops - results.absent_facts) + names
    if dropped:
        print(f"{args.output} cannot hold: {', '.join(dropped)}", file=sys.stderr)
    if writer.note:
        print(f"note: {writer.note}", file=sys.stderr)
    amount = f"{counted(len(results.frames), 'frame')} with {counted(len(results.track_ids), 'id')}"
    print(f"written: {writer}, {amount}", file=sys.stderr)
    if args.plot:
        from tracker.after.motion_plots import draw_keypoints

        people = {one.track_id: one for one in trajectories_of(results)}
        draw_people(args.plot, people, partial(draw_keypoints, skeleton=wanted))
    return 0


def add_plot_option(parser: Any) -> None:
    """--plot."""
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw each person over time: FILE_person01.png, …")


def check_plot(args: argparse.Namespace) -> None:
    """Refuse pictures that cannot be drawn or would replace others."""
    if args.plot:
        from tracker.plots import check_can_draw

        check_can_draw()
        check_people(args.plot, args.overwrite)


def draw_people(path: Path, people: Mapping[int, T], draw: Callable[[T, Path], None]) -> None:
    """A picture of each of the people by id, beside that path."""
    for track_id, person in people.items():
        draw(person, person_path(path, f"{track_id:02}"))
    print(f"written: {person_path(path, '*')}", file=sys.stderr)


def with_options(results: Results, args: argparse.Namespace) -> Results:
    """The results with the frame rate and the height that are given, as far as OUT has a use for them."""
    form = format_of(args.output, args.format)
    results = rated(results, args.fps, is_of_markers=form.is_per_person)
    given = {HEIGHT: args.person_height if form.keeps_height else None, RATE: args.fps if form.is_per_person else None}
    if args.person_height and not form.keeps_height:
        print(f"note: --person-height is left out: {args.output} holds pixels; TRC and C3D are scaled", file=sys.stderr)
    settings = results.header.settings | {name: value for name, value in given.items() if value}
    return replace(results, header=replace(results.header, settings=settings))


def rated(results: Results, fps: float | None, *, is_of_markers: bool = False) -> Results:
    """The results with the frame rate that is given, where they state no times; UsageError for a senseless one.

    is_of_markers: whether it is also that of a marker file, which times do not contradict.
    """
    if fps is None:
        return results
    if not 0 < fps <= _LARGEST:
        raise UsageError(f"--fps must be above 0 and at most {_LARGEST}, not {fps}")
    if any(math.isnan(frame.time_s) for frame in results.frames):
        return replace(results, header=replace(results.header, fps=fps))
    if not is_of_markers:
        print("note: --fps is left out: the results state the times of their frames", file=sys.stderr)
    return results


def read_frames(path: Path) -> Results:
    """The results in a file, of which stderr says what could not be read; InputError if they have no frame."""
    results = read_results(path)
    if not results.frames:
        raise InputError(f"{path} has no frame, so there is nothing to do; name another file")
    if results.warning:
        print(f"warning: {results.warning}", file=sys.stderr)
    return results


def keypoint_threshold_of(results: Results) -> float:
    """The score under which keypoints were not tracked."""
    stated = results.header.settings.get("keypoint_threshold")
    return stated if isinstance(stated, float) else TrackerConfig().least_keypoint_score


def _posetrack_files(path: Path, version: str) -> list[Path]:
    """The files to convert into that version: the path or what is in it; none if the first is not PoseTrack's."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path} holds no .json files; name the folder that does")
    found = version_of(read_content(files[0])) if files[0].suffix.lower() == ".json" else None
    if found and (found == "17") == (version == "17"):
        raise UsageError(f"{files[0]} has the form of PoseTrack{found} already; name another --format")
    return files if found else []


def _convert_posetrack(args: argparse.Namespace, sources: list[Path], version: str) -> int:
    """Convert files between PoseTrack's forms; those of a folder keep their names in the folder OUT."""
    if args.skeleton:
        raise UsageError("--skeleton has no meaning between PoseTrack's forms; leave it out")
    targets = [args.output]
    if args.input.is_dir():
        make_folder(args.output)
        targets = [args.output / source.name for source in sources]
    for target in targets:
        check_output(target, args.overwrite)
    num_frames = 0
    for source, target in zip(sources, targets, strict=True):
        num_frames += len(convert_posetrack(source, target, version).frames)
    files = f"{counted(len(sources), 'file')}, " if args.input.is_dir() else ""
    print(f"written: {args.output}, {files}{counted(num_frames, 'frame')}", file=sys.stderr)
    return 0
