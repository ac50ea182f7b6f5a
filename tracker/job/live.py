"""The live view of `--serve`: the running overlay in a browser, which never slows the tracker.

The tracker leaves its newest frame and goes on. What viewers are sent is made once for all of them, in a thread of its
own, only when one of them asks, and so seldom that it hardly takes of the tracker's time; each viewer has a thread,
which sends the newest when what was before is gone. Who is slow loses pictures.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Generic, TypeVar

import cv2

from tracker.formats.jsonl import frame_record
from tracker.job.web import SECURITY_HEADERS, Address, read_page
from tracker.types import Frame, Image, TrackedPoses
from tracker.video.aspect import shrunk

T = TypeVar("T")
MOST_VIEWERS = 8
# Each page has two streams, and loads its files now and then.
_MOST_CONNECTIONS = 4 * MOST_VIEWERS
_JPEG_QUALITY = 80
# Between two pictures, which may take so much of the CPU time of the run, and what is told of people so much. Of live
# sources, which are watched for what happens now, so many times as much, and no less than a run on half a core may.
_LEAST_STEP_S, _MOST_STEP_S = 1 / 12, 1.0
_PICTURES_SHARE, _PEOPLE_SHARE = 0.01, 0.002
_LIVE_FACTOR, _LEAST_LIVE_CORES = 5, 0.5
# A viewer who takes nothing for so long is gone; what is under way to one is less than a second.
_PATIENCE_S, _SEND_BUFFER = 10.0, 1 << 17
# How often the server looks whether the run is over.
_TURN_S = 0.05
_BOUNDARY = "picture"
# Ahead of each picture, and sent with the one before, which browsers show once the next has begun. So it has no length.
_PICTURE_HEAD = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\n\r\n".encode()
_PAGE = Path(__file__).with_name("page")


class Newest(Generic[T]):
    """The newest of what was put, for many who each wait for what is newer than they have."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._number = 0
        self._value: T | None = None
        self._is_closed = False

    @property
    def number(self) -> int:
        """Of the newest, 0 where nothing was put."""
        return self._number

    def put(self, value: T, number: int | None = None) -> None:
        """Replace it. number: its own, above those before; one more by default."""
        with self._condition:
            self._number, self._value = number or self._number + 1, value
            self._condition.notify_all()

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()

    def wait(self, after: int) -> tuple[int, T] | None:
        """What is newer than number `after`, and its number; None once closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._is_closed or self._number > after)
            return None if self._is_closed or self._value is None else (self._number, self._value)


@dataclass(frozen=True)
class _Shown:
    """A frame with its people, how its picture is drawn, and when the tracker was done, by `time.monotonic`."""

    frame: Frame
    people: TrackedPoses
    draw: Callable[[], Image]
    tracked_s: float


class _Stream:
    """What all viewers of one kind are sent, made of the newest frame when one of them asks.

    share: of the run's CPU time that making may take. make: what is sent of a frame. begin, end: what is sent at the
    beginning and the end.
    """

    def __init__(
        self,
        frames: Newest[_Shown],
        media_type: str,
        share: float,
        make: Callable[[_Shown], bytes],
        *,
        begin: bytes = b"",
        end: bytes = b"",
    ) -> None:
        self.media_type, self.begin, self.end = media_type, begin, end
        self._frames, self._share, self._make = frames, share, make
        self._made = Newest[bytes]()
        self._wanted, self._closed = threading.Event(), threading.Event()
        self._num_viewers = 0
        self._lock = threading.Lock()
        self.thread = threading.Thread(target=self._run, name="live view", daemon=True)

    @contextmanager
    def viewer(self) -> Iterator[bool]:
        """Whether there is room for one more, who looks inside."""
        with self._lock:
            has_room = self._num_viewers < MOST_VIEWERS
            self._num_viewers += has_room
        try:
            yield has_room
        finally:
            with self._lock:
                self._num_viewers -= has_room

    def parts(self) -> Iterator[bytes]:
        """What one viewer is sent, each part newer than the one before; the next is made when it is asked for."""
        number = max(self._frames.number - 1, 0)  # what was made before is old
        while newest := self._next(number):
            number, part = newest
            yield part

    def close(self) -> None:
        """End it for all viewers."""
        self._closed.set()
        self._wanted.set()
        self._made.close()

    def _next(self, after: int) -> tuple[int, bytes] | None:
        self._wanted.set()
        return self._made.wait(after)

    def _run(self) -> None:
        number, turns = 0, _Turns(self._share)
        while not self._closed.wait(turns.left_s):
            self._wanted.wait()
            self._wanted.clear()  # here, so that the end, which sets it, is never missed
            if newest := self._frames.wait(number):
                number, shown = newest
                with turns.turn(is_live=shown.frame.arrived_s is not None):
                    self._made.put(self._make(shown), number)


class _Turns:
    """When the next is made: so seldom that it takes a small share of the CPU time of the run."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._due_s = self._begin_s = time.monotonic()
        self._begin_cpu_s = time.process_time()

    @property
    def left_s(self) -> float:
        """Until the next turn."""
        return max(self._due_s - time.monotonic(), 0)

    @contextmanager
    def turn(self, *, is_live: bool) -> Iterator[None]:
        """Take a turn, which is timed."""
        begin_s, begin_cpu_s, own_s = time.monotonic(), time.process_time(), time.thread_time()
        yield
        own_s = time.thread_time() - own_s
        cores = (begin_cpu_s - self._begin_cpu_s) / max(begin_s - self._begin_s, 1e-3)
        cores = _LIVE_FACTOR * max(cores, _LEAST_LIVE_CORES) if is_live else max(cores, 1e-3)
        step_s = own_s / (self._share * cores)
        self._begin_s, self._begin_cpu_s = begin_s, begin_cpu_s
        self._due_s = begin_s + min(max(step_s, _LEAST_STEP_S), _MOST_STEP_S)


