"""Engines: what a graph says of itself, which device really runs, and one line for every fault."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from tests.onnx_graphs import Node, write_constant_graph, write_graph
from tracker import runtime
from tracker.errors import DependencyError, DeviceError, ModelError, UsageError
from tracker.runtime import (
    OnnxNetwork,
    OutOfMemoryError,
    TensorInfo,
    TorchNetwork,
    describe_torch_device,
    explained_faults,
    resolve_torch_device,
)

IMAGE = TensorInfo("image", (1, 3, 4, 6), "float32")
ANSWER = np.array([[1.5, -2.0]], np.float32)


@pytest.fixture
def answer_path(tmp_path: Path) -> Path:
    return write_constant_graph(tmp_path / "answer.onnx", [IMAGE], {"answer": ANSWER})


@pytest.fixture
def sum_path(tmp_path: Path) -> Path:
    """a + b, in half precision, the batch open."""
    a, b, total = (TensorInfo(name, (None, 2), "float16") for name in ("a", "b", "total"))
    return write_graph(tmp_path / "sum.onnx", [a, b], [total], nodes=[Node("Add", ["a", "b"], "total")])


def _message(error: pytest.ExceptionInfo[BaseException]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_a_graph_tells_names_shapes_dtypes_and_metadata(tmp_path: Path) -> None:
    inputs = [TensorInfo("image", (None, 3, None, 416), "float32"), TensorInfo("sizes", (2,), "int64")]
    outputs: dict[str, npt.NDArray[Any]] = {
        "boxes": np.zeros((1, 5, 4), np.float32),
        "labels": np.zeros((1, 5), np.int64),
    }
    path = write_constant_graph(tmp_path / "a.onnx", inputs, outputs, {"skeleton": "coco17", "ünï": "code"})
    network = OnnxNetwork(path, "cpu")
    assert network.inputs == tuple(inputs)
    assert [str(info) for info in network.outputs] == ["boxes float32 [1, 5, 4]", "labels int64 [1, 5]"]
    assert network.metadata == {"skeleton": "coco17", "ünï": "code"}
    assert network.path == path
    np.testing.assert_array_equal(network.run(np.zeros((1, 3, 4, 416)), np.zeros(2, np.int64))[0], outputs["boxes"])


def test_half_precision_is_hidden(sum_path: Path) -> None:
    network = OnnxNetwork(sum_path, "cpu")
    (total,) = network.run(np.array([[1.0, 2.0]]), np.array([[0.5, 0.25]], np.float32))
    assert total.dtype == np.float32
    np.testing.assert_array_equal(total, [[1.5, 2.25]])


def test_a_failing_engine_is_a_model_error_and_keeps_stderr_clean(
    sum_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    network = OnnxNetwork(sum_path, "cpu")
    with pytest.raises(ModelError) as error:
        network.run(np.zeros((2, 2), np.float32), np.zeros((3, 2), np.float32))
    assert _message(error).startswith("sum.onnx failed on ONNX Runtime ")
    assert capfd.readouterr() == ("", "")


def test_run_from_several_threads(sum_path: Path) -> None:
    network = OnnxNetwork(sum_path, "cpu")
    ones = np.ones((1, 2), np.float32)
    with ThreadPoolExecutor(4) as pool:
        totals = list(pool.map(lambda n: network.run(n * ones, ones)[0][0, 0], range(40)))
    assert totals == [n + 1 for n in range(40)]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda whole: b"", id="empty file"),
        pytest.param(lambda whole: whole[:-20], id="cut off near the end"),
        pytest.param(lambda whole: b"a letter to a friend\n" * 9, id="text under a wrong name"),
    ],
)
def test_a_damaged_file_is_one_line(
    answer_path: Path, damage: Callable[[bytes], bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    answer_path.write_bytes(damage(answer_path.read_bytes()))
    with pytest.raises(ModelError) as error:
        OnnxNetwork(answer_path, "cpu")
    assert _message(error).startswith(f"{answer_path} does not load as an ONNX network (")
    assert "ONNXRuntimeError" not in _message(error)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["absent.onnx", ""], ids=["missing", "a folder"])
def test_no_file_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="there is no network file"):
        OnnxNetwork(tmp_path / name, "cpu")


def test_an_operator_that_the_engine_lacks_is_named(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "a.onnx", [IMAGE], [IMAGE], nodes=[Node("Teleport", ["image"], "out")])
    with pytest.raises(ModelError, match="Teleport"):
        OnnxNetwork(path, "cpu")


def test_unusual_tensors_are_refused(tmp_path: Path) -> None:
    path = write_constant_graph(tmp_path / "a.onnx", [TensorInfo("depth", (1, 2), "uint16")], {"answer": ANSWER})
    with pytest.raises(ModelError, match=r"depth is a tensor\(uint16\)"):
        OnnxNetwork(path, "cpu")


@pytest.mark.parametrize(
    ("cores", "threads"),
    [
        pytest.param(1, 1, id="never none"),
        pytest.param(6, 3, id="half"),
        pytest.param(64, 4, id="more do not help a small network"),
    ],
)
def test_threads_by_default(monkeypatch: pytest.MonkeyPatch, cores: int, threads: int) -> None:
    monkeypatch.setattr(runtime, "num_cores", lambda: cores)
    options = runtime._session_options(0)
    assert options.intra_op_num_threads == threads
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:-1", "CPU", "cpu:0", "cuda:1 "])
def test_a_malformed_device_is_wrong_usage(answer_path: Path, device: str) -> None:
    with pytest.raises(UsageError, match="use auto, cpu, cuda or cuda:N"):
        OnnxNetwork(answer_path, device)
    with pytest.raises(UsageError, match="use auto, cpu, cuda or cuda:N"):
        resolve_torch_device(device)


class _FakeSession:
    """Stands in for a session where there is a GPU; `providers` is what it really runs on."""

    providers: tuple[str, ...] = ("CUDAExecutionProvider", "CPUExecutionProvider")
    failure: Exception | None = None

    def __init__(self, path: str, options: Any, providers: list[Any], **settings: Any) -> None:
        self._asked = dict(provider for provider in providers if not isinstance(provider, str))
        if self._asked and self.failure:
            raise self.failure

    def get_providers(self) -> list[str]:
        return list(self.providers) if self._asked else ["CPUExecutionProvider"]

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        return {name: self._asked.get(name, {}) for name in self.get_providers()}

    def get_inputs(self) -> list[Any]:
        return []

    get_outputs = get_inputs

    def get_modelmeta(self) -> Any:
        return SimpleNamespace(custom_metadata_map={})


@pytest.fixture
def gpu_machine(monkeypatch: pytest.MonkeyPatch) -> type[_FakeSession]:
    """A machine on which CUDA works, until a test sets the session's fate otherwise."""

    class Session(_FakeSession):
        pass

    engine = SimpleNamespace(
        __version__="9.9", InferenceSession=Session, SessionOptions=runtime._onnxruntime().SessionOptions
    )
    monkeypatch.setattr(runtime, "_onnxruntime", lambda: engine)
    monkeypatch.setattr(runtime, "_cuda_obstacle", lambda: None)
    monkeypatch.setattr(runtime, "_preload_cuda_libraries", lambda: "")
    return Session


