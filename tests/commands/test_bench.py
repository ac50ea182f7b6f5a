"""The bench prints a table of milliseconds."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.commands.conftest import Run
from tests.onnx_graphs import Node, write_constant_graph, write_graph
from tests.trained import BOTTOM_UP, DETECTOR, POSE, write_weights
from tracker.runtime import TensorInfo

ANY_SIZE = TensorInfo("image", (None, 3, None, None), "float32")

STAGES = ["decode", "detect", "flow", "track", "pose", "draw", "encode", "all stages", "wall", "end to end"]


def write_any_size(path: Path) -> Path:
    """A network that gives back what goes in."""
    return write_graph(path, [ANY_SIZE], [replace(ANY_SIZE, name="y")], nodes=[Node("Identity", ["image"], "y")])


def read_table(text: str) -> dict[str, float]:
    rows = re.findall(r"^(\w[\w ]*?) +([\d.]+) (?:ms|frames/s)$", text, re.MULTILINE)
    assert len(rows) == text.count("\n")
    return {stage: float(value) for stage, value in rows}


@pytest.mark.parametrize("takes_a_clip", [True, False], ids=["clip", "rendered crowd"])
def test_it_prints_ms_per_stage_and_frames_per_second(
    run: Run, clip: Path, models: list[str], tmp_path: Path, takes_a_clip: bool
) -> None:
    source = ["--input", str(clip), *models] if takes_a_clip else []
    start = time.perf_counter()
    done = run("bench", "--max-frames", "2", "--repeat", "1", *source)
    assert (done.code, done.err) == (0, "")
    elapsed_ms = 1e3 * (time.perf_counter() - start)
    table = read_table(done.out)
    assert list(table) == STAGES
    stages = sum(table[stage] for stage in STAGES[:-3])
    assert table["all stages"] == pytest.approx(stages, abs=0.5)
    assert table["end to end"] == pytest.approx(1000 / table["wall"], rel=0.05)
    assert 2 * table["wall"] <= elapsed_ms  # two frames, and rendering and loading beside them
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        pytest.param(["--max-frames", "0"], 2, "--repeat and --max-frames must be 1 or more", id="no frames"),
        pytest.param(["--input", "absent.mp4"], 1, "cannot open absent.mp4", id="missing input"),
        pytest.param(["--pose", "bottom-up"], 2, "name a clip with --input", id="LitePose without a clip"),
        pytest.param(["--pose-model", "a.onnx"], 2, "name a clip with --input", id="network without a clip"),
    ],
)
def test_refusals(run: Run, options: list[str], code: int, message: str) -> None:
    done = run("bench", *options)
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1)
    assert message in done.err


def read_columns(text: str) -> dict[tuple[str, str], list[str]]:
    """The four columns of times by network and input size."""
    caption, head, *rows = text.splitlines()
    assert "not counted" in caption
    assert re.findall(r"\d thr × \d", head) == ["1 thr × 1", "1 thr × 4", "2 thr × 1", "2 thr × 4"]
    assert {len(row) for row in rows} == {len(head)}
    return {(name, size): columns for name, size, *columns in map(str.split, rows)}


def test_networks_are_timed_side_by_side(run: Run, models: list[str], tmp_path: Path) -> None:
    names = [
        models[3],
        write_any_size(tmp_path / "any.onnx"),
        write_weights(tmp_path / "pose.safetensors", POSE),
        write_weights(tmp_path / "det.safetensors", DETECTOR),
        write_weights(tmp_path / "litepose.safetensors", BOTTOM_UP | {"input_size": "[32, 32]"}),
    ]
    threads = torch.get_num_threads()
    done = run("bench", "--networks", *names, "--repeat", "1", "--detector-size", "64", "--device", "cpu")
    torch.set_num_threads(threads)
    assert (done.code, done.err) == (0, "")
    table = read_columns(done.out)
    assert list(table) == [
        ("pose.onnx", "48×64"),
        ("any.onnx", "64×64"),  # twice, since a wide frame takes 36 rows, which makes 64
        ("pose.safetensors", "32×64"),
        ("det.safetensors", "64×64"),
        ("litepose.safetensors", "32×32"),  # its own, not the detectors'
    ]
    assert [column == "–" for column in table["pose.onnx", "48×64"]] == [False, True, False, True]
    for name in ("pose.safetensors", "det.safetensors", "litepose.safetensors"):
        times = [float(column) for row, columns in table.items() if row[0] == name for column in columns]
        assert len(times) >= 4
        assert min(times) > 0


def test_an_open_batch_that_is_none_is_told_by_a_dash(run: Run, tmp_path: Path) -> None:
    path = write_constant_graph(tmp_path / "a.onnx", [ANY_SIZE], {"y": np.zeros((1, 2), np.float32)})
    table = read_columns(run("bench", "--networks", path, "--repeat", "1", "--detector-size", "320").out)
    assert list(table) == [("a.onnx", "320×192"), ("a.onnx", "320×320")]
    for columns in table.values():
        assert [column == "–" for column in columns] == [False, True, False, True]


@pytest.mark.parametrize(
    ("name", "options", "code", "message"),
    [
        pytest.param("absent.onnx", [], 1, "there is no network file absent.onnx", id="missing"),
        pytest.param("two.onnx", [], 1, "only networks that take images", id="two inputs"),
        pytest.param("any.onnx", ["--detector-size", "100"], 2, "100 is no multiple of 32", id="size"),
    ],
)
def test_networks_that_cannot_be_timed(
    run: Run, tmp_path: Path, name: str, options: list[str], code: int, message: str
) -> None:
    write_any_size(tmp_path / "any.onnx")
    sizes = TensorInfo("sizes", (1, 2), "float32")
    write_constant_graph(tmp_path / "two.onnx", [ANY_SIZE, sizes], {"y": np.zeros((1, 2), np.float32)})
    done = run("bench", "--networks", name, *options)
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1)
    assert message in done.err
