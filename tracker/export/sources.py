"""What is exported: the network in a file, or the mean of several, and what a file made of it is to state."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tracker.detection.detector import FAMILIES, recognise
from tracker.detection.family import DetectionNetwork
from tracker.detection.person_detector import INPUT_DESCRIPTION, TorchDetectionNetwork
from tracker.errors import ModelError, UsageError
from tracker.nets.build import NETWORKS, Kind
from tracker.pose.networks import OnnxPoseNetwork, TorchPoseNetwork, load_pose_module, torch_pose_network
from tracker.pose.settings import settings_as_text, stated_settings
from tracker.published import published_network
from tracker.runtime import OnnxNetwork
from tracker.weights import load_network, read_manifest, read_metadata, sha256_of

if TYPE_CHECKING:
    from torch import nn

# A network as it is run on pictures: a detector, or any other.
Runnable: TypeAlias = DetectionNetwork | OnnxPoseNetwork | TorchPoseNetwork
# What files must state alike so that their weights can be averaged.
_SAME = ("network", "color", "mean", "std", "input_size")


@dataclass(frozen=True, eq=False)
class Source:
    """A network to export.

    model: the module, in inference mode, None of a graph, which `path` is then; kind: of a module. metadata: what a
    file of it is to state. settings: the same as values of the program, of pose networks. size_hw: what the input is to
    be fixed to, None for what it usually is.
    """

    path: Path
    metadata: dict[str, str]
    model: nn.Module | None = None
    kind: Kind | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    size_hw: tuple[int, int] | None = None

    @property
    def fixed_size_hw(self) -> tuple[int, int] | None:
        """Height and width of the graph's input, None where they stay open: of whole pictures, unless asked for."""
        if self.kind == "pose":
            return self.settings["input_size"]
        return self.size_hw if self.kind == "detector" else None

    def open(self) -> Runnable:
        """The network on the CPU."""
        if self.model is None:
            return open_graph(self.path)
        if self.kind == "detector":
            return TorchDetectionNetwork(self.model, self.path, "cpu")
        return torch_pose_network(self.model, self.settings, self.path, "cpu")

    def resized(self, size_hw: tuple[int, int]) -> Source:
        """The same for pictures of another height and width; UsageError for a graph, and where that does not fit."""
        if self.model is None:
            raise UsageError(f"{self.path} is a graph, whose size cannot be changed; leave --size out")
        if min(size_hw) < 32 or any(side % 32 for side in size_hw):
            raise UsageError(f"--size {size_hw[0]} {size_hw[1]} does not fit: both must be multiples of 32")
        stated = settings_as_text({"input_size": size_hw})
        settings = self.settings | {"input_size": size_hw} if self.settings else {}
        return replace(self, metadata=self.metadata | stated, settings=settings, size_hw=size_hw)


def open_graph(path: Path) -> Runnable:
    """The detector or pose network in an .onnx file, on one thread of the CPU; ModelError for any other."""
    network = OnnxNetwork(path, "cpu", num_threads=1)
    try:
        recognise(network)
    except ModelError:
        return OnnxPoseNetwork(path, "cpu", num_threads=1)
    return network


def load_graph(path: Path) -> Source:
    """The source in an .onnx file; ModelError for one that is no detector or pose network."""
    network = open_graph(path)
    if isinstance(network, OnnxNetwork):
        # Which may be told by the file's name, and that of the new file is another.
        family = recognise(network)
        stated = next({"detector_type": name} for name, known in FAMILIES.items() if known is family)
        return Source(path, _with_licence(path, network.metadata | stated))
    assert isinstance(network, OnnxPoseNetwork)
    metadata = {**network.metadata, **settings_as_text(network.settings)}
    return Source(path, _with_licence(path, metadata), settings=dict(network.settings))


def load_modules(paths: Sequence[Path]) -> Source:
    """The network in a file of weights, or in a published graph, as a module; of several files the mean of weights.

    Wortsman et al. 2022, "Model soups": runs that began with the same weights are better together than each. A file
    named twice counts twice; what others lack, and what is stated, is the first one's. Raises ModelError for a file
    that is none, and for files that do not go together.
    """
    sources = [_load(path) for path in paths]
    first = sources[0]
    for other in sources[1:]:
        if any(other.metadata.get(key) != first.metadata.get(key) for key in _SAME):
            raise ModelError(
                f"{other.path} states another network or input than {first.path}; average files of one recipe"
            )
    return replace(first, model=_average([source.model for source in sources if source.model]))


def _load(path: Path) -> Source:
    stated = read_metadata(path)
    settings: dict[str, Any] = {}
    if path.suffix == ".onnx":
        model, stated = published_network(path)
        settings = stated_settings(stated, path) if "skeleton" in stated else {}
    elif NETWORKS.get(stated.get("network", "")) == "detector":
        model = load_network(path, "detector")
    else:
        model, settings = load_pose_module(path)
    name = type(model).__name__
    arguments = "{}" if "network" in stated else json.dumps(model.arguments)
    described = {"network": name, "arguments": arguments, **(settings_as_text(settings) or INPUT_DESCRIPTION)}
    return Source(path, _with_licence(path, described | stated), model, NETWORKS[name], settings)


def _with_licence(path: Path, metadata: Mapping[str, str]) -> dict[str, str]:
    """What is stated, and if that is not, the licence of a file that is shipped."""
    for shipped in read_manifest():
        for file in (shipped.onnx, shipped.safetensors):
            if file.bytes == path.stat().st_size and file.sha256 == sha256_of(path):
                return {"licence": shipped.licence, **metadata}
    return dict(metadata)


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
