"""Cameras through a stand-in for `cv2.VideoCapture`."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from tests.video.clips import numbered_image
from tracker.errors import InputError
from tracker.video.camera import CameraCapture
from tracker.video.opencv_log import _LOGGING
from tracker.video.source import open_source


class FakeDevice:
    """Gives that many pictures and then fails, as drivers do: with False or with an error of OpenCV's."""

    def __init__(self, num_pictures: int = 3, error: Exception | None = None) -> None:
        self._num_left = num_pictures
        self._error = error
        self.is_released = False

    def read(self) -> tuple[bool, Any]:
        self._num_left -= 1
        if self._num_left >= 0:
            return True, numbered_image(self._num_left)
        if self._error:
            raise self._error
        return False, None

    def release(self) -> None:
        self.is_released = True

    def isOpened(self) -> bool:  # noqa: N802  OpenCV's name
        return True


def test_a_digit_opens_that_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    device = FakeDevice()
    monkeypatch.setattr(cv2, "VideoCapture", lambda index: opened.append(index) or device)
    with open_source("2", max_frames=1) as source:
        assert (source.name, source.fps, source.is_live) == ("camera 2", None, True)
        assert len(list(source)) == 1
    assert opened == [2]
    assert device.is_released


def test_pictures_are_as_the_camera_gives_them_at_rising_times() -> None:
    capture = CameraCapture(FakeDevice(num_pictures=2))
    (first_s, first), (second_s, _) = capture.read(), capture.read()
    np.testing.assert_array_equal(first, numbered_image(1))
    assert second_s >= first_s


@pytest.mark.parametrize(
    "error",
    [
        None,  # what most drivers do
        cv2.error("VIDIOC_DQBUF: No such device"),
    ],
)
def test_an_unplugged_camera_ends_the_video_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    device = FakeDevice(num_pictures=2, error=error)
    monkeypatch.setattr(cv2, "VideoCapture", lambda index: device)
    with open_source("0", reconnect_s=0) as source:
        assert 1 <= len(list(source)) <= 2
    assert device.is_released
    assert source.warning is not None
    assert source.warning.startswith("camera 0 stopped after ")
    assert source.warning.endswith("it gives no more pictures; check its cable, and whether another program uses it")


def test_an_absent_camera_is_refused_and_the_log_level_is_as_it_was() -> None:
    level = _LOGGING.getLogLevel()
    with pytest.raises(InputError, match="there is no camera 7777, or another program uses it"):
        open_source("7777")
    assert _LOGGING.getLogLevel() == level
