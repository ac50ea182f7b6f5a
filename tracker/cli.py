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
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.commands.quick_start import quick_start
from tracker.errors import TrackerError, explain_import_error, is_hollow

if TYPE_CHECKING:
    from tracker.commands.options import Parser

# Modules of `tracker.commands`, in the order of the help: those of every day first.
COMMANDS = (
    *("track", "render", "convert", "suggest", "edit", "angles", "demo", "serve", "doctor", "weights"),
    *("evaluate", "inspect", "train", "ablate", "bench", "profile", "export"),
)


class Terminated(KeyboardInterrupt):
    """The process was told to end (SIGTERM): whatever is open is closed as on Ctrl-C."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` (default: the process's arguments) names; returns the exit code.

    To be called from the main thread, since it handles signals.
    """
    if sys.stderr is None:  # closed, or without a console on Windows
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - to the end of the process
    argv = sys.argv[1:] if argv is None else argv
    args = argparse.Namespace(verbose=False)
    try:
        with _sigterm_as_interrupt():
            with quick_start():
                build_parser([name for name in COMMANDS if name in argv[:1]] or COMMANDS).parse_args(argv, args)
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


def build_parser(names: Sequence[str] = COMMANDS) -> Parser:
    """The parser of commands, of which no others are imported; every default stands in the help."""
    from tracker.commands.options import Parser

    parser = Parser(
        prog="pose-tracker",
        description="Find people in videos, their keypoints, and ids that stay with them.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name in names:
        import_module(f"tracker.commands.{name}").add_parser(commands)
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
