"""Weights to start from: files of ours, torchvision's ResNets, published graphs, MoveNet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from tracker.errors import ModelError
from tracker.nets.bottom_up_mobilenet import BottomUpMobileNet
from tracker.published import published_state
from tracker.skeletons import COCO_17, SKELETONS, Skeleton
from tracker.training.loop import HEADS
from tracker.training.movenet import is_movenet, movenet_state
from tracker.weights import load_checkpoint, load_strictly, read_metadata

# Of networks of heatmaps, the one whose first rows are the keypoints.
_LAST_LAYERS = ("final_layer.weight", "final_layer.bias", "decoder.last.weight", "decoder.last.bias")


def initialise(model: nn.Module, path: Path, skeleton: Skeleton | None = None) -> list[str]:
    """Put the weights of a file into a model; the names of the model's parts that the file lacks and keep their start.

    A checkpoint of another network gives its trunk, and a layer of another shape, such as the last one for another
    number of keypoints, is left out; of that, a file which states its skeleton gives the keypoints that the model's
    skeleton has, too. An .onnx is a published graph, as of `published_state`, and an .npz MoveNet, as of
    `movenet_state`. Raises ModelError for a file that lacks a part of the trunk.
    """
    is_published = path.suffix == ".onnx"
    if is_published:
        content = published_state(path, model)
    elif isinstance(model, BottomUpMobileNet) and is_movenet(path):
        content = movenet_state(model, path)
    else:
        content = load_checkpoint(path)
    own = model.state_dict()
    state = {name: value for name, value in content.items() if name in own and own[name].shape == value.shape}
    if skeleton:
        stated = COCO_17.name if is_published else read_metadata(path).get("skeleton", "")
        state |= _keypoints_of_both(content, own, stated, skeleton)
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
    for name in _LAST_LAYERS:
        if name in own and name in content and content[name].shape[1:] == own[name].shape[1:]:
            # Further keypoints have a layer of their own.
            pairs = [(i, j) for i, j in rows.items() if i < len(own[name]) and j < len(content[name])]
            ours, theirs = map(list, zip(*pairs, strict=True))
            state[name] = own[name].clone()
            state[name][ours] = content[name][theirs].to(own[name].dtype)
    return state
