"""`edit`: ids of results mended by a text of lines."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from tracker.after.edits import apply_edits, read_edits
from tracker.commands.convert import rated, read_frames
from tracker.formats import FORMATS, SUFFIXES, Results, check_results_output, format_of, open_writer
from tracker.formats.fields import readable
from tracker.formats.record import EDITS
from tracker.outputs import PIPE, check_apart, counted, told_what_is_left


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "edit",
        help="mend ids in results by a text of lines",
        description="Apply the lines of EDITS to RESULTS: `swap 3 7 @ 12.40` (from that second on), `merge 9 -> 3`, "
        "`split 3 @ 20.1` (a new id from there on), `sides 3 @ 4.2 - 4.6` (left and right exchanged), `drop 12`, "
        "`name 3 Anna`; what follows a # is left out. `suggest` writes such lines. Ids are those of RESULTS, in any "
        "order the lines stand. .jsonl, .npz and .parquet keep the lines, so that the same once more change nothing; "
        "to other formats apply them once. .jsonl and .npz keep the tracker's ids, too.",
    )
    parser.add_argument("results", type=Path, metavar="RESULTS", help="results that `track` or `convert` wrote")
    parser.add_argument("edits", type=Path, metavar="EDITS", help="text of lines")
    parser.add_argument(
        "--output", type=Path, metavar="OUT", help=f"file to write ({', '.join(SUFFIXES)}); default: RESULTS_edited"
    )
    parser.add_argument("--format", choices=FORMATS, help="format of OUT; default: by its suffix")
    add_rate_option(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the edited results."""
    edited_name = PIPE if args.results == PIPE else Path(f"{args.results.stem}_edited{args.results.suffix}")
    output: Path = args.output or edited_name
    for source in (args.results, args.edits) if output != PIPE else ():
        check_apart(output, source)
    form = args.format or ("openpose" if args.results.is_dir() and not output.suffix else None)
    check_results_output(output, form, args.overwrite)
    with readable(args.edits):
        text = args.edits.read_text(encoding="utf-8-sig")
    edits = read_edits(text, str(args.edits))
    before = read_rated(args)
    edited = apply_edits(before, edits)
    with told_what_is_left(output), suppress(BrokenPipeError), open_writer(output, edited.header, form) as writer:
        for frame in edited.frames:
            writer.write(frame, frame.tracked)
    dropped = writer.drops - edited.absent_facts
    if named := sorted(dropped - {EDITS}):
        print(f"{output} cannot hold: {', '.join(named)}", file=sys.stderr)
    if EDITS in dropped and format_of(output, form).is_read:
        print(f"warning: {output} keeps no edits: apply these lines to {args.results} itself, once", file=sys.stderr)
    done = "as they were" if edited is before else f"{counted(len(edits), 'edit')} applied"
    ids = counted(len(edited.track_ids), "id")
    print(f"written: {writer}, {done}, {ids} of {len(before.track_ids)}", file=sys.stderr)
    return 0


def add_rate_option(parser: Any) -> None:
    """--fps, of results that state no times."""
    parser.add_argument("--fps", type=float, metavar="R", help="frames per second of RESULTS that state no times")


def read_rated(args: argparse.Namespace) -> Results:
    """The results, with the frame rate that is given."""
    return rated(read_frames(args.results), args.fps)
