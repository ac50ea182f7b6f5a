"""`suggest`: moments of results that deserve a look, as edits to take or leave, with pictures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tracker.after.suggestions import Suggestion, find_suggestions
from tracker.after.table import PeopleTable
from tracker.commands.convert import keypoint_threshold_of
from tracker.commands.edit import add_rate_option, read_rated
from tracker.commands.options import natural
from tracker.commands.render import match_frames, rate_of
from tracker.errors import UsageError
from tracker.formats import Results
from tracker.outputs import check_output, counted, make_folder, writing
from tracker.types import DoubleArray

if TYPE_CHECKING:
    from tracker.video.source import VideoSource


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "suggest",
        help="list moments in which ids may be wrong, as edits",
        description="List the moments of RESULTS that deserve a look, worst first: people who may have been exchanged, "
        "births near deaths, jumps, weak matches, exchanged sides. Each is a line for `edit`, behind a #, which you "
        "take away where you agree.",
    )
    parser.add_argument("results", type=Path, metavar="RESULTS", help="results that `track` or `convert` wrote")
    parser.add_argument("--output", type=Path, metavar="EDITS", help="text to write; default: it is printed")
    parser.add_argument("--video", metavar="VIDEO", help="the video that was tracked, for strips of pictures")
    parser.add_argument(
        "--strips", type=Path, metavar="DIR", help="folder of the strips; default: RESULTS_strips in this folder"
    )
    parser.add_argument("--most", type=natural, default=20, metavar="N", help="moments to list")
    add_rate_option(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the list, and a strip of pictures for each moment."""
    if args.strips and not args.video:
        raise UsageError("--strips are of pictures; name the --video that was tracked, or leave it out")
    folder: Path = args.strips or Path(f"{args.results.stem}_strips")
    if args.output:
        check_output(args.output, args.overwrite)
    results = read_rated(args)
    if args.video:
        _open_video(args, results).close()  # also where no moment would need it
    table = PeopleTable.of(results)
    found = find_suggestions(table, results.header.skeleton, keypoint_threshold_of(results))[: args.most]
    strips = [folder / f"{number:02d}.jpg" for number in range(1, len(found) + 1)] if args.video else []
    text = "\n".join(_lines(args, found, table, strips)) + "\n"
    if strips:
        make_folder(folder)
        for strip in strips:
            check_output(strip, args.overwrite)
        _write_strips(args, results, table, found, strips)
        print(f"written: {counted(len(strips), 'strip')} in {folder}", file=sys.stderr)
    if not args.output:
        print(text, end="")
        return 0
    with writing(args.output) as partial:
        partial.write_text(text, encoding="utf-8")
    print(f"written: {args.output}, {counted(len(found), 'moment')}", file=sys.stderr)
    return 0


def _lines(
    args: argparse.Namespace, found: Sequence[Suggestion], table: PeopleTable, strips: Sequence[Path]
) -> Iterator[str]:
    edits = args.output or Path("edits.txt")
    if not found:
        yield f"# Nothing in {args.results} looks doubtful."
        return
    yield f"# Moments of {args.results} that deserve a look, worst first. Take the # away where you agree, then run"
    yield f"#   python -m tracker edit {args.results} {edits}"
    for number, moment in enumerate(found):
        strip = f", {strips[number]}" if strips else ""
        yield ""
        yield f"# {table.times_s[moment.after]:.2f} s: {moment.why} ({moment.score:.2f}{strip})"
        yield f"# {moment.line}"


def _write_strips(
    args: argparse.Namespace, results: Results, table: PeopleTable, found: Sequence[Suggestion], paths: Sequence[Path]
) -> None:
    from tracker.video.strips import Strip, StripMaker

    strips = [
        Strip(path, table.times_s[moment.before], table.times_s[moment.after], _part_with(table, moment))
        for path, moment in zip(paths, found, strict=True)
    ]
    maker = StripMaker(results.header.skeleton, strips, keypoint_threshold_of(results), results.header.names)
    with _open_video(args, results) as source:
        for frame, people in match_frames(args.video, args.results, results, source):
            maker.add(frame, people)
            if maker.is_done:
                break
    maker.write()


def _open_video(args: argparse.Namespace, results: Results) -> VideoSource:
    from tracker.video.source import open_source

    return open_source(args.video, fps=rate_of(args.video, results))


def _part_with(table: PeopleTable, moment: Suggestion) -> DoubleArray:
    """The box (4,) around those whom a moment is about, from before it until after it."""
    from tracker.video.strips import AFTER_S, BEFORE_S

    times_s = table.times_s[table.frames]
    is_near = (times_s >= table.times_s[moment.before] + BEFORE_S[0]) & (
        times_s <= table.times_s[moment.after] + AFTER_S[-1]
    )
    boxes = table.poses.boxes[is_near & np.isin(table.track_ids, moment.ids)].astype(np.float64)
    return np.concatenate([np.nanmin(boxes[:, :2], axis=0), np.nanmax(boxes[:, 2:], axis=0)])
