"""What a network costs: its parameters, and its multiply-accumulates (MACs) for one picture by three conventions."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.detection.detector import DEFAULT_SIZE
from tracker.detection.family import takes_images
from tracker.engines import GraphNetwork
from tracker.errors import ModelError, UsageError
from tracker.nets.build import INPUT_SIZES_HW, NETWORKS, build_network, describe_network
from tracker.pose.checkpoints import CHECKPOINT_SUFFIXES, load_published
from tracker.pose.settings import parse_settings, settings_beside
from tracker.runtime import OnnxNetwork, TensorInfo
from tracker.weights import load_network, read_metadata

if TYPE_CHECKING:
    from torch import Tensor, nn

# What sizes are multiples of: the largest stride of all networks.
STRIDE = 32
NAMES = tuple(INPUT_SIZES_HW)


@dataclass(frozen=True)
class Cost:
    """Parameters, and MACs of one picture.

    macs: weights × output positions of convolutions and linear layers, weights × input positions of deconvolutions.
    macs_at_outputs: the same with deconvolutions at their output positions (the paper of Simple Baselines).
    macs_with_elements: beside that, 2 per element of a batch norm and 1 per element of an activation layer (the paper
    of LitePose).
    """

    parameters: int = 0
    macs: int = 0
    macs_at_outputs: int = 0
    macs_with_elements: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class Profile:
    """The cost of a network for pictures of a size, and of its parts by name, in their order.

    total: None of an ONNX file, whose layers are not counted.
    """

    network: str
    size_hw: tuple[int, int]
    total: Cost | None
    stages: Mapping[str, Cost]

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        stages = {name: asdict(cost) for name, cost in self.stages.items()}
        total = asdict(self.total) if self.total else dict.fromkeys(field.name for field in fields(Cost))
        return {"network": self.network, "size_hw": list(self.size_hw), **total, "stages": stages}


def profile(network: str, size_hw: tuple[int, int] | None = None, num_keypoints: int | None = None) -> Profile:
    """What the network of that name, one of NAMES, or in that file (.safetensors, .pth, .pth.tar, .pt, .onnx) costs.

    size_hw: pixels, multiples of 32; by default what the network is used with, and of a graph that takes one size only
    always that. num_keypoints: of named pose networks; by default 17, of PoseLiteHRNet 19. Raises UsageError for an
    unknown name and for numbers that make no sense, ModelError for a file that does not load.
    """
    if network.endswith(".onnx"):
        return Profile(network, _size_of_graph(Path(network), size_hw), None, {})
    model, usual_hw = named_network(network, num_keypoints) if network in NAMES else load_module(Path(network))
    height, width = size_hw or usual_hw
    _check_size(height, width)
    stages = measure(model, (height, width))
    return Profile(network, (height, width), sum(stages.values(), Cost()), stages)


def image_input(network: GraphNetwork) -> TensorInfo:
    """The input of a network that takes pictures alone; ModelError for another one."""
    if len(network.inputs) != 1 or not takes_images(network.inputs[0]):
        inputs = ", ".join(map(str, network.inputs))
        raise ModelError(
            f"{network.path} takes {inputs}; only networks that take images [1 or ?, 3, H, W] alone are measured"
        )
    return network.inputs[0]


def _size_of_graph(path: Path, size_hw: tuple[int, int] | None) -> tuple[int, int]:
    height, width = image_input(OnnxNetwork(path, "cpu")).shape[2:]
    if height and width:
        return height, width
    size_hw = size_hw or (DEFAULT_SIZE, DEFAULT_SIZE)
    _check_size(*size_hw)
    return size_hw


def _check_size(height: int, width: int) -> None:
    if min(height, width) < STRIDE or height % STRIDE or width % STRIDE:
        raise UsageError(f"pictures of {height}×{width} do not fit: height and width must be multiples of {STRIDE}")


def measure(model: nn.Module, size_hw: tuple[int, int]) -> dict[str, Cost]:
    """What the parts of a module cost for one picture (1, 3, H, W), by name; the module itself is not changed.

    Parts are the module's children, and those of a list each for itself. Nothing is computed: only shapes are.
    """
    import torch

    model = copy.deepcopy(model).to("meta").eval()
    costs: defaultdict[str, Cost] = defaultdict(Cost)

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Any, part: str) -> None:
        costs[part] += _cost(layer, inputs[0], output)

    for name, module in model.named_modules():
        parameters = sum(parameter.numel() for parameter in module.parameters(recurse=False))
        if parameters:
            costs[_part(model, name)] += Cost(parameters)
        if _macs_per_element(module):
            module.forward = _as_it_is
        if not list(module.children()):
            module.register_forward_hook(partial(count, part=_part(model, name)))
    with torch.inference_mode():
        model(torch.empty(1, 3, *size_hw, device="meta"))
    return dict(costs)


def _cost(layer: nn.Module, given: Tensor, output: Tensor) -> Cost:
    from torch import nn

    if isinstance(layer, nn.ConvTranspose2d):
        at_inputs, at_outputs = (layer.weight.numel() * x[0, 0].numel() for x in (given, output))
        return Cost(0, at_inputs, at_outputs, at_outputs)
    if isinstance(layer, nn.Conv2d | nn.Linear):
        macs = layer.weight.numel() * (output.numel() // layer.weight.shape[0])
        return Cost(0, macs, macs, macs)
    per_element = _macs_per_element(layer)
    return Cost(0, 0, 0, per_element * output.numel() if per_element else 0)


def _macs_per_element(layer: nn.Module) -> int:
    """What a layer that works element by element does for each, by the paper of LitePose; 0 for others."""
    from torch import nn

    return 2 if isinstance(layer, nn.BatchNorm2d) else 1 if isinstance(layer, nn.ReLU | nn.ReLU6) else 0


def _as_it_is(given: Tensor) -> Tensor:
    """Instead of what keeps the shape, which torch works out in Python."""
    return given


def _part(model: nn.Module, name: str) -> str:
    from torch import nn

    parts = name.split(".")
    return ".".join(parts[:2] if isinstance(getattr(model, parts[0]), nn.ModuleList) else parts[:1])


def named_network(name: str, num_keypoints: int | None = None) -> tuple[nn.Module, tuple[int, int]]:
    """The network of one of NAMES, without memory for its weights, and the height and width it is used with."""
    import torch

    with torch.device("meta"):
        model = build_network(*describe_network(name, num_keypoints or (19 if name == "PoseLiteHRNet" else 17)))
    return model, INPUT_SIZES_HW[name]


def load_module(path: Path) -> tuple[nn.Module, tuple[int, int]]:
    """The network in a file of weights, and the height and width it is used with; raises what `profile` does."""
    if not path.name.endswith(CHECKPOINT_SUFFIXES):
        known, files = ", ".join(NAMES), ", ".join((*CHECKPOINT_SUFFIXES, ".onnx"))
        raise UsageError(f"there is no network {str(path)!r}; name one of {known}, or a file ending in {files}")
    metadata, beside = read_metadata(path), settings_beside(path)
    if kind := NETWORKS.get(metadata.get("network", "")):
        stated = {"input_size": metadata["input_size"]} if "input_size" in metadata else {}
        settings = parse_settings(stated, f"the metadata of {path}") | beside
        return load_network(path, kind), settings.get("input_size", (DEFAULT_SIZE, DEFAULT_SIZE))
    model, settings = load_published(path)
    return model, settings.get("input_size", INPUT_SIZES_HW["PoseResNet50"])
