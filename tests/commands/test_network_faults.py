"""Networks that are damaged, of another kind or that fail: one line, exit code 1, nothing left behind."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from tests.commands.conftest import SIZE_WH, Outcome, Run, heatmaps
from tests.onnx_graphs import write_constant_graph
from tests.trained import DETECTOR, POSE, write_weights
from tracker.runtime import TensorInfo

# What a run that had begun may leave.
PARTIAL = {"clip_tracked.partial.mp4", "clip_tracked.partial.jsonl"}
NAMES = {"--detector": "detector", "--pose-model": "pose network"}


class _Attack:
    """Unpickled, it writes a file."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return Path.touch, (Path("attacked"),)  # type: ignore[return-value]


@pytest.fixture
def check_refusal(run: Run, clip: Path, models: list[str], tmp_path: Path) -> Callable[..., None]:
    """Tracks the clip, with those options after the ones of good networks, which must fail with that message."""

    def check_refusal(message: str, *options: str | Path) -> None:
        done: Outcome = run("track", "--input", clip, *models, "--device", "cpu", *options)
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith("error: ")
        assert done.err.count("\n") == 1
        assert message in done.err
        assert {path.name for path in tmp_path.iterdir()} <= PARTIAL

    return check_refusal


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme.txt", "nothing")


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory, clip: Path, models: list[str]) -> Path:
    """A folder of files that are no networks, or others."""
    folder = tmp_path_factory.mktemp("networks")
    whole = Path(models[1]).read_bytes()
    (folder / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    write_weights(folder / "detector.safetensors", DETECTOR)
    write_weights(folder / "pose.safetensors", POSE)
    weights = (folder / "pose.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(weights[: len(weights) // 2])
    torch.save({"conv.weight": torch.zeros(2)}, folder / "whole.pth")
    (folder / "cut.pth").write_bytes((folder / "whole.pth").read_bytes()[:-200])
    for suffix in ("onnx", "safetensors", "pth"):
        (folder / f"video.{suffix}").write_bytes(clip.read_bytes())
        (folder / f"text.{suffix}").write_text("This is no network.")
        (folder / f"attack.{suffix}").write_bytes(pickle.dumps({"state_dict": _Attack()}, protocol=2))
        _zip(folder / f"zip.{suffix}")
    (folder / "clip.mp4").write_bytes(clip.read_bytes())
    return folder


@pytest.mark.parametrize("option", NAMES)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("absent.onnx", "there is no network file", id="missing"),
        pytest.param("cut.onnx", "does not load as an ONNX network", id="an ONNX file that is cut off"),
        pytest.param("video.onnx", "does not load as an ONNX network", id="a video as ONNX"),
        pytest.param("zip.onnx", "does not load as an ONNX network", id="a zip as ONNX"),
        pytest.param("text.onnx", "does not load as an ONNX network", id="text as ONNX"),
        pytest.param("attack.onnx", "does not load as an ONNX network", id="a pickle as ONNX"),
        pytest.param("absent.safetensors", "there is no network file", id="missing weights"),
        pytest.param("cut.safetensors", "cannot be read as network weights", id="weights that are cut off"),
        pytest.param("video.safetensors", "cannot be read as network weights", id="a video as weights"),
        pytest.param("zip.safetensors", "cannot be read as network weights", id="a zip as weights"),
        pytest.param("text.safetensors", "cannot be read as network weights", id="text as weights"),
        pytest.param("attack.safetensors", "cannot be read as network weights", id="a pickle as weights"),
        pytest.param("clip.mp4", "is no {kind} by its name; supported are files ending in .onnx", id="a video"),
    ],
)
def test_files_that_are_no_networks(
    check_refusal: Callable[..., None], networks: Path, option: str, name: str, message: str
) -> None:
    check_refusal(message.format(kind=NAMES[option]), option, networks / name)
    assert not Path("attacked").exists()