class LiveView:
    """Shows frames with their people to those who open its page; a context manager, which tells the address on stderr.

    url: of the page. longest: pixels of the longer side of what is sent. Raises OutputError where the address cannot be
    listened on.
    """

    longest = 1280

    def __init__(self, address: Address, name: str) -> None:
        self._server = _Server(address, self)
        self.url = self._server.address.url
        self._note = " (whoever reaches this machine may look)" if address.is_open else ""
        self.pages = read_page(_PAGE)
        self._name = name
        self._frames = Newest[_Shown]()
        self._times = deque[float](maxlen=60)
        of_pictures = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
        end_of_people = b"event: end\ndata: {}\n\n"
        self.streams = {
            "/stream.mjpg": _Stream(self._frames, of_pictures, _PICTURES_SHARE, _picture_of, begin=_PICTURE_HEAD),
            "/people": _Stream(self._frames, "text/event-stream", _PEOPLE_SHARE, self._people_of, end=end_of_people),
        }
        serving = threading.Thread(target=self._server.serve_forever, args=(_TURN_S,), daemon=True)
        self._threads = [serving, *(stream.thread for stream in self.streams.values())]

    def __enter__(self) -> LiveView:
        for thread in self._threads:
            thread.start()
        print(f"live view: {self.url}{self._note}", file=sys.stderr)
        return self

    def __exit__(self, *_: Any) -> None:
        self._frames.close()
        for stream in self.streams.values():
            stream.close()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join()

    def show(self, frame: Frame, people: TrackedPoses, draw: Callable[[], Image]) -> None:
        """Leave a frame for whoever looks. draw: makes its picture, in another thread, and of few frames."""
        self._times.append(time.monotonic())
        self._frames.put(_Shown(frame, people, draw, self._times[-1]))

    def _people_of(self, shown: _Shown) -> bytes:
        """What is told of a frame, as an event for browsers."""
        came_s = shown.tracked_s if shown.frame.arrived_s is None else shown.frame.arrived_s
        facts = {
            "source": self._name,
            "size": list(shown.frame.size_wh),
            "fps": self._rate(),
            "latency_ms": round(1e3 * (time.monotonic() - came_s), 1),
            "is_live": shown.frame.arrived_s is not None,
        }
        return f"data: {json.dumps(facts | frame_record(shown.frame, shown.people), allow_nan=False)}\n\n".encode()

    def _rate(self) -> float | None:
        """Frames per second of the tracker, over the last 60."""
        times = list(self._times)
        return round((len(times) - 1) / (times[-1] - times[0]), 1) if len(times) > 1 and times[-1] > times[0] else None


def _picture_of(shown: _Shown) -> bytes:
    """The picture of a frame, as a part of MJPEG, and the head of the next."""
    image = shrunk(shown.draw(), LiveView.longest)
    jpeg = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY))[1].tobytes()
    return jpeg + b"\r\n" + _PICTURE_HEAD


class _Server(ThreadingHTTPServer):
    """A thread for each connection, of which there are few."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, address: Address, view: LiveView) -> None:
        super().__init__((address.host, address.port), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = address.bind()
        self.address = replace(address, port=self.socket.getsockname()[1])
        self.view = view
        self._room = threading.Semaphore(_MOST_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin a thread, or hang up where there are too many."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """What the thread does."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Viewers come and go."""


class _Handler(BaseHTTPRequestHandler):
    """Answers one request; streams end with their viewer, or the run."""

    server: _Server
    timeout = _PATIENCE_S

    def setup(self) -> None:
        """Keep little under way, so that what is shown is new."""
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        super().setup()

    def do_HEAD(self) -> None:
        """What GET would begin with."""
        self.do_GET()

    def do_POST(self) -> None:
        """Nothing is taken."""
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"there is only to look at\n", ("Allow", "GET, HEAD"))

    do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_POST  # noqa: N815 - names of http.server

    def do_GET(self) -> None:
        """A file of the page, or a stream."""
        if self.server.address.refuses(self.headers.get("Host", "")):
            self._answer(HTTPStatus.MISDIRECTED_REQUEST, "text/plain", b"ask for localhost or an IP address\n")
            return
        path = self.path.partition("?")[0]
        if stream := self.server.view.streams.get(path):
            self._send(stream)
            return
        page = self.server.view.pages.get(path.lstrip("/") or "live.html")
        if page:
            self._answer(HTTPStatus.OK, *page)
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"there is nothing here; the page is at /\n")

    def _send(self, stream: _Stream) -> None:
        with stream.viewer() as has_room, suppress(OSError):  # the viewer has gone, or takes nothing
            if not has_room:
                line = f"{MOST_VIEWERS} viewers are watching already; close one\n"
                self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", line.encode())
                return
            self._begin(HTTPStatus.OK, stream.media_type)
            if self.command != "HEAD":
                self.wfile.write(stream.begin)
                for part in stream.parts():
                    self.wfile.write(part)
                self.wfile.write(stream.end)

    def _answer(self, status: HTTPStatus, media_type: str, content: bytes, *headers: tuple[str, str]) -> None:
        self._begin(status, media_type, ("Content-Length", str(len(content))), *headers)
        if self.command != "HEAD":
            self.wfile.write(content)

    def _begin(self, status: HTTPStatus, media_type: str, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("Content-Type", media_type), *headers, *SECURITY_HEADERS.items()):
            self.send_header(name, value)
        self.end_headers()

    def version_string(self) -> str:
        """Nothing of the versions that run here."""
        return "pose-tracker"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Viewers are not told of on stderr."""
