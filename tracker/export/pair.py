"""The two files in which a network of ours is shipped, made of one checkpoint: for ONNX Runtime and for torch.

Weights are stored in half precision and computed with in single precision.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tracker.errors import ModelError
from tracker.export.comparison import Difference, compare, noise_for
from tracker.export.sources import Runnable, Source, load_modules, open_graph
from tracker.export.tracing import trace, with_metadata
from tracker.nets.build import NETWORKS
from tracker.outputs import check_output, partial_path, publish
from tracker.weights import read_metadata, sha256_of

MAX_BYTES = 10_000_000
# What the outputs of the two files may differ by.
TOLERANCE = 0.01


def export_network(paths: Sequence[Path], stem: Path, overwrite: bool = False) -> tuple[Path, Path]:
    """Write STEM.onnx and STEM.safetensors of trained files, or of a published graph; returns both names.

    Weights are those of `load_modules`. Tensors of two or more dimensions are stored in half precision, the others in
    single. In the ONNX file each of them is followed by a Cast, which ONNX Runtime computes once, when it loads the
    file. Both files state the same. They are kept if each has at most 10 MB and both give the same on noise.
    Raises what `load_modules` does, ModelError for a network that does not stand that test, OutputError for files that
    must not be written, DependencyError without the package onnx.
    """
    source = load_modules(paths)
    files = stem.with_name(f"{stem.name}.onnx"), stem.with_name(f"{stem.name}.safetensors")
    for file in files:
        check_output(file, overwrite)
    partials = [partial_path(file) for file in files]
    try:
        # What half precision cannot hold becomes infinite, which shows when the files are compared.
        with np.errstate(over="ignore", invalid="ignore"):
            _write_safetensors(source, partials[1])
            _write_onnx(source, partials[0])
            _check_sizes(partials)
            _check_agreement(partials)
        for file in files:
            publish(file)
    finally:
        for partial in partials:
            partial.unlink(missing_ok=True)
    return files


def manifest_entry(onnx: Path, safetensors: Path) -> str:
    """The entry for two exported files in weights/manifest.toml, but for licence, data and accuracy."""
    metadata = read_metadata(safetensors)
    # A number, a list and a truth value are written in JSON as in TOML.
    arguments = ", ".join(f"{name} = {json.dumps(value)}" for name, value in json.loads(metadata["arguments"]).items())
    name = metadata["network"]
    lines = ["[[network]]", f'kind = "{NETWORKS[name]}"', f'network = "{name}"', f"arguments = {{ {arguments} }}"]
    lines += [f'{key} = "{metadata[key]}"' for key in ("skeleton", "color") if key in metadata]
    lines += [f"{key} = {metadata[key]}" for key in ("mean", "std", "input_size")]
    return "\n".join([*lines, *(_manifest_line(file) for file in (onnx, safetensors))])


def pair_difference(paths: Sequence[Path]) -> Difference:
    """What the outputs of two files of one network on noise differ by."""
    one, other = map(_open, paths)
    difference = compare(one, other, noise_for(one))
    assert difference is not None  # maps always have the same shapes
    return difference


def _manifest_line(file: Path) -> str:
    size, digest = file.stat().st_size, sha256_of(file)
    return f'{file.suffix[1:]} = {{ file = "{file.name}", bytes = {size}, sha256 = "{digest}" }}'


def _open(path: Path) -> Runnable:
    return open_graph(path) if path.suffix == ".onnx" else load_modules([path]).open()


def _write_safetensors(source: Source, path: Path) -> None:
    from safetensors.torch import save

    assert source.model is not None
    state = source.model.state_dict().items()
    content = save({name: value.half() if value.ndim >= 2 else value for name, value in state}, dict(source.metadata))
    path.write_bytes(_sort_header(content))


def _sort_header(content: bytes) -> bytes:
    """The same file with the same bytes each time: safetensors writes metadata in random order."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    # Padded as the format recommends, so that the tensors are aligned.
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[end:]


def _store_in_half_precision(graph: Any) -> None:
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.ndim >= 2:
            name, stored = tensor.name, f"{tensor.name}_half"
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), stored))
            casts.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _write_onnx(source: Source, path: Path) -> None:
    graph_file = trace(source)
    _store_in_half_precision(graph_file.graph)
    path.write_bytes(with_metadata(graph_file, source.metadata).SerializeToString())


def _check_sizes(paths: list[Path]) -> None:
    for path in paths:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ModelError(
                f"{path} would have {size} bytes, above {MAX_BYTES} for files that are shipped; name one FILE.onnx, or "
                "train a network with fewer channels"
            )


def _check_agreement(paths: list[Path]) -> None:
    difference = pair_difference(paths)
    if not difference.is_within(TOLERANCE):
        raise ModelError(
            f"the files of {paths[0].name} differ by {difference.share:.1%} of their output, above {TOLERANCE:.0%}; "
            "its weights do not bear half precision, so nothing was written: train with weight decay"
        )