@pytest.mark.usefixtures("gpu_machine")
@pytest.mark.parametrize(
    ("device", "where"), [("auto", "CUDA:0"), ("cuda", "CUDA:0"), ("cuda:2", "CUDA:2"), ("cpu", "CPU")]
)
def test_the_device_that_runs_is_read_back(answer_path: Path, device: str, where: str) -> None:
    network = OnnxNetwork(answer_path, device)
    assert network.engine == f"ONNX Runtime 9.9 on {where}"
    assert network.note is None


def test_a_silent_change_to_the_cpu_is_found_out(answer_path: Path, gpu_machine: type[_FakeSession]) -> None:
    gpu_machine.providers = ("CPUExecutionProvider",)
    with pytest.raises(DeviceError, match="device cuda does not work: its CUDA part does not start"):
        OnnxNetwork(answer_path, "cuda")
    network = OnnxNetwork(answer_path, "auto")
    assert network.engine == "ONNX Runtime 9.9 on CPU"
    assert network.note == "runs on the CPU: its CUDA part does not start"


def test_a_cuda_that_raises_is_no_error_of_the_file(answer_path: Path, gpu_machine: type[_FakeSession]) -> None:
    gpu_machine.failure = RuntimeError("CUDA failure 101:\n invalid device ordinal")
    with pytest.raises(DeviceError) as error:
        OnnxNetwork(answer_path, "cuda:7")
    assert "device cuda:7 does not work: CUDA failure 101: invalid device ordinal" in _message(error)
    assert OnnxNetwork(answer_path, "auto").engine == "ONNX Runtime 9.9 on CPU"


