"""What sets one family of detection networks apart from another: how it is told, fed and read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy.typing as npt

from tracker.runtime import TensorInfo
from tracker.types import FloatArray, Image

Outputs: TypeAlias = Sequence[npt.NDArray[Any]]

# The class of a person, the first one of COCO.
PERSON = 0


class DetectionNetwork(Protocol):
    """What a detector needs of an `OnnxNetwork`, which other engines have too."""

    path: Path
    engine: str
    note: str | None
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    metadata: dict[str, str]

    def run(self, images: Any, /) -> Outputs:
        """All outputs for a batch (N, 3, H, W)."""


@dataclass(frozen=True)
class DetectorFamily:
    """A family of person detectors; each has one file.

    signature: inputs and outputs in words, for the message about an unknown network. stride: an input size
    that the graph leaves open must be a multiple of it. nms_iou: of boxes that overlap by more than this IoU the
    best is kept; None where the graph has done that. num_votes: the score of one that is kept is the mean of so many
    best among itself and those it replaces, where fewer count as scores of 0. is_centred: whether the image lies in the
    middle of its letterbox, and not in the corner.
    fits: whether a network with one input, of images, may be of this family.
    prepare: an image (H, W, 3) uint8 BGR and the input's width and height → the input (3, H, W) float32 and
    its scale in x and y (2,): a point of the image times the scale, plus its margins, is the point of the input.
    decode: the outputs for one image, without their batch axis, the input's width and height, and the least score
    that is wanted → boxes (N, 4) float32 xyxy in the input's pixels, and scores (N,) float32 in 0–1, in any order.
    Lower scores may be left out, NaN may not. Raises ValueError or IndexError for outputs of other shapes.
    """

    name: str
    signature: str
    nms_iou: float | None
    fits: Callable[[DetectionNetwork], bool]
    prepare: Callable[[Image, tuple[int, int]], tuple[FloatArray, FloatArray]]
    decode: Callable[[Outputs, tuple[int, int], float], tuple[FloatArray, FloatArray]]
    num_votes: int = 1
    is_centred: bool = False
    stride: int = 32


def takes_images(info: TensorInfo) -> bool:
    """Whether an input is a batch (b, 3, h, w) of floating-point images, b being open or 1."""
    batch_and_channels = len(info.shape) == 4 and info.shape[0] in (None, 1) and info.shape[1] in (None, 3)
    return batch_and_channels and info.dtype.startswith("float")


def fits_dets(network: DetectionNetwork) -> bool:
    """Whether a graph suppresses overlapping boxes itself, as MMDeploy exports it: dets (b, n, 5), labels (b, n)."""
    if [info.name for info in network.outputs] != ["dets", "labels"]:
        return False
    dets, labels = (info.shape for info in network.outputs)
    return len(dets) == 3 and dets[2] in (None, 5) and len(labels) == 2


def decode_dets(outputs: Outputs, _input_wh: tuple[int, int], _score_threshold: float) -> tuple[FloatArray, FloatArray]:
    """The people among dets (n, 5), xyxy and score, by their labels (n,), in which a person is 0."""
    dets, labels = outputs
    people = dets[labels == PERSON]
    return people[:, :4], people[:, 4]
