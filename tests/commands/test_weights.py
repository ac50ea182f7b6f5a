"""`weights`, and the names that it gives networks, which stand for files wherever a command takes one."""

from __future__ import annotations

import io
import random
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.catalogue.server import Server, serving, zip_of
from tests.commands.conftest import BOXES, Run, cells, read_lines, write_detector
from tests.onnx_graphs import write_constant_graph
from tracker.catalogue.entries import read_catalogue
from tracker.runtime import TensorInfo

# Of neither a sha256 is published, so that what the tests serve is taken for them.
DETECTOR, POSE = "yolox-humanart-l", "vitpose-s"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where weights are kept."""
    monkeypatch.setenv("POSE_TRACKER_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "weights"


@pytest.fixture
def server(tmp_path: Path, folder: Path) -> Iterator[Server]:
    """A server of a detector that always sees two people, and of a pose network, as their makers publish them."""
    heatmaps = np.zeros((1, 17, 64, 48), np.float32)
    heatmaps[0, range(17), range(4, 55, 3), range(10, 44, 2)] = 0.9
    image = TensorInfo("input_0", (1, 3, 256, 192), "float32")
    pose = write_constant_graph(tmp_path / "pose.onnx", [image], {"output_0": heatmaps})
    detector = write_detector(tmp_path / "detector.onnx", [[*BOXES[0], 0.9], [*BOXES[1], 0.8]])
    with serving() as server:
        server.files[f"/{read_catalogue()[DETECTOR].file}"] = zip_of(end2end__onnx=detector.read_bytes())
        server.files[f"/{read_catalogue()[POSE].file}"] = pose.read_bytes()
        yield server


def test_from_nothing_to_tracked_people_by_names(run: Run, server: Server, clip: Path, folder: Path) -> None:
    names = ["--detector", DETECTOR, "--pose-model", POSE]
    missing = run("track", "--input", clip, *names)
    assert missing.code != 0
    assert missing.err == f"error: {DETECTOR} has not been fetched; run: python -m tracker weights fetch {DETECTOR}\n"
    fetched = run("weights", "fetch", DETECTOR, POSE, "--mirror", server.url)
    assert fetched.code == 0
    assert [line.split(":")[0] for line in fetched.out.splitlines()] == [DETECTOR, POSE]
    assert f"use it: --detector {DETECTOR}\n" in fetched.err
    assert run("track", "--input", clip, *names, "--poses", "by_name.jsonl").code == 0
    files = ["--detector", folder / f"{DETECTOR}.onnx", "--pose-model", folder / f"{POSE}.onnx"]
    assert run("track", "--input", clip, *files, "--output", "b.mp4", "--poses", "by_file.jsonl").code == 0
    by_name, by_file = (read_lines(Path(f"by_{way}.jsonl")) for way in ("name", "file"))
    assert by_name[1:] == by_file[1:]
    assert [len(frame["people"]) for frame in by_name[1:]] == [2] * 10
    assert by_name[0]["settings"]["pose_model"] == f"{POSE}.onnx"


def test_list_info_and_verify(run: Run, server: Server, folder: Path) -> None:
    run("weights", "fetch", DETECTOR, "--mirror", server.url)
    listed = {cells(line)[0]: cells(line)[-1] for line in run("weights", "list").out.splitlines()[2:]}
    assert listed == {name: "yes" if name == DETECTOR else "" for name in read_catalogue()}
    for name in read_catalogue():
        facts = {line[:11].strip(): line[12:] for line in run("weights", "info", name).out.splitlines()}
        assert facts.keys() >= {"use", "input", "reported", "licence", "trained on", "source", "file", "sha256", "here"}
        assert ("recorded" in facts) == (name == DETECTOR)
    assert run("weights", "verify").out == f"{DETECTOR}: whole\n"
    (folder / f"{DETECTOR}.onnx").write_bytes(b"")
    verified = run("weights", "verify")
    assert verified.code == 1
    assert "has changed since it was fetched; run: python -m tracker weights fetch" in verified.out
    (folder / f"{DETECTOR}.onnx").unlink()
    verified = run("weights", "verify")
    assert verified.code == 1
    assert f"{DETECTOR}.onnx is gone; run: " in verified.out


def test_one_that_fails_keeps_no_other_from_being_fetched(run: Run, server: Server) -> None:
    fetched = run("weights", "fetch", "rtmpose-halpe26-t", DETECTOR, "--mirror", server.url)
    assert fetched.code == 1
    assert fetched.out.startswith(f"{DETECTOR}: ")
    assert f"error: {server.url}/rtmposev1/onnx_sdk/rtmpose-t_simcc" in fetched.err
    alone = run("weights", "fetch", "rtmpose-halpe26-t", "--mirror", server.url)
    assert alone.code == 1
    assert alone.err.count("error: ") == 1
    assert run("weights", "fetch", "rtmpose").err == (
        "error: there is no network file or name rtmpose; nearest: rtmpose-t, rtmpose-s, rtmpose-m, rtmpose-l; "
        "python -m tracker weights list shows all names\n"
    )


@pytest.mark.slow
def test_killed_at_random_moments_it_is_the_same_bytes(server: Server, folder: Path) -> None:
    part, moments = folder / f"{DETECTOR}.part", random.Random(2)
    padding = random.Random(3).randbytes(4_000_000)
    path = f"/{read_catalogue()[DETECTOR].file}"
    server.files[path] = zip_of(pad__bin=padding, end2end__onnx=_member(server.files[path]))
    server.pause_s = 0.004
    command = [sys.executable, "-m", "tracker", "weights", "fetch", DETECTOR, "--mirror", server.url]
    for number in range(9):
        wanted = min((part.stat().st_size if part.exists() else 0) + moments.randrange(1, 400_000), 3_990_000)
        with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as process:
            while not part.exists() or part.stat().st_size < wanted:
                assert process.poll() is None
                time.sleep(0.001)
            process.send_signal((signal.SIGKILL, signal.SIGINT, signal.SIGTERM)[number % 3])
            process.wait()
        assert not (folder / f"{DETECTOR}.onnx").exists()
    server.pause_s = 0
    assert subprocess.run(command, check=True, capture_output=True).stdout.startswith(DETECTOR.encode())
    assert (folder / f"{DETECTOR}.onnx").read_bytes() == _member(server.files[path])
    starts = [int(asked.removeprefix("bytes=")[:-1]) for _, asked in server.asked if asked]
    assert len(starts) == 9
    assert starts == sorted(starts)


def _member(archive: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return opened.read(next(name for name in opened.namelist() if name.endswith("end2end.onnx")))
