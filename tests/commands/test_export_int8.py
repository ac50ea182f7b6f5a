"""The export command with --precision int8: one file that is a detector, and what is refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.commands.conftest import Run
from tracker.detection import load_detector
from tracker.nets.rtmdet import RTMDetNano


def test_it_writes_a_detector_and_prints_what_it_costs(run: Run, tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_file(RTMDetNano().state_dict(), tmp_path / "det.safetensors", {"network": "RTMDetNano"})
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
        (["--precision", "int8"], 2, "add --calibrate and a folder"),
        (["--calibrate", "."], 2, "are for --precision int8"),
        (["--precision", "int4"], 2, "invalid choice: 'int4'"),
        (["--precision", "int8", "--calibrate", "empty"], 1, "empty holds no pictures"),
        (["--precision", "int8", "--calibrate", "absent.png"], 1, "there is no picture or folder absent.png"),
    ],
)
def test_refusals(run: Run, tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    (tmp_path / "empty").mkdir()
    done = run("export", "weights.safetensors", "--output", "small", *arguments)
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1)
    assert message in done.err
