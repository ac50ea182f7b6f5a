"""Which engine runs a network: ONNX Runtime or torch, on CUDA or the CPU, and what really ran in the end."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import functools
import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from tracker.ending import stop_at_end
from tracker.errors import REINSTALL_ONNXRUNTIME, DeviceError, ModelError, UsageError, explain_import_error

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Outputs = TypeVar("Outputs")

_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"

_DTYPES = {
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}
# How CUDA, its libraries, ONNX Runtime's and torch's allocators say that memory is short.
_OUT_OF_MEMORY = re.compile(
    r"out of memory|not enough memory|allocate memory|alloc_failed|bad.alloc|memory of \d+ is smaller", re.IGNORECASE
)


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a graph; None in the shape is a size that the graph leaves open.

    >>> str(TensorInfo("image", (None, 3, 416, 416), "float32"))
    'image float32 [?, 3, 416, 416]'
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    def __str__(self) -> str:
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name} {self.dtype} [{sizes}]"


class OnnxNetwork:
    """A network in an ONNX file, run by ONNX Runtime; `run` may be called from several threads.

    device: auto (CUDA where it really works, otherwise the CPU), cpu, cuda or cuda:N. num_threads: of the CPU
    engine; 0 stands for half of the cores, at most four.
    engine: what really runs, read back from the session. note: why `auto` had to take the CPU, and, in a line of its
    own, a licence that asks something of who uses the network; or None.
    metadata: the custom metadata of the graph.
    Raises ModelError for a file that is missing, damaged or has tensors of an unusual type, DeviceError for a
    CUDA device that was asked for and does not work, UsageError for a malformed device.
    """

    def __init__(self, path: Path, device: str = "auto", num_threads: int = 0) -> None:
        kind, index = _parse_device(device)
        if not path.is_file():
            raise ModelError(f"there is no network file {path}; check the name")
        if not os.access(path, os.R_OK):
            raise ModelError(f"no permission to read {path}; change its permissions or copy it")
        self.path = path
        options = _session_options(num_threads)
        if kind == "cpu":
            self._session, obstacle = _open_on_cpu(path, options), None
        else:
            self._session, obstacle = _open_on_cuda(path, options, index)
        self.engine = f"ONNX Runtime {_onnxruntime().__version__} on {_device_of(self._session)}"
        try:
            self.inputs = tuple(_tensor_info(path, node) for node in self._session.get_inputs())
            self.outputs = tuple(_tensor_info(path, node) for node in self._session.get_outputs())
            self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        except UnicodeDecodeError as error:
            raise ModelError(f"{path} has names that are no UTF-8, so it is damaged: get or export it again") from error
        self.note = "\n".join(filter(None, (_note(device, obstacle), _note_on_licence(path, self.metadata)))) or None

    def run(self, *inputs: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """All outputs, in the graph's order, for one array per input, in the graph's order.

        Floating-point inputs are brought to the precision that the graph wants; half-precision outputs come
        as float32. Raises ModelError when the engine fails, OutOfMemoryError when memory is short, ValueError for
        another number of inputs.
        """
        feeds = {info.name: in_precision(array, info.dtype) for info, array in zip(self.inputs, inputs, strict=True)}
        options = _onnxruntime().RunOptions()
        forget = stop_at_end(functools.partial(setattr, options, "terminate", True))
        try:
            with explained_faults(self.path.name, self.engine, *_engine_errors()):
                outputs = self._session.run(None, feeds, options)
        finally:
            forget()
        return [out.astype(np.float32) if out.dtype == np.float16 else out for out in outputs]


class TorchNetwork:
    """A torch module from images to maps, in half precision on CUDA and in single precision on the CPU.

    device: as for `OnnxNetwork`. The module itself is not changed. engine, note: as for `OnnxNetwork`.
    torch_device: where the module is. Raises DeviceError for a CUDA device that was asked for and does not work,
    and, as `run` does, the errors of `OnnxNetwork.run`.
    """

    def __init__(self, model: nn.Module, device: str = "auto", name: str = "") -> None:
        import torch

        self.torch_device, obstacle = resolve_torch_device(device)
        self._dtype = torch.float16 if self.torch_device.type == "cuda" else torch.float32
        self.name = name or type(model).__name__
        self.note = _note(device, obstacle)
        self.engine = describe_torch_device(self.torch_device)
        # A copy, because the caller may go on training. Channels last is what tensor cores want, and a little
        # faster than the usual order on the CPU too.
        with explained_faults(self.name, self.engine, RuntimeError):
            self._model = copy.deepcopy(model).eval().to(self.torch_device, self._dtype)
            self._model = self._model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(self, images: Tensor) -> list[npt.NDArray[np.float32]]:
        """All outputs for images (N, 3, H, W) on any device, in order."""
        import torch

        with explained_faults(self.name, self.engine, RuntimeError), torch.inference_mode():
            outputs = self._model(images.to(self.torch_device, self._dtype))
            outputs = [outputs] if isinstance(outputs, torch.Tensor) else outputs
            return [output.float().cpu().contiguous().numpy() for output in outputs]


class OutOfMemoryError(DeviceError):
    """Memory, of the GPU mostly, that does not suffice for a network and its input."""


class SplittingRunner(Generic[Outputs]):
    """Runs a network on batches, in smaller parts from then on once memory does not suffice for a whole one."""

    def __init__(self, run: Callable[[npt.NDArray[Any]], Outputs]) -> None:
        self._run = run
        self._largest = sys.maxsize

    def run(self, batch: npt.NDArray[Any]) -> list[tuple[int, Outputs]]:
        """The sizes of the parts of a batch along its first axis, in order, each with the part's outputs.

        A part that memory does not suffice for is halved. Raises OutOfMemoryError if it has one row alone.
        """
        parts: list[tuple[int, Outputs]] = []
        start = 0
        while start < len(batch):
            part = batch[start : start + self._largest]
            try:
                parts.append((len(part), self._run(part)))
            except OutOfMemoryError:
                if len(part) == 1:
                    raise
                self._largest = len(part) // 2
            else:
                start += len(part)
        return parts


@contextlib.contextmanager
def explained_faults(name: str, engine: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn these errors of an engine into an OutOfMemoryError or ModelError that names the network and the engine."""
    try:
        yield
    except errors as error:
        if _OUT_OF_MEMORY.search(str(error)):
            raise OutOfMemoryError(
                f"{name} runs out of memory on {engine}; free some, take smaller networks or a smaller "
                "--detector-size, or --device cpu"
            ) from error
        raise ModelError(f"{name} failed on {engine}: {_first_line(error)}") from error


