"""Weights to start from: files of ours, torchvision's ResNets, MobileNetV2 as TensorFlow Lite stores it, MoveNet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tracker.errors import ModelError
from tracker.nets.bottom_up_mobilenet import BottomUpMobileNet
from tracker.nets.mobilenet import MobileNetV2
from tracker.skeletons import SKELETONS, Skeleton
from tracker.training.loop import HEADS
from tracker.training.movenet import is_movenet, movenet_state
from tracker.weights import load_checkpoint, load_strictly, read_metadata


def initialise(model: nn.Module, path: Path, skeleton: Skeleton | None = None) -> list[str]:
    """Put the weights of a file into a model; the names of the model's parts that the file lacks and keep their start.

    A checkpoint of another network gives its trunk, and a layer of another shape, such as the last one for another
    number of keypoints, is left out; of that, a file which states its skeleton gives the keypoints that the model's
    skeleton has, too. An .npz holds MobileNetV2's convolutions in order of execution
    (`NNN_CONV_2D_w`, `NNN_DEPTHWISE_CONV_2D_w` and `_b`, TensorFlow's axes) and perhaps `deconvN_*` and `final_*`
    of a pose network, or for a BottomUpMobileNet those of a MoveNet (`movenet_state`). Raises ModelError for a file
    that lacks a part of the trunk.
    """
    if isinstance(model, BottomUpMobileNet) and is_movenet(path):
        content = movenet_state(model, path)
    else:
        content = _read_npz(path) if path.suffix == ".npz" else load_checkpoint(path)
    own = model.state_dict()
    state = {name: value for name, value in content.items() if name in own and own[name].shape == value.shape}
    if skeleton:
        state |= _keypoints_of_both(content, own, read_metadata(path).get("skeleton", ""), skeleton)
    # The counter is absent from checkpoints of old versions of torch, and changes nothing.
    absent = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    if trunk := [name for name in absent if not name.startswith(HEADS)]:
        raise ModelError(
            f"{path} lacks {len(trunk)} tensors of the trunk of {type(model).__name__}, first {trunk[0]}; "
            "name another file to start from"
        )
    load_strictly(model, own | state, path)
    return sorted({name.split(".")[0] for name in absent})


def _keypoints_of_both(
    content: Mapping[str, Tensor], own: Mapping[str, Tensor], stated: str, skeleton: Skeleton
) -> dict[str, Tensor]:
    """The model's last layer, whose first rows are heatmaps, with those of keypoints that the stated skeleton has."""
    if stated not in SKELETONS or stated == skeleton.name:
        return {}
    source, state = SKELETONS[stated], {}
    rows = {i: source.index(name) for i, name in enumerate(skeleton.keypoint_names) if name in source.keypoint_names}
    for name in ("final_layer.weight", "final_layer.bias"):
        if name in own and name in content and content[name].shape[1:] == own[name].shape[1:]:
            state[name] = own[name].clone()
            state[name][list(rows)] = content[name][list(rows.values())].to(own[name].dtype)
    return state


def _read_npz(path: Path) -> dict[str, torch.Tensor]:
    try:
        with np.load(path) as arrays:
            state = _trunk_state(arrays)
            for name, value in arrays.items():
                if place := _place_in_head(name):
                    state[place] = torch.from_numpy(value.astype(np.float32))
    except Exception as error:  # a damaged archive can raise almost anything
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise ModelError(
            f"{path} holds no weights of MobileNetV2 ({reason}); name another file to start from"
        ) from error
    return state


def _trunk_state(arrays: Any) -> dict[str, torch.Tensor]:
    convolutions = [name for name, module in MobileNetV2().named_modules() if isinstance(module, nn.Conv2d)]
    stored = sorted(name for name in arrays if "CONV_2D" in name and name.endswith("_w"))
    state = {}
    for ours, theirs in zip(convolutions, stored, strict=False):
        weight = arrays[theirs].astype(np.float32)
        # Depthwise: (1, h, w, channels); others: (out, h, w, in).
        axes = (3, 0, 1, 2) if "DEPTHWISE" in theirs else (0, 3, 1, 2)
        state[f"trunk.{ours}.weight"] = torch.from_numpy(np.ascontiguousarray(weight.transpose(axes)))
        state[f"trunk.{ours}.bias"] = torch.from_numpy(arrays[f"{theirs[:-1]}b"].astype(np.float32))
    return state


def _place_in_head(name: str) -> str | None:
    """The name in PoseMobileNet of `deconvN_w`, `deconvN_bn_*` or `final_*`."""
    if name.startswith("final_"):
        return f"final_layer.{ {'w': 'weight', 'b': 'bias'}[name[6:]] }"
    if name.startswith("deconv"):
        number, rest = name[6:].split("_", 1)
        return f"upsampling.deconvolutions.{number}.{'0.weight' if rest == 'w' else '1.' + rest.removeprefix('bn_')}"
    return None
