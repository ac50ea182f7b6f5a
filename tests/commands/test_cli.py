"""The program as a process: entries, exit codes, signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.commands.conftest import Run, read_lines, texture, write_pose_network_afraid_of_the_dark
from tests.video.clips import write_clip
from tracker.commands import track as track_command
from tracker.errors import ModelError

ROOT = Path(__file__).resolve().parents[2]
RUN_VIDEO = [sys.executable, str(ROOT / "run_video.py")]
MODULE = [sys.executable, "-m", "tracker", "track"]
DEADLINE_S = 60


def raising(error: BaseException) -> Callable[..., int]:
    def run(_: object) -> int:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        pytest.param(
            ModelError("x.onnx is broken;\n get another"), 1, "error: x.onnx is broken; get another", id="own"
        ),
        pytest.param(PermissionError(13, "Permission denied", "/x"), 1, "error: /x: Permission denied", id="file"),
        pytest.param(OSError("disk on fire"), 1, "error: disk on fire", id="system"),
        pytest.param(
            ImportError("libGL.so.1: cannot open shared object file"),
            1,
            "error: OpenCV needs the system library libGL.so.1; "
            "on Debian or Ubuntu: apt-get install libgl1 libglib2.0-0",
            id="library",
        ),
        pytest.param(KeyboardInterrupt(), 130, "interrupted", id="Ctrl-C"),
    ],
)
def test_errors_are_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, line: str
) -> None:
    monkeypatch.setattr(track_command, "run", raising(error))
    done = run("track", "--input", "x")
    assert (done.code, done.out, done.err) == (code, "", f"{line}\n")


def test_verbose_shows_the_traceback_and_then_the_same_line(run: Run) -> None:
    quiet, verbose = run("track", "--input", "absent.mp4"), run("track", "--input", "absent.mp4", "-v")
    assert verbose.code == quiet.code == 1
    assert verbose.err.startswith("Traceback")
    assert verbose.err.endswith(f"\n{quiet.err}")


def test_a_bug_keeps_its_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(track_command, "run", raising(ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        run("track", "--input", "x")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "required: COMMAND; see pose-tracker --help", id="no command"),
        pytest.param(["dance"], "invalid choice: 'dance'", id="unknown command"),
        pytest.param(["track"], "required: --input; see pose-tracker track --help", id="no input"),
    ],
)
def test_wrong_usage_is_one_line(run: Run, arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert message in done.err


def test_the_handler_of_sigterm_is_put_back(run: Run) -> None:
    before = signal.getsignal(signal.SIGTERM)
    run("track", "--input", "absent.mp4")
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("entry", [RUN_VIDEO, MODULE], ids=["run_video.py", "python -m tracker track"])
def test_the_entries_are_the_same(clip: Path, models: list[str], tmp_path: Path, entry: list[str]) -> None:
    done = subprocess.run(
        [*entry, "--input", str(clip), *models, "--poses", str(tmp_path / "out.jsonl")],
        cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")
    assert len(read_lines(tmp_path / "out.jsonl")) == 11


def test_a_stage_that_raises_ends_the_process(models: list[str], tmp_path: Path) -> None:
    pictures = [texture()] * 40 + [np.zeros_like(texture())] * 200
    clip = write_clip(tmp_path / "clip.mp4", pictures)
    pose = write_pose_network_afraid_of_the_dark(tmp_path / "afraid.onnx")
    outputs = ["--output", str(tmp_path / "out.mp4"), "--poses", str(tmp_path / "out.jsonl")]
    done = subprocess.run(
        [*RUN_VIDEO, "--input", str(clip), *models[:2], "--pose-model", str(pose), "--device", "cpu", *outputs],
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    stopped, error = done.stderr.splitlines()
    assert stopped.startswith("stopped after 40 frames; what was done is in ")
    assert error.startswith("error: afraid.onnx gave values that are not finite")
    assert not (tmp_path / "out.mp4").exists()
    assert len(read_lines(tmp_path / "out.partial.jsonl")) == 41
    assert count_frames(tmp_path / "out.partial.mp4") == 40


@pytest.fixture(scope="module")
def endless_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Far more frames than a test waits for: one picture, coded once and written over and over."""
    path = tmp_path_factory.mktemp("endless") / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width = texture().shape[:2]
        stream.pix_fmt = "yuvj420p"
        picture = av.VideoFrame.from_ndarray(texture(), "bgr24").reformat(format="yuvj420p")
        (coded,) = [*stream.encode(picture), *stream.encode(None)]
        for number in range(20_000):
            packet = av.Packet(bytes(coded))
            packet.pts = packet.dts = number
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), stream, True
            container.mux(packet)
    return path


@contextmanager
def running(command: list[str], frames_written: int, poses: Path) -> Iterator[subprocess.Popen[str]]:
    """A process in a session of its own, once it has written that many frames; killed if it still runs."""
    # A shell that starts the tests in the background lets them ignore Ctrl-C, and their children inherit that.
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    signal.signal(signal.SIGINT, ignored)
    deadline = time.monotonic() + DEADLINE_S
    with process:
        try:
            while not poses.exists() or poses.read_bytes().count(b"\n") <= frames_written:
                assert process.poll() is None, process.stderr and process.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield process
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("entry", "number", "code", "is_told"),
    [
        pytest.param(RUN_VIDEO, signal.SIGINT, 130, True, id="Ctrl-C"),
        pytest.param(MODULE, signal.SIGTERM, 143, True, id="SIGTERM"),
        pytest.param(RUN_VIDEO, signal.SIGKILL, -9, False, id="kill -9"),
    ],
)
def test_a_run_that_is_ended_leaves_files_that_can_be_read(
    endless_clip: Path, models: list[str], tmp_path: Path,
    entry: list[str], number: int, code: int, is_told: bool,
) -> None:  # fmt: skip
    video, poses = tmp_path / "out.mp4", tmp_path / "out.partial.jsonl"
    video.write_text("precious")
    options = ["--output", str(video), "--poses", str(tmp_path / "out.jsonl"), "--overwrite"]
    with running([*entry, "--input", str(endless_clip), *models, *options], 150, poses) as process:
        process.send_signal(number)
        _, messages = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == code
    # no process of its session is left
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert messages.endswith("out.partial.jsonl\ninterrupted\n" if is_told else "")
    assert ("what was done is in" in messages) == is_told
    assert video.read_text() == "precious"
    assert not (tmp_path / "out.jsonl").exists()
    _, *frames = read_lines(poses)
    assert [frame["frame"] for frame in frames] == list(range(len(frames)))
    assert len(frames) >= 150
    # coding runs behind, and kill -9 costs the fragment of a second that was being written
    assert len(frames) - 75 <= count_frames(tmp_path / "out.partial.mp4") <= len(frames)


def count_frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))
