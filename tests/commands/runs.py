"""The program as a process that is watched by what it writes, and what its outputs hold."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from tests.commands.conftest import texture
from tracker.formats import read_results

MODULE = [sys.executable, "-m", "tracker", "track"]
DEADLINE_S = 60


def write_endless_clip(path: Path) -> Path:
    """Far more frames than a test waits for: one picture, coded once and written over and over."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width = texture().shape[:2]
        stream.pix_fmt = "yuvj420p"
        picture = av.VideoFrame.from_ndarray(texture(), "bgr24").reformat(format="yuvj420p")
        (coded,) = [*stream.encode(picture), *stream.encode(None)]
        for number in range(20_000):
            packet = av.Packet(bytes(coded))
            packet.pts = packet.dts = number
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), stream, True
            container.mux(packet)
    return path


@contextmanager
def running(command: list[str], num_bytes: int, poses: Path) -> Iterator[subprocess.Popen[str]]:
    """A process in a session of its own, once it has written so much of the poses; killed if it still runs."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + DEADLINE_S
    with process:
        try:
            while not poses.exists() or poses.stat().st_size < num_bytes:
                assert process.poll() is None, process.stderr and process.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.005)
            yield process
        finally:
            process.kill()


def video_times(path: Path) -> list[float]:
    """When the pictures of a video are shown, in seconds."""
    with av.open(str(path)) as container:
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]


def count_frames(path: Path) -> int:
    """How many frames an overlay or poses have; of partial files the very last one may be cut off."""
    if path.suffix == ".jsonl":
        results = read_results(path)
        assert results.warning is None or ".partial" in path.name
        indices = [frame.index for frame in results.frames]
        assert indices == sorted(set(indices))
        return len(results.frames)
    with av.open(str(path)) as video:
        num_frames, is_cut = 0, False
        for packet in video.demux(video=0):
            assert not is_cut or packet.size == 0, "more than the last picture is damaged"
            try:
                num_frames += len(packet.decode())
            except av.InvalidDataError:
                is_cut = True
    assert not is_cut or ".partial" in path.name
    return num_frames
