"""Any network that loads as one ONNX file, compared with what it was."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from tqdm import tqdm

from tracker.errors import InputError, ModelError, load_extra
from tracker.export.comparison import STEP, Difference, Picture, compare, cpu_times_ms, inputs_on, noise_for
from tracker.export.precision import fold, halve, quantise
from tracker.export.sources import Source, load_graph, load_modules, open_graph
from tracker.export.tracing import trace, with_metadata
from tracker.outputs import check_apart, check_output, writing
from tracker.pose.networks import OnnxPoseNetwork

Precision: TypeAlias = Literal["fp32", "fp16", "int8"]

# Pictures that are read at most; crops or pictures that show the ranges for int8, and that networks are compared on.
MOST_PICTURES = 100
_CALIBRATED = 32
_COMPARED = 24
# What outputs in single precision may differ by, as a share of the largest value of the same channel.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Row:
    """A file of the network: what runs it, its bytes, its CPU time, and how it differs from the first file."""

    name: str
    engine: str
    num_bytes: int
    cpu_ms: float
    noise: Difference | None
    pictures: Difference | None


@dataclass(frozen=True)
class Export:
    """What was written: the metadata, and a row of each file: what was named, single precision, any other precision."""

    metadata: dict[str, str]
    rows: tuple[Row, ...]


def export_graph(
    weights: Sequence[Path],
    path: Path,
    pictures: Iterable[Picture],
    *,
    precision: Precision = "fp32",
    size_hw: tuple[int, int] | None = None,
    licence: str | None = None,
    detector: Path | None = None,
    overwrite: bool = False,
) -> Export:
    """Write a network as an ONNX file, and compare it on noise and on what it sees of the pictures.

    weights: one file of any network that loads, also a graph; of several files of weights the mean is taken, as by
    `load_modules`. Batches are open, but of graphs, which stay as they are. size_hw: of the input; None is the usual
    one, and open for whole pictures. licence: of the weights, None is what they state. pictures: read when they are
    needed, of which some crops or pictures show the ranges for int8. detector: what finds people whose boxes are not
    known; None is the included one.
    Raises what `load_modules` does, ModelError for a file that does not compute the same in single precision, or gives
    values that are not finite, InputError if no picture shows anybody, UsageError for a size that does not fit,
    and for an output that is one of the weights, OutputError for a file that must not be written, DependencyError
    without the package onnx.
    """
    for weight in weights:
        check_apart(path, weight)
    check_output(path, overwrite)
    onnx = load_extra("onnx")
    source = _source(weights, size_hw)
    # Ultralytics' graphs state it in their own spelling.
    stated = source.metadata.get("licence") or source.metadata.get("license") or "not stated"
    metadata = source.metadata | {"licence": licence or stated}
    before = source.open()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [folder / "fp32.onnx"]
        with tqdm(desc="writing the graph", bar_format="{desc}", disable=None, leave=False):
            plain = trace(source) if source.model else fold(source.path, folder / "folded.onnx")
            onnx.save(with_metadata(plain, metadata), files[0])
        seen = inputs_on(open_graph(files[0]), pictures, detector)
        if not seen:
            raise InputError("nobody is found in the pictures; name pictures of people, or another --detector")
        if precision != "fp32":
            files.append(folder / f"{precision}.onnx")
            onnx.save(with_metadata(_in_precision(precision, files, seen), metadata), files[1])
        onnx.checker.check_model(onnx.load(files[-1]), full_check=True)
        rows = _compare(source, [before, *map(open_graph, files)], files, _some(seen, _COMPARED))
        _check(rows)
        with writing(path) as partial:
            partial.write_bytes(files[-1].read_bytes())
    return Export(metadata, rows)


def _source(weights: Sequence[Path], size_hw: tuple[int, int] | None) -> Source:
    is_graph = len(weights) == 1 and weights[0].suffix == ".onnx"
    source = load_graph(weights[0]) if is_graph else load_modules(weights)
    return source.resized(size_hw) if size_hw else source


def _in_precision(precision: Precision, files: Sequence[Path], seen: Sequence[Any]) -> Any:
    plain, path = files
    if precision == "fp16":
        return halve(load_extra("onnx").load(plain))
    network = open_graph(plain)
    chosen = _some(seen, _CALIBRATED)
    if isinstance(network, OnnxPoseNetwork):
        chosen = [feed for images in chosen for feed in network.prepare(images)]
    return quantise(plain, chosen, path)


def _some(inputs: Sequence[Any], count: int) -> Sequence[Any]:
    """So many of them at most, from all over."""
    return inputs[:: -(-len(inputs) // count)]


def _compare(source: Source, networks: Sequence[Any], files: Sequence[Path], seen: Sequence[Any]) -> tuple[Row, ...]:
    before, *others = networks
    noise = noise_for(others[0])
    times_ms = cpu_times_ms(networks, seen[0])
    names = [source.path.name, *(file.stem for file in files)]
    differences: list[Any] = [(None, None)]
    # In single precision a tag is the same or another person's, be that near; in others it may be off by more.
    for other, step in zip(others, (TOLERANCE, STEP), strict=False):
        differences.append((compare(before, other, noise, step), compare(before, other, seen, step)))
    sizes = [file.stat().st_size for file in (source.path, *files)]
    columns = zip(names, networks, sizes, times_ms, differences, strict=True)
    return tuple(Row(name, network.engine, size, ms, *pair) for name, network, size, ms, pair in columns)


def _check(rows: Sequence[Row]) -> None:
    """Nothing is written where the graph is another function."""
    for difference in (rows[1].noise, rows[1].pictures):
        if difference and not difference.is_within(TOLERANCE):
            raise ModelError(
                f"the graph in single precision differs from {rows[0].name} by {difference.share:.1e} of its largest "
                f"value, above {TOLERANCE:.0e}, so nothing was written; its weights may be damaged: get them again"
            )
    for difference in (rows[-1].noise, rows[-1].pictures):
        if difference and not math.isfinite(difference.typical):
            raise ModelError(
                f"{rows[0].name} gives values that are not finite in {rows[-1].name}; take --precision fp32"
            )
