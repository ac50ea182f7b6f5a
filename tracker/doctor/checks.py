"""What can be looked at, each by itself: what works, what does not, and the remedy."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from tracker.doctor.codecs import check_video
from tracker.doctor.findings import Check, Finding, explained
from tracker.errors import REINSTALL_ONNXRUNTIME, DeviceError, reinstall_libraries

# What mends a library that crashes or does not import, by check.
_MENDS = {
    "opencv": "pip install --force-reinstall opencv-python",
    "torch": "pip install --force-reinstall torch",
    "onnx": REINSTALL_ONNXRUNTIME,
    "video": "pip install --force-reinstall av",
}
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
_LEAST_MEMORY_GB, _LEAST_DISK_GB = 1.0, 1.0
_MOST_CAMERAS = 4
# Of the benchmark: some ten seconds on two cores.
_PEOPLE, _HEIGHT, _NUM_FRAMES = 3, 720, 100


def mend_of(name: str) -> str:
    """What mends the library that a check of that name is about."""
    return _MENDS.get(name) or reinstall_libraries()


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
    if importlib.util.find_spec("torch") is None:
        yield Finding("note", "no torch, which checkpoints and training alone need", "pip install torch")
        return
    import torch

    from tracker.runtime import describe_torch_device, has_nvidia_driver, resolve_torch_device

    yield Finding("ok", describe_torch_device(torch.device("cpu")))
    for index in range(torch.cuda.device_count()):
        try:
            device = resolve_torch_device(f"cuda:{index}")[0]
            free, total = (size / 1e9 for size in torch.cuda.mem_get_info(device))
            yield Finding("ok", f"{describe_torch_device(device)}, {free:.1f} of {total:.1f} GB free")
        except DeviceError as error:
            yield explained(error, _MENDS["torch"])
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
    from tracker.job.job import Engine, Settings
    from tracker.job.measure import measure, run_measures
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
    "video": check_video,
    "display": _check_display,
    "cameras": _check_cameras,
    "weights": _check_weights,
    "memory": _check_memory,
    "tracking": _check_tracking,
}
