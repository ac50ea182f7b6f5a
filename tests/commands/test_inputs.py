"""Every kind of source, end to end: what is written. What goes wrong with one is in test_faults.py."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.commands.conftest import SIZE_WH, Run, read_lines, texture
from tests.video.clips import write_clip

ROOT = Path(__file__).resolve().parents[2]
Make = Callable[[Path], str | Path]


def pictures(folder: Path, *sizes_wh: tuple[int, int]) -> Path:
    """A folder of images of those sizes."""
    (folder / "shots").mkdir()
    for number, size_wh in enumerate(sizes_wh):
        cv2.imwrite(str(folder / "shots" / f"{number}.png"), cv2.resize(texture(), size_wh))
    return folder / "shots"


def turned(folder: Path) -> Path:
    path = write_clip(folder / "phone.mp4", [texture()] * 3)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 20 + 16  # the display matrix: a quarter turn
    data[at : at + 20] = (b"\0\0\0\0\0\1\0\0" + bytes(4)) + b"\xff\xff\0\0" + bytes(4)
    path.write_bytes(data)
    return path


def gif(folder: Path) -> Path:
    return write_clip(folder / "moving.gif", [texture()] * 3, codec="gif", pix_fmt="rgb8")


def one_picture(folder: Path) -> Path:
    return pictures(folder, SIZE_WH) / "0.png"


@pytest.mark.parametrize(
    ("make", "num_frames", "size_wh", "warning"),
    [
        pytest.param(one_picture, 1, SIZE_WH, None, id="one image"),
        pytest.param(gif, 3, SIZE_WH, None, id="animated GIF"),
        pytest.param(lambda at: pictures(at, (3, 3), (3, 3)), 2, (4, 4), None, id="odd sizes grow by a pixel"),
        pytest.param(turned, 3, (64, 96), None, id="phone video held upright"),
        pytest.param(
            lambda at: pictures(at, SIZE_WH, (50, 200), (9, 9)), 3, SIZE_WH,
            "pictures differ in size (96x64, then 50x200 at frame 1): poses are in the pixels of each, the overlay",
            id="folder of mixed sizes",
        ),
    ],
)  # fmt: skip
def test_what_comes_of_a_source(
    track: Run, tmp_path: Path, make: Make, num_frames: int, size_wh: tuple[int, int], warning: str | None
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
    folder = pictures(tmp_path, *sizes_wh)
    assert track("--poses", "out.json", source=folder).code == 0
    images = json.loads((tmp_path / "out.json").read_text())["images"]
    assert [(image["width"], image["height"]) for image in images] == sizes_wh
    assert track("--poses", "out.jsonl", source=folder).code == 0
    _, small, large = read_lines(tmp_path / "out.jsonl")
    np.testing.assert_allclose(large["people"][0]["box"], 2 * np.array(small["people"][0]["box"]), atol=0.5)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stream_that_drops_is_opened_again_until_the_user_ends_it(
    tmp_path: Path, models: list[str], number: signal.Signals
) -> None:
    """Each connection gets some pictures; the files are whole."""
    data = write_clip(tmp_path / "sent.ts", [texture()] * 30).read_bytes()
    partial = tmp_path / "out.partial.jsonl"
    with serving(data) as (address, connections):
        command = [sys.executable, "-m", "tracker", "track", "--input", address, *models]
        outputs = ["--output", str(tmp_path / "out.mp4"), "--poses", str(tmp_path / "out.jsonl")]
        with subprocess.Popen([*command, *outputs], cwd=ROOT, stderr=subprocess.PIPE, text=True) as program:
            counts: list[int] = []  # of lines, from the second connection on
            while not counts or counts[-1] == counts[0]:
                assert program.poll() is None
                time.sleep(0.1)
                if len(connections) > 1:
                    counts.append(partial.read_text().count("\n"))
            program.send_signal(number)
            said = program.communicate(timeout=60)[1]
    assert program.returncode == 0, said
    assert re.search(r"^http.*/live dropped after .*; trying to open it again$", said, re.MULTILINE)
    assert re.search(r"^live: \d+ ms from picture to output \(95 %: \d+ ms\);.* opened again ", said, re.MULTILINE)
    check_outputs(tmp_path, None, SIZE_WH)


@contextmanager
def serving(data: bytes) -> Iterator[tuple[str, list[str]]]:
    """The address of a server that sends this to everybody and hangs up, and who came."""
    connections: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            connections.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Nothing on stderr."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://user:secret@127.0.0.1:{server.server_port}/live", connections
        server.shutdown()
        thread.join()


def test_a_stream_that_stops_ends_the_run_with_its_files_closed(track: Run, tmp_path: Path) -> None:
    with serving(write_clip(tmp_path / "sent.ts", [texture()] * 20).read_bytes()) as (address, _):
        done = track("--output", "out.mp4", "--poses", "out.jsonl", "--reconnect", "0", source=address)
    assert done.code == 0
    assert "/live stopped after " in done.err
    assert "check the sender and the network" in done.err
    assert "secret" not in done.err + (tmp_path / "out.jsonl").read_text()
    check_outputs(tmp_path, None, SIZE_WH)
