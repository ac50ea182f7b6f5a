"""The export command: one graph and a table, or two files and their entry for the manifest."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.commands.conftest import Run, refused
from tests.trained import BOTTOM_UP, DETECTOR, POSE, write_weights
from tracker.pose import load_poses

INT8 = ["--output", "a", "--precision", "int8", "--pictures"]


def test_it_writes_two_files_and_prints_their_entry(run: Run, tmp_path: Path) -> None:
    write_weights(tmp_path / "weights.safetensors", DETECTOR)
    done = run("export", "weights.safetensors", "--output", "det")
    assert (done.code, done.err) == (0, "written: det.onnx, det.safetensors\n")
    (entry,) = tomllib.loads(done.out)["network"]
    assert entry["kind"] == "detector"
    assert entry["onnx"]["bytes"] == (tmp_path / "det.onnx").stat().st_size


def test_it_writes_a_graph_in_8_bits_and_prints_what_it_costs(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    write_weights(tmp_path / "small.safetensors", BOTTOM_UP)
    picture = np.random.default_rng(0).integers(0, 256, (80, 60, 3), np.uint8)
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "a.png"), picture)
    done = run("export", "small.safetensors", *INT8, "pictures", "--licence", "mine")
    assert (done.code, done.err.splitlines()[-1]) == (0, "written: a.onnx")
    assert "licence: mine" in done.err
    for step in ("writing the graph", "looking at pictures: ", "timing: ", "comparing: "):
        assert step in done.err
    header, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.out.splitlines()]
    assert header[6] == "1 seen"
    assert [row[0] for row in rows] == ["small.safetensors", "fp32", "int8"]
    assert int(rows[2][2]) == (tmp_path / "a.onnx").stat().st_size
    assert float(rows[1][5]) < 1e-4 < float(rows[2][5])
    load_poses(tmp_path / "a.onnx", "cpu", bottom_up=True).find([picture])


def test_without_pictures_it_is_compared_on_rendered_people(run: Run, tmp_path: Path) -> None:
    write_weights(tmp_path / "pose.safetensors", POSE)
    done = run("export", "pose.safetensors", "--output", "pose.onnx")
    assert done.code == 0
    assert re.search(r"\| [1-9]\d seen \|", done.out)
    assert done.err.startswith("skeleton: body19; color: rgb; mean: [127.5, 127.5, 127.5]; ")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["--output", "no/a"], 1, "the folder no does not exist", id="no folder"),
        pytest.param(["--output", "no/a.onnx"], 1, "the folder no does not exist", id="no folder of a graph"),
        pytest.param([], 2, "--output", id="no output"),
        pytest.param(["--output", "a", "--precision", "int8"], 2, "add --pictures and a folder", id="no pictures"),
        pytest.param(["--output", "a", "--pictures", "."], 2, "are for --output FILE.onnx", id="pictures without use"),
        pytest.param(["--output", "a", "--precision", "int4"], 2, "there is no 'int4'", id="no such precision"),
        pytest.param(["--output", "a.onnx", "--size", "50", "64"], 2, "multiples of 32", id="no such size"),
        pytest.param([*INT8, "empty"], 1, "empty holds no pictures", id="an empty folder"),
        pytest.param([*INT8, "absent.png"], 1, "there is no picture or folder absent.png", id="no such picture"),
    ],
)
def test_refusals(run: Run, tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    write_weights(tmp_path / "weights.safetensors", DETECTOR)
    (tmp_path / "empty").mkdir()
    assert message in refused(run("export", "weights.safetensors", *arguments), code)
