"""`doctor`: what works here, what does not, and the remedy. It starts whatever library is broken."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, TypeAlias

from tracker.errors import (
    REINSTALL_ONNXRUNTIME,
    DeviceError,
    TrackerError,
    explain_import_error,
    explain_missing_system_library,
)

# A driver that hangs must not keep the others from being looked at.
_USUAL_PATIENCE_S = 60.0
_PATIENCE_S = {"tracking": 900.0}
# What mends a library that crashes or does not import, by check.
_MEND = "pip install --force-reinstall -r requirements.txt"
_MENDS = {
    "opencv": "pip install --force-reinstall opencv-python",
    "torch": "pip install --force-reinstall torch",
    "onnx": REINSTALL_ONNXRUNTIME,
    "video": "pip install --force-reinstall av",
}
# What a check is about, and the checks without which it cannot succeed; tracking is the main job.
_MODULES = {"opencv": "cv2", "torch": "torch", "onnx": "onnxruntime", "video": "av"}
_NEEDS = {
    **dict.fromkeys(("video", "display", "cameras"), ("opencv",)),
    "tracking": ("opencv", "onnx", "video", "weights", "torch"),
}
_NEEDED = ("opencv", "onnx", "video", "weights", "tracking")
# A graph that gives back its one number.
_GRAPH = bytes.fromhex(
    "08083a370a100a017812017922084964656e746974791201675a0f0a0178120a0a08080112040a020801620f0a0179120a0a0808011204"
    "0a02080142040a00100d"
)
# Packages that bring the same folder: of two of them, the one that is removed takes files of the other along.
_DOUBLES: dict[str, tuple[tuple[str, ...], str]] = {
    "cv2": (
        ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
        "opencv-python",
    ),
    "onnxruntime": (
        ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino", "onnxruntime-silicon"),
        "onnxruntime-gpu" if platform.machine() in ("x86_64", "AMD64") and sys.platform != "darwin" else "onnxruntime",
    ),
}
# Codecs that videos of users have, and what FFmpeg calls an encoder of each.
_CODECS = {
    **{"h264": "libx264", "hevc": "libx265", "vp9": "libvpx-vp9"},
    **{"av1": "libsvtav1", "mpeg4": "mpeg4", "mjpeg": "mjpeg"},
}
_LEAST_MEMORY_GB, _LEAST_DISK_GB = 1.0, 1.0
_MOST_CAMERAS = 4
# Of the benchmark: some ten seconds on two cores.
_PEOPLE, _HEIGHT, _NUM_FRAMES = 3, 720, 100


@dataclass(frozen=True)
class Finding:
    """What a check says. state: ok, note (something that not everybody needs is absent) or problem."""

    state: str
    text: str
    remedy: str | None = None


Check: TypeAlias = Callable[[], Iterable[Finding]]


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "doctor",
        help="see what works on this machine, and how fast",
        description="Look at Python, libraries, devices, encoders, display, cameras, included networks and memory, and "
        "track a drawn crowd for some seconds. Every problem has its remedy. The exit code is 1 if tracking does not "
        "work, or something is broken that it needs.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    parser.add_argument("--only", nargs="+", choices=CHECKS, metavar="CHECK", help=f"of {', '.join(CHECKS)}")
    parser.add_argument("--inside", choices=CHECKS, help=argparse.SUPPRESS)  # one check, in this very process
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look at everything, or at what is asked for; 1 if a crowd could not be tracked, or what that needs failed."""
    if args.inside:
        print(json.dumps([asdict(finding) for finding in _found(args.inside)]))
        return 0
    look = cache(_look)
    found: dict[str, list[Finding]] = {}
    for name in dict.fromkeys(args.only or CHECKS):
        found[name] = _refer(look(name), (cause for cause in _NEEDS.get(name, ()) if _failed(look(cause))))
        if not args.json:
            print("\n".join(_lines(name, found[name])), flush=True)
    failed = [name for name in found if name in _NEEDED and _failed(found[name])]
    works = "tracking" not in failed if "tracking" in found else not failed
    if args.json:
        checks = {name: [asdict(finding) for finding in findings] for name, findings in found.items()}
        print(json.dumps({"works": works if "tracking" in found else None, "checks": checks}, indent=1))
    elif not works:
        print("\nTracking does not work here; the first problem above is where to begin.")
    return int(not works)


