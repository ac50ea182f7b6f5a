"""Which engine runs a network: ONNX Runtime, or OpenVINO where it was measured to be faster on this machine."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import json
import platform
import statistics
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from platformdirs import user_cache_path

from tracker.errors import DependencyError, DeviceError, TrackerError, UsageError
from tracker.outputs import write_json
from tracker.runtime import OnnxNetwork, default_threads, explained_faults, in_precision

# By the names of --engine. bfloat16 changes results, so it is never chosen by itself.
ENGINES = ("auto", "onnxruntime", "openvino", "openvino-bf16", "torch")
# OpenVINO compiles a graph for a size of picture, which is a sixth faster; for so many, then one for all further sizes.
_MOST_SIZES = 4
# OpenVINO is chosen where it takes at most this share of ONNX Runtime's CPU time.
_LEAST_GAIN = 0.95
_ROUNDS = 9
# Of a picture whose size a graph leaves open; that of the included detector for wide clips.
_OPEN_SIZE_HW = (256, 416)


class OpenVinoNetwork:
    """A network in an ONNX file, run by OpenVINO on the CPU; `run` may be called from several threads.

    described: the same network, opened by ONNX Runtime. num_threads: as for `OnnxNetwork`. precision: f32, or bf16,
    which changes results. path, inputs, outputs, metadata, engine, note: as for `OnnxNetwork`.
    Raises DependencyError where OpenVINO is not installed, DeviceError for bf16 on a CPU without it.
    """

    def __init__(self, described: OnnxNetwork, num_threads: int = 0, precision: str = "f32") -> None:
        self.path, self.inputs, self.outputs = described.path, described.inputs, described.outputs
        self.metadata, self.note = described.metadata, described.note
        openvino = _openvino()
        self._core = openvino.Core()
        if precision == "bf16" and "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise DeviceError("this CPU does not compute in bfloat16; use --engine openvino or auto")
        self._config = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": default_threads(num_threads),
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # the other stages run on these cores, too
        }
        precise = ", bfloat16" if precision == "bf16" else ""
        self.engine = f"OpenVINO {openvino.__version__.partition('-')[0]} on CPU{precise}"
        self._requests: dict[tuple[Any, ...] | None, Any] = {}
        self._lock = threading.Lock()

    def run(self, *inputs: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """As `OnnxNetwork.run`."""
        feeds = [in_precision(array, info.dtype) for info, array in zip(self.inputs, inputs, strict=True)]
        with explained_faults(self.path.name, self.engine, RuntimeError), self._lock:
            outputs = self._run_singly(feeds) or self._infer(feeds)
        return [out.astype(np.float32) if out.dtype == np.float16 else out for out in outputs]

    def _run_singly(self, feeds: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]] | None:
        """A batch picture by picture, each of the one compiled size; None for other inputs, and outputs of no batch."""
        if len(feeds) != 1 or len(feeds[0]) < 2 or self.inputs[0].shape[:1] != (None,):
            return None
        if any(info.shape[:1] != (None,) for info in self.outputs):
            return None
        parts = list(zip(*(self._infer([row[None]]) for row in feeds[0]), strict=True))
        if any(len({rows.shape for rows in part}) > 1 or len(part[0]) != 1 for part in parts):
            return None
        return [np.concatenate(part) for part in parts]

    def _infer(self, feeds: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        sizes: tuple[Any, ...] | None = tuple(feed.shape for feed in feeds)
        if sizes not in self._requests and len(self._requests) >= _MOST_SIZES:
            sizes = None
        if sizes not in self._requests:
            self._requests[sizes] = self._compile(sizes)
        return list(self._requests[sizes].infer(dict(enumerate(feeds))).values())

    def _compile(self, sizes: tuple[Any, ...] | None) -> Any:
        model = self._core.read_model(str(self.path))
        if sizes:
            model.reshape(dict(enumerate(sizes)))
        return self._core.compile_model(model, "CPU", self._config).create_infer_request()


GraphNetwork: TypeAlias = OnnxNetwork | OpenVinoNetwork


def open_onnx(path: Path, device: str = "auto", num_threads: int = 0, engine: str = "auto") -> GraphNetwork:
    """The network in an ONNX file, by an engine.

    device, num_threads: as for `OnnxNetwork`. engine: of ENGINES; `auto` is ONNX Runtime, or OpenVINO in single
    precision where it is installed, the network runs on the CPU, and it was measured to be faster there. That is done
    once for each network and machine, and kept in the user's cache. Raises the errors of `OnnxNetwork` and
    `OpenVinoNetwork`, UsageError for an engine that does not run such a file there.
    """
    if engine == "torch":
        raise UsageError(f"torch does not run {path}; name a file of weights, or leave out --engine")
    if engine.startswith("openvino"):
        if device not in ("auto", "cpu"):
            raise UsageError(f"OpenVINO runs networks on the CPU here; leave out --device {device}, or --engine")
        _openvino()
        precision = "bf16" if engine == "openvino-bf16" else "f32"
        return OpenVinoNetwork(OnnxNetwork(path, "cpu", num_threads), num_threads, precision)
    network = OnnxNetwork(path, device, num_threads)
    if engine == "onnxruntime" or not network.engine.endswith(" on CPU") or not importlib.util.find_spec("openvino"):
        return network
    return _faster(network, num_threads)


def refuse_engine(path: Path, engine: str) -> None:
    """Raise UsageError for a file of weights, which torch alone runs, and another engine."""
    if engine not in ("auto", "torch"):
        raise UsageError(f"{path} runs in torch alone; leave out --engine, or name an .onnx file (`export` makes one)")


def _faster(network: OnnxNetwork, num_threads: int) -> GraphNetwork:
    """The network, by whichever of the two engines takes less CPU time, which its note tells."""
    shape = _picture_shape(network)
    if shape is None:
        return network
    try:
        other = OpenVinoNetwork(network, num_threads)
        times_ms = _known_times(network, other, shape, default_threads(num_threads))
    except TrackerError as error:  # what one of them cannot run is no reason to run nothing
        network.note = _joined(network.note, f"OpenVINO is not used: {error}")
        return network
    is_faster = times_ms[1] <= _LEAST_GAIN * times_ms[0]
    both = f"{times_ms[1]:.1f} ms of CPU with OpenVINO and {times_ms[0]:.1f} with ONNX Runtime"
    chosen = other if is_faster else network
    chosen.note = _joined(network.note, f"{network.path.name} was measured to take {both}")
    return chosen


def _joined(*notes: str | None) -> str:
    return "; ".join(filter(None, notes))


def _picture_shape(network: OnnxNetwork) -> tuple[int, ...] | None:
    """One picture for a graph of pictures, None for another graph."""
    if len(network.inputs) != 1 or len(network.inputs[0].shape) != 4 or network.inputs[0].dtype != "float32":
        return None
    likely = (1, 3, *_OPEN_SIZE_HW)
    return tuple(size or other for size, other in zip(network.inputs[0].shape, likely, strict=True))


def _known_times(
    network: OnnxNetwork, other: OpenVinoNetwork, shape: tuple[int, ...], num_threads: int
) -> tuple[float, float]:
    """Milliseconds by both engines, from the cache, or measured and put there."""
    cache = user_cache_path("pose-tracker", appauthor=False) / "engines.json"
    known = _read(cache)
    facts = [network.path.read_bytes(), network.engine, other.engine, _processor(), num_threads, shape]
    key = hashlib.sha256(b"\0".join(fact if isinstance(fact, bytes) else str(fact).encode() for fact in facts))
    match known.get(key.hexdigest()):
        case [int() | float() as first, int() | float() as second]:
            return first, second
    first, second = _measure(network, other, shape)
    with contextlib.suppress(OSError):  # then it is measured again the next time
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_json(cache, known | {key.hexdigest(): [round(first, 3), round(second, 3)]})
    return first, second


def _read(cache: Path) -> dict[str, Any]:
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _measure(network: OnnxNetwork, other: OpenVinoNetwork, shape: tuple[int, ...]) -> tuple[float, float]:
    """Medians in turn, so that whatever else the machine does hits both alike; CPU time, since stages share cores."""
    picture = np.random.default_rng(0).standard_normal(shape, np.float32)
    times_ms: dict[Any, list[float]] = {network: [], other: []}
    for _ in range(_ROUNDS + 2):
        for one, times in times_ms.items():
            start = time.process_time()
            one.run(picture)
            times.append(1e3 * (time.process_time() - start))
    first, second = (statistics.median(times[2:]) for times in times_ms.values())
    return first, second


def _processor() -> str:
    """The name of the CPU and what it can do."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
        return "\n".join(line for line in lines if line.startswith(("model name", "flags", "Features")))
    except OSError:
        return f"{platform.machine()} {platform.processor()}"


@functools.cache
def _openvino() -> ModuleType:
    try:
        import openvino
    except (ImportError, OSError) as error:
        raise DependencyError(f"OpenVINO does not start ({error}); pip install 'openvino>=2025.0'") from error
    return openvino
