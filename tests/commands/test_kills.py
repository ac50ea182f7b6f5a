"""`kill -9` at any moment of a run: what was written until then can be read."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.commands.conftest import write_detector
from tests.commands.runs import MODULE, count_frames, running, write_endless_clip

# How many moments are tried: TRACKER_KILLS=20 makes it sure.
NUM_KILLS = int(os.environ.get("TRACKER_KILLS", "2"))
# What the poses of two seconds take, in lines that are longer than the buffers and pages of a file.
LATEST_BYTES = 500_000

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory, models: list[str]) -> list[str]:
    """Tracks 24 people in a clip that does not end while a test waits."""
    folder = tmp_path_factory.mktemp("crowd")
    crowd = [[x, y, x + 14, y + 14, 0.9] for x in range(1, 96, 16) for y in range(1, 64, 16)]
    detector = write_detector(folder / "crowd.onnx", crowd)
    clip = write_endless_clip(folder / "clip.mkv")
    return [*MODULE, "--input", str(clip), *models, "--detector", str(detector), "--device", "cpu"]


@pytest.mark.parametrize("seed", range(NUM_KILLS))
def test_whole_lines_and_an_overlay_that_opens_are_left(command: list[str], tmp_path: Path, seed: int) -> None:
    overlay, poses = tmp_path / "out.partial.mp4", tmp_path / "out.partial.jsonl"
    options = ["--output", str(tmp_path / "out.mp4"), "--poses", str(tmp_path / "out.jsonl")]
    num_bytes = int(np.random.default_rng(seed).integers(1, LATEST_BYTES))
    with running([*command, *options], num_bytes, poses) as process:
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert {path.name for path in tmp_path.iterdir()} == {"out.partial.mp4", "out.partial.jsonl"}
    num_lines, num_pictures = count_frames(poses), count_frames(overlay)
    # Coding runs behind, and the fragment of a second that is being written is lost.
    assert max(num_lines - 75, 0) <= num_pictures <= num_lines
    print(f"killed after {num_bytes} bytes of poses: {num_lines} lines, {num_pictures} pictures")


def test_a_run_that_is_killed_while_it_ends_loses_nothing(command: list[str], tmp_path: Path) -> None:
    options = ["--output", str(tmp_path / "out.mp4"), "--poses", str(tmp_path / "out.jsonl"), "--max-frames", "60"]
    with running([*command, *options], 1, tmp_path / "out.jsonl") as process:  # which is there before the overlay is
        process.send_signal(signal.SIGKILL)
    assert count_frames(tmp_path / "out.jsonl") == 60
    overlay = next(path for name in ("out.mp4", "out.partial.mp4") if (path := tmp_path / name).exists())
    assert 25 <= count_frames(overlay) <= 60