def _failed(findings: Iterable[Finding]) -> bool:
    """Whether a check was not passed at all: one that works may still have a problem to tell."""
    return {finding.state for finding in findings} == {"problem"}


def _refer(findings: list[Finding], causes: Iterator[str]) -> list[Finding]:
    """The findings of a check; if it failed, without remedies of their own where other checks are the cause."""
    cause = next(causes, None) if _failed(findings) else None
    return [replace(one, remedy=f"mend {cause} first") for one in findings] if cause else findings


def _place_of(name: str) -> str:
    """Where the library of a check is imported from, "" if it is not there."""
    spec = importlib.util.find_spec(_MODULES[name]) if name in _MODULES else None
    places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
    return next((f", {_MODULES[name]} being {place}" for place in places if place), "")


def _lines(name: str, findings: Iterable[Finding]) -> Iterator[str]:
    for finding in findings:
        yield f"{finding.state:<8} {name:<9} {finding.text}"
        if finding.remedy:
            yield f"{'':<18} → {finding.remedy}"


def _look(name: str) -> list[Finding]:
    """What a check finds; of a library that fails, where it is, too."""
    findings = _look_inside(name)
    return [replace(one, text=one.text + _place_of(name)) for one in findings] if _failed(findings) else findings


def _look_inside(name: str) -> list[Finding]:
    """What a check finds in a process of its own, since libraries that are broken may end theirs, or hang."""
    mend, root = _MENDS.get(name, _MEND), Path(__file__).parents[2]
    further = None if root.name.endswith("-packages") else str(root)  # of a checkout that is not installed
    paths = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), further)))
    limit_s = _PATIENCE_S.get(name, _USUAL_PATIENCE_S)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tracker", "doctor", "--inside", name],
            capture_output=True, encoding="utf-8", errors="replace", timeout=limit_s, check=False,
            env=os.environ | {"PYTHONPATH": paths, "PYTHONIOENCODING": "utf-8"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return [Finding("problem", f"no answer within {limit_s:.0f} s", mend)]
    if done.returncode == 0:
        return [Finding(**finding) for finding in json.loads(done.stdout.splitlines()[-1])]
    code = done.returncode
    ending = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return [Finding("problem", f"the process crashed ({ending})", mend)]


def _found(name: str) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(CHECKS[name]())
    except Exception as error:  # noqa: BLE001 - a broken library may raise anything
        found.append(_explained(error, _MENDS.get(name, _MEND)))
    return found


def _explained(error: Exception, mend: str) -> Finding:
    """A problem and its remedy, which the program's own messages have behind a semicolon."""
    is_nameless = isinstance(error, ImportError) and not error.name and not isinstance(error, TrackerError)
    if is_nameless and not explain_missing_system_library(error):
        return Finding("problem", f"it does not import ({' '.join(str(error).split())[:200]})", mend)
    if isinstance(error, ImportError | AttributeError) and not isinstance(error, TrackerError):
        error = explain_import_error(error)
    text = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, TrackerError):
        return Finding("problem", f"{type(error).__name__}: {text}"[:300], mend)
    what, _, remedy = text.rpartition("; ")
    return Finding("problem", what or remedy, remedy.removeprefix("run: ") if what else None)


def _check_system() -> Iterator[Finding]:
    from tracker.runtime import num_cores

    kind = "virtual environment" if sys.prefix != sys.base_prefix else "no virtual environment"
    yield Finding("ok", f"Python {platform.python_version()} ({kind}, {sys.executable})")
    yield Finding("ok", f"{platform.platform()}, {platform.machine()}, {num_cores()} cores")


def _check_packages() -> Iterator[Finding]:
    installed: dict[str, str] = {}
    for one in metadata.distributions():  # the first of a name is what is imported
        installed.setdefault((one.metadata["Name"] or "").lower().replace("_", "-"), one.version)
    for module, (names, wanted) in _DOUBLES.items():
        here = [name for name in names if name in installed]
        versions = ", ".join(f"{name} {installed[name]}" for name in here)
        if len(here) > 1:
            remedy = f"pip uninstall -y {' '.join(here)}, then pip install {wanted}"
            yield Finding("problem", f"{versions} bring the same folder {module}", remedy)
        elif here:
            yield Finding("ok", versions)
        else:
            yield Finding("problem", f"no package that brings {module} is installed", f"pip install {wanted}")


