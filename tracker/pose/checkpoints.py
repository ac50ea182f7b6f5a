"""Published checkpoints of pose networks: what they are is read off the names and shapes of their weights."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.errors import ModelError
from tracker.nets import IMAGENET_MEAN, IMAGENET_STD
from tracker.pose.settings import settings_beside, size_in_name
from tracker.skeletons import USUAL_SKELETONS
from tracker.weights import load_checkpoint, load_strictly

if TYPE_CHECKING:
    from torch import Tensor

    from tracker.nets.litepose import LitePose
    from tracker.nets.pose_resnet import PoseResNet
    from tracker.nets.resnet import Style

CHECKPOINT_SUFFIXES = (".pth.tar", ".pth", ".pt", ".safetensors")
# Height and width of PoseResNet's input, by the number of its keypoints.
_SIZES_HW = {16: (256, 256), 17: (256, 192)}
_LICENCE = "code {}; weights: none stated"
_MMPOSE_PREFIX = re.compile(r"^(backbone|keypoint_head|head)\.")


def load_published(path: Path) -> tuple[LitePose | PoseResNet, dict[str, Any]]:
    """The PoseResNet or LitePose in a checkpoint, in inference mode, and its settings.

    Depth, widths and number of keypoints are read off the weights, whose names may be the published ones or, of a
    PoseResNet, MMPose's (`backbone.*`, `keypoint_head.*`). What the .toml beside it leaves open is as published.
    Raises ModelError as `load_checkpoint` and `load_strictly` do, and for the weights of another network.
    """
    checkpoint, beside = load_checkpoint(path), settings_beside(path)
    # The parts of MMPose's networks; the authors' own have none.
    state = {_MMPOSE_PREFIX.sub("", name): value for name, value in checkpoint.items()}
    found = _build_litepose(state) or _build_pose_resnet(state, path, beside.get("style"))
    if found is None:
        raise ModelError(
            f"{path} holds no PoseResNet or LitePose (it begins with {', '.join(sorted(state)[:3])}); "
            "name a pose_resnet_*, MMPose res*_coco_* or LitePose checkpoint, or an .onnx model"
        )
    model, size_hw = found
    load_strictly(model, state, path)
    usual: dict[str, Any] = {"skeleton": USUAL_SKELETONS.get(model.num_keypoints), "input_size": size_hw}
    usual |= {"color": "rgb", "mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    if not hasattr(model, "final_layer"):
        usual["licence"] = _LICENCE.format("MIT (LitePose)")
    elif state.keys() != checkpoint.keys():
        usual["licence"] = _LICENCE.format("Apache-2.0 (MMPose)")
    else:
        usual["licence"] = _LICENCE.format("MIT (Simple Baselines)")
        # The authors' data loader normalises what cv2.imread gives without reordering it; others convert to RGB.
        usual["color"] = "bgr"
    return model.eval(), {name: value for name, value in usual.items() if value} | beside


def _build_litepose(state: Mapping[str, Tensor]) -> tuple[LitePose, tuple[int, int]] | None:
    """The network with these weights, and height and width of its input; None for the weights of another."""
    from tracker.nets.litepose import LitePose, architecture_of, published_input_size

    try:
        num_keypoints, config = architecture_of(state)
    except ValueError:
        return None
    side = published_input_size(config)
    return LitePose(num_keypoints, config), (side, side)


def _build_pose_resnet(
    state: Mapping[str, Tensor], path: Path, style: Style | None
) -> tuple[PoseResNet, tuple[int, int] | None] | None:
    """As `_build_litepose`; what the weights leave open, the style and the size, may stand in the file's name."""
    from tracker.nets.pose_resnet import PoseResNet

    style = style or ("caffe" if "caffe" in path.name else "pytorch")
    depth, head = _resnet_depth(state, style), state.get("final_layer.weight")
    if depth is None or head is None or head.ndim != 4:
        return None
    return PoseResNet(depth, head.shape[0], style), size_in_name(path) or _SIZES_HW.get(head.shape[0])


def _resnet_depth(names: Collection[str], style: Style) -> int | None:
    from tracker.nets.resnet import STAGES

    stages = ({name.split(".")[1] for name in names if name.startswith(f"layer{i}.")} for i in (1, 2, 3, 4))
    num_blocks = tuple(len(blocks) for blocks in stages)
    # From the deepest on: in the caffe style 34 has the layers of 50.
    for depth, (counts, bottlenecks) in reversed(STAGES.items()):
        expected = bottlenecks or style == "caffe"
        if counts == num_blocks and expected == ("layer1.0.conv3.weight" in names):
            return depth
    return None
