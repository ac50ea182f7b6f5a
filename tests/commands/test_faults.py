"""What goes wrong on users' machines: the line printed, the exit code, and what is left on disk."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tqdm import TMonitor

from tests.commands.conftest import (
    texture,
    write_pose_network_afraid_of_the_dark,
)
from tests.commands.runs import count_frames
from tests.video.clips import noise_images, write_clip
from tracker.cli import main

NETWORKS = ["--detector", "det.onnx", "--pose-model", "pose.onnx", "--device", "cpu"]
OUTPUTS = ["--output", "out.mp4", "--poses", "out.jsonl", "--overwrite"]
WRITTEN = frozenset({"out.mp4", "out.jsonl"})
# How all begins that a run prints.
LINES = re.compile(
    r"(error|warning|note|detector|pose|written|ms per frame|speed|tracker|looks for people|live): "
    r"|\d+ (frames?|poses?) |stopped after \d+ frames?; what was"
)


@dataclass
class Scene:
    """Where a fault is made: a folder with the clip, the networks and the outputs of an earlier run.

    cleanup: what is done after it.
    """

    folder: Path
    patch: pytest.MonkeyPatch
    cleanup: ExitStack


Make = Callable[[Scene], object]


@dataclass(frozen=True)
class Fault:
    """How it is made, the options that `track` is then given, and what must come of it.

    line: what is printed, where an ellipsis stands for any text, or None for not a word. left: the files that are new
    or changed; all others are as they were. num_frames: how many each output of a run that goes on has, None for some.
    """

    make: Make
    options: str
    line: str | None
    code: int = 1
    left: frozenset[str] = frozenset()
    num_frames: int | None = None


def goes_on(make: Make, options: str, line: str | None, num_frames: int | None = None) -> Fault:
    """A fault that the run survives."""
    return Fault(make, options, line, 0, WRITTEN, num_frames)


@pytest.fixture
def scene(clip: Path, models: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with monkeypatch.context() as patch, ExitStack() as cleanup:
        for path in (clip, Path(models[1]), Path(models[3])):
            shutil.copy(path, tmp_path)
        for output in WRITTEN:
            (tmp_path / output).write_text("precious")
        patch.chdir(tmp_path)
        yield Scene(tmp_path, patch, cleanup)


# --- sources


def cut(name: str, **options: str) -> Make:
    """The first half of a video file of 20 pictures."""

    def make(scene: Scene) -> None:
        path = write_clip(scene.folder / name, noise_images(20), **options)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return make


def broken_picture(scene: Scene) -> None:
    """A folder of three images, of which the second is cut off."""
    (scene.folder / "shots").mkdir()
    for number in range(3):
        path = scene.folder / "shots" / f"{number}.png"
        cv2.imwrite(str(path), texture())
        if number == 1:
            path.write_bytes(path.read_bytes()[:50])


def camera(num_pictures: int, at_end: Callable[[], object] = lambda: None) -> Make:
    """A camera that gives that many pictures, and then no more."""

    class Camera:
        def __init__(self, index: int) -> None:
            self._num_left = num_pictures

        def isOpened(self) -> bool:  # noqa: N802  OpenCV's name
            return True

        def read(self) -> tuple[bool, Any]:
            self._num_left -= 1
            if self._num_left < 0:
                at_end()
            return self._num_left >= 0, texture()

        def release(self) -> None:
            """Nothing is held."""

    return lambda scene: scene.patch.setattr(cv2, "VideoCapture", Camera)


NO_IMAGE = "is no image or is damaged; remove it or copy it again"
UNPLUGGED = "camera 0 stopped after … s, at …: it gives no more pictures; check its cable, and whether another …"

SOURCES = {
    "cut mp4": goes_on(
        cut("cut.mp4", movflags="faststart"), "--input cut.mp4",
        "warning: cut.mp4 is damaged or cut off: … of about 20 frames are missing at its end",
    ),
    "one broken image in a folder": goes_on(
        broken_picture, "--input shots",
        f"warning: 1 of 3 images left out (1.png); the last of them: shots/1.png {NO_IMAGE}", 2,
    ),
    "unplugged camera": goes_on(camera(4), "--input 0 --reconnect 0", f"warning: {UNPLUGGED}"),
}  # fmt: skip


# --- outputs


def small_disk(size: str) -> Make:
    """A file system of that size in the folder `disk`, and a clip of 80 pictures that do not compress."""

    def make(scene: Scene) -> None:
        disk = scene.folder / "disk"
        disk.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("needs the right to mount a file system")
        scene.cleanup.callback(subprocess.run, ["umount", str(disk)], check=True)
        write_clip(scene.folder / "long.mp4", noise_images(80))

    return make


def pulled_stick(scene: Scene) -> None:
    """A folder that is gone once the camera has given its pictures."""
    stick = scene.folder / "stick"
    stick.mkdir()

    def pull() -> None:
        while stick.exists():  # files may be made there meanwhile
            shutil.rmtree(stick, ignore_errors=True)

    camera(9, pull)(scene)


FULL = "No space left on device"
REMEDY = "free some or name another folder"

OUTPUT_FAULTS = {
    "full disk": Fault(
        small_disk("64k"), "--input long.mp4 --output disk/out.mp4",
        f"error: cannot write disk/out.mp4: {FULL}; the video so far is in disk/out.partial.mp4; {REMEDY}",
        left=frozenset({"disk/out.partial.mp4"}),
    ),
    "disk too small for the last step": Fault(
        small_disk("700k"), "--input long.mp4 --output disk/out.mp4",
        f"error: cannot write disk/out.mp4: {FULL}; the video so far is in disk/out.partial.mp4; {REMEDY}",
        left=frozenset({"disk/out.partial.mp4"}),
    ),
    "full disk for the poses": Fault(
        small_disk("64k"), "--input long.mp4 --poses disk/out.jsonl",
        f"error: cannot write disk/out.jsonl: {FULL}; {REMEDY}", left=frozenset({"disk/out.partial.jsonl"}),
    ),
    "folder that goes": Fault(
        pulled_stick, "--input 0 --reconnect 0 --output stick/out.mp4 --poses stick/out.jsonl",
        "error: cannot write stick/out.jsonl: No such file or directory",
    ),
}  # fmt: skip


# --- networks and devices


def dark_end(scene: Scene) -> None:
    """Five bright pictures and a dark one, and a pose network that fails on it."""
    write_clip(scene.folder / "dusk.mp4", [texture()] * 5 + [np.zeros_like(texture())])
    write_pose_network_afraid_of_the_dark(scene.folder / "x.onnx")


# What else files of networks may hold is in test_runtime.py, test_weights.py and where their families are tested.
NETWORK_FAULTS = {
    "NaN after some pictures": Fault(
        dark_end, "--input dusk.mp4 --pose-model x.onnx", "error: x.onnx…gave values that are not finite …",
        left=frozenset({"out.partial.mp4", "out.partial.jsonl"}),
    ),
}  # fmt: skip


FAULTS = SOURCES | OUTPUT_FAULTS | NETWORK_FAULTS


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_is_told_in_one_line(scene: Scene, capfd: pytest.CaptureFixture[str], fault: Fault) -> None:
    fault.make(scene)
    options = fault.options.split()
    outputs = [] if {"--output", "--poses"} & {*options} else OUTPUTS
    before, threads = contents(scene.folder), running_threads()
    code = main(["track", "--input", "clip.mp4", *NETWORKS, *outputs, "--confirm-after", "0", *options])
    out, err = capfd.readouterr()  # of native code, too
    assert (code, out) == (fault.code, "")
    check_lines(err.splitlines(), fault.line)
    assert running_threads() == threads
    after = contents(scene.folder)
    assert {name for name in before | after if after.get(name) != before.get(name)} == fault.left
    check_outputs([scene.folder / name for name in fault.left], fault)


def check_lines(lines: list[str], expected: str | None) -> None:
    """One line of complaint alone, and no other text than that of a summary."""
    assert [line for line in lines if not LINES.match(line)] == []
    told = [line for line in lines if line.startswith(("error: ", "warning: ", "note: "))]
    assert len(told) == (expected is not None)
    if expected is not None:
        assert re.fullmatch(".*".join(map(re.escape, expected.split("…"))), told[0]), told[0]


def check_outputs(paths: list[Path], fault: Fault) -> None:
    """All can be read; those of a run that went on hold the same frames, as many as there must be."""
    counts = {count_frames(path) for path in paths}
    if fault.code == 0:
        assert len(counts) == 1
        assert counts == {fault.num_frames} or (fault.num_frames is None and min(counts) > 0)


def contents(folder: Path) -> dict[str, bytes]:
    """What is in the files of a folder and those below."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def running_threads() -> set[threading.Thread]:
    """All but that of tqdm, which watches progress bars for good."""
    return {thread for thread in threading.enumerate() if not isinstance(thread, TMonitor)}