def torch_runs_on_cuda(device: str) -> bool:
    """Whether torch would run on CUDA there; torch is loaded on machines with an NVIDIA driver alone, not for cpu."""
    if device == "cpu" or not has_nvidia_driver():
        return False
    try:
        return resolve_torch_device(device)[0].type == "cuda"
    except DeviceError:
        return False


def resolve_torch_device(device: str) -> tuple[torch.device, str | None]:
    """The torch device for auto (CUDA where it really works, otherwise the CPU), cpu, cuda or cuda:N.

    Beside it stands what kept auto from CUDA, or None. Raises DeviceError for a CUDA device that does not work,
    UsageError for a malformed name.
    """
    import torch

    kind, index = _parse_device(device)
    if kind == "cpu":
        return torch.device("cpu"), None
    obstacle = _torch_cuda_obstacle(index)
    if obstacle is None:
        return torch.device("cuda", index), None
    _note(device, obstacle)
    return torch.device("cpu"), obstacle


def describe_torch_device(device: torch.device) -> str:
    """Engine and device in words, such as `torch 2.13.0 on CPU`."""
    import torch

    where = f"CUDA ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else "CPU"
    return f"torch {torch.__version__.split('+')[0]} on {where}"


def _parse_device(device: str) -> tuple[str, int]:
    """Kind (auto, cpu or cuda) and index."""
    match = re.fullmatch(r"(auto|cpu|cuda)|(cuda):(\d+)", str(device))
    if not match:
        raise UsageError(f"there is no device {device!r}; use auto, cpu, cuda or cuda:N")
    return match[1] or match[2], int(match[3] or 0)


def _note(device: str, obstacle: str | None) -> str | None:
    """Why auto runs on the CPU, or None; DeviceError where CUDA was asked for and something keeps it from running."""
    if obstacle and device != "auto":
        raise DeviceError(f"device {device} does not work: {obstacle}; use --device auto or cpu")
    return f"runs on the CPU: {obstacle}" if obstacle else None


def _note_on_licence(path: Path, metadata: Mapping[str, str]) -> str | None:
    if "AGPL" not in metadata.get("license", "") + metadata.get("licence", ""):
        return None
    return (
        f"{path.name} states AGPL-3.0: a program or a service that runs it must offer its source under that licence, "
        "or have another one of its makers"
    )


def _torch_cuda_obstacle(index: int) -> str | None:
    import torch

    if not torch.cuda.is_available():
        return "torch finds no CUDA (a build for the CPU, or no NVIDIA driver)"
    if index >= torch.cuda.device_count():
        return f"torch finds {torch.cuda.device_count()} CUDA device(s), counted from 0"
    try:
        # A build without code for this GPU is found out by its first kernel only.
        torch.ones(1, device=torch.device("cuda", index)).add_(1)
    except RuntimeError as error:
        return _first_line(error)
    return None


