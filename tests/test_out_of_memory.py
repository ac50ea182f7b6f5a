"""Memory that does not suffice: every kind of network, on either engine, goes on with smaller batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import torch

from tracker.detection import load_detector
from tracker.errors import DeviceError
from tracker.nets.pose_lite_hrnet import PoseLiteHRNet
from tracker.nets.rtmdet import RTMDetNano
from tracker.pose import TopDownEstimator, load_pose_network
from tracker.types import Candidates
from tracker.weights import MANIFEST

PICTURES = list(np.random.default_rng(0).integers(0, 256, (5, 64, 96, 3), np.uint8))
ENGINES = {"onnx": "ONNX Runtime", "safetensors": "torch"}


@dataclass
class Memory:
    """largest: the batch for which it suffices. sizes: of the batches that were run."""

    largest: int = 5
    sizes: list[int] = field(default_factory=list)

    def check(self, batch: Any, error: Exception) -> None:
        self.sizes.append(len(batch))
        if len(batch) > self.largest:
            raise error


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    """The memory of either engine."""
    memory = Memory()
    for network in (RTMDetNano, PoseLiteHRNet):
        monkeypatch.setattr(network, "forward", _checked_forward(network.forward, memory.check))
    session_run = onnxruntime.InferenceSession.run

    def run(self: Any, names: Any, feeds: dict[str, npt.NDArray[Any]], options: Any = None) -> Any:
        message = "Non-zero status code.\nFailed to allocate memory for requested buffer of size 1048576"
        memory.check(next(iter(feeds.values())), RuntimeError(message))
        return session_run(self, names, feeds, options)

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", run)
    return memory


def _checked_forward(forward: Any, check: Callable[[Any, Exception], None]) -> Any:
    def checked(self: Any, images: torch.Tensor) -> Any:
        check(images, torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has"))
        return forward(self, images)

    return checked


def _load(path: Path) -> Callable[[], list[npt.NDArray[np.float32]]]:
    """A function that runs the network on a batch of five and gives what it finds in each."""
    if path.stem == "detector":
        detector = load_detector(path, "cpu", 0.001, size=96)
        return lambda: [found.boxes for found in detector.detect(PICTURES)]
    estimator = TopDownEstimator(load_pose_network(path, "cpu", 1))  # of two batches at a time the order is open
    boxes = np.array([[8 * i, 4, 8 * i + 40, 60] for i in range(5)], np.float32)
    people = Candidates(boxes, np.ones(5, np.float32), np.zeros(5, np.int8))
    return lambda: list(estimator.estimate(PICTURES[0], people).scores)


@pytest.mark.parametrize(("suffix", "engine"), ENGINES.items())
@pytest.mark.parametrize("kind", ["detector", "pose"])
def test_batches_are_halved_until_they_fit(memory: Memory, kind: str, suffix: str, engine: str) -> None:
    find = _load(MANIFEST.parent / f"{kind}.{suffix}")
    expected = find()
    memory.largest = 3
    whole = 4 if (kind, suffix) == ("pose", "onnx") else 5  # four crops are what a CPU is given at once
    for batches in ([whole, 2, 2, 1], [2, 2, 1]):  # half is taken at once the next time
        memory.sizes.clear()
        found = find()
        assert memory.sizes == batches
        for one, other in zip(found, expected, strict=True):
            assert len(one) == len(other) > 0
            np.testing.assert_allclose(one, other, atol=1e-2)
    memory.largest = 0
    memory.sizes.clear()
    with pytest.raises(DeviceError) as error:
        find()
    assert memory.sizes == [2, 1]
    assert str(error.value).startswith(f"{kind}.{suffix} runs out of memory on {engine} ")
    assert str(error.value).endswith(" on CPU; free some, take smaller networks or a smaller --detector-size, or "
                                     "--device cpu")  # fmt: skip