def _check_opencv() -> Iterator[Finding]:
    import cv2
    import numpy as np

    grey = cv2.resize(np.zeros((96, 96), np.uint8), (64, 64))
    cv2.DISOpticalFlow.create().calc(grey, grey, np.zeros((64, 64, 2), np.float32))
    yield Finding("ok", f"OpenCV {cv2.__version__} resizes and finds flow")


def _check_torch() -> Iterator[Finding]:
    import torch

    from tracker.runtime import describe_torch_device, has_nvidia_driver, resolve_torch_device

    yield Finding("ok", describe_torch_device(torch.device("cpu")))
    for index in range(torch.cuda.device_count()):
        try:
            device = resolve_torch_device(f"cuda:{index}")[0]
            free, total = (size / 1e9 for size in torch.cuda.mem_get_info(device))
            yield Finding("ok", f"{describe_torch_device(device)}, {free:.1f} of {total:.1f} GB free")
        except DeviceError as error:
            yield _explained(error, _MENDS["torch"])
    if has_nvidia_driver() and not torch.cuda.is_available():
        remedy = "install the CUDA build of torch that fits the driver: https://pytorch.org/get-started/locally"
        yield Finding("problem", f"there is an NVIDIA driver, but torch {torch.__version__} does not use it", remedy)


def _check_onnxruntime() -> Iterator[Finding]:
    from tracker.runtime import OnnxNetwork, has_nvidia_driver

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "one.onnx")
        path.write_bytes(_GRAPH)
        network = OnnxNetwork(path)
        import numpy as np
        import onnxruntime

        network.run(np.ones(1, np.float32))
        providers = ", ".join(name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers())
        yield Finding("ok", f"{network.engine} runs; it was built with {providers}")
        if network.note and has_nvidia_driver():
            yield Finding("problem", network.note, "pip install 'onnxruntime-gpu[cuda,cudnn]'")


def _check_video() -> Iterator[Finding]:
    """Encode pictures as our overlays are, and in what users bring; decode and compare them."""
    import av

    from tracker.runtime import muted_native_stderr

    works = []
    with tempfile.TemporaryDirectory() as folder:
        _compare(_write_overlay(Path(folder, "overlay.mp4")))
        for codec, encoder in _CODECS.items():
            if encoder in av.codec.codecs_available:
                with muted_native_stderr():  # x265 has much to say
                    _compare(_encode(Path(folder, f"{codec}.mkv"), encoder))
                works.append(codec)
    yield Finding("ok", f"PyAV {av.__version__}: {', '.join(works)} encoded, decoded and compared")


def _pictures() -> list[Any]:
    """Ten pictures of a square that moves."""
    import numpy as np

    pictures = []
    for number in range(10):
        picture = np.full((128, 192, 3), (40, 90, 160), np.uint8)
        picture[32:96, 10 * number : 10 * number + 64] = (200, 160, 60)
        pictures.append(picture)
    return pictures


def _write_overlay(path: Path) -> Path:
    from tracker.video.writer import VideoWriter

    with VideoWriter(path, fps=Fraction(25)) as video:
        for number, picture in enumerate(_pictures()):
            video.write(picture, number / 25)
    return path


