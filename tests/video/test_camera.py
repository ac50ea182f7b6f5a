from __future__ import annotations

import threading
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from tests.video.clips import number_of, numbered_image
from tracker.errors import InputError
from tracker.types import Image
from tracker.video.camera import _LOGGING, CameraReader
from tracker.video.source import VideoSource, open_source

PATIENCE_S = 20.0


class FakeCamera:
    """Gives numbered pictures, each when it is told to; unplugged, it gives nothing or raises."""

    def __init__(self) -> None:
        self._due = threading.Semaphore(0)
        self._changed = threading.Condition()
        self._num_given = self._num_asked = 0
        self._unplugged = False
        self.error: Exception | None = None
        self.is_released = False

    def give(self, count: int) -> None:
        """Let that many pictures come."""
        self._num_given += count
        self._due.release(count)

    def wait_until_taken(self) -> None:
        """Wait until the reader has stored all that was given and asks for more."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._num_asked > self._num_given, PATIENCE_S)

    def unplug(self, error: Exception | None = None) -> None:
        """From now on `read` fails."""
        self.error, self._unplugged = error, True
        self._due.release()

    def read(self) -> tuple[bool, Image]:
        with self._changed:
            self._num_asked += 1
            self._changed.notify_all()
        assert self._due.acquire(timeout=PATIENCE_S)
        if self.error:
            raise self.error
        return not self._unplugged, numbered_image(self._num_asked - 1)

    def release(self) -> None:
        self.is_released = True

    def isOpened(self) -> bool:  # noqa: N802  OpenCV's name
        return True


@pytest.fixture
def camera() -> Iterator[FakeCamera]:
    """A camera that has given its first picture."""
    fake = FakeCamera()
    fake.give(1)
    yield fake
    fake.unplug()


def test_a_camera_has_neither_rate_nor_length(camera: FakeCamera) -> None:
    source = VideoSource(CameraReader(3, camera))
    assert (source.name, source.size_wh) == ("camera 3", (64, 48))
    assert (source.fps, source.num_frames, source.is_live) == (None, None, True)


def test_only_the_newest_picture_is_delivered(camera: FakeCamera) -> None:
    source = VideoSource(CameraReader(0, camera))
    camera.give(6)
    camera.wait_until_taken()
    frames = iter(source)
    assert [number_of(next(frames).image) for _ in range(2)] == [0, 6]


def test_no_picture_is_delivered_twice(camera: FakeCamera) -> None:
    frames = iter(VideoSource(CameraReader(0, camera)))
    numbers = [number_of(next(frames).image)]
    for _ in range(3):
        camera.give(1)
        numbers.append(number_of(next(frames).image))
    assert numbers == [0, 1, 2, 3]


def test_times_count_from_the_first_picture(camera: FakeCamera) -> None:
    frames = iter(VideoSource(CameraReader(0, camera)))
    camera.give(1)
    first, second = next(frames), next(frames)
    assert (first.index, first.time_s, second.index) == (0, 0.0, 1)
    assert second.time_s > 0


def test_an_unplugged_camera_ends_the_video_with_a_warning(camera: FakeCamera) -> None:
    source = VideoSource(CameraReader(0, camera))
    assert source.warning is None
    camera.unplug()
    assert len(list(source)) == 1
    assert source.warning is not None
    assert "camera 0 stopped giving pictures" in source.warning


def test_an_exception_reaches_who_reads(camera: FakeCamera) -> None:
    source = VideoSource(CameraReader(0, camera))
    camera.unplug(RuntimeError("driver"))
    with pytest.raises(RuntimeError, match="driver"):
        list(source)


def test_a_camera_without_a_picture_is_refused() -> None:
    fake = FakeCamera()
    fake.unplug()
    with pytest.raises(InputError, match="stopped giving pictures"):
        VideoSource(CameraReader(0, fake))


def test_closing_releases_the_camera_and_ends_the_frames(camera: FakeCamera) -> None:
    reader = CameraReader(0, camera)
    with VideoSource(reader, max_frames=1) as source:
        assert len(list(source)) == 1
        camera.give(1)  # what the thread waits for, as for a real camera's next picture
    assert camera.is_released
    reader.close()
    assert len(list(reader.read(0))) <= 1


def test_a_digit_opens_that_camera(monkeypatch: pytest.MonkeyPatch, camera: FakeCamera) -> None:
    opened: list[int] = []
    monkeypatch.setattr(cv2, "VideoCapture", lambda index: opened.append(index) or camera)
    assert open_source("2", max_frames=1).name == "camera 2"
    assert opened == [2]


def test_looking_for_a_camera_leaves_the_log_level_as_it_was() -> None:
    level = _LOGGING.getLogLevel()
    with pytest.raises(InputError, match="there is no camera 7777"):
        open_source("7777")
    assert _LOGGING.getLogLevel() == level


def test_pictures_are_as_the_camera_gives_them(camera: FakeCamera) -> None:
    frame = next(iter(VideoSource(CameraReader(0, camera))))
    np.testing.assert_array_equal(frame.image, numbered_image(0))
