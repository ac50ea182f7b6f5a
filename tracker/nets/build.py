"""From the name of a network to the network: the one table of names, their kinds, and what they are built with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from tracker.nets import LITEPOSE_INPUT_SIZES

if TYPE_CHECKING:
    from torch import nn

Kind: TypeAlias = Literal["pose", "detector", "bottom-up"]

# Our own networks, by the name in their files.
NETWORKS: Mapping[str, Kind] = MappingProxyType(
    {
        "PoseLiteHRNet": "pose",
        "PoseResNet": "pose",
        "RTMDetNano": "detector",
        "LitePose": "bottom-up",
        "BottomUpMobileNet": "bottom-up",
    }
)
_POSE_SIZE_HW = (256, 192)
# Networks by the names that users give them, and the height and width in pixels of the pictures they are used with.
INPUT_SIZES_HW: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        **dict.fromkeys((f"PoseResNet{depth}" for depth in (18, 34, 50, 101, 152)), _POSE_SIZE_HW),
        "PoseLiteHRNet": _POSE_SIZE_HW,
        "RTMDetNano": (416, 416),
        **{f"LitePose-{size}": (side, side) for size, side in LITEPOSE_INPUT_SIZES.items()},
        "BottomUpMobileNet": (384, 384),
    }
)


def describe_network(name: str, num_keypoints: int, **others: Any) -> tuple[str, dict[str, Any]]:
    """What `build_network` builds a network by: the name in files and the arguments, of one of INPUT_SIZES_HW.

    others: further arguments of its own.
    """
    network, _, size = name.partition("-")
    if network == "RTMDetNano":
        return network, {}
    if network.startswith("PoseResNet"):
        return "PoseResNet", {"depth": int(network.removeprefix("PoseResNet")), "num_keypoints": num_keypoints}
    arguments: dict[str, Any] = {"num_keypoints": num_keypoints}
    if network == "BottomUpMobileNet":
        arguments["width"] = 1.5
    if network == "LitePose":
        from tracker.nets.litepose import LITEPOSE_SIZES

        arguments |= asdict(LITEPOSE_SIZES[size])
    return network, arguments | others


def build_network(network: str, arguments: Mapping[str, Any]) -> nn.Module:
    """The network of that name in files, with random weights; ValueError or TypeError for arguments that do not fit."""
    from tracker.nets.bottom_up_mobilenet import BottomUpMobileNet
    from tracker.nets.litepose import LitePose
    from tracker.nets.pose_lite_hrnet import PoseLiteHRNet
    from tracker.nets.pose_resnet import PoseResNet
    from tracker.nets.rtmdet import RTMDetNano

    builders: dict[str, Callable[..., nn.Module]] = {
        "RTMDetNano": RTMDetNano,
        "PoseLiteHRNet": PoseLiteHRNet,
        "PoseResNet": PoseResNet,
        "LitePose": LitePose.from_arguments,
        "BottomUpMobileNet": BottomUpMobileNet,
    }
    return builders[network](**arguments)
