"""Our own detector: three maps, from ONNX Runtime or torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tracker.detection.family import DetectionNetwork, DetectorFamily
from tracker.detection.maps import NUM_CHANNELS, STRIDES, decode_maps
from tracker.detection.rtmdet import MEAN_BGR, STD_BGR, prepare
from tracker.runtime import TensorInfo, TorchNetwork
from tracker.types import FloatArray

if TYPE_CHECKING:
    from torch import nn

# What the network expects, as its files state it; its input has any shape within that size.
INPUT_DESCRIPTION: Mapping[str, str] = MappingProxyType(
    {
        "color": "bgr",
        "mean": json.dumps(MEAN_BGR),
        "std": json.dumps(STD_BGR),
        "input_size": "[416, 416]",
    }
)


class TorchDetectionNetwork:
    """An RTMDetNano run by torch; it has the face of an `OnnxNetwork`.

    path: of its file, or a name. device: as for `TorchNetwork`. Raises DeviceError as `TorchNetwork` does.
    """

    def __init__(self, model: nn.Module, path: Path, device: str = "auto") -> None:
        self._network = TorchNetwork(model, device, path.name)
        self.path = path
        self.engine = self._network.engine
        self.note = self._network.note
        self.metadata: dict[str, str] = {}
        self.inputs: tuple[TensorInfo, ...] = (TensorInfo("image", (None, 3, None, None), "float32"),)
        self.outputs = tuple(TensorInfo(f"stride_{s}", (None, NUM_CHANNELS, None, None), "float32") for s in STRIDES)

    def run(self, images: FloatArray) -> list[npt.NDArray[np.float32]]:
        """The maps for images (N, 3, H, W), fine to coarse."""
        import torch

        return self._network.run(torch.from_numpy(images))


def _fits(network: DetectionNetwork) -> bool:
    # An older network of this form takes other colours.
    if any(
        network.metadata.get(key, INPUT_DESCRIPTION[key]) != INPUT_DESCRIPTION[key] for key in ("color", "mean", "std")
    ):
        return False
    shapes = [info.shape for info in network.outputs]
    return len(shapes) == len(STRIDES) and all(len(s) == 4 and s[1] == NUM_CHANNELS for s in shapes)


PERSON_DETECTOR = DetectorFamily(
    name="PersonDetector",
    signature="our own PersonDetector (three maps [b, 5, h / stride, w / stride])",
    nms_iou=0.65,
    num_votes=7,
    fits=_fits,
    prepare=prepare,
    decode=decode_maps,
)
