"""The program as a process: entries, exit codes, signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.conftest import Run, refused
from tests.commands.runs import DEADLINE_S, MODULE, count_frames, running, write_endless_clip
from tracker.commands import track as track_command
from tracker.errors import ModelError

ROOT = Path(__file__).resolve().parents[2]
RUN_VIDEO = [sys.executable, str(ROOT / "run_video.py")]


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
        pytest.param(["x.mp4"], "there is no 'x.mp4'; choose from track, render, ", id="unknown command"),
        pytest.param(["trak"], "there is no 'trak'; the nearest is track; choose from", id="misspelt command"),
        pytest.param(["weights", "lst"], "there is no 'lst'; the nearest is list; choose", id="misspelt verb"),
        pytest.param(
            ["track", "--input", "a.mp4", "--speed", "fst"],
            "--speed: there is no 'fst'; the nearest is fast; choose from exact, balanced, fast; see",
            id="misspelt choice",
        ),
        pytest.param(["LICENSE"], "LICENSE stands alone; to track it: track --input LICENSE; see", id="a file alone"),
        pytest.param(
            ["track", "--input", "a.mp4", "--start", "1:30"], "'1:30' is no number, such as 2.5; see", id="no number"
        ),
        pytest.param(
            ["track", "--input", "a.mp4", "--queue-length", "2.5"], "is no whole number, such as 3; see", id="a half"
        ),
        pytest.param(["track"], "required: --input; see pose-tracker track --help", id="no input"),
        pytest.param(["track", "--inptu", "a.mp4"], "no option --inptu; the nearest is --input; see", id="misspelt"),
        pytest.param(["convert", "a.csv", "--smoth=off"], "no option --smoth; the nearest is --smooth", id="no OUT"),
    ],
)
def test_wrong_usage_is_one_line(run: Run, arguments: list[str], message: str) -> None:
    Path("LICENSE").touch()
    assert message in refused(run(*arguments), 2)


def test_the_handler_of_sigterm_is_put_back(run: Run) -> None:
    before = signal.getsignal(signal.SIGTERM)
    run("track", "--input", "absent.mp4")
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.fixture(scope="module")
def endless_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_endless_clip(tmp_path_factory.mktemp("endless") / "clip.mkv")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("entry", "number", "code"),
    [
        pytest.param(RUN_VIDEO, signal.SIGINT, 130, id="Ctrl-C"),
        pytest.param(MODULE, signal.SIGTERM, 143, id="SIGTERM"),
    ],
)
def test_a_run_that_is_ended_leaves_files_that_can_be_read(
    endless_clip: Path, models: list[str], tmp_path: Path, entry: list[str], number: int, code: int
) -> None:
    video, poses = tmp_path / "out.mp4", tmp_path / "out.partial.jsonl"
    video.write_text("precious")
    options = ["--output", str(video), "--poses", str(tmp_path / "out.jsonl"), "--overwrite"]
    with running([*entry, "--input", str(endless_clip), *models, *options], 150_000, poses) as process:
        process.send_signal(number)
        _, messages = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == code
    # no process of its session is left
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert "what was done is in" in messages
    assert messages.endswith("out.partial.jsonl\ninterrupted\n")
    assert video.read_text() == "precious"
    assert not (tmp_path / "out.jsonl").exists()
    num_lines, num_pictures = count_frames(poses), count_frames(tmp_path / "out.partial.mp4")
    assert 100 < num_pictures <= num_lines <= num_pictures + 1  # as poses are written first


def test_without_stderr_a_run_is_no_different(tmp_path: Path, clip: Path, models: list[str]) -> None:
    """As under pythonw, or after `2>&-`, where Python has no sys.stderr at all."""
    code = "import sys; sys.stderr = None; from tracker.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "track", "--input", str(clip), "--poses", "out.jsonl", *models]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
    assert (tmp_path / "out.jsonl").is_file()
