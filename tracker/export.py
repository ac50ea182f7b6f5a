"""The two files in which a network of ours is shipped, made of one checkpoint: for ONNX Runtime and for torch.

Weights are stored in half precision and computed with in single precision.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tracker.detection.detector import open_network
from tracker.detection.maps import STRIDES
from tracker.detection.person_detector import INPUT_DESCRIPTION
from tracker.errors import DependencyError, ModelError
from tracker.nets.build import NETWORKS, Kind
from tracker.outputs import check_output, partial_path, publish
from tracker.pose import load_pose_network
from tracker.pose.networks import names_of_outputs
from tracker.published import published_network
from tracker.weights import load_network, read_metadata, sha256_of

if TYPE_CHECKING:
    from torch import nn

MAX_BYTES = 10_000_000
# What the outputs of the two files may differ by.
TOLERANCE = 0.01
_OPSET = 17
# What files must state alike so that their weights can be averaged.
_SAME = ("network", "color", "mean", "std", "input_size")
# Shapes (N, H, W) on which the two files of a detector are compared.
_DETECTOR_BATCHES = ((2, 64, 96), (1, 256, 416))


def export_network(paths: Sequence[Path], stem: Path, overwrite: bool = False) -> tuple[Path, Path]:
    """Write STEM.onnx and STEM.safetensors of a trained file, or of a published graph; returns both names.

    Of several files of one network the weights are averaged (Wortsman et al. 2022, "Model soups": runs that began with
    the same weights are better together than each); one named twice counts twice, and what others lack is the first
    one's. Tensors of two or more dimensions are stored in half precision, the others in single. In the ONNX file each
    of them is followed by a Cast, which ONNX Runtime computes once, when it loads the file. Both files carry the
    metadata of the first one. They are kept if each has at most 10 MB and both give the same on noise.
    Raises ModelError for a file that is none of ours, for files that do not go together, and for one that does not
    stand that test, OutputError for files that must not be written, DependencyError without the package onnx.
    """
    loaded = [_load(path) for path in paths]
    metadata, kind = loaded[0][1:]
    for path, (_, other, _) in zip(paths, loaded, strict=True):
        if any(other[key] != metadata[key] for key in _SAME):
            raise ModelError(f"{path} states another network or input than {paths[0]}; average files of one recipe")
    files = stem.with_name(f"{stem.name}.onnx"), stem.with_name(f"{stem.name}.safetensors")
    for file in files:
        check_output(file, overwrite)
    partials = [partial_path(file) for file in files]
    try:
        model = _average([model for model, _, _ in loaded])
        # What half precision cannot hold becomes infinite, which shows when the files are compared.
        with np.errstate(over="ignore", invalid="ignore"):
            _write_safetensors(model, metadata, partials[1])
            _write_onnx(model, metadata, kind, partials)
            _check_sizes(partials)
            _check_agreement(kind, partials)
        for file in files:
            publish(file)
    finally:
        for partial in partials:
            partial.unlink(missing_ok=True)
    return files


def manifest_entry(onnx: Path, safetensors: Path) -> str:
    """The entry for two exported files in weights/manifest.toml, but for licence, data and accuracy."""
    metadata, kind = _stated(safetensors)
    # A number, a list and a truth value are written in JSON as in TOML.
    arguments = ", ".join(f"{name} = {json.dumps(value)}" for name, value in json.loads(metadata["arguments"]).items())
    lines = ["[[network]]", f'kind = "{kind}"', f'network = "{metadata["network"]}"', f"arguments = {{ {arguments} }}"]
    lines += [f'{key} = "{metadata[key]}"' for key in ("skeleton", "color") if key in metadata]
    lines += [f"{key} = {metadata[key]}" for key in ("mean", "std", "input_size")]
    return "\n".join([*lines, manifest_line("onnx", onnx), manifest_line("safetensors", safetensors)])


def manifest_line(key: str, file: Path) -> str:
    """What the manifest says of a file: its name, size and sha256."""
    return f'{key} = {{ file = "{file.name}", bytes = {file.stat().st_size}, sha256 = "{sha256_of(file)}" }}'


def largest_difference(kind: Kind, paths: Sequence[Path]) -> float:
    """What the outputs of two network files on noise differ by, as a share of the largest value of the same channel.

    Of a bottom-up network one cell in a hundred may differ more: those between two people, where tags change by steps.
    """
    share = 0.99 if kind == "bottom-up" else 1.0
    pairs = zip(*(_outputs_on_noise(kind, path) for path in paths), strict=True)
    # NumPy's maximum is NaN if one of them is.
    return float(np.max([_difference(given, expected, share) for given, expected in pairs]))


def _load(path: Path) -> tuple[nn.Module, dict[str, str], Kind]:
    """A network, what its file states, and its kind; of a published one, an ONNX graph, as a module of ours."""
    if path.suffix == ".onnx":
        model, stated = published_network(path)
        return model, *_stated(path, stated)
    metadata, kind = _stated(path)
    return load_network(path, kind), metadata, kind


def _stated(path: Path, metadata: Mapping[str, str] | None = None) -> tuple[dict[str, str], Kind]:
    """What a file, or its metadata, says of a network, and its kind."""
    metadata = read_metadata(path) if metadata is None else metadata
    kind = NETWORKS.get(metadata.get("network", ""))
    if kind is None:
        known = " or ".join(NETWORKS)
        raise ModelError(f"{path} does not state in its metadata that it is a {known}; name a file that `train` wrote")
    usual = INPUT_DESCRIPTION if kind == "detector" else {}
    return {"arguments": "{}", **usual, **metadata}, kind


def _average(models: Sequence[nn.Module]) -> nn.Module:
    """The first of the models, with the means of all weights of the same names and shapes."""
    import torch

    states = [model.state_dict() for model in models]
    with torch.no_grad():
        for name, value in states[0].items():
            if value.is_floating_point():
                alike = [state[name] for state in states if name in state and state[name].shape == value.shape]
                value.copy_(torch.stack([other.double() for other in alike]).mean(dim=0))
    return models[0]


def _write_safetensors(model: nn.Module, metadata: dict[str, str], path: Path) -> None:
    from safetensors.torch import save

    state = model.state_dict().items()
    content = save({name: value.half() if value.ndim >= 2 else value for name, value in state}, metadata)
    path.write_bytes(_sort_header(content))


def _sort_header(content: bytes) -> bytes:
    """The same file with the same bytes each time: safetensors writes metadata in random order."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    # Padded as the format recommends, so that the tensors are aligned.
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[end:]


