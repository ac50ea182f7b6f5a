"""Every kind of source and every fault in one, end to end: what is written, the line printed, the exit code."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.commands.conftest import SIZE_WH, Run, read_lines, texture
from tests.video.clips import noise_images, write_clip

Make = Callable[[Path], str | Path]


def pictures(folder: Path, *sizes_wh: tuple[int, int]) -> Path:
    """A folder of images of those sizes."""
    (folder / "shots").mkdir()
    for number, size_wh in enumerate(sizes_wh):
        cv2.imwrite(str(folder / "shots" / f"{number}.png"), cv2.resize(texture(), size_wh))
    return folder / "shots"


def one_is_broken(folder: Path) -> Path:
    shots = pictures(folder, *[SIZE_WH] * 4)
    (shots / "2.png").write_bytes((shots / "2.png").read_bytes()[:50])
    return shots


def cut(name: str, **options: str) -> Make:
    """The first half of a video file of 20 pictures."""

    def make(folder: Path) -> Path:
        path = write_clip(folder / name, noise_images(20), **options)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return path

    return make


def turned(folder: Path) -> Path:
    path = write_clip(folder / "phone.mp4", [texture()] * 3)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 20 + 16  # the display matrix: a quarter turn
    data[at : at + 16] = (b"\0\0\0\0\0\1\0\0" + bytes(4)) + b"\xff\xff\0\0"
    path.write_bytes(data)
    return path


def resized(folder: Path) -> Path:
    """A video whose size changes in the middle."""
    for number, size_wh in enumerate((SIZE_WH, (64, 96))):
        times_s = [number + n / 5 for n in range(4)]
        write_clip(folder / f"{number}.ts", [cv2.resize(texture(), size_wh)] * 4, times_s=times_s)
    (folder / "joined.ts").write_bytes(b"".join((folder / f"{number}.ts").read_bytes() for number in range(2)))
    return folder / "joined.ts"


def gif(folder: Path) -> Path:
    return write_clip(folder / "moving.gif", [texture()] * 3, codec="gif", pix_fmt="rgb8")


def one_picture(folder: Path) -> Path:
    return pictures(folder, SIZE_WH) / "0.png"


@pytest.mark.parametrize(
    ("make", "num_frames", "size_wh", "warning"),
    [
        pytest.param(one_picture, 1, SIZE_WH, None, id="one image"),
        pytest.param(gif, 3, SIZE_WH, None, id="animated GIF"),
        pytest.param(lambda at: pictures(at, SIZE_WH, SIZE_WH) / "*.png", 2, SIZE_WH, None, id="pattern of images"),
        pytest.param(lambda at: pictures(at, (3, 3), (3, 3)), 2, (4, 4), None, id="3x3 px"),
        pytest.param(turned, 3, (64, 96), None, id="phone video held upright"),
        pytest.param(
            lambda at: pictures(at, SIZE_WH, (50, 200), (9, 9)), 3, SIZE_WH,
            "pictures differ in size (96x64, then 50x200 at frame 1): poses are in the pixels of each, the overlay",
            id="folder of mixed sizes",
        ),
        pytest.param(
            resized, 8, SIZE_WH, "pictures differ in size (96x64, then 64x96 at frame 4)", id="size that changes"
        ),
        pytest.param(one_is_broken, 3, SIZE_WH, "1 of 4 images left out; the last of them: ", id="one broken image"),
        pytest.param(
            cut("cut.mp4", movflags="faststart"), None, (128, 64), "of about 20 frames are missing at its", id="cut mp4"
        ),
        pytest.param(cut("cut.mkv"), None, (128, 64), "of about 20 frames are missing at its end", id="cut mkv"),
        pytest.param(cut("cut.ts"), None, (128, 64), None, id="cut ts, which declares no length"),
    ],
)  # fmt: skip
def test_what_comes_of_a_source(
    track: Run, tmp_path: Path, make: Make, num_frames: int | None, size_wh: tuple[int, int], warning: str | None
) -> None:
    done = track("--output", "out.mp4", "--poses", "out.jsonl", source=make(tmp_path))
    assert done.code == 0
    check_outputs(tmp_path, num_frames, size_wh)
    warnings = [line for line in done.err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == (warning is not None)
    assert warning is None or warning in warnings[0]


def check_outputs(folder: Path, num_frames: int | None, size_wh: tuple[int, int]) -> None:
    """Both files are whole: a line and a picture per frame; no partial file and no thread is left."""
    with av.open(str(folder / "out.mp4")) as video:
        images = [frame.to_ndarray(format="bgr24") for frame in video.decode(video=0)]
    assert {image.shape for image in images} == {(size_wh[1], size_wh[0], 3)}
    _, *frames = read_lines(folder / "out.jsonl")
    assert len(frames) == len(images) > 0
    assert num_frames in (None, len(frames))
    assert not list(folder.glob("*.partial.*"))
    names = {thread.name for thread in threading.enumerate()}
    assert not {name for name in names if name == "run-ahead" or "camera" in name or "://" in name}


def test_poses_of_mixed_sizes_are_in_the_pixels_of_each_picture(track: Run, tmp_path: Path) -> None:
    sizes_wh = [SIZE_WH, (2 * SIZE_WH[0], 2 * SIZE_WH[1])]
    assert track("--poses", "out.jsonl", source=pictures(tmp_path, *sizes_wh)).code == 0
    _, small, large = read_lines(tmp_path / "out.jsonl")
    np.testing.assert_allclose(large["people"][0]["box"], 2 * np.array(small["people"][0]["box"]), atol=0.5)


# --- live sources that stop


@pytest.fixture
def live_address(tmp_path: Path) -> Iterator[str]:
    """A server that sends a stream without an end and then hangs up."""
    data = write_clip(tmp_path / "sent.ts", [texture()] * 20).read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Nothing on stderr."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        yield f"http://user:secret@127.0.0.1:{server.server_port}/live"
        thread.join()


def test_a_stream_that_stops_ends_the_run_with_its_files_closed(track: Run, tmp_path: Path, live_address: str) -> None:
    done = track("--output", "out.mp4", "--poses", "out.jsonl", source=live_address)
    assert done.code == 0
    assert "/live stopped after " in done.err
    assert "check the sender and the network" in done.err
    assert "secret" not in done.err + (tmp_path / "out.jsonl").read_text()
    check_outputs(tmp_path, None, SIZE_WH)


class UnpluggedCamera:
    """A camera that is unplugged after four pictures."""

    def __init__(self, index: int) -> None:
        self._num_left = 4

    def isOpened(self) -> bool:  # noqa: N802  OpenCV's name
        return True

    def read(self) -> tuple[bool, Any]:
        self._num_left -= 1
        return self._num_left >= 0, texture()

    def release(self) -> None:
        """Nothing is held."""


def test_an_unplugged_camera_ends_the_run_with_its_files_closed(
    track: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", UnpluggedCamera)
    done = track("--output", "out.mp4", "--poses", "out.jsonl", source="0")
    assert done.code == 0
    assert "\nwarning: camera 0 stopped after " in done.err
    assert "check its cable" in done.err
    check_outputs(tmp_path, None, SIZE_WH)


# --- faults that end the run


def written(name: str, content: bytes) -> Make:
    def make(folder: Path) -> str:
        (folder / name).write_bytes(content)
        return name

    return make


def lost_index(folder: Path) -> str:
    data = write_clip(folder / "lost.mp4", [texture()] * 3).read_bytes()
    return written("lost.mp4", data[: data.index(b"moov") - 4])(folder)  # type: ignore[return-value]


def empty_folder(folder: Path) -> str:
    (folder / "empty").mkdir()
    return "empty"


def broken_pictures(folder: Path) -> Path:
    for path in (shots := pictures(folder, SIZE_WH, SIZE_WH)).iterdir():
        path.write_bytes(b"no picture")
    return shots


@pytest.mark.parametrize(
    ("make", "code", "message"),
    [
        pytest.param(
            lambda _: "absent.mp4", 1, "cannot open absent.mp4 (No such file or directory); check", id="absent"
        ),
        pytest.param(written("x.mp4", b""), 1, "x.mp4 is empty (0 bytes); copy or record it again", id="empty file"),
        pytest.param(written("x.mp4", b"no video\n" * 99), 1, "x.mp4 is no video that FFmpeg can read", id="text"),
        pytest.param(written("x.mkv", b"\x1a\x45\xdf\xa3" * 9), 1, "x.mkv is no video that FFmpeg", id="broken header"),
        pytest.param(lost_index, 1, "lost.mp4 lacks its index (moov), which is written last", id="lost index"),
        pytest.param(
            written("x.png", b"no picture"), 1, "x.png is no image or is damaged; remove it", id="broken image"
        ),
        pytest.param(broken_pictures, 1, "2 of 2 images left out; the last of them: ", id="only broken images"),
        pytest.param(empty_folder, 1, "empty holds no images (.bmp .jp2 .jpeg", id="folder without images"),
        pytest.param(lambda _: "*.mp4", 1, "cannot open *.mp4 (No such file or directory)", id="pattern of nothing"),
        pytest.param(lambda _: "", 2, "--input is empty; name a video", id="nothing"),
        pytest.param(lambda _: "7777", 1, "there is no camera 7777, or another program uses it", id="absent camera"),
        pytest.param(lambda _: "nonsense://u:secret@host", 1, "cannot open nonsense://host (Protocol", id="address"),
    ],
)
def test_a_source_that_cannot_be_read_is_one_line(
    run: Run, tmp_path: Path, make: Make, code: int, message: str
) -> None:
    source = make(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = run("track", "--input", source, "--detector", "absent.onnx")  # which is not what is complained about
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert message in done.err
    assert "secret" not in done.err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
