"""`export`: a trained network as the two files in which it is shipped."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tracker.commands.options import HelpFormatter


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "export",
        help="turn trained weights into the files that are shipped",
        description="Write a network that `train` made as STEM.onnx for ONNX Runtime and STEM.safetensors for torch, "
        "weights in half precision, at most 10 MB each. Both are run against one another before they are kept. "
        "Prints an entry for weights/manifest.toml, to which licence, data and accuracy must be added.",
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        "weights", type=Path, nargs="+", metavar="WEIGHTS",
        help="the .safetensors file that training wrote; of several from one start the weights are averaged",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, metavar="STEM", help="the files, without their endings")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.add_argument("-v", "--verbose", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write both files and print their entry for the manifest to stdout."""
    from tracker.export import export_network, manifest_entry

    files = export_network(args.weights, args.output, args.overwrite)
    print(manifest_entry(*files))
    print(f"written: {', '.join(map(str, files))}", file=sys.stderr)
    return 0
