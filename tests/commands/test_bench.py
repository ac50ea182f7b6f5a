"""The bench prints a table of milliseconds."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.commands.conftest import Run, refused

STAGES = ["decode", "detect", "flow", "track", "pose", "draw", "encode", "all stages", "wall", "end to end"]


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
        pytest.param(["--networks", "a.onnx"], 2, "--networks is now `profile --rounds 20 FILE`", id="moved"),
    ],
)
def test_refusals(run: Run, options: list[str], code: int, message: str) -> None:
    assert message in refused(run("bench", *options), code)
