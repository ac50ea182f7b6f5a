"""Our own detector: what graphs are taken for it, its input, and the same people from torch and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trained import DETECTOR, write_weights
from tracker.detection import load_detector
from tracker.export.pair import export_network
from tracker.types import Detections, Image


def _picture(height: int = 60, width: int = 90, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same detector as ONNX and as safetensors."""
    torch.manual_seed(2)  # whose scores spread
    folder = tmp_path_factory.mktemp("detector")
    return export_network([write_weights(folder / "trained.safetensors", DETECTOR)], folder / "det")


def _detect(path: Path, images: Sequence[Image], score_threshold: float = 0.2) -> list[Detections]:
    return load_detector(path, "cpu", score_threshold, size=96).detect(images)


def test_torch_and_onnx_runtime_find_the_same(files: tuple[Path, Path]) -> None:
    images = [_picture(), _picture(96, 96), _picture(50, 120)]
    ours, theirs = (_detect(path, images) for path in files)
    assert all(len(found) > 0 for found in ours)
    for one, other in zip(ours, theirs, strict=True):
        assert len(one) == len(other)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
        for box in one.boxes:
            # Scores that nearly equal one another may be in another order.
            assert np.abs(other.boxes - box).max(axis=1).min() < 0.3


def test_a_batch_gives_what_each_image_gives_alone(files: tuple[Path, Path]) -> None:
    images = [_picture(seed=seed) for seed in range(3)]
    for path in files:
        for together, alone in zip(_detect(path, images), images, strict=True):
            (single,) = _detect(path, [alone])
            np.testing.assert_allclose(together.boxes, single.boxes, atol=1e-2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_finds_what_the_cpu_finds(files: tuple[Path, Path]) -> None:
    (on_cpu,), (on_cuda,) = (load_detector(files[1], device, 0.2).detect([_picture()]) for device in ("cpu", "cuda"))
    assert abs(len(on_cpu) - len(on_cuda)) <= 0.1 * len(on_cpu)
    np.testing.assert_allclose(on_cuda.scores[:5], on_cpu.scores[:5], atol=0.02)
