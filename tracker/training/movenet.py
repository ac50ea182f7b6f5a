"""Google's MoveNet as a start: its convolutions under the names of a BottomUpMobileNet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from zipfile import BadZipFile, ZipFile, is_zipfile

import numpy as np
import torch
from torch import Tensor, nn

from tracker.errors import ModelError
from tracker.nets.bottom_up_mobilenet import BottomUpMobileNet
from tracker.types import FloatArray

# The pyramid's layers, as ours and as MoveNet's are called.
_PYRAMID: Mapping[str, str] = MappingProxyType(
    {
        "reduce": "conv2d",
        "laterals.0": "conv2d_1",
        "laterals.1": "conv2d_2",
        "laterals.2": "conv2d_3",
        "separables.0.0": "separable_conv2d.depthwise",
        "separables.0.1": "re_lu",
        "separables.1.0": "separable_conv2d_1.depthwise",
        "separables.1.1": "re_lu_1",
        "separables.2.0": "separable_conv2d_2.depthwise",
        "separables.2.1": "re_lu_2",
    }
)
# The convolutions of a head of ours, and the heads by our names and MoveNet's.
_HEAD = ("0", "1", "3")
_HEADS: Mapping[str, str] = MappingProxyType(
    {"heatmaps": "kpt_heatmap_0", "middles": "center_0", "places": "kpt_regress_0"}
)
# Those of COCO, in its order.
_NUM_KEYPOINTS = 17


def is_movenet(path: Path) -> bool:
    """Whether a file is an .npz with MoveNet's convolutions; unreadable ones are not."""
    if path.suffix != ".npz" or not is_zipfile(path):
        return False
    try:
        with ZipFile(path) as archive:
            return any(_HEADS["heatmaps"] in name for name in archive.namelist())
    except BadZipFile:
        return False


def movenet_state(model: BottomUpMobileNet, path: Path) -> dict[str, Tensor]:
    """The weights of a model that begins as the MoveNet in an .npz; its deconvolutions are those that it has.

    The file holds convolutions in order of execution, `NNN_NAME_w` (out, in, h, w) and `NNN_NAME_b`, batch norm folded;
    those of further heads are left. Raises ModelError that names the first convolution which the file lacks or which
    has another shape.
    """
    stored = _read(path)
    places = _places(model, stored)
    own = model.state_dict()
    state = {name: value for name, value in own.items() if ".deconvolutions." in name}
    for name in sorted(own.keys() - state.keys(), key=list(own).index):
        layer, _, kind = name.rpartition(".")
        if layer in places:
            state[name] = _fitting(stored, f"{places[layer]}_{kind[0]}", own[name], f"{name} of the network", path)
    return state


def _fitting(stored: Mapping[str, FloatArray], source: str, own: Tensor, name: str, path: Path) -> Tensor:
    """The array `source` of the file, in the shape of our own weights of that name."""
    if source not in stored or stored[source].shape != own.shape:
        found = stored[source].shape if source in stored else "absent"
        raise ModelError(f"{path}: {source} is {found}, but {name} is {tuple(own.shape)}; name a MoveNet of its width")
    return torch.from_numpy(stored[source])


def _read(path: Path) -> dict[str, FloatArray]:
    """The arrays of a file in order of execution, by name without its number."""
    try:
        with np.load(path) as arrays:
            return {re.sub(r"^\d+_", "", name): arrays[name].astype(np.float32) for name in sorted(arrays)}
    except Exception as error:  # a damaged archive can raise almost anything
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise ModelError(f"{path} holds no weights of MoveNet ({reason}); name another file to start from") from error


def _places(model: BottomUpMobileNet, stored: Iterable[str]) -> dict[str, str]:
    """The convolution of the file for each of the model's that it has."""
    theirs = [name.removesuffix("_w") for name in stored if name.endswith("_w")]
    trunk = [
        name for name, module in model.named_modules() if name.startswith("trunk.") and isinstance(module, nn.Conv2d)
    ]
    places = _paired(trunk, [name for name in theirs if name.startswith("trunk.")])
    places |= {f"upsampling.{ours}": name for ours, name in _PYRAMID.items()}
    for ours, head in _HEADS.items():
        # The last layer of a head goes by the number of keypoints.
        layers = _HEAD if model.num_keypoints == _NUM_KEYPOINTS or ours == "middles" else _HEAD[:-1]
        own = [f"heads.{ours}.{number}" for number in layers]
        places |= _paired(own, [name for name in theirs if name.startswith(f"{head}.")])
    return places


def _paired(ours: list[str], theirs: list[str]) -> dict[str, str]:
    """Names in the same order; what the file has none for is paired with a name that it lacks."""
    return {own: theirs[i] if i < len(theirs) else f"convolution {i}" for i, own in enumerate(ours)}
