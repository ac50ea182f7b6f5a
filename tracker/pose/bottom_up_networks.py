"""Networks that turn whole pictures into heatmaps and tags of everybody in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from tracker.errors import ModelError
from tracker.pose.networks import CHECKPOINT_SUFFIXES, TorchImageNetwork, normalization_of, stated_settings
from tracker.pose.settings import settings_beside, settings_path
from tracker.runtime import OnnxNetwork
from tracker.skeletons import COCO_17, CROWDPOSE_14, Skeleton
from tracker.types import FloatArray, Image
from tracker.weights import load_checkpoint, load_network, load_strictly, read_metadata

if TYPE_CHECKING:
    from tracker.nets.bottom_up_mobilenet import BottomUpMobileNet
    from tracker.nets.litepose import LitePose
    from tracker.pose.networks import Normalization

# What the published checkpoints of so many keypoints were trained on.
_PUBLISHED_SKELETONS = {14: CROWDPOSE_14, 17: COCO_17}


@dataclass(frozen=True, eq=False)
class OutputMaps:
    """What a network says at one scale: heatmaps (N, K, h, w) float32; tags (N, D · K, h, w) float32, or None.

    Tags of D values come as D parts: the first values of all keypoints, then the second ones.
    """

    heatmaps: FloatArray
    tags: FloatArray | None

    def __post_init__(self) -> None:
        shape = self.heatmaps.shape if self.tags is None else self.tags.shape
        if len({self.heatmaps.ndim, len(shape), 4}) > 1 or not self._are_tags(shape):
            raise ValueError(
                f"heatmaps must be (N, K, h, w) and tags one or more of each, got {self.heatmaps.shape} and {shape}"
            )

    def _are_tags(self, shape: tuple[int, ...]) -> bool:
        n, num_keypoints, *size = self.heatmaps.shape
        return shape[0] == n and list(shape[2:]) == size and shape[1] > 0 and shape[1] % num_keypoints == 0

    def tag_values(self) -> list[FloatArray]:
        """D maps (N, K, h, w), none without tags."""
        return [] if self.tags is None else np.split(self.tags, self.tags.shape[1] // self.heatmaps.shape[1], axis=1)


class BottomUpNetwork(Protocol):
    """Sees everybody at once; `name`, `engine` and `note` are those of `PersonDetector`.

    input_size: the short side of the pictures that it was trained on, in pixels.
    """

    name: str
    engine: str
    note: str | None
    skeleton: Skeleton
    input_size: int

    def maps(self, images: Image) -> list[OutputMaps]:
        """Coarse to fine, of images (N, H, W, 3) uint8 BGR, H and W multiples of 64."""


class TorchBottomUpNetwork(TorchImageNetwork):
    """A LitePose or a BottomUpMobileNet run by torch; normalization, device and name as for `TorchImageNetwork`."""

    def __init__(
        self,
        model: LitePose | BottomUpMobileNet,
        skeleton: Skeleton,
        input_size: int,
        *,
        normalization: Normalization,
        device: str = "auto",
        name: str = "",
    ) -> None:
        super().__init__(model, normalization, device, name)
        self.skeleton = skeleton
        self.input_size = input_size
        self._tag_outputs = model.tag_outputs

    def maps(self, images: Image) -> list[OutputMaps]:
        """As `BottomUpNetwork.maps`."""
        split = self.skeleton.num_keypoints
        return [
            OutputMaps(output[:, :split], output[:, split:] if has_tags else None)
            for output, has_tags in zip(self.run(images), self._tag_outputs, strict=True)
        ]


class OnnxBottomUpNetwork:
    """An ONNX model as `export` writes it of a bottom-up network: `heatmaps_0`, `tags_0`, `heatmaps_1` and so on.

    What it leaves unsaid of skeleton, colour order, mean, std and input_size stands in a .toml beside it. Raises
    ModelError where they are not stated or the graph is another one.
    """

    def __init__(self, path: Path, device: str = "auto", num_threads: int = 0) -> None:
        self._network = OnnxNetwork(path, device, num_threads)
        shapes = {info.name: info.shape for info in self._network.outputs}
        is_ours = "tags_0" in shapes and len(shapes.get("heatmaps_0", ())) == 4
        if not is_ours or len(self._network.inputs) != 1:
            raise ModelError(
                f"{path} gives {', '.join(shapes)}, but a bottom-up network gives heatmaps_0, tags_0, "
                "heatmaps_1 …; name an .onnx that `export` made of a LitePose, or take --pose top-down"
            )
        settings = stated_settings(self._network.metadata, path)
        self.name = path.name
        self.engine = self._network.engine
        self.note = self._network.note
        self.skeleton, self.input_size = _described(settings, shapes["heatmaps_0"][1], path)
        self._normalization = normalization_of(settings)

    def maps(self, images: Image) -> list[OutputMaps]:
        """As `BottomUpNetwork.maps`."""
        names = (info.name for info in self._network.outputs)
        maps = dict(zip(names, self._network.run(self._normalization.apply(images)), strict=True))
        num_scales = sum(name.startswith("heatmaps_") for name in maps)
        return [OutputMaps(maps[f"heatmaps_{i}"], maps.get(f"tags_{i}")) for i in range(num_scales)]


def load_bottom_up_network(path: Path, device: str = "auto", num_threads: int = 0) -> BottomUpNetwork:
    """The bottom-up network in an .onnx or .safetensors file of ours, or in a published checkpoint.

    device, num_threads: as for `OnnxNetwork`; torch, which runs checkpoints, keeps its own number.
    Files of ours state in their metadata what they are. The widths of a checkpoint (.pth, .pth.tar, .pt, .safetensors)
    are read off its weights. What it leaves open is taken from a .toml beside it (`skeleton`, `input_size`, `color`,
    `mean`, `std`), otherwise it is as published: CrowdPose's skeleton for 14 keypoints, COCO's for 17, RGB, ImageNet's
    mean and std, and the size that the released network of these widths was trained on. Raises ModelError for a file
    that is missing, damaged, of another kind or not described.
    """
    if path.name.endswith(".onnx"):
        return OnnxBottomUpNetwork(path, device, num_threads)
    if not path.name.endswith(CHECKPOINT_SUFFIXES):
        supported = ", ".join((".onnx", *CHECKPOINT_SUFFIXES))
        raise ModelError(f"{path} is no bottom-up network by its name; supported are files ending in {supported}")
    metadata = read_metadata(path)
    if "network" in metadata:
        model = cast("LitePose | BottomUpMobileNet", load_network(path, "bottom-up"))
        settings = stated_settings(metadata, path)
    else:
        model = published = load_litepose(path)
        settings = _published_settings(published) | settings_beside(path)
    skeleton, input_size = _described(settings, model.num_keypoints, path)
    return TorchBottomUpNetwork(
        model, skeleton, input_size, normalization=normalization_of(settings), device=device, name=path.name
    )


def load_litepose(path: Path) -> LitePose:
    """The LitePose in a checkpoint under the published names, in inference mode, its widths read off the weights.

    Raises ModelError as `load_checkpoint` and `load_strictly` do, and for the weights of another network.
    """
    from tracker.nets.litepose import LitePose, architecture_of

    state = load_checkpoint(path)
    try:
        model = LitePose(*architecture_of(state))
    except ValueError as error:
        raise ModelError(
            f"{path} holds no LitePose (it begins with {', '.join(sorted(state)[:3])}); name a checkpoint of its "
            "authors or of `train litepose`, or take --pose top-down"
        ) from error
    load_strictly(model, state, path)
    return model.eval()


def _published_settings(model: LitePose) -> dict[str, Any]:
    from tracker.nets.litepose import published_input_size

    side = published_input_size(model.config)
    return {"skeleton": _PUBLISHED_SKELETONS.get(model.num_keypoints), "input_size": (side, side)}


def _described(settings: Mapping[str, Any], num_keypoints: int | None, path: Path) -> tuple[Skeleton, int]:
    """Skeleton and short side of the input."""
    skeleton, size = settings["skeleton"], settings.get("input_size")
    if skeleton is None or size is None or skeleton.num_keypoints != num_keypoints:
        raise ModelError(
            f"{path} has {num_keypoints} keypoints and is not described; write the skeleton of so many and the "
            f'input_size into {settings_path(path)}, such as skeleton = "crowdpose14", input_size = [448, 448]'
        )
    return skeleton, min(size)
