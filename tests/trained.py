"""Networks whose weights are as uneven as after training, and files that state what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import save_file
from torch import nn

from tracker.nets.bottom_up_mobilenet import BottomUpMobileNet
from tracker.nets.litepose import LitePose
from tracker.nets.person_detector import PersonDetector
from tracker.nets.pose_mobilenet import PoseMobileNet

Network = TypeVar("Network", bound=nn.Module)

POSE = {
    "network": "PoseMobileNet",
    "arguments": '{"num_keypoints": 19, "channels": 8}',
    "skeleton": "body19",
    "color": "rgb",
    "mean": "[127.5, 127.5, 127.5]",
    "std": "[127.5, 127.5, 127.5]",
    "input_size": "[64, 32]",
}
DETECTOR = {"network": "PersonDetector", "arguments": '{"channels": 8}'}
BOTTOM_UP = POSE | {
    "network": "LitePose",
    "arguments": '{"num_keypoints": 14, "stem": 8, "channels": [8, 8, 16], "deconvolutions": [16, 8], '
    '"num_blocks": [2, 1, 2], "expansion": 2, "kernel": 5}',
    "skeleton": "crowdpose14",
    "input_size": "[64, 64]",
}
BOTTOM_UP_MOBILENET = BOTTOM_UP | {"network": "BottomUpMobileNet", "arguments": '{"num_keypoints": 14, "width": 0.25}'}
BUILDERS = {
    "PoseMobileNet": PoseMobileNet,
    "BottomUpMobileNet": BottomUpMobileNet,
    "PersonDetector": PersonDetector,
    "LitePose": LitePose.from_arguments,
}
# Channels of the last convolutions, which start nearly at zero.
_OUTPUTS = ((5,), (19,))


def like_trained(model: Network) -> Network:
    """The model in inference mode, with statistics, scales and biases that are neither 0 nor 1."""
    source = torch.Generator().manual_seed(0)
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2, generator=source)
        elif value.ndim == 1:
            value.add_(torch.randn(value.shape, generator=source), alpha=0.3)
        elif "laterals" in name or value.shape[:1] in _OUTPUTS:
            value.normal_(std=0.3, generator=source)
    return model.eval()


def write_weights(path: Path, metadata: dict[str, str], **changes: str) -> Path:
    """A file as training writes it: the weights of the network that the metadata states."""
    metadata = metadata | changes
    network = BUILDERS[metadata["network"]](**json.loads(metadata["arguments"]))
    save_file(like_trained(network).state_dict(), path, metadata)
    return path