@pytest.mark.parametrize(
    ("option", "name", "message"),
    [
        pytest.param("--pose-model", "cut.pth", "cannot be read as network weights", id="cut off"),
        pytest.param("--pose-model", "video.pth", "cannot be read as network weights", id="a video"),
        pytest.param("--pose-model", "zip.pth", "cannot be read as network weights", id="a zip"),
        pytest.param("--pose-model", "text.pth", "cannot be read as network weights", id="text"),
        pytest.param("--pose-model", "attack.pth", "could run code, so it is refused", id="a pickle that runs code"),
        pytest.param("--pose-model", "whole.pth", "holds no PoseResNet", id="weights of another network"),
        pytest.param("--detector", "attack.pth", "is no detector by its name", id="a pickle as detector"),
        pytest.param("--detector", "pose.safetensors", "must be PersonDetector", id="pose weights as detector"),
        pytest.param("--pose-model", "detector.safetensors", "must be PoseMobileNet", id="detector weights for poses"),
    ],
)
def test_checkpoints_that_cannot_be_used(
    check_refusal: Callable[..., None], networks: Path, option: str, name: str, message: str
) -> None:
    check_refusal(message, option, networks / name)
    assert not Path("attacked").exists()


def test_networks_in_one_anothers_place(check_refusal: Callable[..., None], models: list[str]) -> None:
    check_refusal("is no detector of a known kind: its inputs are image float32", "--detector", models[3])
    check_refusal(
        "labels int64 [1, 2]; supported is one image [1 or ?, 3, H, W] in and one ", "--pose-model", models[1]
    )


def test_a_type_that_the_detector_is_not_of(check_refusal: Callable[..., None]) -> None:
    check_refusal("det.onnx is no detector of type picodet", "--detector-type", "picodet")


def _detector(folder: Path, row: list[float]) -> Path:
    image = TensorInfo("image", (1, 3, SIZE_WH[1], SIZE_WH[0]), "float32")
    outputs = {"dets": np.array([[row]], np.float32), "labels": np.zeros((1, 1), np.int64)}
    return write_constant_graph(folder / "odd.onnx", [image], outputs)


@pytest.mark.parametrize("value", [np.nan, np.inf], ids=str)
@pytest.mark.parametrize("column", [0, 4], ids=["coordinate", "score"])
def test_a_detector_that_gives_nonsense(
    check_refusal: Callable[..., None], networks: Path, column: int, value: float
) -> None:
    row = [10, 8, 34, 56, 0.9]
    row[column] = value
    check_refusal("gave values that are not finite", "--detector", _detector(networks, row))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
def test_a_pose_network_that_gives_nonsense(check_refusal: Callable[..., None], networks: Path, value: float) -> None:
    maps = heatmaps()
    maps[0, 3, 2, 1] = value
    metadata = {"skeleton": "coco17", "color": "rgb", "mean": "[0, 0, 0]", "std": "[1, 1, 1]"}
    crop = TensorInfo("image", (1, 3, 64, 48), "float32")
    path = write_constant_graph(networks / "odd.onnx", [crop], {"heatmaps": maps}, metadata)
    check_refusal("gave values that are not finite", "--pose-model", path)


@pytest.mark.parametrize("name", ["detector.safetensors", "pose.safetensors"])
def test_a_gpu_that_is_absent(
    check_refusal: Callable[..., None], networks: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("tracker.runtime._cuda_obstacle", lambda: "no NVIDIA driver found")
    option = "--detector" if name.startswith("detector") else "--pose-model"
    check_refusal("device cuda does not work: ", option, networks / name, "--device", "cuda")


@pytest.fixture
def _full_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime finds no memory at all."""

    def run(*_: object) -> None:
        raise RuntimeError("Failed to allocate memory for requested buffer of size 1048576")

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", run)


@pytest.mark.usefixtures("_full_memory")
def test_memory_that_does_not_even_suffice_for_one_picture(check_refusal: Callable[..., None]) -> None:
    check_refusal("det.onnx runs out of memory on ONNX Runtime", "--detector-batch", "4")
