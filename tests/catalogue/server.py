"""A server of files on this machine whose answers go wrong as told, and the networks that it serves."""

from __future__ import annotations

import io
import threading
import zipfile
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_CHUNK = 1 << 14


@dataclass(frozen=True)
class Fault:
    """How one answer goes wrong.

    status: instead of the file, with these headers. after: bytes of the body after which the connection is closed, or,
    with `stalls`, nothing more comes. lie: added to the length that is stated, None for none stated. shift: added to
    where the part that comes is said to begin. ignores_range: all of the file comes. tag: what names its content.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    after: int | None = None
    stalls: bool = False
    lie: int | None = 0
    shift: int = 0
    ignores_range: bool = False
    tag: str | None = '"1"'


class Server(ThreadingHTTPServer):
    """Serves `files` by path. faults: of the next answers, one each. asked: the paths and ranges of all requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.faults: deque[Fault] = deque()
        self.asked: list[tuple[str, str | None]] = []
        self.closing = threading.Event()
        self.pause_s = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving() -> Iterator[Server]:
    """A server that runs."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Range")))
        fault = self.server.faults.popleft() if self.server.faults else Fault()
        content = self.server.files.get(self.path.removeprefix("http://elsewhere.example"))
        if content is None or fault.status:
            self._answer(fault.status or 404, fault.headers)
        else:
            self._serve(content, fault)

    def _serve(self, content: bytes, fault: Fault) -> None:
        start, total = self._start(fault), len(content)
        if 0 < total <= start:
            self._answer(416, {"Content-Range": f"bytes */{total}"})
            return
        headers = dict(fault.headers)
        if fault.tag:
            headers["ETag"] = fault.tag
        if start:
            headers["Content-Range"] = f"bytes {start + fault.shift}-{total - 1}/{total}"
        if fault.lie is not None:
            headers["Content-Length"] = str(total - start + fault.lie)
        self._answer(206 if start else 200, headers)
        self._send(content[start:][: fault.after])
        if fault.stalls:
            self.server.closing.wait()

    def _start(self, fault: Fault) -> int:
        wanted = self.headers.get("Range")
        is_same = self.headers.get("If-Range") == fault.tag
        return int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and is_same and not fault.ignores_range else 0

    def _answer(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, content: bytes) -> None:
        try:
            for start in range(0, len(content), _CHUNK):
                self.wfile.write(content[start : start + _CHUNK])
                self.server.closing.wait(self.server.pause_s)
        except OSError:
            return  # the client is gone

    def log_message(self, *_: Any) -> None:
        return


def zip_of(**members: bytes) -> bytes:
    """An archive as OpenMMLab's: members in a folder, the network as end2end.onnx."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"20230831/some_network/{name.replace('__', '.')}", data)
    return content.getvalue()
