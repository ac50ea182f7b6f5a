"""What goes wrong on users' machines: the line printed, the exit code, and what is left on disk."""

from __future__ import annotations

import functools
import io
import os
import pickle
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from tqdm import TMonitor

import tracker.job.sinks  # noqa: F401  now, because the ordinary user of some tests may not reach this folder
from tests.commands.conftest import (
    SIZE_WH,
    TIMES_S,
    heatmaps,
    texture,
    write_detector,
    write_pose_network,
    write_pose_network_afraid_of_the_dark,
    write_pose_network_for_batches,
)
from tests.commands.runs import count_frames
from tests.trained import DETECTOR, POSE, write_weights
from tests.video.clips import noise_images, write_clip
from tracker.cli import main

NETWORKS = ["--detector", "det.onnx", "--pose-model", "pose.onnx", "--device", "cpu"]
OUTPUTS = ["--output", "out.mp4", "--poses", "out.jsonl", "--overwrite"]
WRITTEN = frozenset({"out.mp4", "out.jsonl"})
# How all begins that a run prints.
LINES = re.compile(
    r"(error|warning|note|detector|pose|written|ms per frame): |\d+ (frames|poses) |stopped after \d+ frames; what was"
)
NOBODY = 65534


@dataclass
class Scene:
    """Where a fault is made: a folder with the clip, the networks and the outputs of an earlier run.

    rights: what the run is done with. cleanup: what is done after it.
    """

    folder: Path
    patch: pytest.MonkeyPatch
    cleanup: ExitStack
    rights: AbstractContextManager[None] = field(default_factory=nullcontext)


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


def goes_on(
    make: Make, options: str, line: str | None, num_frames: int | None = None, left: frozenset[str] = WRITTEN
) -> Fault:
    """A fault that the run survives."""
    return Fault(make, options, line, 0, left, num_frames)


