"""The plot of a log."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from tracker.training import curves

LINES = [
    {"step": 50, "loss": 0.5, "steps_per_s": 3.0},
    {"step": 100, "loss": 0.05, "steps_per_s": 3.1},
    {"step": 100, "coco_ap": 0.2, "lsp_pck": 0.4},
    {"step": 150, "loss": 0.01, "steps_per_s": 3.1},
    {"step": 200, "coco_ap": 0.3},
]


def write_log(folder: Path, lines: list[dict[str, float]]) -> Path:
    path = folder / "log.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(LINES, id="loss and validation"),
        pytest.param(LINES[:1], id="no validation yet"),
        pytest.param(LINES[2:3], id="no loss yet"),
        pytest.param([], id="nothing yet"),
    ],
)
def test_a_picture_is_drawn(tmp_path: Path, lines: list[dict[str, float]]) -> None:
    image = tmp_path / "curves.png"
    curves.draw(write_log(tmp_path, lines), image)
    picture = cv2.imread(str(image))
    assert picture.shape[:2] == (800, 1100)
    assert picture.std() > 5
    assert not list(tmp_path.glob("*partial*"))