def test_without_cuda_auto_says_why_and_cuda_is_an_error(answer_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_cuda_obstacle", lambda: "no NVIDIA driver found")
    network = OnnxNetwork(answer_path, "auto")
    assert network.engine.endswith(" on CPU")
    assert network.note == "runs on the CPU: no NVIDIA driver found"
    with pytest.raises(DeviceError) as error:
        OnnxNetwork(answer_path, "cuda")
    assert _message(error) == ("device cuda does not work: no NVIDIA driver found; use --device auto or cpu")
    answer_path.write_bytes(b"not a network")
    with pytest.raises(ModelError, match="does not load"):
        OnnxNetwork(answer_path, "cuda")


def test_a_build_without_cuda_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = SimpleNamespace(get_available_providers=lambda: ["CPUExecutionProvider"])
    monkeypatch.setattr(runtime, "_onnxruntime", lambda: engine)
    remedy = "pip uninstall -y onnxruntime onnxruntime-gpu, then pip install onnxruntime-gpu"
    assert runtime._cuda_obstacle() == f"this build of ONNX Runtime has no CUDA ({remedy})"


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    providers = ["CPUExecutionProvider"]
    engine = SimpleNamespace(get_available_providers=lambda: providers)
    monkeypatch.setattr(runtime, "_onnxruntime", lambda: engine)
    assert "no CUDA" in str(runtime._cuda_obstacle())
    providers.append("CUDAExecutionProvider")
    monkeypatch.setattr("ctypes.CDLL", load)
    assert runtime._cuda_obstacle() == "no NVIDIA driver found"
    monkeypatch.setattr("ctypes.CDLL", str)
    assert runtime._cuda_obstacle() is None


@pytest.mark.parametrize("has_preload", [True, False], ids=["a library is missing", "an ONNX Runtime before 1.21"])
def test_preloading_keeps_stdout_clean(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], has_preload: bool
) -> None:
    complain = {"preload_dlls": lambda: print("Failed to load libcublas\nPlease read on")}
    engine = SimpleNamespace(**complain if has_preload else {})
    monkeypatch.setattr(runtime, "_onnxruntime", lambda: engine)
    assert runtime._preload_cuda_libraries.__wrapped__() == ("Failed to load libcublas" if has_preload else "")
    assert capsys.readouterr().out == ""


def test_native_messages_are_muted_and_come_back(capfd: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(RuntimeError), runtime.muted_native_stderr():
        os.write(2, b"hidden")
        raise RuntimeError
    os.write(2, b"shown")
    assert capfd.readouterr().err == "shown"


def test_an_engine_that_does_not_import_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DependencyError) as error:
        runtime._onnxruntime.__wrapped__()
    assert "onnxruntime cannot be imported" in _message(error)


def test_torch_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    device, obstacle = resolve_torch_device("auto")
    assert (device.type, obstacle) == ("cpu", "torch finds no CUDA (a build for the CPU, or no NVIDIA driver)")
    assert resolve_torch_device("cpu") == (device, None)
    assert describe_torch_device(device) == f"torch {torch.__version__.split('+')[0]} on CPU"
    with pytest.raises(DeviceError) as error:
        resolve_torch_device("cuda")
    assert "torch finds no CUDA" in _message(error)


def test_torch_with_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    real_ones = torch.ones
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: f"Card {device.index}")
    monkeypatch.setattr("torch.ones", lambda size, device: real_ones(size))
    assert resolve_torch_device("auto") == (torch.device("cuda", 0), None)
    assert resolve_torch_device("cuda:1") == (torch.device("cuda", 1), None)
    assert describe_torch_device(torch.device("cuda", 1)).endswith(" on CUDA (Card 1)")
    with pytest.raises(DeviceError, match=r"torch finds 2 CUDA device\(s\)"):
        resolve_torch_device("cuda:2")


