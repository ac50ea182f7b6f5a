"""The server: right answers, honest refusals, and nothing left behind."""

from __future__ import annotations

import asyncio
import base64
import errno
import http.client
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.commands.conftest import BOXES, TIMES_S, Run, refused, texture
from tests.commands.runs import write_endless_clip
from tracker.errors import ModelError
from tracker.job.job import Engine, Settings
from tracker.job.web import Address

pytest.importorskip("fastapi")
from starlette.testclient import TestClient

from tracker.serve import connections, function, guard, lanes
from tracker.serve.lanes import BusyError, Clips
from tracker.serve.limits import Limits
from tracker.serve.server import Service, _sweep, create_app, make_server, open_service

ROOT = Path(__file__).resolve().parents[2]
LIMITS = Limits(upload_mb=2, picture_mp=1, frame_mp=0.1, clip_frames=30_000, clip_s=1e4, waiting_clips=1, kept_clips=2)
PNG = cv2.imencode(".png", texture())[1].tobytes()
ENGINE = Engine(device="cpu")


@pytest.fixture(scope="module")
def service(models: list[str]) -> Iterator[Service]:
    settings = Settings(detector=Path(models[1]), pose_model=Path(models[3]))
    with open_service(settings, ENGINE, LIMITS) as service:
        yield service


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[TestClient]:
    with TestClient(create_app(service, Address()), base_url="http://localhost") as client:
        yield client


@pytest.fixture
def send(client: TestClient) -> Callable[..., Any]:
    """Posts a file with those contents."""

    def send(content: bytes, path: str = "pose", name: str = "x.png", **headers: str) -> Any:
        return client.post(f"/v1/{path}", files={"file": (name, content)}, headers=headers)

    return send


def files_in(service: Service) -> list[Path]:
    return list(service.pictures._folder.iterdir())


def wait_for(client: TestClient, path: str, *states: str) -> Any:
    deadline = time.monotonic() + 120
    while (job := client.get(path).json())["state"] not in states:
        assert time.monotonic() < deadline, job
        time.sleep(0.02)
    return job


def test_people_in_a_picture(send: Callable[..., Any], service: Service) -> None:
    found = send(PNG, name="../my pictures/a b.exe").json()
    assert (found["source"], found["size"], len(found["edges"]) > 10) == ("a_b.png", [96, 64], True)
    assert [person["track_id"] for person in found["people"]] == [1, 2]
    assert [person["box"] for person in found["people"]] == BOXES
    assert all(person["confirmed"] and len(person["keypoints"]) == 17 for person in found["people"])
    assert files_in(service) == []


def test_the_other_outputs(send: Callable[..., Any]) -> None:
    rows = send(PNG, "pose?output=csv").text.splitlines()
    assert (len(rows), rows[0].split(",")[:3]) == (3, ["frame", "time_s", "track_id"])
    overlay = send(PNG, "pose?output=overlay")
    assert overlay.headers["content-disposition"] == 'inline; filename="x_overlay.png"'
    drawn = cv2.imdecode(np.frombuffer(overlay.content, np.uint8), cv2.IMREAD_COLOR)
    assert drawn is not None
    assert drawn.shape == texture().shape
    assert (drawn != texture()).any()
    maps = send(PNG, "pose?output=heatmaps").json()
    nose = cv2.imdecode(
        np.frombuffer(base64.b64decode(maps["heatmaps"]["nose"]["png"]), np.uint8), cv2.IMREAD_GRAYSCALE
    )
    assert (maps["size"], nose is not None and nose.shape) == ([480, 320], (320, 480))
    assert maps["heatmaps"]["nose"]["peak"] == pytest.approx(0.9, abs=0.1)


def test_people_of_a_camera_keep_their_ids(send: Callable[..., Any]) -> None:
    for _ in range(100):
        people = send(PNG, "pose?session=cameracamera").json()["people"]
        assert [person["track_id"] for person in people] == [1, 2]
        if all(person["confirmed"] for person in people):
            return
    pytest.fail("nobody was confirmed")


def picture_of(width: int, height: int) -> bytes:
    return cv2.imencode(".png", np.zeros((height, width), np.uint8))[1].tobytes()


