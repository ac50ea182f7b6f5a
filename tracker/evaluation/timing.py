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

from tracker.engines import open_onnx, refuse_engine
from tracker.errors import ModelError
from tracker.evaluation.profile import image_input, load_module
from tracker.runtime import TorchNetwork

# Threads and pictures at once.
LOADS = ((1, 1), (1, 4), (2, 1), (2, 4))

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


def time_networks(
    networks: Sequence[tuple[Path, tuple[int, int]]], device: str, rounds: int, engine: str = "auto"
) -> list[list[float | None]]:
    """Medians for each of the networks, files with the height and width of their input, by LOADS.

    None where a network does not take so many pictures. Each round runs everything once, so that whatever else the
    machine does hits all alike. Raises ModelError for files that do not load, DeviceError for a CUDA device that does
    not work.
    """
    rows = [_prepare(path, device, engine, size_hw) for path, size_hw in networks]
    trials = [trial for row in rows for trial in row if trial]
    order = random.Random(0)
    for _ in range(rounds):
        # In another order each time: torch's threads wait busily for a while, which would hit who comes next.
        for trial in order.sample(trials, len(trials)):
            trial.measure()
    return [[statistics.median(trial.times_ms) if trial else None for trial in row] for row in rows]


def _prepare(path: Path, device: str, engine: str, size_hw: tuple[int, int]) -> list[_Trial | None]:
    opened = {threads: _open(path, device, threads, engine) for threads, _ in LOADS}
    return [_try(*opened[threads], size_hw, batch) for threads, batch in LOADS]


def _try(run: Runner, takes_one: bool, size_hw: tuple[int, int], batch: int) -> _Trial | None:
    """A trial that has run once, to warm up; None if the network does not take so many pictures."""
    if takes_one and batch > 1:
        return None
    images = np.random.default_rng(0).uniform(-1, 1, (batch, 3, *size_hw)).astype(np.float32)
    try:
        outputs = run(images)
    except ModelError:
        if batch == 1:
            raise
        return None
    return _Trial(run, images) if all(len(output) == batch for output in outputs) else None


def _open(path: Path, device: str, threads: int, engine: str) -> tuple[Runner, bool]:
    """What runs the network, and whether it takes one picture at a time."""
    if path.suffix == ".onnx":
        graph = open_onnx(path, device, threads, engine)
        return graph.run, image_input(graph).shape[0] == 1
    refuse_engine(path, engine)
    network = TorchNetwork(load_module(path)[0], device)

    def run(images: Images) -> list[npt.NDArray[Any]]:
        import torch

        torch.set_num_threads(threads)
        return list(network.run(torch.from_numpy(images)))

    return run, False
