"""Our own detector: three maps, from ONNX Runtime or torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tracker.detection.family import DetectionNetwork, DetectorFamily, takes_images
from tracker.detection.letterbox import letterbox, normalized_planes
from tracker.detection.maps import NUM_CHANNELS, STRIDES, decode_maps
from tracker.runtime import TensorInfo, TorchNetwork
from tracker.types import FloatArray, Image

if TYPE_CHECKING:
    from torch import nn

# What the network expects, as its files state it; its input has any shape within that size.
INPUT_DESCRIPTION: Mapping[str, str] = MappingProxyType(
    {
        "color": "rgb",
        "mean": "[127.5, 127.5, 127.5]",
        "std": "[127.5, 127.5, 127.5]",
        "input_size": "[416, 416]",
    }
)


class TorchDetectionNetwork:
    """A `PersonDetector` module run by torch; it has the face of an `OnnxNetwork`.

    path: of its file, or a name. device: as for `TorchNetwork`. Raises DeviceError as `TorchNetwork` does.
    """

    def __init__(self, model: nn.Module, path: Path, device: str = "auto") -> None:
        self._network = TorchNetwork(model, device, path.name)
        self.path = path
        self.engine = self._network.engine
        self.note = self._network.note
        self.inputs: tuple[TensorInfo, ...] = (TensorInfo("image", (None, 3, None, None), "float32"),)
        self.outputs = tuple(TensorInfo(f"stride_{s}", (None, NUM_CHANNELS, None, None), "float32") for s in STRIDES)

    def run(self, images: FloatArray) -> list[npt.NDArray[np.float32]]:
        """The maps for images (N, 3, H, W), fine to coarse."""
        import torch

        return self._network.run(torch.from_numpy(images))


def _fits(network: DetectionNetwork) -> bool:
    if len(network.inputs) != 1 or len(network.outputs) != len(STRIDES):
        return False
    shapes = [info.shape for info in network.outputs]
    return takes_images(network.inputs[0]) and all(len(s) == 4 and s[1] == NUM_CHANNELS for s in shapes)


def _prepare(image: Image, size_wh: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    picture, scale_wh = letterbox(image, size_wh)
    return normalized_planes(picture[..., ::-1], mean=(127.5,) * 3, std=(127.5,) * 3), scale_wh


PERSON_DETECTOR = DetectorFamily(
    name="PersonDetector",
    signature="our own PersonDetector (three maps [b, 5, h / stride, w / stride])",
    stride=32,
    nms_iou=0.55,
    num_votes=5,
    fits=_fits,
    prepare=_prepare,
    decode=decode_maps,
)
