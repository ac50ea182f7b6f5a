"""Live sources: a thread keeps only the newest picture, so that the delay never grows."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from typing import Protocol

from tracker.ending import stop_at_end
from tracker.errors import UsageError
from tracker.types import Image
from tracker.video.pictures import Pictures

# A driver that hangs must not keep the program from ending. Longer than a stream may be silent.
_CLOSE_TIMEOUT_S = 15.0

# At the end of the program, which may end a thread that waits in FFmpeg, in C, without harm.
_PATIENCE_S = 1.0


class Capture(Protocol):
    """A camera or stream that is open.

    is_cpp: it waits in C++ code, which Python aborts if the program ends meanwhile.
    """

    is_cpp: bool

    @property
    def pictures(self) -> Pictures | None:
        """As for `tracker.video.source.Reader`."""

    def read(self) -> tuple[float, Image]:
        """Wait for a picture: its time in seconds on any clock, and the picture (H, W, 3) uint8 BGR.

        Raises EOFError once no more come; its text says why, and what to check.
        """

    def release(self) -> None:
        """Give the device or connection back."""


def refuse_rate(name: str, fps: Fraction | None) -> None:
    """UsageError if a rate is asked for: the clock of a live source is the time that passes."""
    if fps is not None:
        raise UsageError(f"{name} is live, with a clock of its own; leave out --fps")


class LiveReader:
    """The newest picture each time one is asked for; times count from the first picture delivered."""

    is_live = True
    num_frames: int | None = None
    place: int | None = None
    file: str | None = None

    def __init__(self, name: str, capture: Capture, fps: Fraction | None = None) -> None:
        """fps: what the capture claims. `capture` is released by a thread of this reader, when it ends."""
        self.name = name
        self.fps = fps
        self.warning: str | None = None
        self.pictures = capture.pictures
        self._capture = capture
        self._newest: tuple[float, Image] | None = None
        self._ended = False
        self._error: Exception | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._grab, name=name, daemon=True)
        self._thread.start()
        patience_s = _CLOSE_TIMEOUT_S if capture.is_cpp else _PATIENCE_S
        self._forget = stop_at_end(self.stop, partial(self._thread.join, patience_s))

    def read(self, start_s: float) -> Iterator[tuple[float, Image]]:
        """Time and picture of frames from `start_s` on, until the source ends or is closed."""
        origin_s: float | None = None
        while (newest := self._take()) is not None:
            taken_s, image = newest
            origin_s = taken_s if origin_s is None else origin_s
            if taken_s - origin_s >= start_s:
                yield taken_s - origin_s, image
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Stop the thread and give the source back."""
        self._forget()
        self.stop()
        self._thread.join(_CLOSE_TIMEOUT_S)

    def stop(self) -> None:
        """As for `tracker.video.source.Reader`; it comes from this thread, too, at the end."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _take(self) -> tuple[float, Image] | None:
        """The newest picture nobody has taken yet, waiting for it; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._ended)
            newest, self._newest = self._newest, None
            return newest

    def _grab(self) -> None:
        begin_s = last_s = time.monotonic()
        try:
            while not self._ended:
                newest = self._capture.read()
                last_s = time.monotonic()
                with self._changed:
                    self._newest = newest
                    self._changed.notify_all()
        except EOFError as end:
            now = time.strftime("%H:%M:%S")
            self.warning = f"{self.name} stopped after {last_s - begin_s:.1f} s, at {now}: {end}"
        except Exception as error:  # noqa: BLE001  carried to the thread that reads
            self._error = error
        finally:
            self._capture.release()
            self.stop()