@functools.cache
def _onnxruntime() -> ModuleType:
    # Since 1.29 it reports its use to its makers and keeps an id in the folder for temporary files.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        with muted_native_stderr():
            import onnxruntime
        # What matters is raised as an exception or read back from the session; the log only repeats it.
        onnxruntime.set_default_logger_severity(4)
    except (ImportError, AttributeError) as error:
        raise explain_import_error(error) from error
    return onnxruntime


@contextlib.contextmanager
def muted_native_stderr() -> Iterator[None]:
    """Silence warnings of native code about GPUs it does not find, printed while the library is imported."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with Path(os.devnull).open("w") as null:
            os.dup2(null.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _engine_errors() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises: its own exceptions, which have no common base, and two builtin ones."""
    from onnxruntime.capi import onnxruntime_pybind11_state as native

    own = [value for value in vars(native).values() if isinstance(value, type) and issubclass(value, Exception)]
    return (*own, RuntimeError, ValueError)


def _session_options(num_threads: int) -> Any:
    options = _onnxruntime().SessionOptions()
    # A given number also keeps ONNX Runtime from pinning its threads to cores, where other stages run too.
    options.intra_op_num_threads = default_threads(num_threads)
    # Threads that spin for work take it from the other stages; small networks swing by a factor of two.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def default_threads(num_threads: int) -> int:
    """The threads of a network: as many as are given, for 0 half of the cores, at most four."""
    return num_threads or min(4, max(1, num_cores() // 2))


def num_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _open_on_cpu(path: Path, options: Any) -> Any:
    # To plan which tensors share memory takes two thirds of the time of opening; the arena shares as well without.
    options.enable_mem_reuse = False
    try:
        return _onnxruntime().InferenceSession(str(path), options, providers=[_CPU])
    except _engine_errors() as error:
        raise ModelError(
            f"{path} does not load as an ONNX network ({_first_line(error)}); "
            "it may be cut off or of another kind: get or export it again"
        ) from error


def _open_on_cuda(path: Path, options: Any, index: int) -> tuple[Any, str | None]:
    """A session, on the CPU if need be, and what keeps it from CUDA; ModelError if the file is to blame."""
    obstacle = _cuda_obstacle()
    if obstacle is None:
        libraries = _preload_cuda_libraries()
        # The exhaustive search would be repeated for each new number of people in a batch.
        cuda = (_CUDA, {"device_id": str(index), "cudnn_conv_algo_search": "HEURISTIC"})
        try:
            session = _onnxruntime().InferenceSession(str(path), options, providers=[cuda, _CPU], enable_fallback=0)
        except _engine_errors() as error:
            obstacle = _first_line(error)
        else:
            if _CUDA in session.get_providers():
                return session, None
            obstacle = libraries or "its CUDA part does not start"
    return _open_on_cpu(path, options), obstacle


def _cuda_obstacle() -> str | None:
    if _CUDA not in _onnxruntime().get_available_providers():
        return f"this build of ONNX Runtime has no CUDA ({REINSTALL_ONNXRUNTIME})"
    # Asked first because loading the CUDA libraries takes seconds, in vain without a driver.
    return None if has_nvidia_driver() else "no NVIDIA driver found"


def has_nvidia_driver() -> bool:
    """Whether the library of an NVIDIA driver loads."""
    try:
        ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return False
    return True


@functools.cache
def _preload_cuda_libraries() -> str:
    """Load the CUDA libraries that pip installed; the first complaint, or nothing."""
    # The function came with 1.21; it reports on stdout, which belongs to results.
    preload = getattr(_onnxruntime(), "preload_dlls", None)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        if preload:
            preload()
    return printed.getvalue().partition("\n")[0]


def _device_of(session: Any) -> str:
    options = session.get_provider_options()
    return f"CUDA:{options[_CUDA].get('device_id', '0')}" if _CUDA in options else "CPU"


def _tensor_info(path: Path, node: Any) -> TensorInfo:
    if node.type not in _DTYPES:
        raise ModelError(
            f"{path}: {node.name} is a {node.type}, which is not supported; export it with float32 tensors"
        )
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in node.shape)
    return TensorInfo(node.name, shape, _DTYPES[node.type])


def in_precision(array: npt.NDArray[Any], dtype: str) -> npt.NDArray[Any]:
    """An array in the precision that a graph wants, where both are floating."""
    both_floating = array.dtype.kind == "f" and dtype.startswith("float")
    return array.astype(dtype, copy=False) if both_floating else array


def _first_line(error: Exception) -> str:
    """The message on one line, not too long, without the code and file name that ONNX Runtime puts first."""
    text = " ".join(str(error).split())
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .*? failed: ?)?", "", text)[:300]
