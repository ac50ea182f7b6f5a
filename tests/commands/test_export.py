"""The export command: two files, and their entry for the manifest on stdout; in 8 bits one file that is a detector."""

from __future__ import annotations

import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.commands.conftest import Run, refused
from tests.trained import DETECTOR, write_weights
from tracker.detection import load_detector

INT8 = ["--output", "a", "--precision", "int8", "--calibrate"]


def test_it_writes_two_files_and_prints_their_entry(run: Run, tmp_path: Path) -> None:
    write_weights(tmp_path / "weights.safetensors", DETECTOR)
    done = run("export", "weights.safetensors", "--output", "det")
    assert (done.code, done.err) == (0, "written: det.onnx, det.safetensors\n")
    (entry,) = tomllib.loads(done.out)["network"]
    assert entry["kind"] == "detector"
    assert entry["onnx"]["bytes"] == (tmp_path / "det.onnx").stat().st_size


def test_it_writes_a_detector_and_prints_what_it_costs(run: Run, tmp_path: Path) -> None:
    write_weights(tmp_path / "det.safetensors", DETECTOR)
    picture = np.random.default_rng(0).integers(0, 256, (80, 60, 3), np.uint8)
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "a.png"), picture)
    done = run("export", "det.safetensors", "--output", "small", "--precision", "int8", "--calibrate", "pictures")
    assert (done.code, done.out[:30]) == (0, 'onnx = { file = "small.onnx", ')
    first, last = done.err.splitlines()
    assert first.startswith("1 inputs: outputs differ by at most ")
    assert last == "written: small.onnx"
    load_detector(tmp_path / "small.onnx", "cpu").detect([picture])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["--output", "no/a"], 1, "the folder no does not exist", id="no folder"),
        pytest.param([], 2, "--output", id="no output"),
        pytest.param(["--output", "a", "--precision", "int8"], 2, "add --calibrate and a folder", id="no pictures"),
        pytest.param(["--output", "a", "--calibrate", "."], 2, "are for --precision int8", id="pictures without use"),
        pytest.param(["--output", "a", "--precision", "int4"], 2, "invalid choice: 'int4'", id="no such precision"),
        pytest.param([*INT8, "empty"], 1, "empty holds no pictures", id="an empty folder"),
        pytest.param([*INT8, "absent.png"], 1, "there is no picture or folder absent.png", id="no such picture"),
    ],
)
def test_refusals(run: Run, tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    write_weights(tmp_path / "weights.safetensors", DETECTOR)
    (tmp_path / "empty").mkdir()
    assert message in refused(run("export", "weights.safetensors", *arguments), code)