@pytest.fixture
def scene(clip: Path, models: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    # Outside of pytest's folder, which other users may not enter: tests that run beside this one use it, too.
    with TemporaryDirectory() as name, monkeypatch.context() as patch, ExitStack() as cleanup:
        folder = Path(name)
        for path in (clip, Path(models[1]), Path(models[3])):
            shutil.copy(path, folder)
        for output in WRITTEN:
            (folder / output).write_text("precious")
        patch.chdir(folder)
        yield Scene(folder, patch, cleanup)


def nothing(_: Scene) -> None:
    """All is well on disk."""


# --- sources


def written(name: str, content: bytes | str) -> Make:
    """A file of that content."""
    data = content.encode() if isinstance(content, str) else content
    return lambda scene: (scene.folder / name).write_bytes(data)


def folder(name: str) -> Make:
    return lambda scene: (scene.folder / name).mkdir()


def cut(name: str, **options: str) -> Make:
    """The first half of a video file of 20 pictures."""

    def make(scene: Scene) -> None:
        path = write_clip(scene.folder / name, noise_images(20), **options)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return make


def hole(scene: Scene) -> None:
    """A video file of 20 pictures, which lacks some bytes in the middle."""
    path = write_clip(scene.folder / "hole.mkv", noise_images(20))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + data[len(data) // 2 + 2000 :])


def resized(scene: Scene) -> None:
    """A video whose size changes in the middle."""
    parts = [scene.folder / f"{number}.ts" for number in range(2)]
    for number, (path, size_wh) in enumerate(zip(parts, (SIZE_WH, (64, 96)), strict=True)):
        write_clip(path, [cv2.resize(texture(), size_wh)] * 4, times_s=[number + n / 5 for n in range(4)])
    (scene.folder / "joined.ts").write_bytes(b"".join(path.read_bytes() for path in parts))


def pictures(*sizes_wh: tuple[int, int]) -> Make:
    """A folder of black images of those sizes."""

    def make(scene: Scene) -> None:
        (scene.folder / "shots").mkdir()
        for number, (width, height) in enumerate(sizes_wh):
            cv2.imwrite(str(scene.folder / "shots" / f"{number}.png"), np.zeros((height, width), np.uint8))

    return make


def broken_pictures(*numbers: int) -> Make:
    """A folder of three images, of which those are cut off."""

    def make(scene: Scene) -> None:
        pictures(*[SIZE_WH] * 3)(scene)
        for number in numbers:
            path = scene.folder / "shots" / f"{number}.png"
            path.write_bytes(path.read_bytes()[:50])

    return make


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


NO_VIDEO = "is no video that FFmpeg can read, or its end is missing; play it, or convert it to mp4"
NO_IMAGE = "is no image or is damaged; remove it or copy it again"
UNPLUGGED = "camera 0 stopped after … s, at …: it gives no more pictures; check its cable, and whether another …"

SOURCES = {
    "absent": Fault(
        nothing, "--input absent.mp4", "error: cannot open absent.mp4 (No such file or directory); check the path"
    ),
    "no name": Fault(nothing, "--input=", "error: --input is empty; name a video, an image folder, …", code=2),
    "text": Fault(written("x.mp4", "no video\n" * 99), "--input x.mp4", f"error: x.mp4 {NO_VIDEO}"),
    "cut mp4": goes_on(
        cut("cut.mp4", movflags="faststart"), "--input cut.mp4",
        "warning: cut.mp4 is damaged or cut off: … of about 20 frames are missing at its end",
    ),
    "cut ts, which declares no length": goes_on(
        cut("cut.ts"), "--input cut.ts", "warning: cut.ts is damaged or cut off: damage shows in 1 of its frames"
    ),
    "truncated middle": goes_on(hole, "--input hole.mkv", "warning: hole.mkv is damaged or cut off: …"),
    "size that changes in the middle": goes_on(
        resized, "--input joined.ts",
        "warning: pictures differ in size (96x64, then 64x96 at frame 4): poses are in the pixels of each, "
        "the overlay keeps the first size", 8,
    ),
    "one broken image in a folder": goes_on(
        broken_pictures(1), "--input shots",
        f"warning: 1 of 3 images left out; the last of them: shots/1.png {NO_IMAGE}", 2,
    ),
    "broken images alone": Fault(
        broken_pictures(0, 1, 2), "--input shots",
        f"error: 3 of 3 images left out; the last of them: shots/2.png {NO_IMAGE}",
    ),
    "12,000x9,000 px": goes_on(
        pictures((12_000, 9_000)), "--input shots/0.png --poses out.jsonl --overwrite", None, 1,
        frozenset({"out.jsonl"}),
    ),
    "camera that never gives a picture": Fault(camera(0), "--input 0", f"error: {UNPLUGGED}"),
    "unplugged camera": goes_on(camera(4), "--input 0", f"warning: {UNPLUGGED}"),
    "nobody answers": Fault(
        nothing, "--input http://user:secret@127.0.0.1:1/x",
        "error: cannot open http://127.0.0.1:1/x (Connection refused); check the address and the password",
    ),
}  # fmt: skip


# --- outputs


def link(scene: Scene) -> None:
    (scene.folder / "link.mp4").symlink_to(scene.folder / "clip.mp4")


def pipe(scene: Scene) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no pipes among its files")
    os.mkfifo(scene.folder / "x.csv")


def earlier_part(scene: Scene) -> None:
    (scene.folder / "clip.mp4").rename(scene.folder / "new.partial.mp4")


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
    (scene.folder / "stick").mkdir()
    camera(9, lambda: shutil.rmtree(scene.folder / "stick"))(scene)


@contextmanager
def forbidden(path: Path, mode: int, folder: Path) -> Iterator[None]:
    """The path has that mode inside, which binds root, too; everybody may come and write into the folder."""
    with ExitStack() as undo:
        for entry, wanted in {folder: 0o777, path: mode}.items():
            undo.callback(entry.chmod, entry.stat().st_mode)
            entry.chmod(wanted)
        if os.geteuid() == 0:
            if any(parent.stat().st_mode & 0o011 != 0o011 for parent in folder.parents):
                pytest.skip("an ordinary user may not come to the temporary folder")
            os.setresuid(NOBODY, NOBODY, 0)
            undo.callback(os.setresuid, 0, 0, 0)
        yield


def locked(name: str, mode: int = 0, make: Make = nothing) -> Make:
    """A file or folder of that mode, for somebody whom it binds."""

    def lock(scene: Scene) -> None:
        if sys.platform == "win32":
            pytest.skip("Windows has other permissions")
        make(scene)
        scene.rights = forbidden(scene.folder / name, mode, scene.folder)

    return lock


FULL = "No space left on device"
REMEDY = "free some or name another folder"
OVER_INPUT = "would overwrite the input; name another output"
LOCKED = "no permission to write in safe; choose another folder"

OUTPUT_FAULTS = {
    "unknown container": Fault(
        nothing, "--output out.avi", "error: cannot write out.avi: name a video file that ends in .mp4, .m4v, .mov"
    ),
    "unknown format": Fault(
        nothing, "--poses out.xml",
        "error: cannot tell the format of out.xml by its suffix; poses are written as .jsonl, .csv, …, or as …", code=2,
    ),
    "missing folder": Fault(
        nothing, "--output absent/out.mp4",
        "error: cannot write absent/out.mp4: the folder absent does not exist; create it first",
    ),
    "folder as overlay": Fault(
        folder("x.mp4"), "--output x.mp4 --overwrite", "error: x.mp4 is a folder; name a file in it"
    ),
    "one file for both": Fault(
        nothing, "--output out.mp4 --poses out.mp4 --format csv",
        "error: --output and --poses are the same file out.mp4; name two", code=2,
    ),
    "picture of a video": Fault(
        nothing, "--output out.png",
        "error: out.png holds one picture, and clip.mp4 is no single image; name a video file that ends in .mp4, or …",
        code=2,
    ),
    "input as overlay": Fault(
        nothing, "--output clip.mp4 --overwrite", f"error: to write clip.mp4 {OVER_INPUT}", code=2
    ),
    "input as poses": Fault(
        nothing, "--poses clip.mp4 --format csv --overwrite", f"error: to write clip.mp4 {OVER_INPUT}", code=2
    ),
    "link to the input": Fault(
        link, "--output link.mp4 --overwrite", f"error: to write link.mp4 {OVER_INPUT}", code=2
    ),
    "pipe as poses": Fault(
        pipe, "--poses x.csv --overwrite",
        "error: x.csv is a device or a pipe, which a file would replace; name a file",
    ),
    "partial overlay is the input": Fault(
        earlier_part, "--input new.partial.mp4 --output new.mp4 --overwrite",
        f"error: to write new.mp4 {OVER_INPUT}", code=2,
    ),
    "too large for H.264": Fault(
        pictures((16_386, 4)), "--input shots/0.png --output new.mp4",
        "error: cannot write new.mp4: pictures of 16386x4 exceed H.264's 16384 a side; scale the input down",
    ),
    "too large for JPEG": Fault(
        pictures((65_501, 4)), "--input shots/0.png --output new.jpg",
        "error: cannot write new.jpg: its format holds no picture so large; scale the input down",
    ),
    "full disk": Fault(
        small_disk("64k"), "--input long.mp4 --output disk/out.mp4",
        f"error: cannot write disk/out.mp4: {FULL}; the video so far is in disk/out.partial.mp4; {REMEDY}",
        left=frozenset({"disk/out.partial.mp4"}),
    ),
    "disk too small for the last step": Fault(
        small_disk("400k"), "--input long.mp4 --output disk/out.mp4",
        f"error: cannot write disk/out.mp4: {FULL}; the video so far is in disk/out.partial.mp4; {REMEDY}",
        left=frozenset({"disk/out.partial.mp4"}),
    ),
    "full disk for the poses": Fault(
        small_disk("64k"), "--input long.mp4 --poses disk/out.jsonl",
        f"error: cannot write disk/out.jsonl: {FULL}; {REMEDY}", left=frozenset({"disk/out.partial.jsonl"}),
    ),
    "folder that goes": Fault(
        pulled_stick, "--input 0 --output stick/out.mp4 --poses stick/out.jsonl",
        "error: cannot write stick/out.jsonl: No such file or directory",
    ),
    "video without permission": Fault(
        locked("clip.mp4"), "", "error: no permission to read clip.mp4; change its permissions or copy it"
    ),
    "image without permission": goes_on(
        locked("shots/0.png", make=pictures(SIZE_WH, SIZE_WH)), "--input shots",
        "warning: 1 of 2 images left out; the last of them: shots/0.png cannot be read (Permission denied); …", 1,
    ),
    "folder without permission": Fault(
        locked("safe", 0o555, folder("safe")), "--output safe/out.mp4", f"error: cannot write safe/out.mp4: {LOCKED}"
    ),
}  # fmt: skip


# --- networks and devices


class _Attack:
    """Unpickled, it writes a file."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return Path.touch, (Path("attacked"),)  # type: ignore[return-value]


def network(name: str, content: Callable[[], bytes]) -> Make:
    return lambda scene: (scene.folder / name).write_bytes(content())


@functools.cache
def weights(kind: str) -> bytes:
    """The file of a small network, as training writes it."""
    with TemporaryDirectory() as folder:
        metadata = {"detector": DETECTOR, "pose": POSE}[kind]
        return write_weights(Path(folder, "x.safetensors"), metadata).read_bytes()


@functools.cache
def checkpoint() -> bytes:
    stream = io.BytesIO()
    torch.save({"conv.weight": torch.zeros(2)}, stream)
    return stream.getvalue()


def attack() -> bytes:
    return pickle.dumps({"state_dict": _Attack()}, protocol=2)


def half(name: str) -> Make:
    """x.onnx, the first half of another file."""

    def make(scene: Scene) -> None:
        data = (scene.folder / name).read_bytes()
        (scene.folder / "x.onnx").write_bytes(data[: len(data) // 2])

    return make


def nan_box(scene: Scene) -> None:
    write_detector(scene.folder / "x.onnx", [[np.nan, 8, 34, 56, 0.9]])


def infinite_peak(scene: Scene) -> None:
    maps = heatmaps()
    maps[0, 3, 2, 1] = np.inf
    write_pose_network(scene.folder / "x.onnx", maps)


def dark_end(scene: Scene) -> None:
    """Five bright pictures and a dark one, and a pose network that fails on it."""
    write_clip(scene.folder / "dusk.mp4", [texture()] * 5 + [np.zeros_like(texture())])
    write_pose_network_afraid_of_the_dark(scene.folder / "x.onnx")


def memory_for(num_crops: int) -> Make:
    """Memory for batches of that size alone, and a pose network that takes larger ones."""

    def make(scene: Scene) -> None:
        refused: list[int] = []
        run_session = onnxruntime.InferenceSession.run

        def run(self: Any, names: Any, feeds: dict[str, Any], options: Any) -> Any:
            size = len(next(iter(feeds.values())))
            if size > num_crops:
                refused.append(size)
                raise RuntimeError("Failed to allocate memory for requested buffer of size 1048576")
            return run_session(self, names, feeds, options)

        scene.patch.setattr(onnxruntime.InferenceSession, "run", run)
        scene.cleanup.callback(lambda: refused or pytest.fail("memory was never short"))
        write_pose_network_for_batches(scene.folder / "x.onnx")

    return make


def without_gpu(scene: Scene) -> None:
    scene.patch.setattr("torch.cuda.is_available", lambda: False)
    scene.patch.setattr("tracker.runtime._cuda_obstacle", lambda: "no NVIDIA driver found")


NO_FILE = "there is no network file {}; check the name"
NO_ONNX = "{} does not load as an ONNX network (…); it may be cut off or of another kind: get or export it again"
NO_WEIGHTS = "{} cannot be read as network weights (…); it is damaged or of another kind: get it again"
NO_NETWORK = "{} is no … by its name; supported are files ending in .onnx, …"
CODE = "{} holds getattr besides tensors, and loading that could run code, so it is refused; save the state_dict …"
# One file for each way in which a network is read; what else they may hold is in test_runtime.py and test_weights.py.
FILES = {
    "absent onnx": ("--detector x.onnx", nothing, NO_FILE),
    "cut onnx": ("--pose-model x.onnx", half("pose.onnx"), NO_ONNX),
    "pickle named onnx": ("--detector x.onnx", network("x.onnx", attack), NO_ONNX),
    "cut weights": (
        "--detector x.safetensors", network("x.safetensors", lambda: weights("pose")[:20_000]), NO_WEIGHTS
    ),
    "pickle that would run code": ("--pose-model x.pth", network("x.pth", attack), CODE),
    "checkpoint of another network": (
        "--pose-model x.pth", network("x.pth", checkpoint), "{} holds no PoseResNet (it begins …"
    ),
    "video as detector": ("--detector clip.mp4", nothing, NO_NETWORK),
    "video for poses": ("--pose-model clip.mp4", nothing, NO_NETWORK),
}  # fmt: skip
NOT_FINITE = "x.onnx…gave values that are not finite on ONNX Runtime …"
NO_MEMORY = "det.onnx runs out of memory on ONNX Runtime … on CPU; free some, take smaller networks or a smaller …"
NO_GPU = "does not work: {}; use --device auto or cpu"

NETWORK_FAULTS = {
    what: Fault(make, options, f"error: {line.format(options.split()[1])}")
    for what, (options, make, line) in FILES.items()
} | {
    "detector weights for poses": Fault(
        network("x.safetensors", lambda: weights("detector")), "--pose-model x.safetensors",
        "error: x.safetensors states RTMDetNano in its metadata, but must be PoseLiteHRNet …; name another file",
    ),
    "pose network as detector": Fault(
        nothing, "--detector pose.onnx",
        "error: pose.onnx is no detector of a known kind: its inputs are image float32 …; supported: …",
    ),
    "detector for poses": Fault(
        nothing, "--pose-model det.onnx",
        "error: det.onnx takes image float32 [1, 3, 64, 96] and gives dets float32 [1, 2, 5], …; supported is …",
    ),
    "detector gives NaN": Fault(
        nan_box, "--detector x.onnx", f"error: {NOT_FINITE}; try --device cpu or another …"
    ),
    "pose network gives infinity": Fault(
        infinite_peak, "--pose-model x.onnx", f"error: {NOT_FINITE}; its file may be damaged, or half …"
    ),
    "NaN after some pictures": Fault(
        dark_end, "--input dusk.mp4 --pose-model x.onnx", f"error: {NOT_FINITE}",
        left=frozenset({"out.partial.mp4", "out.partial.jsonl"}),
    ),
    "absent GPU": Fault(
        without_gpu, "--device cuda", f"error: device cuda {NO_GPU.format('no NVIDIA driver found')}"
    ),
    "memory for half a batch": goes_on(memory_for(1), "--pose-model x.onnx", None, len(TIMES_S)),
    "memory not even for one picture": Fault(memory_for(0), "--pose-model x.onnx", f"error: {NO_MEMORY}"),
}  # fmt: skip


FAULTS = SOURCES | OUTPUT_FAULTS | NETWORK_FAULTS


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_is_told_in_one_line(scene: Scene, capfd: pytest.CaptureFixture[str], fault: Fault) -> None:
    fault.make(scene)
    options = fault.options.split()
    outputs = [] if {"--output", "--poses"} & {*options} else OUTPUTS
    before, threads = contents(scene.folder), running_threads()
    with scene.rights:
        code = main(["track", "--input", "clip.mp4", *NETWORKS, *outputs, "--min-hits", "1", *options])
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
