"""Addresses: recordings on a server, live streams, and what goes wrong with both."""

from __future__ import annotations

import re
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.video.clips import noise_images, number_of, numbered_image, write_clip
from tracker.errors import InputError
from tracker.video import live, stream
from tracker.video.pictures import Pictures
from tracker.video.source import VideoSource, open_source
from tracker.video.stream import StreamCapture, public_address

HOST = "127.0.0.1"
STOPPED = r" stopped after \d+\.\d s, at \d\d:\d\d:\d\d: "
NUM_FRAMES = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the server holds: the same pictures in several containers."""
    folder = tmp_path_factory.mktemp("served")
    images = [numbered_image(n) for n in range(NUM_FRAMES)]
    for name, options in (("clip.mp4", {"movflags": "faststart"}), ("clip.mkv", {}), ("clip.ts", {})):
        write_clip(folder / name, images, **options)
    write_clip(folder / "noise.mp4", noise_images(30), movflags="faststart")
    parts = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.7,\nclip.ts\n"
    (folder / "clip.m3u8").write_text(parts + "#EXT-X-ENDLIST\n")
    (folder / "page.html").write_text("<html><body>Sign in</body></html>" * 20)
    return folder


class _Handler(SimpleHTTPRequestHandler):
    """Files, and by their names: `live`, `silent` after what was sent, `half` of what was announced, `mjpeg`."""

    server: Any

    def do_GET(self) -> None:
        kind, _, name = self.path.strip("/").partition("/")
        if kind not in ("live", "silent", "half", "mjpeg"):
            super().do_GET()
            return
        data = b"" if kind == "mjpeg" or not name else Path(self.directory, name).read_bytes()
        self.send_response(200)
        if kind == "mjpeg":
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
            data = b"".join(_mjpeg_part(n) for n in range(NUM_FRAMES))
        if kind == "half":
            self.send_header("Content-Length", str(len(data)))
            data = data[: len(data) // 2]
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()
        if kind == "silent":
            self.server.closing.wait(20)

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""


def _mjpeg_part(number: int) -> bytes:
    picture = cv2.imencode(".jpg", numbered_image(number))[1].tobytes()
    return b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture) + picture + b"\r\n"


class _Server(ThreadingHTTPServer):
    def __init__(self, handler: Callable[..., Any]) -> None:
        super().__init__((HOST, 0), handler)
        self.closing = threading.Event()

    def handle_error(self, *_: Any) -> None:
        """A reader may go away in the middle."""


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    """The address of a running HTTP server."""
    httpd = _Server(partial(_Handler, directory=str(folder)))
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://{HOST}:{httpd.server_port}"
    httpd.closing.set()
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def no_thread_is_left(server: str) -> Iterator[None]:
    yield
    assert not [thread.name for thread in threading.enumerate() if "://" in thread.name]


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])


# --- recordings


@pytest.mark.parametrize(
    ("name", "num_frames"),
    [
        ("clip.mp4", NUM_FRAMES),
        ("clip.mkv", NUM_FRAMES),
        ("clip.ts", None),  # a server that cannot seek does not let its end be seen
        ("clip.m3u8", None),  # a playlist that is complete
    ],
)
def test_a_recording_on_a_server_is_read_whole(server: str, name: str, num_frames: int | None) -> None:
    with open_source(f"{server}/{name}?token=secret") as source:
        assert (source.name, source.is_live) == (f"{server}/{name}", False)
        assert num_frames in (source.num_frames, None)
        frames = list(source)
    assert [number_of(f.image) for f in frames] == list(range(NUM_FRAMES))
    assert [f.time_s for f in frames] == pytest.approx([n / 30 for n in range(NUM_FRAMES)], abs=1e-3)
    assert source.warning is None


def test_a_recording_can_start_later(server: str) -> None:
    with open_source(f"{server}/clip.mp4", start_s=0.5) as source:
        assert [number_of(f.image) for f in source] == [15, 16, 17, 18, 19]


def test_a_recording_whose_transfer_breaks_off_says_what_is_missing(server: str) -> None:
    with open_source(f"{server}/half/noise.mp4") as source:
        num_read = len(list(source))
    assert 0 < num_read < 30
    assert source.warning is not None
    assert re.search(
        r"noise\.mp4 is damaged or cut off: .*\d+ of about 30 frames are missing at its end", source.warning
    )


# --- live streams


def check_live(source: VideoSource, reason: str) -> None:
    """Delivers the newest frames in order, ends, and says when and why."""
    with source:
        assert (source.is_live, source.num_frames) == (True, None)
        frames = list(source)
    numbers = [number_of(f.image) for f in frames]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] >= NUM_FRAMES - 5  # decoding runs a few frames behind
    assert [f.index for f in frames] == list(range(len(frames)))
    assert frames[0].time_s == 0
    assert source.warning is not None
    assert re.search("^" + re.escape(source.name) + STOPPED + reason, source.warning)


def test_a_live_http_stream_ends_with_its_sender(server: str) -> None:
    source = open_source(f"{server}/live/clip.ts", reconnect_s=0)
    assert source.fps == 30
    check_live(source, r"the connection ended \(.*\); check the sender and the network$")


def test_an_mjpeg_camera_has_no_rate_of_its_own(server: str) -> None:
    source = open_source(f"{server}/mjpeg", reconnect_s=0)
    assert source.fps is None
    check_live(source, "the (sender|connection) ended")


def test_a_sender_that_falls_silent_is_given_up(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_TIMEOUT_S", 1.0)
    check_live(
        open_source(f"{server}/silent/clip.ts", reconnect_s=0),
        "nothing came for 1 s; check the sender and the network$",
    )


def test_a_stream_is_left_early(server: str) -> None:
    with open_source(f"{server}/live/clip.ts", max_frames=2) as source:
        assert len(list(source)) <= 2


SDP = b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\n"
RTSP_ANSWERS = {
    b"DESCRIBE": b"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n" % len(SDP) + SDP,
    b"SETUP": b"Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n\r\n",
}


class RtspServer:
    """A camera that sends MPEG-TS in RTP over the connection itself, once, and hangs up."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection, connection.makefile("rb") as lines:
            method = b""
            while method != b"PLAY":
                request = b"".join(iter(lines.readline, b"\r\n"))
                self.requests.append(request)
                method = request.split()[0]
                number = re.search(rb"CSeq: \d+", request)
                assert number
                connection.sendall(b"RTSP/1.0 200 OK\r\n" + number[0] + b"\r\n" + RTSP_ANSWERS.get(method, b"\r\n"))
            for index in range(0, len(self._data), 1316):
                packet = struct.pack(">BBHII", 0x80, 33, index // 1316, 0, 1) + self._data[index : index + 1316]
                connection.sendall(b"$\0" + struct.pack(">H", len(packet)) + packet)


def test_an_rtsp_camera_is_asked_for_tcp(folder: Path) -> None:
    camera = RtspServer((folder / "clip.ts").read_bytes())
    source = open_source(f"rtsp://user:secret@{HOST}:{camera.port}/1", reconnect_s=0)
    check_live(source, "the sender ended it$")
    camera.close()
    assert source.name == f"rtsp://{HOST}:{camera.port}/1"
    assert any(b"RTP/AVP/TCP" in request for request in camera.requests)


DEBIAN_PYTHON = "/usr/bin/python3"
HAS_GSTREAMER = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"


@contextmanager
def real_camera(folder: Path, port: int) -> Iterator[None]:
    """GStreamer's RTSP server, until it is killed."""
    command = [DEBIAN_PYTHON, str(Path(__file__).with_name("rtsp_server.py")), str(port), str(folder), "15"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout
        assert server.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            server.kill()


@pytest.mark.slow
def test_a_real_rtsp_camera_is_pulled_out_and_put_in_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path(DEBIAN_PYTHON).exists() or subprocess.run([DEBIAN_PYTHON, "-c", HAS_GSTREAMER], check=False).returncode:
        pytest.skip("needs GStreamer's RTSP server and Debian's Python (gir1.2-gst-rtsp-server-1.0)")
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 64, 48, "yuv420p", Fraction(1, 15)
    encoder.options = {"tune": "zerolatency", "g": "15"}
    images = [
        av.VideoFrame.from_ndarray(numbered_image(n), format="bgr24").reformat(format="yuv420p") for n in range(30)
    ]
    for number, packet in enumerate(packet for image in images for packet in encoder.encode(image)):
        (tmp_path / f"{number:02}.h264").write_bytes(bytes(packet))
    monkeypatch.setattr(live, "_PAUSES_S", (0.5, 1, 2))
    port = free_port()
    with ExitStack() as stack:
        with real_camera(tmp_path, port):
            source = stack.enter_context(open_source(f"rtsp://{HOST}:{port}/live"))
            frames = [next(iter(source)) for _ in range(20)]
        time.sleep(2)
        with real_camera(tmp_path, port):
            while source.live and not source.live.num_reopened:
                frames.append(next(iter(source)))
            frames += [next(iter(source)) for _ in range(20)]
    gaps_s = np.diff([frame.time_s for frame in frames])
    waited_s = np.diff([frame.arrived_s for frame in frames if frame.arrived_s])
    assert {number_of(frame.image) for frame in frames} <= {*range(30)}
    assert gaps_s.argmax() == waited_s.argmax()
    assert source.live
    assert source.live.num_reopened == 1
    # FFmpeg looks at a stream for a while before it gives the first picture, and then all of them at once.
    assert 2 <= source.live.gaps_s <= gaps_s.max() + 0.1 <= waited_s.max() + 0.5


def test_udp_is_received(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_TIMEOUT_S", 1.0)
    data, port, opened = (folder / "clip.ts").read_bytes(), free_port(), threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not opened.wait(0.02):  # nobody tells when the receiver listens
                for index in range(0, len(data), 1316):
                    sender.sendto(data[index : index + 1316], (HOST, port))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        source = open_source(f"udp://{HOST}:{port}", reconnect_s=0)
    finally:
        opened.set()
        thread.join()
    with source:
        assert (source.is_live, source.size_wh) == (True, (64, 48))
        assert list(source)
    assert source.warning is not None
    assert "nothing came for 1 s" in source.warning


# --- times


def fake_container(times_s: list[float | None], flags: int = 0) -> Any:
    """A container whose frames have those times."""
    frames = [SimpleNamespace(time=time_s, interlaced_frame=False) for time_s in times_s]
    packets = [SimpleNamespace(decode=lambda frame=frame: [frame]) for frame in frames]
    no_tile = av.stream.Disposition(0)
    video = SimpleNamespace(
        average_rate=None,
        thread_type="",
        codec_context=SimpleNamespace(),
        disposition=no_tile,
        sample_aspect_ratio=None,
    )
    return SimpleNamespace(
        streams=SimpleNamespace(best=lambda kind: video),
        format=SimpleNamespace(flags=flags, name="rtsp"),
        demux=lambda _: iter(packets),
    )


@pytest.mark.parametrize(
    ("times_s", "arrivals_s", "flags", "expected_s"),
    [
        pytest.param([5, 5.04, 5.08], [100, 100.2, 100.21], 0, [0, 0.04, 0.08], id="the sender's clock"),
        pytest.param([5, 5.04], [100, 100.2], 0x80, [0, 0.2], id="a sender without one"),
        pytest.param([5, None], [100, 100.2], 0, [0, 0.2], id="a frame without a time"),
        pytest.param([5, 9e5, 9e5 + 0.04], [100, 100.2, 100.3], 0, [0, 0.2, 0.24], id="the clock was set"),
        pytest.param([500, 0, 0.04], [100, 100.2, 100.3], 0, [0, 0.2, 0.24], id="the sender began anew"),
        pytest.param([0, 9], [100, 100.2], 0, [0, 9], id="a burst of what was buffered"),
    ],
)
def test_times_are_the_senders_unless_they_make_no_sense(
    monkeypatch: pytest.MonkeyPatch,
    times_s: list[float | None], arrivals_s: list[float], flags: int, expected_s: list[float],
) -> None:  # fmt: skip
    monkeypatch.setattr(Pictures, "convert", lambda self, frame: numbered_image(0))
    clock = iter(arrivals_s)
    monkeypatch.setattr(stream.time, "monotonic", lambda: next(clock))
    capture = StreamCapture(fake_container(times_s, flags), "rtsp://x")
    found_s = [capture.read()[0] for _ in times_s]
    assert np.subtract(found_s, found_s[0]) == pytest.approx(expected_s)


# --- faults


@pytest.mark.parametrize(
    ("address", "message"),
    [
        pytest.param("{server}/absent.mp4", r"404 Not Found\); check the address and the password", id="not there"),
        pytest.param("{server}/page.html", r"\(Invalid data found", id="a page"),
        pytest.param("http://user:secret@{closed}/1", r"\(Connection refused\); check the address", id="nobody there"),
        pytest.param("rtsp://user:secret@{closed}/1", r"\(Connection refused\)", id="no camera there"),
        pytest.param("nonsense://{closed}", r"\(Protocol not found\)", id="no such scheme"),
        pytest.param("http://[::1/x", r"cannot open http://\[::1/x \(", id="malformed"),
        pytest.param("{server}/silent/", r"\(nothing came for 0\.5 s\); check the address, the sender", id="silent"),
        pytest.param("udp://{closed}", r"\(nothing came for 0\.5 s\)", id="no packets"),
    ],
)
def test_what_cannot_be_opened_is_one_line_without_secrets(
    server: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], address: str, message: str
) -> None:
    monkeypatch.setattr(stream, "_TIMEOUT_S", 0.5)
    with pytest.raises(InputError, match=message) as caught:
        open_source(address.format(server=server, closed=f"{HOST}:{free_port()}"))
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://camera:554/1", "rtsp://camera:554/1"),  # nothing to hide
        ("rtsp://user:p@ss/w?rd@camera/1", "rtsp://camera/1"),  # characters that should have been escaped
        ("https://host/live.m3u8?token=x#part", "https://host/live.m3u8"),
        ("udp://@239.0.0.1:1234", "udp://239.0.0.1:1234"),  # multicast
    ],
)
def test_secrets_are_not_shown(address: str, shown: str) -> None:
    assert public_address(address) == shown
