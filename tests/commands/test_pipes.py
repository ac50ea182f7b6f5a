"""Videos from stdin and poses to stdout: what comes through, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.conftest import SIZE_WH, TIMES_S, Run, read_lines, refused, texture
from tests.commands.runs import DEADLINE_S, MODULE, write_endless_clip
from tests.video.clips import write_clip
from tracker.formats import read_results

Pipe = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def pipe() -> Pipe:
    """Runs a command of the program with that stdin."""
    return lambda *command, stdin=b"": subprocess.run(
        [sys.executable, "-m", "tracker", *command],
        input=stdin, capture_output=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip


def test_a_video_goes_in_and_poses_come_out(pipe: Pipe, run: Run, models: list[str], tmp_path: Path) -> None:
    video = write_clip(tmp_path / "clip.mkv", [texture()] * len(TIMES_S), times_s=TIMES_S)
    done = pipe("track", "--input", "-", "--poses", "-", *models, stdin=video.read_bytes())
    assert done.returncode == 0, done.stderr
    header, *frames = map(json.loads, done.stdout.splitlines())
    assert (header["source"], header["size"]) == ("stdin", list(SIZE_WH))
    assert run("track", "--input", video, "--poses", "named.jsonl", *models).code == 0
    assert frames == read_lines(tmp_path / "named.jsonl")[1:]
    converted = pipe("convert", "-", "-", "--skeleton", "mpii16", stdin=done.stdout).stdout
    assert len(converted.splitlines()) == len(frames) + 1
    assert pipe("convert", "-", str(tmp_path / "named.npz"), stdin=converted).returncode == 0
    assert len(read_results(tmp_path / "named.npz").frames) == len(frames)


def test_a_reader_who_has_enough_ends_the_run(models: list[str], tmp_path: Path) -> None:
    clip = write_endless_clip(tmp_path / "endless.mkv")
    command = [*MODULE, "--input", str(clip), *models, "--poses", "-", "--output", str(tmp_path / "out.mp4")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        assert json.loads(process.stdout.readline())["format"] == "pose-tracker/1"
        process.stdout.close()
        errors = process.stderr.read().decode()
        assert process.wait(DEADLINE_S) == 0, errors
    assert "error" not in errors.lower()
    assert {path.name for path in tmp_path.iterdir()} == {"endless.mkv", "out.mp4"}


def test_a_reader_of_a_table_who_has_enough_is_no_fault() -> None:
    command = [sys.executable, "-m", "tracker", "weights", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 0
    assert b"rror" not in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["a.mp4", "--poses", "-", "--format", "csv"], "stdout takes jsonl, line by line", id="format"),
        pytest.param(["a.mp4", "--output", "-"], "stdout takes poses, not the overlay", id="overlay"),
        pytest.param(["a.mp4", "b.mp4", "--poses", "-"], "--poses - is for one input", id="poses of several"),
        pytest.param(["-", "b.mp4"], "stdin is tracked alone", id="stdin and more"),
        pytest.param(["-", "--workers", "2"], "--workers is for data sets and several inputs", id="workers"),
    ],
)
def test_what_cannot_be_piped_is_refused(run: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    assert message in refused(run("track", "--input", *arguments), 2)
    assert not list(tmp_path.iterdir())


def test_without_a_stdout_no_network_is_loaded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        done = run("track", "--input", "absent.mp4", "--poses", "-")
    assert (done.code, done.err) == (1, "error: stdout is closed; name a file for the poses\n")
