"""Live sources: a thread keeps only the newest picture, and opens again what drops."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from functools import partial
from itertools import chain, repeat
from typing import Any, Protocol

from tracker.ending import stop_at_end
from tracker.errors import InputError, UsageError
from tracker.types import Image
from tracker.video.pictures import Pictures

# A driver that hangs must not keep the program from ending. Longer than a stream may be silent.
_CLOSE_TIMEOUT_S = 15.0

# FFmpeg, in C, may be left waiting: its thread gives the stream back later, and the program may end meanwhile.
_PATIENCE_S = 1.0

# The pauses before what dropped is tried again; the last one is repeated.
_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)


class Capture(Protocol):
    """A camera or stream that is open.

    is_cpp: it waits in C++ code, which Python aborts if the program ends meanwhile.
    """

    is_cpp: bool

    @property
    def pictures(self) -> Pictures | None:
        """As for `tracker.video.source.Reader`."""

    def read(self) -> tuple[float, Any]:
        """Wait for a picture: its time in seconds on any clock, and what `convert` takes.

        Raises EOFError once no more come; its text says why, and what to check.
        """

    def convert(self, picture: Any) -> Image:
        """A picture (H, W, 3) uint8 BGR; from any thread. Those that nobody wants are not converted."""

    def release(self) -> None:
        """Give the device or connection back."""


def refuse_rate(name: str, fps: Fraction | None) -> None:
    """UsageError if a rate is asked for: the clock of a live source is the time that passes."""
    if fps is not None:
        raise UsageError(f"{name} is live, with a clock of its own; leave out --fps")


class LiveReader:
    """The newest picture each time one is asked for; times count from the first picture delivered.

    arrived_s: when the picture that was delivered last came, by `time.monotonic`. num_dropped: pictures that nobody
    asked for before the next one came. num_reopened, gaps_s: how often it dropped and was opened again, and the time
    between the pictures around that.
    """

    is_live = True
    num_frames: int | None = None
    place: int | None = None
    file: str | None = None

    def __init__(
        self,
        name: str,
        capture: Capture,
        fps: Fraction | None = None,
        *,
        reopen: Callable[[], Capture] | None = None,
        reconnect_s: float = math.inf,
    ) -> None:
        """fps: what the capture claims. `capture` is released by a thread of this reader, when it ends.

        reopen: opens the same again, or raises InputError; None where that makes no sense. reconnect_s: for how long
        that is tried.
        """
        self.name = name
        self.fps = fps
        self.warning: str | None = None
        self.pictures = capture.pictures
        self.arrived_s: float | None = None
        self.num_dropped = self.num_reopened = 0
        self.gaps_s = 0.0
        self._capture = capture
        self._reopen = reopen
        self._reconnect_s = reconnect_s
        self._newest: tuple[float, float, Callable[[], Image]] | None = None
        self._ended = False
        self._error: Exception | None = None
        self._changed = threading.Condition()
        self._begin_s = self._last_s = time.monotonic()
        self._last_time_s = 0.0
        self._thread = threading.Thread(target=self._grab, name=name, daemon=True)
        self._thread.start()
        self._patience_s = _CLOSE_TIMEOUT_S if capture.is_cpp else _PATIENCE_S
        self._forget = stop_at_end(self.stop, partial(self._thread.join, self._patience_s))

    def read(self, start_s: float) -> Iterator[tuple[float, Image]]:
        """Time and picture of frames from `start_s` on, until the source ends or is closed."""
        origin_s: float | None = None
        while (newest := self._take()) is not None:
            taken_s, self.arrived_s, convert = newest
            origin_s = taken_s if origin_s is None else origin_s
            if taken_s - origin_s >= start_s:
                yield taken_s - origin_s, convert()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Stop the thread and give the source back."""
        self._forget()
        self.stop()
        self._thread.join(self._patience_s)

    def stop(self) -> None:
        """As for `tracker.video.source.Reader`; it comes from this thread, too, at the end."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _take(self) -> tuple[float, float, Callable[[], Image]] | None:
        """The newest picture nobody has taken yet, waiting for it: its time, when it came, and it; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._ended)
            newest, self._newest = self._newest, None
            return newest

    def _grab(self) -> None:
        try:
            while not self._ended:
                try:
                    self._keep(self._capture, *self._capture.read())
                except EOFError as end:
                    if not self._open_again(str(end)):
                        self.warning = None if self._ended else self._tell("stopped", str(end))
                        return
        except Exception as error:  # noqa: BLE001  carried to the thread that reads
            self._error = error
        finally:
            self._capture.release()
            self.stop()

    def _keep(self, capture: Capture, time_s: float, picture: Any) -> None:
        with self._changed:
            self.num_dropped += self._newest is not None
            self._last_s, self._last_time_s = time.monotonic(), time_s
            self._newest = time_s, self._last_s, partial(capture.convert, picture)
            self._changed.notify_all()

    def _tell(self, what: str, why: str) -> str:
        return f"{self.name} {what} after {self._last_s - self._begin_s:.1f} s, at {time.strftime('%H:%M:%S')}: {why}"

    def _open_again(self, why: str) -> bool:
        """Open it again after ever longer pauses; whether that went well before the time for it was over."""
        if self._reopen is None or self._reconnect_s <= 0 or self._ended:
            return False
        last_s, last_time_s = self._last_s, self._last_time_s
        from tqdm import tqdm  # loaded late: few sources are ever lost

        tqdm.write(f"{self._tell('dropped', why)}; trying to open it again", file=sys.stderr)
        self._capture.release()
        for pause_s in chain(_PAUSES_S, repeat(_PAUSES_S[-1])):
            with self._changed:
                if self._changed.wait_for(lambda: self._ended, pause_s):
                    return False
            if self._try(self._reopen):
                self.num_reopened += 1
                self.gaps_s += self._last_time_s - last_time_s
                return True
            if time.monotonic() - last_s + pause_s > self._reconnect_s:
                return False
        return False

    def _try(self, reopen: Callable[[], Capture]) -> bool:
        """Whether it opens and gives a picture."""
        with suppress(InputError, EOFError):
            capture = reopen()
            try:
                first = capture.read()
            except BaseException:
                capture.release()
                raise
            self._capture, self.pictures = capture, capture.pictures
            self._keep(capture, *first)
            return True
        return False
