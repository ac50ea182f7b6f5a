"""The live view: what browsers get, and that none of them holds the tracker up."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from tests.commands.conftest import Run, refused
from tests.commands.runs import MODULE, write_endless_clip
from tests.video.test_overlay import person
from tests.video.test_window import NO_KEY, FakeBackend
from tracker.after.filters import OneEuro
from tracker.job import live
from tracker.job.live import MOST_VIEWERS, LiveView
from tracker.job.sinks import LiveSink, OverlaySink
from tracker.job.web import Address
from tracker.pipeline import StageTimes
from tracker.skeletons import COCO_17
from tracker.types import Frame, Origin, Planes, TrackedPoses
from tracker.video.overlay import OverlayRenderer
from tracker.video.window import LiveWindow

SIZE_WH = 640, 360
NOISE = np.random.default_rng(0).integers(0, 256, (*SIZE_WH[::-1], 3), dtype=np.uint8)
PLAIN = np.full((*SIZE_WH[::-1], 3), 90, np.uint8)


@pytest.fixture
def view() -> Iterator[LiveView]:
    threads = {*threading.enumerate()}
    with LiveView(Address(port=0), "clip.mp4") as view:
        yield view
    for thread in {*threading.enumerate()} - threads:
        thread.join(5)
    assert {*threading.enumerate()} <= threads


def show(view: LiveView, index: int) -> None:
    frame = Frame(index, index / 25, NOISE, arrived_s=time.monotonic())  # as of a camera, of which more is shown
    view.show(frame, TrackedPoses.empty(17), lambda: NOISE)


def get(view: LiveView, path: str, **headers: str) -> Any:
    return urllib.request.urlopen(urllib.request.Request(view.url + path, headers=headers), timeout=20)


def next_picture(stream: Any) -> Any:
    """The next one, of which browsers wait for the head of the one after."""
    jpeg = b"".join(iter(stream.readline, b"--picture\r\n"))
    assert [stream.readline(), stream.readline()] == [b"Content-Type: image/jpeg\r\n", b"\r\n"]
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else next_picture(stream)


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


class Renderer(OverlayRenderer):
    """Counts what it draws."""

    num_drawn = 0

    def draw(self, *args: Any, **options: Any) -> Any:
        """Draw it."""
        self.num_drawn += 1
        return super().draw(*args, **options)


def test_one_drawing_for_file_and_browsers(view: LiveView) -> None:
    drawn: list[Any] = []
    drawing = SimpleNamespace(write=lambda picture, *_: drawn.append(picture))
    overlay = Renderer(COCO_17)
    sink = OverlaySink(overlay, drawing, StageTimes(), smoother=OneEuro(0.4), view=view)  # type: ignore[arg-type]
    x, y = 100, 200
    with get(view, "stream.mjpg") as pictures:
        for index in range(3):
            sink.write(Frame(index, index / 25, PLAIN), person(x + 20 * (index % 2), y))
            seen = next_picture(pictures)
            assert np.abs(seen.astype(int) - drawn[index]).mean() < 2
    assert overlay.num_drawn == 3
    assert not np.array_equal(drawn[0], PLAIN)


@pytest.mark.parametrize("has_planes", [True, False])
def test_only_a_picture_that_was_made_of_planes_is_drawn_on_itself(has_planes: bool) -> None:
    """The memory of others may be a decoder's, which makes the next picture of it."""
    height, width = PLAIN.shape[:2]
    luma, half = np.zeros((height, width), np.uint8), np.zeros((height // 2, width // 2), np.uint8)
    planes = Planes(luma, half, half, 1, 1, 1, lambda _: luma)
    frame = Frame(0, 0.0, PLAIN.copy()).with_planes(planes if has_planes else None)
    drawn: list[Any] = []
    drawing = SimpleNamespace(write=lambda picture, *_: drawn.append(picture))
    OverlaySink(OverlayRenderer(COCO_17), drawing, StageTimes()).write(frame, person(100, 200))  # type: ignore[arg-type]
    assert (drawn[0] is frame.image) == has_planes
    assert np.array_equal(frame.image, PLAIN) == (not has_planes)
    assert not np.array_equal(drawn[0], PLAIN)


def test_how_fast_the_run_is_stands_in_the_window_alone(view: LiveView) -> None:
    backend = FakeBackend(NO_KEY)
    sink = OverlaySink(Renderer(COCO_17), None, StageTimes(), LiveWindow("x", backend=backend), view=view)
    sink.write(Frame(0, 0.0, PLAIN), TrackedPoses.empty(17))
    assert np.abs(backend.shown[0].astype(int) - PLAIN).max() > 50
    with get(view, "stream.mjpg") as pictures:
        assert np.abs(next_picture(pictures).astype(int) - PLAIN).max() < 5


def test_in_browsers_alone_it_is_drawn_small_when_somebody_asks(view: LiveView) -> None:
    overlay = Renderer(COCO_17, draw=("boxes",))
    sink = LiveSink(view, overlay, None)
    for index in range(5):
        sink.write(Frame(index, index / 25, np.zeros((1800, 3200, 3), np.uint8)), person(900, 300, 600))
    assert overlay.num_drawn == 0
    with get(view, "people") as events:
        (box,) = (shown["box"] for shown in next_event(events)["people"])
    assert box == [900, 300, 1500, 900]
    assert overlay.num_drawn == 0
    with get(view, "stream.mjpg") as pictures:
        seen = next_picture(pictures)
    assert overlay.num_drawn == 1
    assert seen.shape == (600, 1066, 3)
    rows, columns = (np.flatnonzero(seen.max(axis=(axis, 2)) > 128)[[0, -1]] for axis in (1, 0))
    np.testing.assert_allclose([*columns, *rows], [300, 500, 100, 300], atol=3)


def test_what_is_drawn_of_few_frames_knows_of_all(view: LiveView) -> None:
    every, few = OverlayRenderer(COCO_17, blur_faces=True), OverlayRenderer(COCO_17, blur_faces=True)
    sink = LiveSink(view, few, None)
    shown: list[Any] = []
    view.show = lambda *frame: shown.append(frame)  # type: ignore[method-assign]
    for index in range(30):
        origin = Origin.PROPAGATED if index % 4 else Origin.DETECTED
        people = person(20 + 10 * index, 80 + 10 * (index % 5), origin=origin)
        sink.write(Frame(index, index / 25, NOISE), people)
        drawn = every.draw(NOISE, people, time_s=index / 25)
        if index in (0, 29):
            np.testing.assert_array_equal(shown[-1][2](), drawn)


@pytest.mark.parametrize(
    ("own_s", "cores", "is_live", "step_s"),
    [
        (0.004, 2, False, 0.2),
        (0.004, 8, False, 1 / 12),
        (0.02, 1, False, 1),
        (0.01, 1, True, 0.2),
        (0.005, 0.1, True, 0.2),
    ],
)
def test_pictures_take_a_small_share_of_the_time(
    monkeypatch: pytest.MonkeyPatch, own_s: float, cores: float, is_live: bool, step_s: float
) -> None:
    clock = SimpleNamespace(now_s=0.0, own_s=0.0)
    names = {"monotonic": lambda: clock.now_s, "process_time": lambda: cores * clock.now_s}
    monkeypatch.setattr(live, "time", SimpleNamespace(**names, thread_time=lambda: clock.own_s))
    turns = live._Turns(0.01)
    assert turns.left_s == 0
    for clock.now_s in (1.0, 3.0):
        with turns.turn(is_live=is_live):
            clock.own_s += own_s
        assert turns.left_s == pytest.approx(step_s)


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


def test_a_picture_is_whole_before_the_next_is_made(view: LiveView) -> None:
    show(view, 0)
    with get(view, "stream.mjpg") as pictures:
        assert next_picture(pictures).shape == NOISE.shape


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
