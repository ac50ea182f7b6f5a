"""How a network in another file differs from what it was: its outputs on noise and on pictures, its size, its time."""

from __future__ import annotations

import functools
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from tracker.detection.detector import NetworkDetector, load_detector, recognise
from tracker.export.sources import Runnable
from tracker.pose.family import FinderSettings, TopDownFamily
from tracker.pose.networks import OnnxPoseNetwork, TorchPoseNetwork
from tracker.pose.top_down import TopDownEstimator
from tracker.types import Candidates, Detections, FloatArray, Image

# A picture (H, W, 3) uint8 BGR, and the boxes (N, 4) of its people where they are known.
Picture: TypeAlias = tuple[Image, FloatArray | None]
# What networks are run on: (N, H, W, 3) uint8 BGR of pose networks, (N, 3, H, W) float32 of detectors.
Input: TypeAlias = npt.NDArray[Any]
T = TypeVar("T")

_ROUNDS = 10
# What a tag is off by, as a share of the largest, where it is another person's, unless told otherwise.
STEP = 0.01
# Shapes (N, H, W) of noise for networks of any size.
_NOISE = ((2, 64, 128), (1, 256, 448))


@dataclass(frozen=True)
class Difference:
    """Of outputs: the largest, as it is; and as shares of the largest value of the same channel.

    share: the largest. typical: the root of the mean square of the output that differs most. Tags, which change by
    steps, can be another person's in some cells, where two heights nearly equal one another: those have no part in
    largest and share; jumps is how many of the tags they are, 0 without tags.
    """

    num_inputs: int
    largest: float
    share: float
    typical: float
    jumps: float

    def is_within(self, tolerance: float) -> bool:
        """Whether no share is larger, and nine tags in ten are the same person's; NaN is not."""
        return self.share <= tolerance and self.jumps <= 0.1


def with_progress(work: Iterable[T], description: str) -> Iterator[T]:
    """The same, with a bar on a terminal: large networks take minutes."""
    yield from tqdm(work, description, disable=None, leave=False)


def compare(before: Runnable, after: Runnable, inputs: Sequence[Input], step: float = STEP) -> Difference | None:
    """The difference of two networks, NaN if one gives such; None if they find different numbers of people.

    step: what a tag is off by, more than, as a share of the largest, where it is another person's.
    """
    shown = with_progress(inputs, "comparing")
    pairs = [(outputs_of(before, images), outputs_of(after, images)) for images in shown]
    parts = []
    # Whole numbers are classes, or cells, which the other outputs tell.
    for name in (name for name, output in pairs[0][0].items() if output.dtype.kind == "f"):
        if any(expected[name].shape != given[name].shape for expected, given in pairs):
            return None
        expected, given = (_by_channel([pair[i][name] for pair in pairs]) for i in (0, 1))
        differences = np.abs(given - expected)
        scale = np.abs(expected).max(axis=1, keepdims=True)
        # A channel without anything must stay so.
        shares = differences / np.where(scale > 0, scale, 1)
        typical, jumped = np.sqrt(np.square(shares).mean()), name.startswith("tags") & (shares > step)
        largest, share = (np.where(jumped, 0, values).max() for values in (differences, shares))
        parts.append((largest, share, typical, jumped.mean()))
    # NumPy's maximum is NaN if one of them is.
    return Difference(len(inputs), *np.max(parts, axis=0).tolist())


def outputs_of(network: Runnable, images: Input) -> Mapping[str, npt.NDArray[Any]]:
    """The outputs of a network by name."""
    outputs = network.run(images)
    if isinstance(outputs, Mapping):
        return outputs
    infos = cast(Any, network).outputs
    return {info.name: output for info, output in zip(infos, outputs, strict=True)}


def noise_for(network: Runnable) -> list[Input]:
    """Noise as input."""
    random = np.random.default_rng(0)
    if isinstance(network, OnnxPoseNetwork | TorchPoseNetwork):
        is_open = not isinstance(network.family, TopDownFamily) and getattr(network, "has_open_size", True)
        shapes = _NOISE if is_open else ((2, *network.input_size_hw),)
        return [random.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]
    batch, _, height, width = network.inputs[0].shape
    inputs = ((batch or 2, height, width),) if height and width else _NOISE
    return [random.uniform(-1, 1, (n, 3, *size)).astype(np.float32) for n, *size in inputs]


def inputs_on(network: Runnable, pictures: Iterable[Picture], detector: Path | None) -> list[Input]:
    """What a network is run on when it is used on pictures, one by one.

    detector: what finds people whose boxes are not known, None is the included one.
    """
    recorder: Any = _Recorder(network)
    finder = functools.cache(lambda: load_detector(detector, "cpu"))
    for image, boxes in with_progress(pictures, "looking at pictures"):
        if not isinstance(network, OnnxPoseNetwork | TorchPoseNetwork):
            NetworkDetector(recorder, recognise(recorder), 0.5, None).detect([image])
        elif isinstance(network.family, TopDownFamily):
            found = finder().detect([image])[0] if boxes is None else Detections(boxes, np.ones(len(boxes), np.float32))
            TopDownEstimator(recorder, network.family).estimate(image, Candidates.from_detections(found))
        else:
            network.family.finder(recorder, FinderSettings()).find([image])
    return [images[row : row + 1] for images in recorder.seen for row in range(len(images))]


def cpu_times_ms(networks: Sequence[Runnable], images: Input) -> list[float]:
    """Milliseconds of CPU that each takes for one input, on one thread, in turns; medians."""
    times: list[list[float]] = [[] for _ in networks]
    with _one_torch_thread():
        for _ in with_progress(range(_ROUNDS + 1), "timing"):
            for network, measured in zip(networks, times, strict=True):
                start = time.process_time()
                network.run(images)
                measured.append(1e3 * (time.process_time() - start))
    # The first run is to warm up.
    return [statistics.median(measured[1:]) for measured in times]


class _Recorder:
    """A network that keeps what it is run on."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self.seen: list[Input] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def run(self, images: Input) -> Any:
        """As the network does."""
        self.seen.append(images)
        return self._network.run(images)


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _by_channel(outputs: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """(C, n) of outputs (b, C, …); of those that have as many rows as they find people, (1, n)."""
    if len({output.shape[1:2] for output in outputs}) > 1:
        outputs = [output.reshape(1, 1, -1) for output in outputs]
    return np.concatenate([np.moveaxis(output, 1, 0).reshape(output.shape[1], -1) for output in outputs], axis=1)
