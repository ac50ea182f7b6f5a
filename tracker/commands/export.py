"""`export`: a network as an ONNX file for any engine, or as the two files in which ours are shipped."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.commands.options import network_file
from tracker.errors import InputError, UsageError

if TYPE_CHECKING:
    from tracker.export.comparison import Difference, Picture
    from tracker.export.graph import Export, Row

# Frames of each rendered scene.
_FRAMES = 2


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "export",
        help="turn any network into an ONNX file for other engines",
        description="Write a network as FILE.onnx: of open batches, with skeleton, normalisation and licence in its "
        "metadata, ready for --pose-model and --detector. A table compares it with what it was: size, CPU time of one "
        "thread for one input, and the largest difference of its outputs on noise and on what it sees of the pictures, "
        "as it is and as a share of the largest value of the same channel; the graph in single precision must agree to "
        "1e-4. With STEM in place of FILE.onnx a network that `train` made becomes the two files that are shipped: "
        "STEM.onnx and STEM.safetensors, weights stored in half precision, at most 10 MB each, and their entry for "
        "weights/manifest.toml is printed, to which licence, data and accuracy must be added.",
    )
    parser.add_argument(
        "weights", type=network_file, nargs="+", metavar="WEIGHTS",
        help="any file, or name, that --pose-model or --detector takes; of several from one start weights are averaged",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.onnx", help="or STEM, for two files")
    parser.add_argument(
        "--precision", choices=("fp32", "fp16", "int8"),
        help="fp32 (default); fp16: for GPUs, slower on CPUs; int8: for CPUs, measure its accuracy with `evaluate`",
    )  # fmt: skip
    parser.add_argument(
        "--size", type=int, nargs=2, metavar=("H", "W"),
        help="height and width of the input in pixels; default: what the weights state, any where the network is for "
        "whole pictures",
    )  # fmt: skip
    parser.add_argument(
        "--pictures", "--calibrate", type=Path, nargs="+", metavar="PICTURES",
        help="folders of pictures, or pictures, to compare on, a hundred at most; default: rendered people. For int8 "
        "they show the range of each layer: name some like those that will be seen, none of those to measure on",
    )  # fmt: skip
    parser.add_argument(
        "--detector", type=network_file, metavar="FILE", help="what finds people in the pictures; default: as shipped"
    )
    parser.add_argument("--licence", metavar="TEXT", help="of the weights; default: what they state")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the file and print a table; or two files, and print their entry for the manifest."""
    if args.output.suffix == ".onnx" or args.precision:
        return _export_graph(args)
    if args.size or args.pictures or args.detector or args.licence:
        raise UsageError("--size, --pictures, --detector and --licence are for --output FILE.onnx; name one")
    from tracker.export.pair import export_network, manifest_entry

    files = export_network(args.weights, args.output, args.overwrite)
    print(manifest_entry(*files))
    print(f"written: {', '.join(map(str, files))}", file=sys.stderr)
    return 0


def _export_graph(args: argparse.Namespace) -> int:
    output = args.output if args.output.suffix == ".onnx" else args.output.with_name(f"{args.output.name}.onnx")
    if args.precision == "int8" and not args.pictures:
        raise UsageError("--precision int8 needs pictures: add --pictures and a folder of them")
    pictures = _read(args.pictures) if args.pictures else _render()
    from tracker.export.graph import export_graph

    done = export_graph(
        args.weights,
        output,
        pictures,
        precision=args.precision or "fp32",
        size_hw=tuple(args.size) if args.size else None,
        licence=args.licence,
        detector=args.detector,
        overwrite=args.overwrite,
    )
    print(_table(done.rows))
    print(*_notes(done), f"written: {output}", sep="\n", file=sys.stderr)
    return 0


def _table(rows: Sequence[Row]) -> str:
    from tracker.evaluation.tables import markdown_table

    compared = rows[1].pictures
    seen = f"{compared.num_inputs} seen" if compared else "seen"
    header = ["file", "engine", "bytes", "CPU ms", "noise", "share", seen, "share", "typical"]
    cells = [
        [row.name, row.engine, row.num_bytes, row.cpu_ms, *_cells(row.noise)[:2], *_cells(row.pictures)] for row in rows
    ]
    return markdown_table(header, cells)


def _cells(difference: Difference | None) -> list[str | None]:
    if difference is None:
        return [None] * 3
    return [f"{value:.1e}" for value in (difference.largest, difference.share, difference.typical)]


def _notes(done: Export) -> Iterator[str]:
    stated = ("skeleton", "color", "mean", "std", "input_size", "licence")
    yield "; ".join(f"{key}: {done.metadata[key]}" for key in stated if key in done.metadata)
    last = done.rows[-1].pictures
    if last is None:
        yield "on the pictures it finds other numbers of people than before; `evaluate` tells what that means"
    elif last.jumps:
        yield f"of the tags, which change by steps between people, {last.jumps:.2%} are not those of the same person"
    if done.rows[-1].name == "fp16":
        yield "fp16 is for GPUs: on CPUs ONNX Runtime computes it in single precision, with conversions in between"


def _read(sources: Sequence[Path]) -> Iterator[Picture]:
    from tracker.export.graph import MOST_PICTURES
    from tracker.video.images import read_image

    paths = [path for source in sources for path in _pictures_in(source)]
    return ((read_image(path), None) for path in paths[:: -(-len(paths) // MOST_PICTURES)])


def _render() -> Iterator[Picture]:
    from tracker.scenes.rendering import render_scene
    from tracker.scenes.scripts import SCENARIOS

    for name in SCENARIOS:
        for frame in render_scene(name, num_frames=_FRAMES):
            yield frame.image, frame.people.boxes


def _pictures_in(source: Path) -> list[Path]:
    from tracker.video.images import is_image, list_folder

    if not source.exists():
        raise InputError(f"there is no picture or folder {source}; check the name for --pictures")
    paths = [path for path in list_folder(source) if is_image(path)] if source.is_dir() else [source]
    if not paths:
        raise InputError(f"{source} holds no pictures; name a folder of .jpg, .png or .webp files for --pictures")
    return paths