@pytest.mark.parametrize(
    ("content", "path", "status", "words"),
    [
        (b"<svg/>", "pose", 415, "this is no picture (JPEG, PNG, WebP, BMP) and no clip"),
        (b"", "pose", 415, "the file is empty; choose another"),
        (b"#EXTM3U\nfile:///etc/passwd", "track", 415, "this is no picture"),
        (b"\0\0\0\x18ftypheic", "pose", 415, "this is a HEIC or AVIF picture; save it as JPEG or PNG"),
        (b"GIF89a", "pose", 415, "this is a clip; send it to /v1/track"),
        (PNG, "track", 415, "this is a picture; send it to /v1/pose"),
        (PNG[:60], "pose", 422, "x.png is no image or is damaged"),
        (PNG[:12], "pose", 422, "x.png is no picture or is damaged"),
        (picture_of(2000, 600), "pose", 422, "x.png is 2000x600; make it smaller than 1 megapixels"),
        (PNG + bytes(2_100_000), "pose", 413, "the file is larger than 2 MB"),
        (PNG, "pose?output=svg", 400, "output: Input should be 'json', 'csv', 'overlay' or 'heatmaps'"),
        (PNG, "pose?session=a/../b", 400, "session: String should match pattern"),
    ],
)
def test_what_is_refused(
    send: Callable[..., Any], service: Service, content: bytes, path: str, status: int, words: str
) -> None:
    answer = send(content, path)
    assert (answer.status_code, answer.json()["error"].startswith(words)) == (status, True), answer.text
    assert "\n" not in answer.json()["error"]
    assert files_in(service) == []


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {"Host": "elsewhere.example"}, 421),
        ("POST", "/v1/pose", {"Origin": "https://elsewhere.example"}, 403),
        ("POST", "/v1/pose", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("POST", "/v1/pose", {"Sec-Fetch-Site": "same-site"}, 403),
        ("POST", "/v1/pose", {"Sec-Fetch-Site": "same-origin", "Origin": "https://proxy.example"}, 400),
        ("POST", "/v1/pose", {}, 400),
        ("POST", "/v1/pose", {"Content-Length": "-1"}, 413),
        ("GET", "/page/../server.py", {}, 404),
        ("GET", "/v1/jobs/x", {}, 404),
        ("GET", "/v1/jobs/x/poses.csv", {}, 404),
        ("DELETE", "/v1/jobs/x", {}, 404),
    ],
)
def test_who_is_refused(client: TestClient, method: str, path: str, headers: dict[str, str], status: int) -> None:
    answer = client.request(method, path, headers=headers)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("HEAD", "/", 200, ""),
        ("HEAD", "/healthz", 200, ""),
        ("GET", "/v1/pose", 405, "this address takes POST alone"),
        ("PUT", "/healthz", 405, "this address takes GET alone"),
        ("GET", "/v1/nothing", 404, "there is nothing here; the page is at /, and /docs describes the API"),
    ],
)
def test_what_is_asked_wrongly(client: TestClient, method: str, path: str, status: int, words: str) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, words in answer.text) == (status, True), answer.text
    assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "image/png"])
