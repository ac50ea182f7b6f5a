"""What sets one family of pose networks apart from another: which outputs it has, and how they are read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np

from tracker.errors import ModelError
from tracker.pose.grouping import GroupingConfig
from tracker.runtime import SplittingRunner
from tracker.skeletons import Skeleton
from tracker.types import FloatArray, Image, IntArray, PoseFinder, RunningNetwork

# Outputs of a network by name; the first axis of each is that of the pictures.
Outputs: TypeAlias = Mapping[str, FloatArray]
Shapes: TypeAlias = Mapping[str, tuple[int | None, ...]]


class PoseNetwork(RunningNetwork, Protocol):
    """A network that sees keypoints in pictures.

    input_size_hw: height and width of a crop in pixels; of whole pictures as the family has it. has_open_size: whether
    pictures of another size can be run. metadata: what its file states of itself.
    """

    skeleton: Skeleton
    input_size_hw: tuple[int, int]
    has_open_size: bool
    metadata: Mapping[str, str]

    def run(self, images: Image) -> Outputs:
        """The outputs for images (N, H, W, 3) uint8 BGR, N at least 1."""


@dataclass(frozen=True, kw_only=True)
class PoseFamily:
    """A family of pose networks; each has one file, and a line in FAMILIES in networks.py.

    signature: the outputs in words, for messages.
    pick: the shapes of a network's outputs, by name, and its number of keypoints → the names of those that are read,
    none for a network of another family. None in a shape is a size that the graph leaves open, None keypoints any
    number.
    usual: settings, as of `parse_settings`, of all its networks, which need not state them.
    told: a file's metadata, in the words of the family's makers → what they say, as it is stated in settings.
    counts: shapes of the outputs that are read, and metadata → how many keypoints there are, None where that is open.
    numbers: of keypoints that tell the skeleton; None for all that `skeleton_by_number` knows.
    """

    signature: str
    pick: Callable[[Shapes, int | None], Sequence[str]]
    usual: Mapping[str, Any] = field(default_factory=dict)
    told: Callable[[Mapping[str, str]], Mapping[str, Any]] = lambda _metadata: {}
    counts: Callable[[Shapes, Mapping[str, str]], set[int | None]] = lambda shapes, _: {s[1] for s in shapes.values()}
    numbers: Collection[int] | None = None


@dataclass(frozen=True, kw_only=True)
class TopDownFamily(PoseFamily):
    """Networks that see one person in each crop.

    average: the outputs for crops, those for the mirrored crops, and `Skeleton.flip_order` → the outputs of both.
    decode: the outputs for N crops → keypoints (N, K, 2) in cells of a grid over the crop, scores (N, K), 0 or less
    where one is missing, and width and height of the grid.
    draw: the outputs for N crops → heatmaps (N, K, h, w) to look at.
    udp: crops, and cells of the grid, are UDP's, as of `crop_matrices`.
    """

    average: Callable[[Outputs, Outputs, IntArray], Outputs]
    decode: Callable[[Outputs], tuple[FloatArray, FloatArray, tuple[int, int]]]
    draw: Callable[[Outputs], FloatArray]
    udp: bool = False


@dataclass(frozen=True, kw_only=True)
class WholePictureFamily(PoseFamily):
    """Networks that see everybody in a picture, and need no detector.

    finder: around a network, with settings. Raises UsageError for those that the family has no use for.
    """

    finder: Callable[[PoseNetwork, FinderSettings], PoseFinder]


@dataclass(frozen=True)
class FinderSettings:
    """How people are found without a detector.

    grouping: of keypoints, None as published. flip_test: look at mirrored pictures, too. least_score: of a person,
    where the network gives people and not maps.
    """

    grouping: GroupingConfig | None = None
    flip_test: bool = False
    least_score: float = 0.5


def join_batches(parts: Sequence[FloatArray]) -> FloatArray:
    """Outputs for several batches as one; where graphs give as many rows as they find people, rows of zeros follow."""
    if len(parts) == 1:
        return parts[0]
    if len({part.shape[1:] for part in parts}) == 1:
        return np.concatenate(parts)
    joined = np.zeros((sum(map(len, parts)), max(part.shape[1] for part in parts), *parts[0].shape[2:]), np.float32)
    start = 0
    for part in parts:
        joined[start : start + len(part), : part.shape[1]] = part
        start += len(part)
    return joined


class OutputReader:
    """Runs a network on pictures, in parts where memory does not suffice, and checks what it gives."""

    def __init__(self, network: PoseNetwork, family: PoseFamily) -> None:
        self._network = network
        self._family = family
        self._runner = SplittingRunner(network.run)

    def read(self, images: Image) -> Outputs:
        """The family's outputs for images (N, H, W, 3) uint8 BGR, N at least 1.

        Raises ModelError for outputs of other shapes or values that are not finite, DeviceError when memory does not
        even suffice for one image.
        """
        parts = [part for _, part in self._runner.run(images)]
        outputs = {name: join_batches([part[name] for part in parts]) for name in parts[0]}
        names = self._family.pick(
            {name: values.shape for name, values in outputs.items()}, self._network.skeleton.num_keypoints
        )
        picked = {name: outputs[name] for name in names}
        self._check(outputs, picked, len(images))
        return picked

    def _check(self, outputs: Outputs, picked: Outputs, n: int) -> None:
        name = self._network.name
        if not picked or any(len(values) != n for values in picked.values()):
            found = ", ".join(f"{name} {values.shape}" for name, values in outputs.items())
            raise ModelError(
                f"{name} gave {found} for {n} pictures, not {self._family.signature} with K = "
                f"{self._network.skeleton.num_keypoints}; name another model"
            )
        if not all(np.isfinite(values).all() for values in picked.values()):
            raise ModelError(
                f"{name} gave values that are not finite on {self._network.engine}; its file may be damaged, "
                "or half precision too narrow for it: try --device cpu"
            )
