"""Live sources: the newest picture only, and an end that is told."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from tests.video.clips import number_of, numbered_image
from tracker.errors import InputError
from tracker.types import Image
from tracker.video import live
from tracker.video.live import LiveReader
from tracker.video.source import VideoSource

PATIENCE_S = 20.0


class FakeCapture:
    """Gives numbered pictures, a second apart, each when it is told to; unplugged, it raises."""

    is_cpp = False
    pictures = None

    def __init__(self, start_s: float = 1000.0) -> None:
        self._start_s = start_s
        self._due = threading.Semaphore(0)
        self._changed = threading.Condition()
        self._num_given = self._num_asked = 0
        self._end: Exception | None = None
        self.is_released = False

    def give(self, count: int) -> None:
        """Let that many pictures come."""
        self._num_given += count
        self._due.release(count)

    def wait_until_taken(self) -> None:
        """Wait until the reader has stored all that was given and asks for more."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._num_asked > self._num_given, PATIENCE_S)

    def unplug(self, end: Exception) -> None:
        """From now on `read` fails."""
        self._end = end
        self._due.release()

    def read(self) -> tuple[float, Image]:
        with self._changed:
            self._num_asked += 1
            self._changed.notify_all()
        assert self._due.acquire(timeout=PATIENCE_S)
        if self._end:
            raise self._end
        return self._start_s + self._num_asked, numbered_image(self._num_asked - 1)

    def convert(self, picture: Image) -> Image:
        return picture

    def release(self) -> None:
        self.is_released = True


@pytest.fixture
def capture() -> Iterator[FakeCapture]:
    """A capture that has given its first picture."""
    fake = FakeCapture()
    fake.give(1)
    yield fake
    fake.unplug(EOFError())


def open_live(capture: FakeCapture) -> VideoSource:
    return VideoSource(LiveReader("camera 3", capture))


def test_only_the_newest_picture_is_delivered(capture: FakeCapture) -> None:
    source = open_live(capture)
    capture.give(6)
    capture.wait_until_taken()
    frames = iter(source)
    assert [number_of(next(frames).image) for _ in range(2)] == [0, 6]
    assert source.live
    assert source.live.num_dropped == 5


def test_no_picture_is_delivered_twice(capture: FakeCapture) -> None:
    frames = iter(open_live(capture))
    numbers = [number_of(next(frames).image)]
    for _ in range(3):
        capture.give(1)
        numbers.append(number_of(next(frames).image))
    assert numbers == [0, 1, 2, 3]


def test_times_are_the_captures_and_count_from_the_first_picture(capture: FakeCapture) -> None:
    source = open_live(capture)
    frames = iter(source)
    first = next(frames)
    capture.give(3)
    capture.wait_until_taken()
    second = next(frames)
    assert [(f.index, f.time_s) for f in (first, second)] == [(0, 0.0), (1, 3.0)]


def test_the_end_is_told_with_its_time_and_reason(capture: FakeCapture) -> None:
    source = open_live(capture)
    assert source.warning is None
    capture.unplug(EOFError("the cable is out; put it in"))
    assert len(list(source)) == 1
    assert source.warning is not None
    assert re.fullmatch(
        r"camera 3 stopped after \d+\.\d s, at \d\d:\d\d:\d\d: the cable is out; put it in", source.warning
    )


def test_an_exception_reaches_who_reads(capture: FakeCapture) -> None:
    source = open_live(capture)
    capture.unplug(RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        list(source)
    assert source.warning is None


def test_a_source_without_a_picture_is_refused() -> None:
    fake = FakeCapture()
    fake.unplug(EOFError("check its cable"))
    with pytest.raises(InputError, match=r"camera 3 stopped after .*: check its cable"):
        open_live(fake)
    assert fake.is_released


def test_closing_releases_the_capture_and_ends_the_frames(capture: FakeCapture) -> None:
    reader = LiveReader("camera 3", capture)
    with VideoSource(reader, max_frames=1) as source:
        assert len(list(source)) == 1
        capture.give(1)  # what the thread waits for, as for a real camera's next picture
    assert capture.is_released
    assert "camera 3" not in {thread.name for thread in threading.enumerate()}
    reader.close()
    assert len(list(reader.read(0))) <= 1


class Broken(FakeCapture):
    """A camera that is back, and gives nothing."""

    def read(self) -> tuple[float, Image]:
        raise EOFError


def test_what_drops_is_opened_again_after_ever_longer_pauses(
    capture: FakeCapture, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    again, broken, tried_s = FakeCapture(1007), Broken(), list[float]()
    again.give(2)

    def reopen() -> FakeCapture:
        tried_s.append(time.monotonic())
        if len(tried_s) == 1:
            raise InputError("nobody there")
        return broken if len(tried_s) == 2 else again

    monkeypatch.setattr(live, "_PAUSES_S", (0.05, 0.1, 0.2))
    source = VideoSource(LiveReader("camera 3", capture, reopen=reopen))
    capture.unplug(EOFError("the cable is out"))
    frames = iter(source)
    first, second = next(frames), next(frames)
    assert second.time_s - first.time_s >= 7
    assert (np.diff(tried_s) >= (0.1, 0.2)).all()
    assert capture.is_released
    assert broken.is_released
    assert source.live
    assert source.live.num_reopened == 1
    assert source.live.gaps_s == 7
    assert re.fullmatch(r"camera 3 dropped after .* s, at .*: the cable is out; trying .*\n", capsys.readouterr().err)
    again.unplug(EOFError("out"))
    source.close()


def test_it_is_given_up_in_the_end(capture: FakeCapture, monkeypatch: pytest.MonkeyPatch) -> None:
    def reopen() -> FakeCapture:
        raise InputError("nobody there")

    monkeypatch.setattr(live, "_PAUSES_S", (0.05, 0.1))
    source = VideoSource(LiveReader("camera 3", capture, reopen=reopen, reconnect_s=0.2))
    capture.unplug(EOFError("the cable is out"))
    assert len(list(source)) == 1
    assert source.warning
    assert "camera 3 stopped after " in source.warning


def test_who_stops_waits_for_no_picture(capture: FakeCapture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not where none comes, nor while it is tried again."""
    monkeypatch.setattr(live, "_PAUSES_S", (600,))
    source = VideoSource(LiveReader("camera 3", capture, reopen=FakeCapture))
    threading.Timer(0.1, source.stop).start()
    assert len(list(source)) == 1
    again = FakeCapture()
    again.give(1)
    source = VideoSource(LiveReader("camera 4", again, reopen=FakeCapture))
    again.unplug(EOFError("out"))
    threading.Timer(0.1, source.stop).start()
    assert len(list(source)) == 1
    assert source.warning is None
