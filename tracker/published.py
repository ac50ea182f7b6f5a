"""Weights of published networks, from their ONNX graphs, under the names of our modules."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tracker.errors import ModelError, load_extra
from tracker.nets import IMAGENET_MEAN, IMAGENET_STD
from tracker.nets.build import build_network
from tracker.skeletons import COCO_17

if TYPE_CHECKING:
    from torch import Tensor, nn

# What the networks are that published graphs are of: their arguments, and what their files state of the input.
_PUBLISHED: Mapping[str, tuple[dict[str, Any], dict[str, str]]] = MappingProxyType(
    {
        "RTMDetNano": ({}, {}),
        # PP-TinyPose.
        "PoseLiteHRNet": (
            {"num_keypoints": COCO_17.num_keypoints},
            {
                "skeleton": COCO_17.name,
                "color": "rgb",
                "mean": json.dumps(IMAGENET_MEAN),
                "std": json.dumps(IMAGENET_STD),
                "input_size": "[256, 192]",
                "dark_kernel": "5",
            },
        ),
    }
)
# Sizes of a picture that every network takes.
_SIZE_HW = (64, 64)


@dataclass(frozen=True, eq=False)
class _Convolution:
    """A convolution of a graph: the names of itself and of those whose outputs reach its input, its numbers, stride."""

    name: str
    sources: frozenset[str]
    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    stride: int


def published_network(path: Path) -> tuple[nn.Module, dict[str, str]]:
    """The published network in an ONNX graph as a module of ours, and what a file of it states.

    Raises ModelError for the graph of a network that none was built after, DependencyError without the package onnx.
    """
    reasons = []
    for network, (arguments, stated) in _PUBLISHED.items():
        model = build_network(network, arguments)
        try:
            model.load_state_dict(read_published(path, model))
        except ModelError as error:
            reasons.append(str(error).partition("; ")[0])
        else:
            return model.eval(), {"network": network, "arguments": json.dumps(arguments), **stated}
    raise ModelError(f"{'; '.join(dict.fromkeys(reasons))}: name a published RTMDet-nano with raw heads or PP-TinyPose")


def published_state(path: Path, model: nn.Module) -> dict[str, Tensor]:
    """The weights in the graph that a module was built after; a pose network's for the published keypoints.

    Raises ModelError, with the first convolution that does not fit, for the graph of another network, and for a module
    that was built after none; DependencyError without the package onnx.
    """
    network = type(model).__name__
    if network in _PUBLISHED:
        return read_published(path, build_network(network, _PUBLISHED[network][0]))
    raise ModelError(f"{path} is an ONNX graph, which {network} cannot start from; name other weights")


def read_published(path: Path, model: nn.Module) -> dict[str, Tensor]:
    """The weights of the published network that a module was built after, as a state dict of the module.

    Each convolution is paired with the first of the graph that sees the outputs of the same convolutions and has the
    same shape and stride, so that only the same network fits. Raises ModelError, with the first convolution
    that does not fit, for the graph of another network, DependencyError without the package onnx.
    """
    import torch

    left, state = _convolutions(path), dict(model.state_dict())
    names: dict[str, str] = {}

    def take(name: str, layer: nn.Conv2d, sources: frozenset[str]) -> None:
        seen = frozenset(names[source] for source in sources)
        for number, conv in enumerate(left):
            if (conv.weight.shape, conv.stride, conv.sources) == (layer.weight.shape, layer.stride[0], seen):
                names[name] = left.pop(number).name
                state[f"{name}.weight"], state[f"{name}.bias"] = map(torch.from_numpy, (conv.weight, conv.bias))
                return
        wanted = f"{'×'.join(map(str, layer.weight.shape))}, stride {layer.stride[0]}"
        raise ModelError(
            f"{path} is no {type(model).__name__}: it has no convolution for {name} ({wanted}); name the graph of the "
            "published network"
        )

    _visit_convolutions(model, take)
    if left:
        raise ModelError(f"{path} is no {type(model).__name__}: its convolution {left[0].name} has no place there")
    return state


def _visit_convolutions(model: nn.Module, visit: Callable[[str, nn.Conv2d, frozenset[str]], None]) -> None:
    """Call visit with name, layer and the names of the layers that its input comes from, in the order of execution."""
    import torch

    makers: dict[Any, str] = {}

    def before(name: str, layer: nn.Conv2d, x: Tensor) -> None:
        reached = _reached([x.grad_fn], makers, lambda node: [previous for previous, _ in node.next_functions])
        visit(name, layer, frozenset(reached))

    handles = []
    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Conv2d):
            handles += [
                layer.register_forward_pre_hook(lambda layer, x, name=name: before(name, layer, x[0])),
                layer.register_forward_hook(lambda _, __, output, name=name: makers.update({output.grad_fn: name})),
            ]
    try:
        model.eval()(torch.zeros(1, 3, *_SIZE_HW))
    finally:
        for handle in handles:
            handle.remove()


def _convolutions(path: Path) -> list[_Convolution]:
    """Those of a graph, in its order."""
    onnx = load_extra("onnx")
    to_array = onnx.numpy_helper.to_array
    try:
        graph = onnx.load(path).graph
    except Exception as error:  # what damaged files raise is of several libraries
        raise ModelError(f"{path} cannot be read as an ONNX graph; get it again") from error
    constants = {tensor.name: to_array(tensor) for tensor in graph.initializer}
    producers: dict[str, Any] = {}
    users: dict[str, list[Any]] = defaultdict(list)
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = to_array(node.attribute[0].t)
        elif node.op_type == "Cast" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
        producers |= dict.fromkeys(node.output, node)
        for name in node.input:
            users[name].append(node)
    makers = {node.output[0]: node.output[0] for node in graph.node if node.op_type == "Conv"}
    found = []
    for node in graph.node:
        if node.op_type == "Conv":
            sources = _reached([node.input[0]], makers, lambda name: producers[name].input if name in producers else ())
            stride = next((attribute.ints[0] for attribute in node.attribute if attribute.name == "strides"), 1)
            weight, bias = constants[node.input[1]], _bias_of(node, users, constants)
            found.append(_Convolution(node.output[0], frozenset(sources), _single(weight), _single(bias), stride))
    return found


def _bias_of(node: Any, users: Any, constants: Any) -> npt.NDArray[Any]:
    """The third input of a convolution, or what is added to its output."""
    if len(node.input) > 2:
        return constants[node.input[2]]
    added = (
        name for user in users[node.output[0]] if user.op_type == "Add" for name in user.input if name in constants
    )
    return np.ravel(next((constants[name] for name in added), np.zeros(len(constants[node.input[1]]))))


def _reached(starts: Iterable[Any], makers: Any, before: Callable[[Any], Iterable[Any]]) -> set[str]:
    """The makers met first on every way back."""
    found, waiting, seen = set(), [start for start in starts if start is not None], set()
    while waiting:
        place = waiting.pop()
        if place in makers:
            found.add(makers[place])
        elif place not in seen:
            seen.add(place)
            waiting += [previous for previous in before(place) if previous is not None]
    return found


def _single(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32)
