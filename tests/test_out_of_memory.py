"""Memory that does not suffice: every kind of network, on either engine, goes on with smaller batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import torch

from tests.trained import DETECTOR, POSE, write_weights
from tracker.detection import load_detector
from tracker.errors import DeviceError
from tracker.export import export_network
from tracker.nets.pose_lite_hrnet import PoseLiteHRNet
from tracker.nets.rtmdet import RTMDetNano
from tracker.pose import TopDownEstimator, load_pose_network
from tracker.types import Candidates

PICTURES = list(np.random.default_rng(0).integers(0, 256, (5, 64, 96, 3), np.uint8))
KINDS = ("detector", "pose")
ENGINES = {"onnx": "ONNX Runtime", "safetensors": "torch"}

Limit = Callable[[int], list[int]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """detector.onnx, detector.safetensors, pose.onnx and pose.safetensors."""
    torch.manual_seed(2)
    folder = tmp_path_factory.mktemp("networks")
    for kind, metadata in zip(KINDS, (DETECTOR, POSE), strict=True):
        export_network([write_weights(folder / "trained.safetensors", metadata)], folder / kind)
    return folder


@pytest.fixture
def limit_memory(monkeypatch: pytest.MonkeyPatch) -> Limit:
    """Makes memory suffice for batches up to a size alone; returns the sizes of those that are run from then on."""

    def limit_memory(largest: int) -> list[int]:
        sizes: list[int] = []

        def check(batch: Any, error: Exception) -> None:
            sizes.append(len(batch))
            if len(batch) > largest:
                raise error

        for network in (RTMDetNano, PoseLiteHRNet):
            monkeypatch.setattr(network, "forward", _checked_forward(network.forward, check))
        session_run = onnxruntime.InferenceSession.run

        def run(self: Any, names: Any, feeds: dict[str, npt.NDArray[Any]], options: Any) -> Any:
            message = "Non-zero status code.\nFailed to allocate memory for requested buffer of size 1048576"
            check(next(iter(feeds.values())), RuntimeError(message))
            return session_run(self, names, feeds, options)

        monkeypatch.setattr(onnxruntime.InferenceSession, "run", run)
        return sizes

    return limit_memory


def _checked_forward(forward: Any, check: Callable[[Any, Exception], None]) -> Any:
    def checked(self: Any, images: torch.Tensor) -> Any:
        check(images, torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has"))
        return forward(self, images)

    return checked


def _load(path: Path) -> Callable[[], list[npt.NDArray[np.float32]]]:
    """A function that runs the network on a batch of five and gives what it finds in each."""
    if path.stem == "detector":
        detector = load_detector(path, "cpu", 0.2, size=96)
        return lambda: [found.boxes for found in detector.detect(PICTURES)]
    estimator = TopDownEstimator(load_pose_network(path, "cpu"))
    boxes = np.array([[8 * i, 4, 8 * i + 40, 60] for i in range(5)], np.float32)
    people = Candidates(boxes, np.ones(5, np.float32), np.zeros(5, np.int8))
    return lambda: list(estimator.estimate(PICTURES[0], people).scores)


@pytest.mark.parametrize("suffix", ENGINES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("largest", "first", "second"),
    [
        pytest.param(3, [5, 2, 2, 1], [2, 2, 1], id="for half, which is taken at once the next time"),
    ],
)
def test_batches_are_halved_until_they_fit(
    folder: Path, limit_memory: Limit, kind: str, suffix: str, largest: int, first: list[int], second: list[int]
) -> None:
    find = _load(folder / f"{kind}.{suffix}")
    expected = find()
    sizes = limit_memory(largest)
    for batches in (first, second):
        found = find()
        assert sizes == batches
        for one, other in zip(found, expected, strict=True):
            assert len(one) == len(other) > 0
            np.testing.assert_allclose(one, other, atol=1e-2)
        sizes.clear()


@pytest.mark.parametrize(("suffix", "engine"), ENGINES.items())
@pytest.mark.parametrize("kind", KINDS)
def test_not_even_one_fits(folder: Path, limit_memory: Limit, kind: str, suffix: str, engine: str) -> None:
    find = _load(folder / f"{kind}.{suffix}")
    sizes = limit_memory(0)
    with pytest.raises(DeviceError) as error:
        find()
    assert sizes == [5, 2, 1]
    assert str(error.value).startswith(f"{kind}.{suffix} runs out of memory on {engine} ")
    assert str(error.value).endswith(" on CPU; free some, take smaller networks or a smaller --detector-size, or "
                                     "--device cpu")  # fmt: skip
