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
from tracker.nets.pose_lite_hrnet import PoseLiteHRNet
from tracker.nets.rtmdet import RTMDetNano

Network = TypeVar("Network", bound=nn.Module)

POSE = {
    "network": "PoseLiteHRNet",
    "arguments": '{"num_keypoints": 19, "further": 2}',
    "skeleton": "body19",
    "color": "rgb",
    "mean": "[127.5, 127.5, 127.5]",
    "std": "[127.5, 127.5, 127.5]",
    "input_size": "[64, 32]",
}
DETECTOR = {"network": "RTMDetNano", "arguments": "{}"}
BOTTOM_UP = POSE | {
    "network": "LitePose",
    "arguments": '{"num_keypoints": 14, "stem": 8, "channels": [8, 8, 16], "deconvolutions": [16, 8], '
    '"num_blocks": [2, 1, 2], "expansion": 2, "kernel": 5}',
    "skeleton": "crowdpose14",
    "input_size": "[64, 64]",
}
BOTTOM_UP_MOBILENET = BOTTOM_UP | {"network": "BottomUpMobileNet", "arguments": '{"num_keypoints": 14, "width": 0.25}'}
BUILDERS = {
    "PoseLiteHRNet": PoseLiteHRNet,
    "BottomUpMobileNet": BottomUpMobileNet,
    "RTMDetNano": RTMDetNano,
    "LitePose": LitePose.from_arguments,
}
# Of networks without batch norm, the size of the weights with which values neither fade nor grow on their way.
_GAINS = {RTMDetNano: 1.55, PoseLiteHRNet: 0.8}


def like_trained(model: Network) -> Network:
    """The model in inference mode, with statistics, scales and biases that are neither 0 nor 1.

    A detector sees somebody here and there, in boxes with all sides where they belong.
    """
    source = torch.Generator().manual_seed(0)
    gain = _GAINS.get(type(model))
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2, generator=source)
        elif value.ndim == 1:
            value.add_(torch.randn(value.shape, generator=source), alpha=0.1 if gain else 0.3)
        elif gain and value.ndim == 4 and "upsampling" not in name:
            value.normal_(std=gain / value[0].numel() ** 0.5, generator=source)
    if isinstance(model, RTMDetNano):
        for head in model.heads:
            head.rtm_cls.weight.data *= 5
            head.rtm_reg.bias.data = 3 + head.rtm_reg.bias.data.tanh()
            head.rtm_reg.weight.data *= 0.5
    return model.eval()


def write_weights(path: Path, metadata: dict[str, str], **changes: str) -> Path:
    """A file as training writes it: the weights of the network that the metadata states."""
    metadata = metadata | changes
    network = BUILDERS[metadata["network"]](**json.loads(metadata["arguments"]))
    save_file(like_trained(network).state_dict(), path, metadata)
    return path
