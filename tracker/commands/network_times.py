"""Milliseconds per picture of network files, on one and two threads, one and four pictures at once."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tracker.detection.family import takes_images
from tracker.detection.letterbox import padded_size_wh
from tracker.errors import ModelError, UsageError
from tracker.nets.build import NETWORKS
from tracker.pose.settings import parse_settings
from tracker.runtime import OnnxNetwork, TensorInfo, TorchNetwork
from tracker.weights import load_network, read_metadata

# Threads and pictures at once, one column each.
_COLUMNS = ((1, 1), (1, 4), (2, 1), (2, 4))
# What detectors are measured on: a frame of video, and a square.
_SHAPES_WH = ((16, 9), (1, 1))
_STRIDE = 32

Images: TypeAlias = npt.NDArray[np.float32]
Runner: TypeAlias = Callable[[Images], list[npt.NDArray[Any]]]


@dataclass(frozen=True)
class _Trial:
    """A network on a number of threads, its input, and the milliseconds per picture measured so far."""

    run: Runner
    images: Images
    times_ms: list[float] = field(default_factory=list)

    def measure(self) -> None:
        start = time.perf_counter()
        self.run(self.images)
        self.times_ms.append(1e3 * (time.perf_counter() - start) / len(self.images))


@dataclass(frozen=True)
class _Row:
    """A network and an input size; a trial for each column, None where the network does not take the batch."""

    network: str
    size_wh: tuple[int, int]
    trials: list[_Trial | None]


def measure_networks(paths: Sequence[Path], detector_size: int, device: str, rounds: int) -> str:
    """A table of medians: a row for each file and input size, a column for each number of threads and pictures.

    Each round runs everything once, so that whatever else the machine does hits all alike. A network that takes
    one size only, or is a pose network that states its own, is measured at that, another one as a detector, on wide
    and on square pictures whose longer side is `detector_size`. Raises ModelError for files that do not load or take
    something else than images, DeviceError for a CUDA device that does not work, UsageError for a size that is no
    multiple of 32.
    """
    if detector_size <= 0 or detector_size % _STRIDE:
        raise UsageError(f"detector size {detector_size} is no multiple of {_STRIDE}")
    rows = [row for path in paths for row in _prepare(path, detector_size, device)]
    trials = [trial for row in rows for trial in row.trials if trial]
    order = random.Random(0)
    for _ in range(rounds):
        # In another order each time: torch's threads wait busily for a while, which would hit who comes next.
        for trial in order.sample(trials, len(trials)):
            trial.measure()
    return _format(rows)


def _prepare(path: Path, detector_size: int, device: str) -> list[_Row]:
    open_network = _open_torch if path.suffix == ".safetensors" else _open_onnx
    opened = {threads: open_network(path, device, threads) for threads, _ in _COLUMNS}
    height, width = opened[1][1].shape[2:]
    fixed = [(width, height)] if width and height else []
    sizes_wh = fixed or [padded_size_wh(shape_wh, detector_size, _STRIDE) for shape_wh in _SHAPES_WH]
    return [
        _Row(path.name, size_wh, [_try(*opened[threads], size_wh, batch) for threads, batch in _COLUMNS])
        for size_wh in sizes_wh
    ]


def _open_onnx(path: Path, device: str, threads: int) -> tuple[Runner, TensorInfo]:
    network = OnnxNetwork(path, device, threads)
    if len(network.inputs) != 1 or not takes_images(network.inputs[0]):
        inputs = ", ".join(map(str, network.inputs))
        raise ModelError(f"{path} takes {inputs}; only networks that take images [1 or ?, 3, H, W] alone are measured")
    return network.run, network.inputs[0]


def _open_torch(path: Path, device: str, threads: int) -> tuple[Runner, TensorInfo]:
    metadata = read_metadata(path)
    kind = NETWORKS.get(metadata.get("network", ""), "detector")
    network = TorchNetwork(load_network(path, kind), device)
    size_hw: tuple[int | None, int | None] = (None, None)
    if kind != "detector":
        stated = {"input_size": metadata.get("input_size", "")}
        size_hw = parse_settings(stated, f"the metadata of {path}")["input_size"]

    def run(images: Images) -> list[npt.NDArray[Any]]:
        import torch

        torch.set_num_threads(threads)
        return list(network.run(torch.from_numpy(images)))

    return run, TensorInfo("image", (None, 3, *size_hw), "float32")


def _try(run: Runner, image: TensorInfo, size_wh: tuple[int, int], batch: int) -> _Trial | None:
    """A trial that has run once, to warm up; None if the network does not take so many pictures."""
    if image.shape[0] == 1 < batch:
        return None
    images = np.random.default_rng(0).uniform(-1, 1, (batch, 3, size_wh[1], size_wh[0])).astype(np.float32)
    try:
        outputs = run(images)
    except ModelError:
        if batch == 1:
            raise
        return None
    return _Trial(run, images) if all(len(output) == batch for output in outputs) else None


def _format(rows: Sequence[_Row]) -> str:
    width = max(len(name) for name in ("network", *(row.network for row in rows)))
    cells = ["input", *(f"{threads} thr × {batch}" for threads, batch in _COLUMNS)]
    lines = ["network".ljust(width) + "".join(f"{cell:>11}" for cell in cells)]
    for row in rows:
        medians = (f"{statistics.median(trial.times_ms):.2f}" if trial else "–" for trial in row.trials)
        cells = ["×".join(map(str, row.size_wh)), *medians]
        lines.append(row.network.ljust(width) + "".join(f"{cell:>11}" for cell in cells))
    return "\n".join(lines)