def test_torch_without_code_for_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def launch(*shape: int, device: Any) -> None:
        raise RuntimeError("CUDA error: no kernel image is available\nfor execution on the device")

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.ones", launch)
    assert resolve_torch_device("auto")[0].type == "cpu"
    with pytest.raises(DeviceError) as error:
        resolve_torch_device("cuda")
    assert "no kernel image is available for execution" in _message(error)


class Doubling(torch.nn.Module):
    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        self.num_outputs = num_outputs
        self.conv = torch.nn.Conv2d(3, 2, 1)

    def forward(self, x: torch.Tensor) -> Any:
        out = self.conv(x)
        return out if self.num_outputs == 1 else [out * (i + 1) for i in range(self.num_outputs)]


@pytest.mark.parametrize("num_outputs", [1, 3], ids=["a tensor", "several"])
def test_torch_modules_give_arrays(num_outputs: int) -> None:
    model = Doubling(num_outputs).train()
    images = torch.rand(2, 3, 4, 5)
    network = TorchNetwork(model, "cpu")
    outputs = network.run(images)
    with torch.inference_mode():
        expected = model.conv(images).numpy()
    assert len(outputs) == num_outputs
    for i, output in enumerate(outputs):
        np.testing.assert_allclose(output, (i + 1) * expected, atol=1e-5)
        assert output.flags.c_contiguous
    assert model.training
    assert (network.name, network.note) == ("Doubling", None)
    assert network.engine.endswith("on CPU")


@pytest.mark.parametrize(
    ("device", "has_driver", "cuda_works", "expected"),
    [
        pytest.param("cpu", True, True, False, id="cpu was asked for"),
        pytest.param("auto", False, True, False, id="no driver"),
        pytest.param("auto", True, True, True, id="CUDA works"),
        pytest.param("cuda", True, False, False, id="ONNX Runtime may still do it, or says why not"),
    ],
)
def test_whether_torch_runs_on_cuda(
    monkeypatch: pytest.MonkeyPatch, device: str, has_driver: bool, cuda_works: bool, expected: bool
) -> None:
    monkeypatch.setattr(runtime, "has_nvidia_driver", lambda: has_driver)
    monkeypatch.setattr(runtime, "_torch_cuda_obstacle", lambda _index: None if cuda_works else "no CUDA")
    assert runtime.torch_runs_on_cuda(device) is expected


def test_asking_about_cuda_does_not_load_torch_in_vain() -> None:
    code = (
        "import ctypes, sys\n"
        "from tracker.runtime import torch_runs_on_cuda\n"
        "assert not torch_runs_on_cuda('cpu')\n"
        "def absent(name): raise OSError(name)\n"
        "ctypes.CDLL = absent\n"
        "assert not torch_runs_on_cuda('auto')\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    "message",
    [
        pytest.param("CUDA out of memory. Tried to allocate 20.00 MiB.", id="torch on CUDA"),
        pytest.param("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to", id="torch on the CPU"),
        pytest.param("Failed to allocate memory for requested buffer of size 9437184", id="ONNX Runtime"),
        pytest.param("Available memory of 0 is smaller than requested bytes of 512", id="ONNX Runtime, limited"),
        pytest.param("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate", id="cuBLAS"),
        pytest.param("std::bad_alloc", id="the system"),
    ],
)
def test_messages_about_memory_are_understood(message: str) -> None:
    with pytest.raises(OutOfMemoryError) as error, explained_faults("a.onnx", "some engine", RuntimeError):
        raise RuntimeError(message)
    assert _message(error).startswith("a.onnx runs out of memory on some engine; free some")


def test_other_faults_of_an_engine_are_the_networks() -> None:
    with pytest.raises(ModelError) as error, explained_faults("a.onnx", "some engine", RuntimeError):
        raise RuntimeError("CUDA error: an illegal\n memory access")
    assert _message(error) == "a.onnx failed on some engine: CUDA error: an illegal memory access"
    with pytest.raises(KeyError), explained_faults("a.onnx", "some engine", RuntimeError):
        raise KeyError("a bug")


def test_a_module_that_does_not_fit_into_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch.nn.Module, "to", full)
    with pytest.raises(DeviceError, match=r"^Doubling runs out of memory on torch "):
        TorchNetwork(Doubling(1), "cpu")
