"""A network with keypoints of its own goes all the way: tracked, written, read back, converted, drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.commands.conftest import Run, refused
from tests.onnx_graphs import write_constant_graph
from tracker.formats import read_results
from tracker.runtime import TensorInfo

NAMES = ["snout", "left_ear", "right_ear", "back", "tail"]
EDGES = [["snout", "left_ear"], ["snout", "right_ear"], ["snout", "back"], ["back", "tail"]]
TABLE = {"name": "mouse5", "keypoint_names": NAMES, "edges": EDGES, "sigmas": [0.05] * 5}
NUMBERS = {"color": "rgb", "mean": "[0, 0, 0]", "std": "[1, 1, 1]"}


def mouse_network(path: Path, metadata: dict[str, str]) -> Path:
    maps = np.zeros((1, len(NAMES), 16, 12), np.float32)
    for keypoint in range(len(NAMES)):
        maps[0, keypoint, 2 + 3 * keypoint, 2 + 5 * keypoint % 8] = 0.9
    return write_constant_graph(path, [TensorInfo("image", (1, 3, 64, 48), "float32")], {"heatmaps": maps}, metadata)


def as_toml(skeleton: Any) -> str:
    lines = [f'{name} = "{value}"' if name == "color" else f"{name} = {value}" for name, value in NUMBERS.items()]
    if isinstance(skeleton, list):
        return "\n".join([*lines, f"skeleton = {json.dumps(skeleton)}"])
    return "\n".join([*lines, "[skeleton]", *(f"{name} = {json.dumps(value)}" for name, value in skeleton.items())])


@pytest.mark.parametrize(
    ("metadata", "toml", "name"),
    [
        pytest.param({}, as_toml(TABLE), "mouse5", id="table in a .toml"),
        pytest.param({}, as_toml(NAMES), "own5", id="list in a .toml"),
        pytest.param(NUMBERS | {"skeleton": json.dumps(TABLE)}, "", "mouse5", id="metadata"),
    ],
)
def test_keypoints_of_ones_own(
    run: Run, clip: Path, models: list[str], tmp_path: Path, metadata: dict[str, str], toml: str, name: str
) -> None:
    network = mouse_network(tmp_path / "mouse.onnx", metadata)
    if toml:
        network.with_suffix(".toml").write_text(toml)
    done = run("track", "--input", clip, *models[:2], "--pose-model", network, "--poses", "out.jsonl")
    assert done.code == 0, done.err
    results = read_results(Path("out.jsonl"))
    skeleton = results.header.skeleton
    assert (skeleton.name, skeleton.keypoint_names) == (name, tuple(NAMES))
    assert len(skeleton.edges) == (4 if name == "mouse5" else 0)
    assert skeleton.flip_pairs == ((1, 2),)
    assert all(frame.tracked.track_ids.tolist() == [1, 2] for frame in results.frames)
    assert run("convert", "out.jsonl", "out.npz").code == 0
    assert run("convert", "out.npz", "out.csv").code == 0
    assert read_results(Path("out.csv")).header.skeleton.keypoint_names == tuple(NAMES)
    assert run("render", "out.npz", clip, "--output", "out.mp4").code == 0
    assert run("track", "--input", clip, "--poses-in", "out.csv", "--poses", "again.jsonl").code == 0
    assert all(len(frame.tracked) == 2 for frame in read_results(Path("again.jsonl")).frames)
    done = run("convert", "out.jsonl", "coco.json", "--format", "coco", "--skeleton", "coco17")
    assert "cannot hold" in done.err
    assert "snout" in done.err


def test_a_skeleton_that_makes_no_sense_is_told_in_one_line(run: Run, clip: Path, models: list[str]) -> None:
    network = mouse_network(Path("mouse.onnx"), {})
    network.with_suffix(".toml").write_text(as_toml(TABLE | {"edges": [["snout", "nose"]]}))
    told = refused(run("track", "--input", clip, *models[:2], "--pose-model", network, "--poses", "out.jsonl"))
    assert "edges must be pairs of keypoints, by name or as indices below 5" in told
