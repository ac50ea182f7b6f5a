"""What Python programs get: errors at the call, and an end that is clean however the loop is left."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.video.clips import noise_images, write_clip
from tracker import OverlayRenderer, PoseTracker, VideoWriter, build_pipeline, open_source, square_pixels, track_video
from tracker.errors import InputError, ModelError, UsageError
from tracker.types import Frame

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


PICTURE = np.zeros((64, 64, 3), np.uint8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda _: PoseTracker("coco17").predict(7), "motion must be a motion that a flow gives, or None, not 7"),
        (lambda _: PoseTracker("coco17").predict_poses(PICTURE), "motion must be a motion that a flow gives"),
        (lambda _: PoseTracker("coco17").predict(None, time_s="0.1"), "time_s must be a number, not '0.1'"),
        (lambda _: PoseTracker("coco17").predict(None, pose_s=None), "pose_s must be a number, not None"),
        (lambda _: PoseTracker("coco17").predict(None, detections=3), "detections must be Detections, or None, not 3"),
        (lambda folder: VideoWriter(folder / "a.mp4", sound=7), "sound must be the sound that `open_source` gives"),
        (lambda folder: VideoWriter(folder / "a.mp4").write(PICTURE, None), "time_s must be a number, not None"),
        (lambda _: OverlayRenderer("coco17", draw=7), "draw must be a list of some of boxes, ids,"),
        (lambda _: OverlayRenderer("coco17", names=["Ann"]), r"names must be names by id, or None, not \['Ann'\]"),
        (lambda _: OverlayRenderer("coco17").draw(PICTURE, None, time_s=0), "tracked must be TrackedPoses, not None"),
        (lambda _: square_pixels(Frame(0, 0.0, PICTURE), []), r"people must be TrackedPoses, not \[\]"),
        (lambda _: build_pipeline(detector_type=["yolox"]), r"there is no detector type \['yolox'\]; use "),
        (lambda _: open_source("-", deinterlace=None), "deinterlace must be True or False, not None"),
    ],
)
def test_what_is_none_of_what_a_call_takes_is_refused_by_name(
    call: Callable[[Path], Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises((ValueError, UsageError), match=message):
        call(tmp_path)