def test_what_is_no_form(client: TestClient, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    answer = client.post("/v1/pose", content=b"&=" * 1000, headers={"Content-Type": kind})
    assert (answer.status_code, "as curl -F file=@photo.jpg does" in answer.text) == (400, True), answer.text
    assert caplog.records == []


@pytest.fixture
def port(service: Service) -> Iterator[int]:
    """Of a server that runs."""
    with Address(port=0).bind() as listening:
        server = make_server(service, Address())
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield int(listening.getsockname()[1])
        server.should_exit = True
        thread.join()


def connect(port: int, begun: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall(begun)
    return connection


def answer_on(connection: socket.socket) -> tuple[int, Any, str]:
    """Status, headers and text."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.status, answer.headers, answer.read().decode()


UPLOAD = (
    b"POST /v1/pose HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
)
PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def test_idle_connections_keep_nobody_out(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 4)
    monkeypatch.setattr(connections, "_PATIENCE_S", 2.0)
    idle = [connect(port, b"GET / HT") for _ in range(8)]
    with connect(port, HEALTH) as asking:
        assert answer_on(asking)[0] == 200
    assert [each.recv(100) for each in idle[-3:]] == [b""] * 3  # in time
    busy = [connect(port, UPLOAD) for _ in range(4)]
    time.sleep(0.5)  # until their headers are there
    with connect(port, HEALTH) as asking:
        status, headers, text = answer_on(asking)
    assert (status, headers["retry-after"], headers["x-content-type-options"]) == (503, "5", "nosniff")
    assert json.loads(text)["error"].startswith("as many are connected as may be")
    for each in (*idle, *busy):
        each.close()


def test_slow_senders_keep_no_places(port: int, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_GRACE_S", 0.5)
    monkeypatch.setattr(guard, "_DRAINED_S", 0.1)
    slow = [connect(port, UPLOAD + b"-") for _ in range(LIMITS.waiting_pictures + 1)]
    for each in slow:
        status, _, text = answer_on(each)
        assert (status, "the file comes too slowly" in text) == (408, True)
        each.close()
    assert service.pictures._taken == 0


def test_senders_yield_to_others_who_come(port: int, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_GRACE_S", 0.2)
    monkeypatch.setattr(guard, "_DRAINED_S", 0.1)
    upload = UPLOAD.replace(b"9999", b"999999") + PART
    senders = [connect(port, upload) for _ in range(LIMITS.waiting_pictures + 1)]

    def trickle(*others: socket.socket) -> None:
        """30 kB/s of each for a second."""
        for _ in range(10):
            for each in (*senders, *others):
                each.sendall(b"-" * 3000)
            time.sleep(0.1)

    trickle()
    assert service.pictures._taken == len(senders)
    with connect(port, upload) as refused:
        assert answer_on(refused)[0] == 503
    with suppress(OSError):  # some have been answered
        trickle()
    for each in senders:
        assert answer_on(each)[0] == 408
        each.close()
    assert service.pictures._taken == 0


def test_a_body_that_breaks_off(service: Service) -> None:
    answers: list[dict[str, Any]] = []
    parts = iter([{"type": "http.request", "body": b"--x", "more_body": True}, {"type": "http.disconnect"}])
    headers = [(b"host", b"localhost"), (b"content-type", b"multipart/form-data; boundary=x")]
    scope = {"type": "http", "method": "POST", "path": "/v1/pose", "query_string": b"", "headers": headers}

    async def receive() -> dict[str, Any]:
        return next(parts)

    async def send(message: dict[str, Any]) -> None:
        answers.append(message)

    asyncio.run(create_app(service, Address())(scope, receive, send))
    assert [answer.get("status") for answer in answers] == [400, None]
    assert files_in(service) == []


def test_a_body_that_does_not_say_how_long_it_is(client: TestClient) -> None:
    parts = [PART, *[bytes(100_000)] * 25]
    answer = client.post("/v1/pose", content=iter(parts), headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert (answer.status_code, "larger than 2 MB" in answer.text) == (413, True)


def test_people_in_a_clip(send: Callable[..., Any], client: TestClient, service: Service, clip: Path) -> None:
    started = send(clip.read_bytes(), "track", "my clip.mov")
    assert started.status_code == 202
    job = wait_for(client, started.headers["location"], "done", "failed")
    assert job["result"] == {
        "frames": len(TIMES_S), "people": 2, "note": None, "files": ["overlay.mp4", "poses.jsonl", "poses.csv"],
    }  # fmt: skip
    results = {name: client.get(f"/v1/jobs/{job['id']}/{name}") for name in job["result"]["files"]}
    assert results["overlay.mp4"].headers["content-disposition"] == 'attachment; filename="my_clip_overlay.mp4"'
    header, *frames = map(json.loads, results["poses.jsonl"].text.splitlines())
    assert (header["source"], [frame["time_s"] for frame in frames]) == ("my_clip.mp4", TIMES_S)
    assert len(results["poses.csv"].text.splitlines()) == 1 + 2 * len(TIMES_S)
    assert client.get(f"/v1/jobs/{job['id']}/input/my_clip.mp4").status_code == 404
    assert client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert files_in(service) == []


def test_clips_that_fail(send: Callable[..., Any], client: TestClient, clip: Path) -> None:
    for content, words in (
        (clip.read_bytes()[:500], "x.mp4 is no video that FFmpeg can read, or its end is missing"),
        (b"\x1a\x45\xdf\xa3#EXTM3U\n/etc/passwd", "x.mkv is no video that FFmpeg can read"),
    ):
        job = wait_for(client, send(content, "track").headers["location"], "done", "failed")
        assert (job["state"], job["result"]) == ("failed", None)
        assert job["error"].startswith(words) or "lacks its index" in job["error"], job["error"]
        assert "/" not in job["error"]
        client.delete(f"/v1/jobs/{job['id']}")


def send_large(client: TestClient, clip: Path) -> str:
    """The job of a clip that is larger than it may be."""
    guard: Any = client.app
    guard._limits = replace(LIMITS, upload_mb=1000)
    answer = client.post("/v1/track", files={"file": clip.read_bytes()})
    guard._limits = LIMITS
    return str(answer.headers["location"])


def test_a_clip_is_cancelled_and_the_next_ones_wait(
    send: Callable[..., Any], client: TestClient, service: Service, clip: Path, tmp_path: Path
) -> None:
    running = send_large(client, write_endless_clip(tmp_path / "endless.mkv"))
    wait_for(client, running, "running")
    waiting = send(clip.read_bytes(), "track").headers["location"]
    full = send(clip.read_bytes(), "track")
    assert (full.status_code, full.headers["retry-after"]) == (503, "5")
    assert (client.get(waiting).json()["state"], client.get(waiting).json()["waiting_before"]) == ("waiting", 1)
    assert send(PNG).status_code == 200  # pictures do not wait for clips
    assert client.delete(running).status_code == 204
    assert wait_for(client, waiting, "done", "failed")["state"] == "done"
    assert client.delete(waiting).status_code == 204
    assert files_in(service) == []


def test_a_worker_that_dies_is_replaced(
    send: Callable[..., Any], client: TestClient, service: Service, tmp_path: Path
) -> None:
    job = send_large(client, write_endless_clip(tmp_path / "endless.mkv"))
    wait_for(client, job, "running")
    assert service.clips._worker
    assert service.pictures._worker
    service.clips._worker.process.kill()
    assert "brought the program down (" in wait_for(client, job, "failed")["error"]
    client.delete(job)
    service.pictures._worker.process.kill()
    service.pictures._worker.process.join()
    assert len(send(PNG).json()["people"]) == 2


def test_what_takes_too_long_is_ended(
    send: Callable[..., Any], service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(service.pictures, "_limit_s", 0)
        patch.setattr(lanes, "_TURN_S", 0)
        assert send(PNG).json() == {"error": "this takes longer than 0 s, which is the limit; send something smaller"}
    assert send(PNG).status_code == 200


def test_places_are_few_and_come_back(service: Service) -> None:
    tickets = [service.pictures.take() for _ in range(LIMITS.waiting_pictures + 1)]
    with pytest.raises(BusyError):
        service.pictures.take()
    for ticket in tickets:
        ticket.close()
    service.pictures.take().close()
    assert files_in(service) == []


def test_a_full_disk(send: Callable[..., Any], service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for function_name in ("tempfile.mkdtemp", "shutil.copyfileobj"):
        with monkeypatch.context() as patch:
            patch.setattr(function_name, refuse)
            error = {"error": "the server cannot keep the file (No space left on device); try again later"}
            assert (send(PNG).status_code, send(PNG).json()) == (507, error)
    assert send(PNG).status_code == 200
    assert files_in(service) == []


def test_old_results_are_removed(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Clips(LIMITS)
    names = []
    for _ in range(3):
        names.append(kept.add(ticket := service.pictures.take()))
        ticket.cancel()
    kept.remove_old()
    assert [kept.get(name) is None for name in names] == [True, False, False]
    later_s = time.monotonic() + LIMITS.kept_s + 1
    monkeypatch.setattr(time, "monotonic", lambda: later_s)
    kept.remove_old()
    assert [kept.get(name) is None for name in names] == [True] * 3
    assert files_in(service) == []


def test_the_page_and_the_documentation_load_nothing_from_elsewhere(client: TestClient) -> None:
    page, documentation = client.get("/").text, client.get("/docs").text
    for text in (page, documentation):
        assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", text)
        for path in re.findall(r'(?:src|href)="(/[^"#]*)"', text):
            assert client.get(path).status_code == 200, path
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/v1/pose", "/v1/track", "/v1/jobs/{name}"} < {*paths}
    assert all(path in documentation for path in paths)
    assert not re.search(r"<script>|style=|onclick=", page)
    assert client.get("/healthz").json()["status"] == "ok"


def event(**more: Any) -> dict[str, Any]:
    """What a function URL hands on."""
    picture = {"body": base64.b64encode(PNG).decode(), "isBase64Encoded": True}
    return {"version": "2.0", "rawPath": "/", "headers": {"content-type": "image/png"}, **picture, **more}


def test_a_function_service(models: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"detector": Path(models[1]), "pose": Path(models[3])}
    for module in ("detection.detector", "pose.loading"):
        monkeypatch.setattr(f"tracker.{module}.find_default", lambda kind, *_, **__: files[kind])
    monkeypatch.setattr(function, "_load_once", function._load_once.__wrapped__)
    answer = function.handler(event(), None)
    assert (answer["statusCode"], len(json.loads(answer["body"])["people"])) == (200, 2)
    drawn = function.handler(event(queryStringParameters={"output": "overlay"}), None)
    assert drawn["headers"] == {"content-type": "image/png"}
    assert base64.b64decode(drawn["body"]).startswith(b"\x89PNG")
    for wrong, status in (
        ({"body": "?"}, 415),
        ({"body": None}, 415),
        ({"queryStringParameters": {"output": "x"}}, 400),
    ):
        refusal = function.handler(event(**wrong), None)
        assert (refusal["statusCode"], list(json.loads(refusal["body"]))) == (status, ["error"])


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--port", "x"], "--host and --port: '127.0.0.1:x' must be a port"),
        (["--limit", "upload_mb=0"], "--limit upload_mb must be more than 0, not 0.0"),
        (["--limit", "pixels=3"], "--limit knows no pixels"),
    ],
)
def test_senseless_options(run: Run, options: list[str], line: str) -> None:
    assert line in refused(run("serve", *options), 2)


@pytest.mark.parametrize(
    ("listening", "host", "is_refused"),
    [
        ("127.0.0.2", "evil.example", True),
        ("127.0.0.2", "127.0.0.2:8000", False),
        ("::1", "[::1]:8000", False),
        ("127.0.0.1", "192.168.0.7", True),
        ("127.0.0.1", "Proxy.example", False),
        ("0.0.0.0", "192.168.0.7:8000", False),
        ("0.0.0.0", f"{socket.gethostname()}:8000", False),
        ("0.0.0.0", "evil.example:8000", True),
        ("0.0.0.0", "proxy.example", False),
    ],
)
def test_the_names_that_lead_to_it(listening: str, host: str, is_refused: bool) -> None:
    address = Address(listening, names=frozenset({"proxy.example"}))
    assert (address.refuses(host), address.is_open) == (is_refused, listening == "0.0.0.0")


def test_what_a_killed_server_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    for name in (ended.pid, os.getpid(), "x"):
        (tmp_path / f"pose-tracker-{name}-abc").mkdir()
    _sweep()
    assert {path.name for path in tmp_path.iterdir()} == {f"pose-tracker-{os.getpid()}-abc", "pose-tracker-x-abc"}


def test_networks_that_do_not_load_end_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError), open_service(Settings(detector=tmp_path / "x.onnx"), ENGINE, LIMITS):
        pass


def run_documented(url: str, folder: Path) -> None:
    """The commands of the document, as they stand there; that for a result again until the clip is done."""
    text = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    job, answers = "", list[bytes]()
    for command in re.findall("^curl .*", text, re.MULTILINE):
        _, *arguments = shlex.split(
            command.replace("http://127.0.0.1:8000/", url).replace("/ID", f"/{job}"), comments=True
        )
        patience = ["--retry", "60", "--retry-delay", "1", "--retry-all-errors"] if "-O" in arguments else []
        curl = ["curl", "--silent", "--fail", *patience, *arguments]
        answers.append(subprocess.run(curl, cwd=folder, capture_output=True, check=True).stdout)
        job = json.loads(answers[-1])["id"] if arguments[-1].endswith("track") else job
    assert len(json.loads(answers[0])["people"]) == 2
    assert answers[1].startswith(b"\x89PNG")
    assert (folder / "overlay.mp4").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
def test_the_program(models: list[str], clip: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tracker", "serve", "--port", "0", "--device", "cpu", *models]
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary")}
    (tmp_path / "temporary").mkdir()
    (tmp_path / "photo.jpg").write_bytes(PNG)  # files are taken for what they contain
    shutil.copy(clip, tmp_path / "clip.mp4")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr
            (url,) = re.findall(r"^open (http://127\.0\.0\.1:\d+/) ", process.stderr.readline())
            assert b"pose-tracker" in urllib.request.urlopen(url, timeout=60).read()
            run_documented(url, tmp_path)
            with connect(int(re.findall(r":(\d+)/", url)[0]), UPLOAD) as uploading:
                process.terminate()
                assert process.stderr.read() == "interrupted\n"
                assert "the server ends; try again" in answer_on(uploading)[2]
        finally:
            process.kill()
    assert process.returncode == 143
    assert list((tmp_path / "temporary").iterdir()) == []
