from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.video.clips import corner_image
from tracker.types import Image
from tracker.video import window
from tracker.video.window import LiveWindow, window_problem

ROOT = Path(__file__).resolve().parents[2]
NO_KEY = -1


class FakeBackend:
    """cv2's window functions; the keys are pressed one after the other."""

    def __init__(self, *keys: int | str) -> None:
        self._keys = [ord(key) if isinstance(key, str) else key for key in keys]
        self.is_visible = True
        self.shown: list[Image] = []
        self.calls: list[str] = []
        self.size_wh = (0, 0)

    def namedWindow(self, title: str, flags: int) -> None:  # noqa: N802
        self.calls.append(f"open {title}")

    def resizeWindow(self, title: str, width: int, height: int) -> None:  # noqa: N802
        self.size_wh = width, height

    def imshow(self, title: str, image: Image) -> None:
        self.shown.append(image)

    def waitKey(self, wait_ms: int) -> int:  # noqa: N802
        assert wait_ms > 0, "0 would wait for ever, also after the window is closed"
        key = self._keys.pop(0) if self._keys else NO_KEY
        if key == CLOSE:
            self.is_visible = False
        return NO_KEY if key == CLOSE else key

    def getWindowProperty(self, title: str, what: int) -> float:  # noqa: N802
        assert what == cv2.WND_PROP_VISIBLE
        return float(self.is_visible)

    def destroyAllWindows(self) -> None:  # noqa: N802
        self.calls.append("close")


CLOSE = -99


def test_pictures_are_shown_until_the_user_quits() -> None:
    backend = FakeBackend(NO_KEY, NO_KEY, "q")
    with LiveWindow("clip.mp4", backend=backend) as live:
        assert [live.show(corner_image()) for _ in range(3)] == [True, True, False]
    assert len(backend.shown) == 3
    assert backend.calls == ["open clip.mp4", "close"]


@pytest.mark.parametrize("key", ["q", 27, CLOSE, ord("q") | 0x100000], ids=["q", "Esc", "closed", "NumLock"])
def test_ways_to_quit(key: int | str) -> None:
    assert not LiveWindow("x", backend=FakeBackend(key)).show(corner_image())


@pytest.mark.parametrize(
    ("keys", "goes_on"),
    [
        ((" ", NO_KEY, NO_KEY, " "), True),  # paused and resumed
        ((" ", "q"), False),
        ((" ", NO_KEY, CLOSE), False),
        (("x",), True),  # a key that means nothing
    ],
)
def test_space_pauses(keys: tuple[int | str, ...], goes_on: bool) -> None:
    backend = FakeBackend(*keys)
    assert LiveWindow("x", backend=backend).show(corner_image()) == goes_on
    assert backend._keys == []


def test_a_picture_that_is_held_waits_for_space() -> None:
    backend = FakeBackend(NO_KEY, NO_KEY, " ")
    assert LiveWindow("x", backend=backend).show(corner_image(), hold=True)
    assert backend._keys == []


def test_s_saves_pictures_under_new_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    live = LiveWindow("my clip.mp4", folder=tmp_path, backend=FakeBackend("s", " ", "s", " "))
    assert live.show(corner_image())
    assert live.show(corner_image())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my_clip_1.png", "my_clip_2.png"]
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "my_clip_1.png")), corner_image())
    assert "my_clip_2.png" in capsys.readouterr().err


def test_a_picture_that_cannot_be_saved_does_not_end_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    live = LiveWindow("x", folder=tmp_path / "missing", backend=FakeBackend("s"))
    assert live.show(corner_image())
    assert "cannot save" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("picture_wh", "window_wh"),
    [((640, 360), (640, 360)), ((3840, 2160), (1280, 720)), ((1080, 1920), (405, 720))],
)
def test_the_window_fits_a_screen(picture_wh: tuple[int, int], window_wh: tuple[int, int]) -> None:
    backend = FakeBackend()
    LiveWindow("x", backend=backend).show(corner_image(*picture_wh))
    assert backend.size_wh == window_wh


def test_a_window_never_shown_is_never_touched() -> None:
    backend = FakeBackend()
    with LiveWindow("x", backend=backend):
        pass
    assert backend.calls == []


# --- a real window

_SHOW = """
import sys
from tracker.video.window import LiveWindow, window_problem
import numpy as np

assert window_problem() is None
with LiveWindow("people") as window:
    while window.show(np.load(sys.argv[1])):
        pass
"""

# Until the screen shows the picture in its corner. PyAV's and OpenCV's parts for X11 do not go together.
_WATCH = """
import os, sys
import av
import numpy as np

picture = np.load(sys.argv[1])
options = {"video_size": "800x600", "framerate": "10", "draw_mouse": "0"}
screen = av.open(os.environ["DISPLAY"], format="x11grab", options=options)
for frame in screen.decode(video=0):
    if np.array_equal(frame.to_ndarray(format="bgr24")[:240, :320], picture):
        break
"""


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An X server of our own."""
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "800x600x24"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout
        monkeypatch.setenv("DISPLAY", f":{server.stdout.readline().strip()}")
        monkeypatch.delenv("QT_LOGGING_RULES", raising=False)
        yield
        server.terminate()


@pytest.mark.skipif(not (shutil.which("Xvfb") and shutil.which("xdotool")), reason="needs Xvfb and xdotool")
@pytest.mark.usefixtures("display")
def test_a_real_window_shows_the_picture_alone_and_takes_keys(tmp_path: Path) -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)
    np.save(tmp_path / "picture.npy", colours.repeat(120, axis=0).repeat(160, axis=1))
    command = [sys.executable, "-c", _SHOW, str(tmp_path / "picture.npy")]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as program:
        try:
            subprocess.run([sys.executable, "-c", _WATCH, command[-1]], check=True, timeout=60)
            subprocess.run(["xdotool", "search", "--name", "people", "key", "q"], check=True, capture_output=True)
            said = program.communicate(timeout=30)[1]
        finally:
            program.kill()
    assert (program.returncode, said) == (0, "")


# --- the probe


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only there a display is a variable")
def test_without_a_display_the_probe_says_so_and_this_process_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert window_problem() is not None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only there a display is a variable")
def test_a_display_that_is_named_and_absent_is_no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":7777")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert window_problem() is not None


@pytest.mark.parametrize(
    ("probe", "problem"),
    [
        ("", None),
        ("import os; os.abort()", "this machine has no display"),
        ("raise SystemExit('The function is not implemented. Rebuild the library')", "without windows"),
        ("import time; time.sleep(60)", "the display does not answer"),
    ],
)
def test_what_the_probe_finds(monkeypatch: pytest.MonkeyPatch, probe: str, problem: str | None) -> None:
    monkeypatch.setattr(window, "_PROBE", probe)
    monkeypatch.setattr(window, "_PROBE_TIMEOUT_S", 2.0 if "sleep" in probe else 20.0)
    found = window_problem()
    assert found is None if problem is None else problem in str(found)