def _encode(path: Path, encoder: str) -> Path:
    import av

    with av.open(str(path), "w") as video:
        stream: Any = video.add_stream(encoder, rate=25)
        stream.height, stream.width = _pictures()[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if encoder == "mjpeg" else "yuv420p"
        for picture in _pictures():
            video.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        video.mux(stream.encode(None))
    return path


def _compare(path: Path) -> None:
    """Raise RuntimeError unless the pictures come back."""
    import numpy as np

    from tracker.video.source import open_source

    with open_source(str(path)) as video:
        found = [frame.image for frame in video]
    if len(found) != len(_pictures()):
        raise RuntimeError(f"{path.name}: {len(found)} of {len(_pictures())} pictures come back")
    off = max(float(np.abs(a.astype(int) - b).mean()) for a, b in zip(found, _pictures(), strict=True))
    if off > 8:
        raise RuntimeError(f"{path.name}: pictures come back different, by {off:.0f} of 255 on average")


def _check_display() -> Iterator[Finding]:
    from tracker.video.window import window_problem

    problem = window_problem()
    what, _, remedy = (problem or "").partition("; ")
    remedy = remedy or "--show needs a desktop, or ssh -X; files are written without"
    yield Finding("note", f"no live window: {what}", remedy) if problem else Finding("ok", "a live window opens")


def _check_cameras() -> Iterator[Finding]:
    import cv2

    from tracker.video.opencv_log import opencv_silenced

    numbers = [n for n in range(_MOST_CAMERAS) if sys.platform != "linux" or Path(f"/dev/video{n}").exists()]
    found = []
    with opencv_silenced():
        for number in numbers:
            camera = cv2.VideoCapture(number)
            arrived, picture = camera.read() if camera.isOpened() else (False, None)
            camera.release()
            if arrived and picture is not None:
                found.append(f"camera {number}: {picture.shape[1]}×{picture.shape[0]}")
            elif sys.platform == "linux":
                yield Finding(
                    "note", f"/dev/video{number} gives no picture", "close what uses it, or try another number"
                )
    yield Finding("ok", ", ".join(found)) if found else Finding("note", "no camera", "files and streams need none")


def _check_weights() -> Iterator[Finding]:
    from tracker.weights import MANIFEST, find_default, read_manifest

    networks = read_manifest()
    if not networks:
        find_default("pose")  # which says what to do
    for network in networks:
        for engine in ("onnxruntime", "torch"):
            find_default(network.kind, "cpu", engine=engine)
    kinds = ", ".join(network.kind for network in networks)
    yield Finding("ok", f"{kinds}: whole, in {MANIFEST.parent}")


def _check_memory() -> Iterator[Finding]:
    free, total = _memory_gb()
    if total:
        state = "note" if free is not None and free < _LEAST_MEMORY_GB else "ok"
        text = f"{total:.1f} GB" + (f", {free:.1f} GB free" if free is not None else "")
        yield Finding(state, text, "close other programs, or take --detector-size 320" if state == "note" else None)
    for place in dict.fromkeys((str(Path.cwd()), tempfile.gettempdir())):
        room = shutil.disk_usage(place).free / 1e9
        if room < _LEAST_DISK_GB:
            yield Finding("note", f"{room:.1f} GB of disk are free at {place}", "free some, or name another folder")


def _memory_gb() -> tuple[float | None, float | None]:
    """What is free and all there is, None where it cannot be known."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        sizes = {line.split(":")[0]: int(line.split()[1]) / 1e6 for line in lines}
        return sizes.get("MemAvailable"), sizes["MemTotal"]
    except (OSError, KeyError, ValueError):
        if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
            return None, None
        return None, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9


def _check_tracking() -> Iterator[Finding]:
    """Do the main job on drawn people: decode, detect, estimate, track, draw, encode."""
    from tracker.commands.bench import run_measures
    from tracker.job.job import Engine, Settings
    from tracker.job.measure import measure
    from tracker.runtime import num_cores

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    (found,) = run_measures(Settings(), Engine(), [measure], None, _PEOPLE, _HEIGHT, _NUM_FRAMES)
    rate, engine = 1e3 / found.frame_wall_ms, found.parts[0].rpartition(", ")[2]
    crowd = f"{_PEOPLE} people in {found.size_wh[0]}×{found.size_wh[1]}"
    yield Finding(
        "ok", f"{rate:.1f} frames/s of {crowd} with --speed exact, where networks look at every frame; {engine}"
    )
    if load > num_cores() / 2:
        text = f"other programs kept the machine busy meanwhile (a load of {load:.1f} on {num_cores()} cores)"
        yield Finding("note", text, "look again when they have ended: it is faster then")


CHECKS: dict[str, Check] = {
    "system": _check_system,
    "packages": _check_packages,
    "opencv": _check_opencv,
    "torch": _check_torch,
    "onnx": _check_onnxruntime,
    "video": _check_video,
    "display": _check_display,
    "cameras": _check_cameras,
    "weights": _check_weights,
    "memory": _check_memory,
    "tracking": _check_tracking,
}
