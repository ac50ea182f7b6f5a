"""`export`: a trained network as the two files in which it is shipped."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tracker.errors import InputError, UsageError


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "export",
        help="turn trained weights into the files that are shipped",
        description="Write a network that `train` made as STEM.onnx for ONNX Runtime and STEM.safetensors for torch, "
        "weights in half precision, at most 10 MB each. Both are run against one another before they are kept. "
        "Prints an entry for weights/manifest.toml, to which licence, data and accuracy must be added. With "
        "--precision int8: STEM.onnx alone, in 8 bits for CPUs, compared with single precision on the pictures that "
        "show the range of each layer; measure its accuracy with `evaluate coco` on others.",
    )
    parser.add_argument(
        "weights", type=Path, nargs="+", metavar="WEIGHTS",
        help="the .safetensors file that training wrote; of several from one start the weights are averaged",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, metavar="STEM", help="the files, without their endings")
    parser.add_argument("--precision", choices=("fp16", "int8"), default="fp16", help="of the weights; int8: of all")
    parser.add_argument(
        "--calibrate", type=Path, nargs="+", metavar="PICTURES",
        help="for int8: folders of pictures, or pictures, like those that will be seen, none of those to measure on; a "
        "hundred of them are taken",
    )  # fmt: skip
    parser.add_argument(
        "--detector", type=Path, metavar="FILE",
        help="for int8 of a pose network: what finds people in the pictures; default: as shipped",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the files and print their entry for the manifest to stdout."""
    if args.precision == "int8":
        return _export_int8(args)
    if args.calibrate or args.detector:
        raise UsageError("--calibrate and --detector are for --precision int8; leave them out, or add it")
    from tracker.export import export_network, manifest_entry

    files = export_network(args.weights, args.output, args.overwrite)
    print(manifest_entry(*files))
    print(f"written: {', '.join(map(str, files))}", file=sys.stderr)
    return 0


def _export_int8(args: argparse.Namespace) -> int:
    if not args.calibrate:
        raise UsageError("--precision int8 needs pictures: add --calibrate and a folder of them")
    paths = [path for source in args.calibrate for path in _pictures_in(source)]
    from tracker.export import manifest_line
    from tracker.quantisation import MOST_INPUTS, export_int8
    from tracker.video.images import read_image

    pictures = (read_image(path) for path in paths[:: -(-len(paths) // MOST_INPUTS)])
    file, comparison = export_int8(args.weights, args.output, pictures, args.detector, args.overwrite)
    print(manifest_line("onnx", file))
    print(comparison, f"written: {file}", sep="\n", file=sys.stderr)
    return 0


def _pictures_in(source: Path) -> list[Path]:
    from tracker.video.images import is_image, list_folder

    if not source.exists():
        raise InputError(f"there is no picture or folder {source}; check the name for --calibrate")
    paths = [path for path in list_folder(source) if is_image(path)] if source.is_dir() else [source]
    if not paths:
        raise InputError(f"{source} holds no pictures; name a folder of .jpg, .png or .webp files for --calibrate")
    return paths