def _write_onnx(model: nn.Module, metadata: Mapping[str, str], kind: Kind, partials: list[Path]) -> None:
    try:
        import onnx
    except ImportError as error:
        raise DependencyError("export needs the package onnx; run: pip install 'pose-tracker[train]'") from error
    size_hw = load_pose_network(partials[1], "cpu").input_size_hw if kind == "pose" else (64, 96)
    graph_file = onnx.load_from_string(_trace(model, kind, size_hw))
    _store_in_half_precision(graph_file.graph)
    onnx.helper.set_model_props(graph_file, dict(sorted(metadata.items())))
    partials[0].write_bytes(graph_file.SerializeToString())


def _trace(model: nn.Module, kind: Kind, size_hw: tuple[int, int]) -> bytes:
    """The network as an ONNX file in single precision; batches are open, and sizes those of detectors too."""
    import torch

    from tracker.nets.deployment import arrange_for_export

    names = [f"stride_{stride}" for stride in STRIDES] if kind == "detector" else names_of_outputs(model)
    axes = {0: "batch"} if kind == "pose" else {0: "batch", 2: "height", 3: "width"}
    open_axes = {name: {axis: f"{label}_{name}" if axis else label for axis, label in axes.items()} for name in names}
    buffer = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        # The exporter that replaces this one needs another package; each version of torch says so in other words.
        warnings.simplefilter("ignore", DeprecationWarning)
        # Repeating the border of an open size is no constant.
        warnings.filterwarnings("ignore", "Constant folding")
        torch.onnx.export(
            arrange_for_export(model),
            (torch.zeros(1, 3, *size_hw),),
            buffer,  # type: ignore[arg-type]
            input_names=["image"],
            output_names=names,
            dynamic_axes={"image": axes, **open_axes},
            opset_version=_OPSET,
            dynamo=False,
        )
    return buffer.getvalue()


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


def _check_sizes(paths: list[Path]) -> None:
    for path in paths:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ModelError(f"{path} would have {size} bytes, above {MAX_BYTES}; train a network with fewer channels")


def _check_agreement(kind: Kind, paths: list[Path]) -> None:
    difference = largest_difference(kind, paths)
    # NaN is no agreement either.
    if not difference <= TOLERANCE:
        raise ModelError(
            f"the two files of {paths[0].name} differ by {difference:.1%} of their output, above {TOLERANCE:.0%}; "
            "its weights do not bear half precision, so nothing was written: train with weight decay"
        )


def _outputs_on_noise(kind: Kind, path: Path) -> list[npt.NDArray[np.float32]]:
    random = np.random.default_rng(0)
    if kind != "detector":
        network = load_pose_network(path, "cpu")
        height, width = network.input_size_hw if kind == "pose" else (64, 128)
        return list(network.run(random.integers(0, 256, (2, height, width, 3), np.uint8)).values())
    detector = open_network(path, "cpu")
    batches = (random.uniform(-1, 1, (n, 3, height, width)) for n, height, width in _DETECTOR_BATCHES)
    return [output for batch in batches for output in detector.run(batch.astype(np.float32))]


def _difference(given: npt.NDArray[np.float32], expected: npt.NDArray[np.float32], share: float) -> float:
    """What that share of a channel's cells differ by at most, in the worst channel."""
    largest = np.abs(expected).max(axis=(0, 2, 3))
    return float((np.quantile(np.abs(given - expected), share, axis=(0, 2, 3)) / largest).max())
