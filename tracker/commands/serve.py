"""`serve`: a page to try it in a browser, and an HTTP API."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tracker.commands.options import (
    SettingAction,
    add_model_options,
    add_tracking_options,
    natural,
    read_address,
    read_engine,
    read_settings,
)
from tracker.errors import UsageError, load_extra

if TYPE_CHECKING:
    from tracker.serve.limits import Limits


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "serve",
        help="a page to try it in a browser, and an HTTP API",
        description="Serve a page on which people are found in pictures, clips and the webcam, and an HTTP API of the "
        "same. It needs pip install 'pose-tracker[serve]'. Everything stays on this machine; results are removed after "
        "a quarter of an hour.",
    )
    group = parser.add_argument_group("the server")
    group.add_argument("--host", default="127.0.0.1", metavar="NAME", help="where to listen; 0.0.0.0: for all machines")
    group.add_argument("--port", default="8000", metavar="N", help="port; 0: a free one")
    add_model_options(parser)
    add_tracking_options(parser)
    group = parser.add_rare_group("what the server takes on")
    group.add_argument(
        "--limit", action=SettingAction, load=_limits, help="a number that protects it; --limit help lists them"
    )  # fmt: skip
    group.add_argument(
        "--allow-host", nargs="+", default=(), metavar="NAME", help="further names that lead to it, such as of a proxy"
    )
    group.add_argument("--threads", type=natural, metavar="N", help="of each of the two worker processes on the CPU")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    try:
        address = read_address(f"{f'[{args.host}]' if ':' in args.host else args.host}:{args.port}")
        address = replace(address, names=frozenset(name.lower() for name in args.allow_host))
        limits = replace(_limits(), **(args.limit or {}))
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"--host and --port: {error}") from error
    except ValueError as error:
        raise UsageError(f"--limit {error}") from error
    settings, engine = read_settings(args), read_engine(args)
    # Of worker processes: OpenCV reads it when it is loaded, and refuses pictures whose size belies what was checked.
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(round(1e6 * limits.picture_mp)))
    for name in ("fastapi", "uvicorn", "python_multipart", "PIL"):
        load_extra(name)
    from tracker.serve.server import serve

    serve(settings, engine, limits, address)
    return 0


def _limits() -> Limits:
    from tracker.serve.limits import Limits

    return Limits()
