"""The live view of `--serve`: the running overlay in a browser, which never slows the tracker.

The tracker leaves its newest frame and goes on. A painter draws, at most 15 times a second, and only when a viewer
asks; each viewer has a thread, which sends the newest picture when the one before is gone. Who is slow loses pictures.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Generic, TypeVar

import cv2

from tracker.formats.jsonl import frame_record
from tracker.job.web import SECURITY_HEADERS, Address, read_page
from tracker.types import Frame, TrackedPoses
from tracker.video.aspect import square_pixels
from tracker.video.overlay import OverlayRenderer

T = TypeVar("T")
MOST_VIEWERS = 8
# Each page has two streams, and loads its files now and then.
_MOST_CONNECTIONS = 4 * MOST_VIEWERS
_LEAST_STEP_S = 1 / 15
_WIDEST, _JPEG_QUALITY = 1280, 80
# A viewer who takes nothing for so long is gone; what is under way to one is less than a second.
_PATIENCE_S, _SEND_BUFFER = 10.0, 1 << 17
_BOUNDARY = "picture"
_STREAMS = {"picture": f"multipart/x-mixed-replace; boundary={_BOUNDARY}", "people": "text/event-stream"}
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


class LiveView:
    """Shows frames with their people to those who open its page; a context manager.

    url: of the page. Raises OutputError where the address cannot be listened on.
    """

    def __init__(self, address: Address, name: str, overlay: OverlayRenderer) -> None:
        self._server = _Server(address, self)
        self.url = self._server.address.url
        self.note = " (whoever reaches this machine may look)" if address.is_open else ""
        self.pages = read_page(_PAGE)
        self._name = name
        self._overlay = overlay
        self._frames = Newest[tuple[Frame, TrackedPoses, float]]()
        self._painted = Newest[tuple[bytes, str]]()
        self._wanted = threading.Event()
        self._is_closed = False
        self._times = deque[float](maxlen=60)
        self._viewers = {"picture": 0, "people": 0}
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._paint, self._server.serve_forever)]

    def __enter__(self) -> LiveView:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._is_closed = True
        self._wanted.set()
        self._frames.close()
        self._painted.close()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join()

    def show(self, frame: Frame, people: TrackedPoses) -> None:
        """Leave a frame for whoever looks."""
        self._times.append(time.monotonic())
        self._frames.put((frame, people, self._times[-1]))

    def next(self, after: int) -> tuple[int, tuple[bytes, str]] | None:
        """A picture newer than frame number `after` as JPEG, with what is in it as JSON; None at the end."""
        self._wanted.set()
        return self._painted.wait(after)

    @property
    def number(self) -> int:
        """Of the newest frame."""
        return self._frames.number

    @contextmanager
    def viewer(self, kind: str) -> Iterator[bool]:
        """Whether there is room for one more, who looks at pictures or people inside."""
        with self._lock:
            has_room = self._viewers[kind] < MOST_VIEWERS
            self._viewers[kind] += has_room
        try:
            yield has_room
        finally:
            with self._lock:
                self._viewers[kind] -= has_room

    def _paint(self) -> None:
        number, begin_s = 0, 0.0
        while not self._is_closed:
            self._wanted.wait()
            self._wanted.clear()  # here, so that the end, which sets it, is never missed
            time.sleep(max(begin_s + _LEAST_STEP_S - time.monotonic(), 0))
            begin_s = time.monotonic()
            if newest := self._frames.wait(number):
                number, (frame, people, tracked_s) = newest
                self._painted.put(self._picture(frame, people, tracked_s), number)

    def _picture(self, frame: Frame, people: TrackedPoses, tracked_s: float) -> tuple[bytes, str]:
        square, shown = square_pixels(frame, people)
        image: Any = self._overlay.draw(square.image, shown, time_s=frame.time_s)
        if (scale := _WIDEST / image.shape[1]) < 1:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        jpeg = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY))[1].tobytes()
        came_s = tracked_s if frame.arrived_s is None else frame.arrived_s
        facts = {
            "source": self._name,
            "size": list(frame.size_wh),
            "fps": self._rate(),
            "latency_ms": round(1e3 * (time.monotonic() - came_s), 1),
            "is_live": frame.arrived_s is not None,
        }
        return jpeg, json.dumps(facts | frame_record(frame, people), allow_nan=False)

    def _rate(self) -> float | None:
        """Frames per second of the tracker, over the last 60."""
        times = list(self._times)
        return round((len(times) - 1) / (times[-1] - times[0]), 1) if len(times) > 1 and times[-1] > times[0] else None


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
        streams = {"/stream.mjpg": self._send_pictures, "/people": self._send_people}
        if stream := streams.get(path):
            self._stream("picture" if path == "/stream.mjpg" else "people", stream)
            return
        page = self.server.view.pages.get(path.lstrip("/") or "live.html")
        if page:
            self._answer(HTTPStatus.OK, *page)
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"there is nothing here; the page is at /\n")

    def _stream(self, kind: str, send: Callable[[], None]) -> None:
        with self.server.view.viewer(kind) as has_room:
            if has_room and self.command == "HEAD":
                self._begin(HTTPStatus.OK, _STREAMS[kind])
            elif has_room:
                with suppress(OSError):  # the viewer has gone, or takes nothing
                    send()
            else:
                line = f"{MOST_VIEWERS} viewers are watching already; close one\n"
                self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", line.encode())

    def _send_pictures(self) -> None:
        self._begin(HTTPStatus.OK, _STREAMS["picture"])
        for jpeg, _ in self._pictures():
            head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg + b"\r\n")

    def _send_people(self) -> None:
        self._begin(HTTPStatus.OK, _STREAMS["people"])
        for _, people in self._pictures():
            self.wfile.write(f"data: {people}\n\n".encode())
        self.wfile.write(b"event: end\ndata: {}\n\n")

    def _pictures(self) -> Iterator[tuple[bytes, str]]:
        number = max(self.server.view.number - 1, 0)  # what was painted before is old
        while newest := self.server.view.next(number):
            number, picture = newest
            yield picture

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
