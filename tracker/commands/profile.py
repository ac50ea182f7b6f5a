"""`profile`: parameters and multiply-accumulates of networks."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.commands.options import HelpFormatter
from tracker.outputs import check_output, write_json

if TYPE_CHECKING:
    from tracker.evaluation.profile import Cost, Profile

_COLUMNS = ("input", "parameters", "MACs", "Simple Baselines", "LitePose")
_LEGEND = (
    "MACs of one picture: convolutions and linear layers at output positions, deconvolutions at input positions. "
    "Simple Baselines' paper counts deconvolutions at output positions; LitePose's adds 2 per element of a batch norm "
    "and 1 per element of an activation layer."
)


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "profile",
        help="count parameters and MACs of networks",
        description=f"Print a row for each network. {_LEGEND}",
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        "networks",
        nargs="*",
        metavar="NET",
        help="PoseResNet18, 34, 50, 101 or 152, PoseLiteHRNet, RTMDetNano, LitePose-XS, S, M or L, or a file of "
        "weights (.safetensors, .pth, .pth.tar, .pt); default: all of those names",
    )
    parser.add_argument(
        "--size", type=_size_hw, metavar="HxW", help="of the picture; default: what each network is used with"
    )
    parser.add_argument(
        "--keypoints", type=int, metavar="K", help="of named pose networks; default: 17, of PoseLiteHRNet 19"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures, those of the parts too")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="show the parts too, and the traceback of an error"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print a table to stdout, and write it as JSON if asked."""
    if args.json:
        check_output(args.json, args.overwrite)
    from tracker.evaluation.profile import NAMES, profile

    profiles = [profile(name, args.size, args.keypoints) for name in args.networks or NAMES]
    print(_table(profiles, args.verbose))
    print(_LEGEND, file=sys.stderr)
    if args.json:
        write_json(args.json, [profile.as_json() for profile in profiles])
    return 0


def _table(profiles: Sequence[Profile], shows_parts: bool) -> str:
    rows = [["network", *_COLUMNS]]
    for profile in profiles:
        height, width = profile.size_hw
        rows.append([profile.network, f"{height}×{width}", *_cells(profile.total)])
        if shows_parts:
            rows += [[f"  {name}", "", *_cells(cost)] for name, cost in profile.stages.items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join([name.ljust(widths[0]), *map(str.rjust, cells, widths[1:])]) for name, *cells in rows)


def _cells(cost: Cost) -> list[str]:
    macs = cost.macs, cost.macs_at_outputs, cost.macs_with_elements
    return [f"{cost.parameters:,}", *(f"{count / 1e9:.3f} G" for count in macs)]


def _size_hw(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)[x×](\d+)", text, re.ASCII)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is no height and width in pixels, such as 256x192")
    return int(match[1]), int(match[2])
