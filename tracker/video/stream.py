"""Videos at an address: live streams, and recordings that a server holds."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from functools import partial
from typing import Any

import av

from tracker.errors import InputError
from tracker.types import Image
from tracker.video.clock import declared_rate, has_timestamps
from tracker.video.file import FileReader, best_video_stream
from tracker.video.live import LiveReader, refuse_rate
from tracker.video.pictures import Pictures

# After which a silent sender counts as gone.
_TIMEOUT_S = 10.0

# Many cameras' UDP loses packets; FFmpeg then takes it nevertheless where a camera has nothing else.
_OPTIONS = {"rtsp_flags": "prefer_tcp"}

# Beyond which the sender's clock is not the time that passes: it was set, or the sender began anew.
_MAX_DRIFT_S = 10.0


def is_address(spec: str) -> bool:
    """Whether this is an address, as in rtsp://host/path, and no path.

    >>> is_address("rtsp://camera/1"), is_address("clip.mp4"), is_address("C:/clip.mp4")
    (True, False, False)
    """
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", spec) is not None


def public_address(address: str) -> str:
    """The address without what may be secret: user, password and query.

    >>> public_address("rtsp://user:secret@camera:554/1?token=x")
    'rtsp://camera:554/1'
    """
    return re.sub(r"(?<=://).*@|[?#].*", "", address)


def open_stream(
    address: str, fps: Fraction | None, *, deinterlace: bool = True, reconnect_s: float = math.inf
) -> LiveReader | FileReader:
    """Whatever FFmpeg reads from an address: live, unless it has an end that is known, as a file on a server.

    fps: rate to take instead of a recording's own, if any. reconnect_s: as for `LiveReader`. InputError if nothing can
    be read there, UsageError for the rate of a live stream.
    """
    name = public_address(address)
    connect = partial(_connect, address, name)
    container = connect()
    # RTSP sends recordings, too, at their own pace.
    if container.format.name != "rtsp" and (container.duration is not None or container.size > 0):
        return FileReader(container, connect, name, fps, deinterlace=deinterlace)
    if fps is not None:
        container.close()
    refuse_rate(name, fps)
    open_capture = partial(StreamCapture, name=name, deinterlace=deinterlace)
    has_end = container.duration is not None
    reopen = None if has_end else lambda: open_capture(connect())
    capture = open_capture(container)
    return LiveReader(name, capture, capture.fps, reopen=reopen, reconnect_s=reconnect_s)


class StreamCapture:
    """An open stream; times are the sender's, by the clock of this machine where the sender has none or sets it."""

    is_cpp = False

    def __init__(self, container: Any, name: str, *, deinterlace: bool = True) -> None:
        """InputError, with the container closed, if there is no video in it."""
        self._container = container
        self._stream = best_video_stream(container, name)
        self._stream.thread_type = "SLICE"  # by frames, each thread would delay the pictures by one
        self._has_timestamps = has_timestamps(container)
        self.fps: Fraction | None = declared_rate(container, self._stream) if self._has_timestamps else None
        self._offset_s: float | None = None
        self.pictures = Pictures(self._stream, deinterlace=deinterlace)
        self._frames = self.pictures.deinterlace((self._time(frame), frame) for frame in self._decode())

    def read(self) -> tuple[float, Any]:
        """The next frame of FFmpeg's and its time; EOFError once the stream ends, fails or is silent for too long."""
        try:
            time_s, frame = next(self._frames)
        except StopIteration:
            raise EOFError("the sender ended it") from None
        except av.error.ExitError as error:
            raise EOFError(f"nothing came for {_TIMEOUT_S:g} s; check the sender and the network") from error
        except av.FFmpegError as error:
            raise EOFError(f"the connection ended ({error.strerror}); check the sender and the network") from error
        return time_s, frame

    def convert(self, picture: Any) -> Image:
        """As for `Pictures`."""
        return self.pictures.convert(picture)

    def release(self) -> None:
        """Close the connection."""
        self._container.close()

    def _decode(self) -> Iterator[Any]:
        for packet in self._container.demux(self._stream):
            frames: list[Any] = []
            with suppress(av.InvalidDataError):  # what was lost on the way is made up by the packets that follow
                frames = packet.decode()
            yield from frames

    def _time(self, frame: Any) -> float:
        now_s = time.monotonic()
        if not self._has_timestamps or frame.time is None:
            return now_s
        if self._offset_s is None or abs(frame.time + self._offset_s - now_s) > _MAX_DRIFT_S:
            self._offset_s = now_s - frame.time
        return float(frame.time + self._offset_s)


def _connect(address: str, name: str) -> Any:
    try:
        return av.open(address, metadata_errors="replace", options=_OPTIONS, timeout=(_TIMEOUT_S, _TIMEOUT_S))
    # FFmpeg's errors repeat the address with its password, so none is chained for a traceback to show.
    except av.error.ExitError:
        reason = f"nothing came for {_TIMEOUT_S:g} s"
        raise InputError(f"cannot open {name} ({reason}); check the address, the sender and the network") from None
    except av.FFmpegError as error:
        raise InputError(f"cannot open {name} ({error.strerror}); check the address and the password") from None
