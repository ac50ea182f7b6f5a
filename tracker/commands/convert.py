"""`convert`: results from one format into another."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tracker.commands.options import HelpFormatter
from tracker.errors import InputError
from tracker.formats import FORMATS, SUFFIXES, Results, check_results_output, open_writer, read_results
from tracker.outputs import check_apart
from tracker.skeletons import SKELETONS


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "convert",
        help="turn results into another format",
        description="Write the results in IN as OUT. What the format of OUT cannot hold is dropped, and named in one "
        "line. Keypoints are mapped by name.",
        formatter_class=HelpFormatter,
    )
    suffixes = ", ".join(SUFFIXES)
    parser.add_argument("input", type=Path, metavar="IN", help=f"results ({suffixes}), or a folder of OpenPose's")
    parser.add_argument("output", type=Path, metavar="OUT", help=f"file to write ({suffixes}), or a folder")
    parser.add_argument("--format", choices=FORMATS, help="format of OUT; default: by its suffix")
    parser.add_argument("--skeleton", choices=SKELETONS, help="keypoints to write; default: those of IN")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    parser.add_argument("-v", "--verbose", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Convert one file or folder."""
    check_apart(args.output, args.input)
    check_results_output(args.output, args.format, args.overwrite)
    results = read_results(args.input)
    if not results.frames:
        raise InputError(f"{args.input} has no frame, so there is nothing to convert; name another file")
    lost: list[str] = []
    if args.skeleton:
        skeleton = SKELETONS[args.skeleton]
        lost, results = results.lost_in(frozenset(), skeleton), results.in_skeleton(skeleton)
    lost += _write(results, args.output, args.format)
    if lost:
        print(f"dropped: {', '.join(lost)}", file=sys.stderr)
    num_ids = len({track_id for frame in results.frames for track_id in frame.tracked.track_ids.tolist()})
    print(f"written: {args.output}, {len(results.frames)} frames with {num_ids} ids", file=sys.stderr)
    return 0


def _write(results: Results, path: Path, name: str | None) -> list[str]:
    """Write the results and name what the format cannot hold of them."""
    with open_writer(path, results.header, name) as writer:
        for frame in results.frames:
            writer.write(frame, frame.tracked)
    return results.lost_in(writer.drops, writer.skeleton)
