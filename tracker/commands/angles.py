"""`angles`: joint and segment angles of results, as a table and as pictures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tracker.commands.convert import add_plot_option, check_plot, draw_people, rated, read_frames
from tracker.errors import InputError, UsageError

if TYPE_CHECKING:
    from tracker.after.angles import Angles


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "angles",
        help="joint and segment angles of results",
        description="Write a CSV table of angles in degrees, a row per person and frame, as Sports2D has them: flexion "
        "is positive, and 0 where a limb is straight; segments are measured to the horizontal, counter-clockwise; who "
        "faces left is mirrored. What lacks a keypoint is empty. The view must be from the side.",
    )
    parser.add_argument("input", type=Path, metavar="RESULTS", help="results of track, in any format")
    parser.add_argument("--output", type=Path, metavar="FILE", help="table; default: RESULTS_angles.csv in this folder")
    parser.add_argument(
        "--facing", choices=("auto", "left", "right"), default="auto", help="whither people look; auto: by feet or face"
    )
    parser.add_argument(
        "--keypoint-score", type=float, default=0.3, metavar="S", help="of a keypoint, below which it is missing"
    )
    parser.add_argument("--fps", type=float, metavar="R", help="frames per second, where RESULTS states no times")
    add_plot_option(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace what exists")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the table, and the pictures that are wanted."""
    from tracker.after.angles import angles_of
    from tracker.formats.trajectories import trajectories_of
    from tracker.outputs import check_apart, check_output, counted, writing

    if not 0 <= args.keypoint_score <= 1:
        raise UsageError(f"--keypoint-score must be within 0 and 1, not {args.keypoint_score}")
    output = args.output or Path(f"{args.input.stem}_angles.csv")
    check_apart(output, args.input)
    check_output(output, args.overwrite)
    check_plot(args)
    results = rated(read_frames(args.input), args.fps)
    skeleton = results.header.skeleton
    found = [
        angles_of(one, skeleton, facing=args.facing, least_score=args.keypoint_score)
        for one in trajectories_of(results)
    ]
    if not any(angles.degrees for angles in found):
        raise InputError(f"{args.input} has nobody with an angle: {skeleton.name} lacks limbs; name other results")
    with writing(output) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in _table(found))
    if args.plot:
        from tracker.after.motion_plots import draw_angles

        draw_people(args.plot, {angles.trajectory.track_id: angles for angles in found}, draw_angles)
    if frontal := [str(angles.trajectory.track_id) for angles in found if not angles.is_from_side]:
        who = f"seen from the front or the back, so flexion means little: {', '.join(frontal)}"
        print(f"note: people {who}", file=sys.stderr)
    print(f"written: {output}, {counted(len(found), 'person', 'people')}", file=sys.stderr)
    return 0


def _table(found: Sequence[Angles]) -> Iterator[str]:
    """The lines of the CSV table; people are in the frames in which a keypoint of theirs is."""
    yield ",".join(["frame", "time_s", "track_id", "facing", *found[0].degrees])
    for angles in found:
        trajectory = angles.trajectory
        for row in np.flatnonzero(trajectory.scores.any(axis=1)).tolist():
            person = [trajectory.frames[row], f"{trajectory.times_s[row]:.6f}", trajectory.track_id]
            facing = "right" if angles.faces_right[row] else "left"
            cells = ("" if np.isnan(degrees[row]) else f"{degrees[row]:.2f}" for degrees in angles.degrees.values())
            yield ",".join([*map(str, person), facing, *cells])
