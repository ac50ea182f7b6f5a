"""Whole requests to a real server: what may be sent to it, and what it must answer."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2

from tests.commands.conftest import BOXES, heatmaps, texture, write_detector, write_pose_network
from tests.video.clips import write_clip

_DEADLINE_S = 30
# In words of HTTP: done, or a fault of the sender, or so many others; not a fault of the server.
_FINE = {200, 202, 204, 503, *range(400, 500)}
_COMMAND = (sys.executable, "-m", "tracker", "serve", "--port", "0", "--device", "cpu", "--limit", "upload_s=5")
_HEAD = (
    "POST /v1/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n"
    "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
)


@dataclass(frozen=True)
class _Server:
    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    log: Path

    def send(self, request: bytes) -> tuple[int, Any]:
        """Status and JSON of the first answer; 0 where there is none. If none comes soon, nothing more is sent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            answer = b""
            with suppress(BrokenPipeError, ConnectionResetError):  # it hung up on what is no HTTP
                connection.sendall(request)
                try:
                    answer = connection.recv(65536)
                except TimeoutError:
                    connection.shutdown(socket.SHUT_WR)
                connection.settimeout(_DEADLINE_S)
                while part := connection.recv(65536):
                    answer += part
        head, _, rest = answer.partition(b"\r\n\r\n")
        if not answer:
            return 0, None
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        content = rest[: int(length[1])] if length else b""
        is_json = b"application/json" in head
        return int(head.split()[1]), json.loads(content) if is_json and content else None

    def is_empty(self) -> bool:
        """Whether no file of a request is left."""
        return not [*self.folder.glob("*/*")]


@cache
def _server() -> _Server:
    """The server of this process, with networks that find two people in every picture."""
    folder = Path(tempfile.mkdtemp(dir="/tmp" if os.name == "posix" else None))
    detector = write_detector(folder / "det.onnx", [[*box, 0.9] for box in BOXES])
    pose = write_pose_network(folder / "pose.onnx", heatmaps())
    (temporary := folder / "temporary").mkdir()
    log = folder / "log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [*_COMMAND, "--detector", str(detector), "--pose-model", str(pose)],
            env=os.environ | dict.fromkeys(("TMPDIR", "TEMP"), str(temporary)),
            stderr=stderr,
        )
    atexit.register(_end, process, folder)
    until_s = time.monotonic() + 4 * _DEADLINE_S
    while not (found := re.match(r"open http://127\.0\.0\.1:(\d+)/", log.read_text())):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < until_s
        time.sleep(0.05)
    return _Server(process, int(found[1]), temporary, log)


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    process.terminate()
    process.wait()
    shutil.rmtree(folder)


def write_picture_request(path: Path) -> None:
    """A picture, as a browser sends it."""
    path.write_bytes(_request("pose", "a.png", cv2.imencode(".png", texture())[1].tobytes()))


def write_clip_request(path: Path) -> None:
    """A clip of four pictures."""
    with tempfile.TemporaryDirectory() as folder:
        path.write_bytes(_request("track", "a.mp4", write_clip(Path(folder, "a.mp4"), [texture()] * 4).read_bytes()))


def _request(path: str, name: str, content: bytes) -> bytes:
    part = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
    body = part + content + b"\r\n--x--\r\n"
    return _HEAD.format(path=path, length=len(body)).encode() + body


def send_request(path: Path) -> None:
    """Send a request, and wait until whatever it began is over, and nothing is left of it."""
    server = _server()
    status, answer = server.send(path.read_bytes())
    assert status in _FINE | {0}, (status, answer)
    if status >= 400 and answer:
        assert re.fullmatch(r"[^\n]+", answer["error"]), answer
        assert str(server.folder) not in answer["error"], answer
    if status == 202:
        _wait_for(server, answer["id"])
    until_s = time.monotonic() + _DEADLINE_S
    while not server.is_empty():
        assert time.monotonic() < until_s, [*server.folder.rglob("*")]
        time.sleep(0.02)
    assert server.process.poll() is None
    assert "Traceback" not in server.log.read_text(), server.log.read_text()


def _wait_for(server: _Server, job: str) -> None:
    def ask(method: str) -> tuple[int, Any]:
        return server.send(f"{method} /v1/jobs/{job} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())

    until_s = time.monotonic() + _DEADLINE_S
    while (state := ask("GET")[1])["state"] in ("waiting", "running"):
        assert time.monotonic() < until_s, state
        time.sleep(0.02)
    assert state["state"] == "done" or "fault of the program" not in state["error"], state
    assert ask("DELETE")[0] == 204
