"""The live view: what browsers get, and that none of them holds the tracker up."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.commands.conftest import Run, refused
from tests.commands.runs import MODULE, write_endless_clip
from tracker.job.live import MOST_VIEWERS, LiveView
from tracker.job.web import Address
from tracker.skeletons import COCO_17
from tracker.types import Frame, TrackedPoses
from tracker.video.overlay import OverlayRenderer

SIZE_WH = 640, 360
NOISE = np.random.default_rng(0).integers(0, 256, (*SIZE_WH[::-1], 3), dtype=np.uint8)


@pytest.fixture
def view() -> Iterator[LiveView]:
    threads = {*threading.enumerate()}
    with LiveView(Address(port=0), "clip.mp4", OverlayRenderer(COCO_17)) as view:
        yield view
    for thread in {*threading.enumerate()} - threads:
        thread.join(5)
    assert {*threading.enumerate()} <= threads


def show(view: LiveView, index: int) -> None:
    view.show(Frame(index, index / 25, NOISE), TrackedPoses.empty(17))


def get(view: LiveView, path: str, **headers: str) -> Any:
    return urllib.request.urlopen(urllib.request.Request(view.url + path, headers=headers), timeout=20)


def next_picture(stream: Any) -> Any:
    (length,) = (int(line.split()[1]) for line in iter(stream.readline, b"\r\n") if line.startswith(b"Content-Length"))
    picture = cv2.imdecode(np.frombuffer(stream.read(length), np.uint8), cv2.IMREAD_COLOR)
    stream.readline()
    return picture


def next_event(stream: Any) -> Any:
    event = json.loads(stream.readline().removeprefix(b"data: "))
    stream.readline()
    return event


def status(view: LiveView, path: str, **headers: str) -> tuple[int, str]:
    try:
        with get(view, path, **headers) as answer:
            return answer.status, answer.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_stalled_viewer_holds_up_neither_the_tracker_nor_others(view: LiveView) -> None:
    stalled = socket.create_connection(("127.0.0.1", int(view.url.split(":")[-1].strip("/"))))
    stalled.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
    show(view, 0)
    with stalled, get(view, "stream.mjpg") as pictures, get(view, "people") as events:
        for index in range(1, 40):  # far more than the buffers to the stalled one hold
            assert next_picture(pictures).shape == NOISE.shape
            for _ in range(10):
                show(view, 10 * index)
            event = next_event(events)
        assert (event["source"], event["size"], event["people"]) == ("clip.mp4", [*SIZE_WH], [])
        assert event["frame"] > 100  # newer ones, not those that came while it looked away
        view.__exit__()
        assert b"event: end" in events.read()


def test_who_may_look(view: LiveView) -> None:
    show(view, 0)
    assert status(view, "")[1].startswith("text/html")
    assert status(view, "live.js")[1].startswith("text/javascript")
    assert status(view, "../job.py")[0] == 404
    assert status(view, "people", Host="elsewhere.example:80") == (421, "ask for localhost or an IP address\n")
    viewers = [get(view, "people") for _ in range(MOST_VIEWERS)]
    assert status(view, "people") == (503, f"{MOST_VIEWERS} viewers are watching already; close one\n")
    for viewer in viewers:
        viewer.close()


def test_what_is_asked_otherwise(view: LiveView) -> None:
    for path in ("", "stream.mjpg", "people"):
        with urllib.request.urlopen(urllib.request.Request(view.url + path, method="HEAD"), timeout=20) as answer:
            assert (answer.status, answer.read()) == (200, b"")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(view.url, data=b"x", timeout=20)
    with refused.value as answer:
        assert (answer.code, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_a_new_viewer_sees_what_is_new(view: LiveView) -> None:
    for index in (0, 7):
        show(view, index)
        with get(view, "people") as events:
            assert next_event(events)["frame"] == index


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
def test_a_run_that_is_watched(tmp_path: Path, models: list[str]) -> None:
    clip = write_endless_clip(tmp_path / "clip.mkv")
    command = [*MODULE, "--input", str(clip), "--serve", "0", *models]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        try:
            assert process.stderr
            (url,) = re.findall(r"^live view: (http://127\.0\.0\.1:\d+/)$", process.stderr.readline(), re.MULTILINE)
            with urllib.request.urlopen(f"{url}people", timeout=60) as events:
                people = [next_event(events)["people"] for _ in range(3)][-1]
            process.terminate()
            assert process.stderr.read() == "interrupted\n"
        finally:
            process.kill()
    assert process.returncode == 143
    assert {person["track_id"] for person in people} == {1, 2}
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mkv"]


@pytest.mark.parametrize("address", ["x", "99999", "here:there:80", "8000/"])
def test_what_is_no_address(run: Run, address: str) -> None:
    assert "must be a port such as 8000" in refused(run("track", "--input", "x", "--serve", address), 2)


def test_a_port_that_is_taken(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(run("track", "--input", "x.mp4", "--serve", port))
    assert line.startswith(f"error: cannot listen on port {port} of 127.0.0.1 (")
    assert line.endswith("in use); name another\n")
