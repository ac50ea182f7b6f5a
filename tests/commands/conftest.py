"""A small clip, two networks that always find the same two people, and the command run on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.examples import example, write_results
from tests.onnx_graphs import Node, write_constant_graph, write_graph
from tests.video.clips import write_clip
from tracker.cli import main
from tracker.runtime import TensorInfo
from tracker.types import DoubleArray, FloatArray

SIZE_WH = (96, 64)
BOXES = [[10, 8, 34, 56], [55, 8, 79, 56]]
# of a variable rate
TIMES_S = [0.0, 0.04, 0.08, 0.16, 0.2, 0.24, 0.3, 0.36, 0.4, 0.48]

_PEAK = 0.9
_DESCRIPTION = {"skeleton": "coco17", "color": "rgb", "mean": "[0, 0, 0]", "std": "[1, 1, 1]"}
_CROP = TensorInfo("image", (1, 3, 64, 48), "float32")
_HEATMAPS = TensorInfo("heatmaps", (1, 17, 16, 12), "float32")


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten times the same picture, at `TIMES_S`."""
    return write_clip(tmp_path_factory.mktemp("input") / "clip.mp4", [texture()] * len(TIMES_S), times_s=TIMES_S)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The options that name a detector of `BOXES` with scores 0.9 and 0.8 and a pose network of scores 0.9."""
    folder = tmp_path_factory.mktemp("models")
    detector = write_detector(folder / "det.onnx", [[*BOXES[0], 0.9], [*BOXES[1], 0.8]])
    pose = write_pose_network(folder / "pose.onnx", heatmaps())
    return ["--detector", str(detector), "--pose-model", str(pose)]


@pytest.fixture(scope="session")
def litepose(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The options that name a bottom-up network which sees somebody in each of `BOXES`."""
    # The clip's pictures get 16 columns more on either side, so that their sides are multiples of 64.
    centres = np.array([[(x0 + x1) / 2 + 16, (y0 + y1) / 2] for x0, y0, x1, y1 in BOXES])
    spread = np.stack([np.tile([-8, 0, 8], 6)[:17], np.repeat([-20, -12, -4, 4, 12, 20], 3)[:17]], axis=1)
    points = centres[:, None] + spread
    maps = {f"heatmaps_{i}": _blobs(points / stride, (64 // stride, 128 // stride)) for i, stride in enumerate((4, 2))}
    tags = np.zeros((1, 17, 16, 32), np.float32)
    tags[..., 16:] = 5
    path = tmp_path_factory.mktemp("litepose") / "litepose.onnx"
    image = TensorInfo("image", (1, 3, 64, 128), "float32")
    write_constant_graph(path, [image], maps | {"tags_0": tags}, _DESCRIPTION | {"input_size": "[64, 64]"})
    return ["--pose", "bottom-up", "--pose-model", str(path)]


def _blobs(points: DoubleArray, size_hw: tuple[int, int]) -> FloatArray:
    """Heatmaps (1, K, h, w) with a Gaussian at each of the points (N, K, 2)."""
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    squared = (x - points[..., 0, None, None]) ** 2 + (y - points[..., 1, None, None]) ** 2
    return (_PEAK * np.exp(-squared / 2)).max(axis=0)[None].astype(np.float32)


@dataclass(frozen=True)
class Outcome:
    """Exit code of a command, and what it printed."""

    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


def refused(done: Outcome, code: int = 1) -> str:
    """The only line of a command that failed and printed nothing else."""
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1)
    return done.err


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line with those arguments, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Outcome:
        code = main([str(argument) for argument in arguments])
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture
def poses(tmp_path: Path) -> Path:
    """Results of two people, nobody, and two people again."""
    return write_results(tmp_path / "in.jsonl", example())


@pytest.fixture
def track(run: Run, clip: Path, models: list[str]) -> Run:
    """Runs `track` on the clip, or another input, with those further arguments."""
    return lambda *arguments, source=clip: run("track", "--input", source, *models, *arguments)


def texture() -> np.ndarray[Any, Any]:
    """A picture with something to follow in it."""
    noise = np.random.default_rng(0).integers(30, 225, (SIZE_WH[1] // 4, SIZE_WH[0] // 4, 3), dtype=np.uint8)
    return np.kron(noise, np.ones((4, 4, 1), np.uint8))


def heatmaps() -> np.ndarray[Any, Any]:
    """One peak per keypoint, spread over the crop."""
    maps = np.zeros((1, 17, 16, 12), np.float32)
    for keypoint in range(17):
        maps[0, keypoint, 1 + keypoint * 13 // 16, 2 + keypoint % 8] = _PEAK
    return maps


def write_detector(path: Path, rows: Sequence[Sequence[float]]) -> Path:
    """A detector of those boxes with their scores."""
    image = TensorInfo("image", (1, 3, SIZE_WH[1], SIZE_WH[0]), "float32")
    dets = np.array(rows, np.float32)[None]
    return write_constant_graph(path, [image], {"dets": dets, "labels": np.zeros((1, len(rows)), np.int64)})


def write_pose_network(path: Path, maps: np.ndarray[Any, Any]) -> Path:
    """A pose network that gives those heatmaps for one crop at a time."""
    return write_constant_graph(path, [_CROP], {"heatmaps": maps}, _DESCRIPTION)


def write_pose_network_for_batches(path: Path) -> Path:
    """A pose network that gives `heatmaps` for each of several crops."""
    nodes = [
        Node("GlobalMaxPool", ["image"], "brightest"),
        Node("Gather", ["brightest", "first"], "blue", {"axis": 1}),
        Node("Mul", ["blue", "zero"], "nothing"),
        Node("Add", ["maps", "nothing"], "heatmaps"),
    ]
    crops, output = (replace(info, shape=(None, *info.shape[1:])) for info in (_CROP, _HEATMAPS))
    constants = {"maps": heatmaps(), "first": np.zeros(1, np.int64), "zero": np.zeros(1, np.float32)}
    return write_graph(path, [crops], [output], nodes=nodes, constants=constants, metadata=_DESCRIPTION)


def write_pose_network_afraid_of_the_dark(path: Path) -> Path:
    """A pose network that gives NaN for a crop without a value of 30."""
    nodes = [
        Node("ReduceMax", ["image"], "brightest", {"keepdims": 1}),
        Node("Sub", ["brightest", "limit"], "light"),
        Node("Sqrt", ["light"], "root"),
        Node("Div", ["root", "root"], "one"),
        Node("Mul", ["maps", "one"], "heatmaps"),
    ]
    constants = {"maps": heatmaps(), "limit": np.array(30, np.float32)}
    return write_graph(path, [_CROP], [_HEATMAPS], nodes=nodes, constants=constants, metadata=_DESCRIPTION)


def cells(line: str) -> list[str]:
    """Those of a row of a table in Markdown."""
    return [cell.strip() for cell in line.strip("|").split("|")]


def read_lines(path: Path) -> list[Any]:
    """The records of a file of JSON lines, of which the last may be cut off."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
