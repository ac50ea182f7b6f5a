"""A program ends at once and cleanly, whatever its threads are at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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
        pytest.param(_SILENT_STREAM, id="a stream"),
    ],
)
def test_what_is_in_native_code_does_not_hold_up_or_abort_the_end(tmp_path: Path, script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_interactive_session_is_left_cleanly(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-i", "-q", "-c", _SLOW_NETWORK, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")
    assert "terminate" not in done.stderr
