"""The profile command: a table on stdout, and the same figures as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.commands.conftest import Run, cells, refused
from tests.commands.test_evaluate import people, write_truth
from tests.onnx_graphs import Node, write_constant_graph, write_graph
from tests.trained import BOTTOM_UP, DETECTOR, POSE, write_weights
from tracker.runtime import TensorInfo

ANY_SIZE = TensorInfo("image", (None, 3, None, None), "float32")
LOADS = ["1 thr × 1", "1 thr × 4", "2 thr × 1", "2 thr × 4"]


def test_it_prints_a_row_for_each_network(run: Run, tmp_path: Path) -> None:
    write_weights(tmp_path / "det.safetensors", DETECTOR)
    done = run("profile", "LitePose-XS", "PoseResNet50", "det.safetensors", "--json", "a.json")
    assert done.code == 0
    head, _, *rows = map(cells, done.out.splitlines())
    assert head == ["network", "input", "parameters", "GMACs", "Simple Baselines", "LitePose"]
    assert rows[0] == ["LitePose-XS", "256×256", "1,675,912", "0.886", "1.156", "1.205"]
    assert rows[1][:5] == ["PoseResNet50", "256×192", "33,999,697", "5.426", "9.654"]
    assert rows[2][:2] == ["det.safetensors", "416×416"]
    assert "deconvolutions at input positions" in done.err
    content = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert [entry["network"] for entry in content] == ["LitePose-XS", "PoseResNet50", "det.safetensors"]
    assert content[0]["macs"] == 885_841_920
    assert content[0]["size_hw"] == [256, 256]
    assert sum(part["parameters"] for part in content[0]["stages"].values()) == content[0]["parameters"]


def test_size_and_keypoints_can_be_named_and_parts_shown(run: Run) -> None:
    done = run("profile", "LitePose-S", "--size", "128x192", "--keypoints", "14", "-v")
    _, _, total, *parts = map(cells, done.out.splitlines())
    assert total[:3] == ["LitePose-S", "128×192", "2,731,240"]
    assert [part[0] for part in parts[:3]] == ["first", "stage.0", "stage.1"]


def test_without_a_name_every_network_is_shown(run: Run) -> None:
    rows = [cells(line) for line in run("profile", "--size", "64x64").out.splitlines()[2:]]
    assert len(rows) == 12
    assert {row[1] for row in rows} == {"64×64"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["LitePose-XXS"], 2, "there is no network 'LitePose-XXS'", id="unknown network"),
        pytest.param(["LitePose-XS", "--size", "100x100"], 2, "must be multiples of 32", id="size that does not fit"),
        pytest.param(["LitePose-XS", "--json", "there.json"], 1, "pass --overwrite", id="existing output"),
        pytest.param(["a.onnx", "--rounds", "0"], 2, "--rounds: '0' must be 1 or more", id="no rounds"),
        pytest.param(["--rounds", "2"], 2, "name files of networks", id="nothing to run"),
        pytest.param(["a.onnx", "--gt", "there.json"], 2, "--gt and --images need each other", id="no pictures"),
        pytest.param(["a.onnx", "--plot", "a.png"], 2, "name annotated pictures", id="nothing to draw"),
        pytest.param(["absent.onnx"], 1, "there is no network file absent.onnx", id="missing"),
        pytest.param(["two.onnx"], 1, "only networks that take images", id="two inputs"),
    ],
)
def test_refusals(run: Run, tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    (tmp_path / "there.json").write_text("mine")
    sizes = TensorInfo("sizes", (1, 2), "float32")
    write_constant_graph(tmp_path / "two.onnx", [ANY_SIZE, sizes], {"y": np.zeros((1, 2), np.float32)})
    assert message in refused(run("profile", *arguments), code)
    assert (tmp_path / "there.json").read_text() == "mine"


@pytest.mark.slow
def test_networks_are_timed_side_by_side(run: Run, models: list[str], tmp_path: Path) -> None:
    output = replace(ANY_SIZE, name="y")
    names = [
        models[3],
        write_graph(tmp_path / "any.onnx", [ANY_SIZE], [output], nodes=[Node("Identity", ["image"], "y")]),
        write_constant_graph(tmp_path / "one.onnx", [ANY_SIZE], {"y": np.zeros((1, 2), np.float32)}),
        write_weights(tmp_path / "pose.safetensors", POSE),
        write_weights(tmp_path / "det.safetensors", DETECTOR),
        write_weights(tmp_path / "bottom-up.safetensors", BOTTOM_UP | {"input_size": "[32, 32]"}),
    ]
    done = run("profile", *names, "--rounds", "1", "--size", "64x32", "--device", "cpu", "--json", "out.json")
    assert done.code == 0
    rows = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [row["size_hw"] for row in rows] == [[64, 48], *[[64, 32]] * 5]  # the first graph takes one size only
    assert all(list(row["ms"]) == LOADS for row in rows)
    takes_four = [row["ms"]["1 thr × 4"] is not None for row in rows]
    # The third's batch is open, but it gives one output for all.
    assert takes_four == [False, True, False, True, True, True]
    assert min(time for row in rows for time in row["ms"].values() if time is not None) > 0
    assert [row["macs"] is None for row in rows] == [True, True, True, False, False, False]
    head, _, first, *_ = map(cells, done.out.splitlines())
    assert head[6:] == LOADS
    assert first[2:6] == ["–"] * 4


@pytest.fixture
def source(tmp_path: Path) -> list[str | Path]:
    """Two people in a picture."""
    gt = write_truth(tmp_path / "gt.json", people(1), num_images=1)
    return ["--gt", gt, "--images", gt.with_suffix("")]


def test_networks_are_compared_on_pictures(
    run: Run, source: list[str], litepose: list[str], models: list[str], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    outputs = ["--json", "out.json", "--plot", "out.png"]
    done = run("profile", models[3], "--bottom-up", litepose[3], *models[:2], *source, *outputs)
    assert done.code == 0
    assert cells(done.out.splitlines()[0])[-3:] == ["OKS AP", "mean OKS", "ms per picture"]
    rows = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [Path(row["network"]).name for row in rows] == ["pose.onnx", "litepose.onnx"]
    assert all(row["ms_per_picture"] > 0 and 0 <= row["mean_oks"] <= 1 and row["ap"] >= 0 for row in rows)
    assert cv2.imread("out.png").shape == (550, 800, 3)


def test_all_networks_load_before_the_first_is_measured(
    run: Run, source: list[str], litepose: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.commands.profile._measure", lambda *_: pytest.fail("measured"))
    done = run("profile", "--bottom-up", litepose[3], "a.pth", *source)
    assert done.code == 1
    assert "there is no network file a.pth" in done.err
