"""Networks that turn crops into heatmaps: PoseResNet by torch, others by ONNX Runtime."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np

from tracker.errors import ModelError
from tracker.nets import IMAGENET_MEAN, IMAGENET_STD
from tracker.pose.settings import SETTINGS, parse_settings, settings_beside, settings_path, size_in_name
from tracker.runtime import OnnxNetwork, TensorInfo, TorchNetwork, explained_faults
from tracker.skeletons import COCO_17, MPII_16, Skeleton
from tracker.types import FloatArray, Image
from tracker.weights import load_checkpoint, load_network, load_strictly, read_metadata

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tracker.nets.pose_lite_hrnet import PoseLiteHRNet
    from tracker.nets.pose_resnet import PoseResNet
    from tracker.nets.resnet import Style
    from tracker.pose.top_down import HeatmapNetwork

CHECKPOINT_SUFFIXES = (".pth.tar", ".pth", ".pt", ".safetensors")
# What the published checkpoints of so many keypoints were trained on: skeleton, and height and width.
_PUBLISHED = {17: (COCO_17, (256, 192)), 16: (MPII_16, (256, 256))}
_MMPOSE_PREFIX = re.compile(r"^(backbone|keypoint_head|head)\.")

_Triple: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True)
class Normalization:
    """How pixels become network input: (value − mean) / std of 0–255 values, channels ordered as `color`."""

    color: Literal["rgb", "bgr"] = "rgb"
    mean: _Triple = IMAGENET_MEAN
    std: _Triple = IMAGENET_STD

    def apply(self, crops: Image) -> FloatArray:
        """Network input (N, 3, h, w) of crops (N, h, w, 3) uint8 BGR."""
        ordered = crops[..., ::-1] if self.color == "rgb" else crops
        # Planes first: arithmetic on interleaved channels is ten times slower.
        planes = ordered.transpose(0, 3, 1, 2).astype(np.float32, order="C")
        planes -= np.array(self.mean, np.float32)[:, None, None]
        planes /= np.array(self.std, np.float32)[:, None, None]
        return planes


class TorchImageNetwork:
    """A torch module that takes normalised images (N, 3, H, W), with the pixels' way into it.

    It runs in half precision on CUDA and in single precision on the CPU. device, name, engine, note: as for
    `TorchNetwork`.
    """

    def __init__(self, model: nn.Module, normalization: Normalization, device: str = "auto", name: str = "") -> None:
        import torch

        self._network = TorchNetwork(model, device, name)
        self._mean = torch.tensor(normalization.mean, device=self._network.torch_device)
        self._std = torch.tensor(normalization.std, device=self._network.torch_device)
        self._swaps_channels = normalization.color == "rgb"
        self.name = self._network.name
        self.note = self._network.note
        self.engine = self._network.engine

    def run(self, images: Image) -> list[FloatArray]:
        """All outputs, in order, for images (N, H, W, 3) uint8 BGR."""
        import torch

        with explained_faults(self.name, self.engine, RuntimeError), torch.inference_mode():
            # Pixels travel as bytes and are normalised on the device; permuted, they are channels last.
            pixels = torch.from_numpy(np.ascontiguousarray(images)).to(self._network.torch_device)
            ordered = pixels.flip(-1) if self._swaps_channels else pixels
            return self._network.run(((ordered - self._mean) / self._std).permute(0, 3, 1, 2))


class TorchHeatmapNetwork(TorchImageNetwork):
    """A torch module from normalised images (N, 3, H, W) to heatmaps (N, K, h, w). input_size_wh: pixels."""

    def __init__(
        self,
        model: nn.Module,
        skeleton: Skeleton,
        input_size_wh: tuple[int, int],
        *,
        normalization: Normalization | None = None,
        device: str = "auto",
        name: str = "",
    ) -> None:
        super().__init__(model, normalization or Normalization(), device, name)
        self.skeleton = skeleton
        self.input_size_wh = input_size_wh

    def heatmaps(self, crops: Image) -> FloatArray:
        """Heatmaps (N, K, h, w) of crops (N, H, W, 3) uint8 BGR."""
        return self.run(crops)[0]


class OnnxHeatmapNetwork:
    """An ONNX model with one image [1 or ?, 3, H, W] in and heatmaps [1 or ?, K, h, w] among its outputs.

    Skeleton, colour order, mean and std come from a .toml beside the model or the graph's custom metadata,
    where lists are written as JSON. Raises ModelError, with what was found, where they are not stated or the
    graph is another one.
    """

    def __init__(self, path: Path, device: str = "auto", num_threads: int = 0) -> None:
        self._network = OnnxNetwork(path, device, num_threads)
        if not any(len(info.shape) == 4 for info in self._network.outputs):
            raise _no_heatmaps(self._network, "K")  # before somebody describes a detector as a pose network
        settings = stated_settings(self._network.metadata, path)
        self.skeleton: Skeleton = settings["skeleton"]
        self.name = path.name
        self.engine = self._network.engine
        self.note = self._network.note
        self.input_size_wh, self._output = _find_signature(self._network, self.skeleton.num_keypoints)
        self._runs_singly = self._network.inputs[0].shape[0] == 1
        self._normalization = normalization_of(settings)

    def heatmaps(self, crops: Image) -> FloatArray:
        """Heatmaps (N, K, h, w) of crops (N, H, W, 3) uint8 BGR, N at least 1."""
        inputs = self._normalization.apply(crops)
        batches = np.split(inputs, len(inputs)) if self._runs_singly else [inputs]
        return np.concatenate([self._network.run(batch)[self._output] for batch in batches])


def load_pose_network(path: Path, device: str = "auto", num_threads: int = 0) -> HeatmapNetwork:
    """The heatmap network in an .onnx file, a .safetensors file of ours, or a PoseResNet checkpoint.

    device, num_threads: as for `OnnxNetwork`; torch, which runs checkpoints, keeps its own number.
    Files of ours state in their metadata what they are. What a checkpoint (.pth, .pth.tar, .pt, .safetensors)
    leaves open is taken from a .toml beside it (`skeleton`, `input_size` as height and width, `style`, `color`,
    `mean`, `std`), otherwise from its name (`256x192`, height first; `caffe`), otherwise it is as published:
    256×192 for 17 keypoints (COCO), 256×256 for 16 (MPII), ImageNet's mean and std, and the channels as OpenCV
    reads them (BGR), but RGB for MMPose's checkpoints. Raises ModelError for a file that is missing, damaged, of
    another kind or not described.
    """
    if path.name.endswith(".onnx"):
        return OnnxHeatmapNetwork(path, device, num_threads)
    if path.name.endswith(CHECKPOINT_SUFFIXES):
        metadata = read_metadata(path)
        if "network" in metadata:
            return _load_our_network(path, metadata, device)
        return _load_checkpoint_network(path, device)
    supported = ", ".join((".onnx", *CHECKPOINT_SUFFIXES))
    raise ModelError(f"{path} is no pose network by its name; supported are files ending in {supported}")


def load_pose_resnet(path: Path, style: Style = "pytorch") -> PoseResNet:
    """A PoseResNet in inference mode, its depth and number of keypoints read off the checkpoint.

    The names of its weights may be the published ones or MMPose's (`backbone.*`, `keypoint_head.*`).
    style: where the stride is, which names and shapes do not tell. Raises ModelError as `load_checkpoint` and
    `load_strictly` do, and for the weights of another network.
    """
    return _build_pose_resnet(load_checkpoint(path), path, style)


def _build_pose_resnet(checkpoint: Mapping[str, Tensor], path: Path, style: Style) -> PoseResNet:
    from tracker.nets.pose_resnet import PoseResNet

    state = {_MMPOSE_PREFIX.sub("", name): value for name, value in checkpoint.items()}
    depth = _resnet_depth(state, style)
    head = state.get("final_layer.weight")
    if depth is None or head is None or head.ndim != 4:
        raise ModelError(
            f"{path} holds no PoseResNet (it begins with {', '.join(sorted(state)[:3])}); "
            "name a pose_resnet_* or MMPose res*_coco_* checkpoint, an .onnx model, or a LitePose with --pose bottom-up"
        )
    model = PoseResNet(depth, head.shape[0], style)
    load_strictly(model, state, path)
    return model.eval()


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


def _load_checkpoint_network(path: Path, device: str) -> TorchHeatmapNetwork:
    settings = settings_beside(path)
    checkpoint = load_checkpoint(path)
    style = settings.get("style", "caffe" if "caffe" in path.name else "pytorch")
    model = _build_pose_resnet(checkpoint, path, style)
    # The authors' data loader normalises what cv2.imread gives without reordering it; MMPose converts to RGB.
    from_mmpose = any(_MMPOSE_PREFIX.match(name) for name in checkpoint)
    num_keypoints = model.final_layer.out_channels
    usual_skeleton, usual_size = _PUBLISHED.get(num_keypoints, (None, None))
    skeleton = settings.get("skeleton", usual_skeleton)
    size_hw = settings.get("input_size", size_in_name(path) or usual_size)
    if skeleton is None or size_hw is None or skeleton.num_keypoints != num_keypoints:
        raise ModelError(
            f"{path} has {num_keypoints} keypoints and is not described; write the skeleton of so many and "
            f'the input_size into {settings_path(path)}, such as skeleton = "coco17", input_size = [256, 192]'
        )
    return TorchHeatmapNetwork(
        model,
        skeleton,
        (size_hw[1], size_hw[0]),
        normalization=normalization_of({"color": "rgb" if from_mmpose else "bgr"} | settings),
        device=device,
        name=path.name,
    )


def _load_our_network(path: Path, metadata: Mapping[str, str], device: str) -> TorchHeatmapNetwork:
    model = cast("PoseLiteHRNet | PoseResNet", load_network(path, "pose"))
    settings = stated_settings(metadata, path)
    num_keypoints = model.num_keypoints
    if "input_size" not in settings or settings["skeleton"].num_keypoints != num_keypoints:
        raise ModelError(
            f"{path} has {num_keypoints} keypoints and must state the skeleton of so many and its input_size in its "
            "metadata; train or export it again"
        )
    height, width = settings["input_size"]
    normalization = normalization_of(settings)
    return TorchHeatmapNetwork(
        model, settings["skeleton"], (width, height), normalization=normalization, device=device, name=path.name
    )


def stated_settings(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    """The settings in a file's metadata or its .toml, among them the four that no network can do without."""
    stated = {key: value for key, value in metadata.items() if key in SETTINGS}
    settings = parse_settings(stated, f"the metadata of {path}") | settings_beside(path)
    unknown = [key for key in ("skeleton", "color", "mean", "std") if key not in settings]
    if unknown:
        raise ModelError(
            f"{path} does not state its {', '.join(unknown)}; write them into {settings_path(path)}, "
            'such as skeleton = "coco17", color = "rgb", mean = [123.675, 116.28, 103.53]'
        )
    return settings


