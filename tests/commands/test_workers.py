"""A batch in several processes: the same results, and what becomes of processes that die or are interrupted."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import Run
from tests.commands.datasets import SEQUENCES, contents, deadly, write_dataset
from tests.commands.runs import DEADLINE_S, MODULE, running, write_endless_clip
from tracker.cli import build_parser
from tracker.commands.track import read_jobs
from tracker.errors import DeviceError, UsageError
from tracker.job.job import Engine, Job
from tracker.job.progress import Progress
from tracker.job.workers import track_in_workers

# All processes with one thread, so that their numbers are the same.
SETTINGS = ["--device", "cpu", "--detect-every", "2", "--threads", "1"]

needs_sigkill = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")


@pytest.fixture
def track_data(run: Run, models: list[str]) -> Run:
    """Runs `track` on `data` with those arguments."""
    return lambda *arguments: run("track", "--input", "data", *models, *SETTINGS, *arguments)


def jobs_of(root: Path, models: Sequence[str], **settings: Any) -> list[Job]:
    """What `track` makes of a data set, with other settings."""
    arguments = ["track", "--input", str(root), *models, *SETTINGS, "--output", str(root / "out")]
    jobs, _ = read_jobs(build_parser().parse_args(arguments))
    return [replace(job, settings=replace(job.settings, **settings)) for job in jobs]


def work(jobs: Sequence[Job], num_workers: int) -> Progress:
    with Progress("sequences", len(jobs), 0, verbose=False) as progress:
        track_in_workers(jobs, Engine(num_threads=1), ["cpu"] * num_workers, progress)
    return progress


@needs_sigkill
def test_the_sequence_of_a_worker_that_dies_is_tried_once_more(
    models: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [
        replace(job, sequence=job.sequence and deadly(job.sequence, tmp_path / f"{job.name}.deaths", num_deaths))
        for job, num_deaths in zip(jobs_of(write_dataset(tmp_path / "data"), models), (1, 0, 9, 0), strict=True)
    ]
    progress = work(jobs, num_workers=2)
    warnings = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("[")]
    died = "its worker died (SIGKILL: perhaps memory was short); another one begins it anew"
    assert sorted(warnings) == [
        f"error: {SEQUENCES[2]}: its worker died again (SIGKILL: perhaps memory was short); try fewer workers",
        f"warning: {SEQUENCES[0]}: {died}",
        f"warning: {SEQUENCES[2]}: {died}",
    ]
    assert progress.num_failed == 1
    assert progress.summary()[0].startswith("15 frames in ")
    assert set(contents(tmp_path / "data/out")) == {f"{SEQUENCES[number]}.json" for number in (0, 1, 3)}


class Bomb:
    """Ends the process that takes it over."""

    def __reduce__(self) -> Any:
        return os._exit, (3,)


@pytest.mark.parametrize(
    ("settings", "error", "line"),
    [
        pytest.param(
            {"detector": Bomb()}, DeviceError,
            r"a worker on cpu died while it loaded the networks \(exit code 3\); try fewer workers", id="death",
        ),
        pytest.param({"detector_size": 64}, UsageError, r"det\.onnx takes 96×64 only", id="error"),
    ],
)  # fmt: skip
def test_what_keeps_a_worker_from_loading_networks_ends_the_run(
    models: list[str], tmp_path: Path, settings: dict[str, Any], error: type[Exception], line: str
) -> None:
    jobs = jobs_of(write_dataset(tmp_path / "data"), models, **settings)
    with pytest.raises(error, match=line):
        work(jobs, num_workers=1)
    assert not contents(tmp_path / "data/out")


def wait_for_end_of(group: int) -> None:
    """Until no process of a group is left."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        assert time.monotonic() < deadline, "a process is left"
        time.sleep(0.005)


@needs_sigkill
def test_ctrl_c_ends_all_processes(models: list[str], tmp_path: Path) -> None:
    clip = write_endless_clip(tmp_path / "a.mkv")
    shutil.copy(clip, tmp_path / "b.mkv")
    inputs = [str(tmp_path / name) for name in ("a.mkv", "b.mkv")]
    command = [*MODULE, "--input", *inputs, *models, *SETTINGS, "--workers", "2", "--poses", str(tmp_path)]
    with running(command, 1, tmp_path / "a_tracked.partial.jsonl") as process:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, err = process.communicate(timeout=DEADLINE_S)
    stopped = "stopped: 0 of 2 inputs are complete; run it again, without --overwrite, for the others\n"
    assert (process.returncode, err) == (130, f"{stopped}interrupted\n")
    wait_for_end_of(process.pid)
    assert (tmp_path / "a_tracked.jsonl.fingerprint").exists()  # so that the next run may replace what is left


@needs_sigkill
def test_two_workers_that_are_killed_and_resumed_write_what_one_process_writes(
    models: list[str], tmp_path: Path, track_data: Run
) -> None:
    root = write_dataset(tmp_path / "data", num_frames=15)
    (root / f"images/val/{SEQUENCES[1]}/000004.jpg").write_bytes(b"")
    command = [*MODULE, "--input", "data", *models, *SETTINGS, "--workers", "2", "--output", "together"]
    with running(command, 1, tmp_path / "together" / f"{SEQUENCES[0]}.json") as process:
        process.kill()
    wait_for_end_of(process.pid)  # workers have nobody left to work for
    together, alone = track_data("--output", "together", "--workers", "2"), track_data("--output", "alone")
    assert " of 4 sequences were complete; --overwrite" in together.err
    assert contents(tmp_path / "together") == contents(tmp_path / "alone")
    assert len(contents(tmp_path / "alone")) == 3
    assert "\n45 frames in " in alone.err
    for done in (alone, together):
        assert done.code == 1
        (told,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
        assert f"{SEQUENCES[1]}/000004.jpg is no image or is damaged" in told
        assert done.err.endswith("1 of 4 sequences failed\n")
