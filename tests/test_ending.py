"""A program ends at once and cleanly, whatever its threads are at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest

from tests.video.clips import noise_images, write_clip

ROOT = Path(__file__).resolve().parent.parent

# Takes minutes, in C++ code.
_SLOW_NETWORK = """
import sys, time
from pathlib import Path
import numpy as np
from tests.onnx_graphs import Node, write_graph
from tracker import pipeline
from tracker.pipeline import run_ahead
from tracker.runtime import OnnxNetwork, TensorInfo

pipeline._PATIENCE_S = 600
side, count = 2000, 600
x, y = (TensorInfo(name, (side, side), "float32") for name in ("0", str(count)))
nodes = [Node("MatMul", [str(n), str(n)], str(n + 1)) for n in range(count)]
network = OnnxNetwork(write_graph(Path(sys.argv[1], "slow.onnx"), [x], [y], nodes=nodes), "cpu")
image = np.zeros((side, side), np.float32)

def results():
    yield 0
    yield network.run(image)
    yield network.run(image)

ahead = run_ahead(results(), 1)
next(ahead)
time.sleep(0.1)
"""

# Takes minutes, in many calls of torch.
_SLOW_TORCH = """
import time
import torch
from tracker import pipeline
from tracker.pipeline import run_ahead
from tracker.runtime import TorchNetwork

pipeline._PATIENCE_S = 600
layer = torch.nn.Conv2d(64, 64, 3, padding=1)
network = TorchNetwork(torch.nn.Sequential(*[layer] * 3000), "cpu")

def results():
    yield 0
    yield network.run(torch.zeros(4, 64, 256, 256))

ahead = run_ahead(results(), 1)
next(ahead)
time.sleep(0.5)
"""

# A sender that falls silent after its first pictures; the reader would wait for minutes.
_SILENT_STREAM = """
import socket, sys, threading
from contextlib import suppress
from pathlib import Path
from tests.video.clips import noise_images, write_clip
from tracker.pipeline import run_ahead
from tracker.video import stream
from tracker.video.source import open_source

stream._TIMEOUT_S = 600
clip = write_clip(Path(sys.argv[1], "clip.ts"), noise_images(60))
listener = socket.create_server(("127.0.0.1", 0))

def serve():
    connection = listener.accept()[0]
    connection.sendall(clip.read_bytes())
    with suppress(ConnectionError):
        connection.recv(1)

threading.Thread(target=serve, daemon=True).start()
source = open_source(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
ahead = run_ahead((frame for frame in source), 1)
next(ahead)
"""


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(_SLOW_NETWORK, id="a network"),
        pytest.param(_SLOW_TORCH, id="torch"),
        pytest.param(_SILENT_STREAM, id="a stream"),
    ],
)
def test_what_is_in_native_code_does_not_hold_up_or_abort_the_end(tmp_path: Path, script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def num_unread(pipe: IO[bytes]) -> int:
    """Bytes that a pipe holds."""
    import fcntl
    import termios

    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has neither such pipes nor such signals")
@pytest.mark.parametrize(("number", "has_begun"), [(signal.SIGTERM, True), (signal.SIGINT, False)])
def test_a_silent_sender_does_not_keep_the_program_from_ending(
    tmp_path: Path, number: signal.Signals, has_begun: bool
) -> None:
    clip = write_clip(tmp_path / "clip.mkv", noise_images(30)).read_bytes()
    begun = tmp_path / "poses.partial.jsonl"
    command = [sys.executable, "-m", "tracker", "track", "--input", "-", "--poses", str(tmp_path / "poses.jsonl")]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdin
        assert program.stderr
        program.stdin.write(clip if has_begun else clip[:100])
        program.stdin.flush()
        while num_unread(program.stdin) or (has_begun and not begun.exists()):
            assert program.poll() is None
            time.sleep(0.05)
        program.send_signal(number)
        program.wait(30)
        assert program.returncode == {signal.SIGTERM: 143, signal.SIGINT: 130}[number]
        assert b"interrupted" in program.stderr.read()


def test_an_interactive_session_is_left_cleanly(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-i", "-q", "-c", _SLOW_NETWORK, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")
    assert "terminate" not in done.stderr
