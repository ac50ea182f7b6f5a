"""The command line: reads the arguments, runs a command, turns errors into one line and an exit code.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tracker.commands import bench, demo, track
from tracker.errors import TrackerError, explain_import_error


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` (default: the process's arguments) names; returns the exit code."""
    args = build_parser().parse_args(argv)
    try:
        return int(args.run(args) or 0)
    except TrackerError as error:
        if args.verbose:
            raise
        return _fail(str(error), error.exit_code)
    except ImportError as error:
        if args.verbose:
            raise
        return _fail(str(explain_import_error(error)), 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; every default stands in the help."""
    parser = argparse.ArgumentParser(
        prog="pose-tracker",
        description="Find people in videos, their keypoints, and ids that stay with them.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (track, demo, bench):
        command.add_parser(commands)
    return parser


def _fail(message: str, exit_code: int) -> int:
    print(f"error: {' '.join(message.split())}" if exit_code != 130 else message, file=sys.stderr)
    return exit_code
