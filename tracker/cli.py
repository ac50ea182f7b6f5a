"""The command line: reads the arguments, runs a command, turns errors into one line and an exit code.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tracker.commands import (
    ablate,
    angles,
    bench,
    convert,
    demo,
    doctor,
    edit,
    evaluate,
    export,
    inspect,
    profile,
    render,
    serve,
    suggest,
    track,
    train,
    weights,
)
from tracker.commands.options import Parser
from tracker.errors import TrackerError, explain_import_error, is_hollow


class Terminated(KeyboardInterrupt):
    """The process was told to end (SIGTERM): whatever is open is closed as on Ctrl-C."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` (default: the process's arguments) names; returns the exit code.

    To be called from the main thread, since it handles signals.
    """
    if sys.stderr is None:  # closed, or without a console on Windows
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - to the end of the process
    args = argparse.Namespace(verbose=False)
    try:
        with _sigterm_as_interrupt():
            build_parser().parse_args(argv, args)
            code = int(args.run(args))
            if sys.stdout is not None:
                sys.stdout.flush()
            return code
    except KeyboardInterrupt as interrupt:
        print("interrupted", file=sys.stderr)
        return 143 if isinstance(interrupt, Terminated) else 130
    except BrokenPipeError:  # who reads what is printed, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (TrackerError, ImportError, AttributeError, OSError) as error:
        if isinstance(error, AttributeError) and not is_hollow(error):
            raise
        if args.verbose:
            traceback.print_exc()
        print(f"error: {_explain(error)}", file=sys.stderr)
        return error.exit_code if isinstance(error, TrackerError) else 1


def build_parser() -> Parser:
    """The parser of all commands; every default stands in the help."""
    parser = Parser(
        prog="pose-tracker",
        description="Find people in videos, their keypoints, and ids that stay with them.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    every_day = (track, render, convert, suggest, edit, angles, demo, serve, doctor, weights)
    for command in (*every_day, evaluate, inspect, train, ablate, bench, profile, export):
        command.add_parser(commands)
    return parser


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise Terminated

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _explain(error: TrackerError | ImportError | AttributeError | OSError) -> str:
    """The error on one line."""
    message = str(error)
    if not isinstance(error, TrackerError):
        if isinstance(error, ImportError | AttributeError):
            message = str(explain_import_error(error))
        elif error.filename:
            message = f"{error.filename}: {error.strerror}"
    return " ".join(message.split())
