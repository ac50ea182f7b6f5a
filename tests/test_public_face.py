"""What Python programs get: errors at the call, and an end that is clean however the loop is left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.video.clips import noise_images, write_clip
from tracker import track_video
from tracker.errors import InputError, ModelError, UsageError

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = """
import sys
from tracker import track_video

clip = sys.argv[1]
tracked = track_video(clip, device="cpu")
next(tracked)
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", noise_images(200))


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        pytest.param("", 0, id="left open"),
        pytest.param("for _ in zip(tracked, track_video(clip, max_frames=2, device='cpu')): pass", 0, id="two videos"),
        pytest.param("circle = [tracked]; circle.append(circle); del tracked, circle", 0, id="dropped in a circle"),
        pytest.param("sys.exit(3)", 3, id="exit"),
    ],
)
def test_a_program_ends_cleanly_however_it_leaves_the_loop(clip: Path, ending: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + ending, str(clip)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


@pytest.mark.parametrize(
    ("source", "settings", "error"),
    [
        pytest.param("absent.mp4", {}, InputError, id="no file"),
        pytest.param("demo.jpg", {"detector": "absent.onnx"}, ModelError, id="no network"),
        pytest.param("demo.jpg", {"start_s": -1}, UsageError, id="a part that is none"),
        pytest.param("demo.jpg", {"detect": 1}, TypeError, id="a setting that is none"),
    ],
)
def test_errors_come_at_the_call(source: str, settings: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        track_video(ROOT / ".github" / source, **settings)