def _find_signature(network: OnnxNetwork, num_keypoints: int) -> tuple[tuple[int, int], int]:
    """Width and height of the image input, and the index of the heatmap output."""
    sizes_wh = [_image_size_wh(info) for info in network.inputs]
    outputs = [i for i, info in enumerate(network.outputs) if len(info.shape) == 4 and info.shape[1] == num_keypoints]
    if len(sizes_wh) == len(outputs) == 1 and sizes_wh[0]:
        return sizes_wh[0], outputs[0]
    raise _no_heatmaps(network, num_keypoints)


def _no_heatmaps(network: OnnxNetwork, num_keypoints: int | str) -> ModelError:
    inputs, outputs = (", ".join(map(str, infos)) for infos in (network.inputs, network.outputs))
    return ModelError(
        f"{network.path} takes {inputs} and gives {outputs}; supported is one image [1 or ?, 3, H, W] in and one "
        f"[1 or ?, {num_keypoints}, h, w] of heatmaps out: export the model so"
    )


def _image_size_wh(info: TensorInfo) -> tuple[int, int] | None:
    match info.shape:
        case (1 | None, 3, int(height), int(width)) if info.dtype.startswith("float"):
            return width, height
    return None


def normalization_of(settings: Mapping[str, Any]) -> Normalization:
    """The normalisation that settings state, ImageNet's in RGB where they state none."""
    return Normalization(**{key: settings[key] for key in ("color", "mean", "std") if key in settings})
