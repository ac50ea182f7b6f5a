"""Engines for ONNX files: OpenVINO gives what ONNX Runtime gives, and is chosen where it was measured to be faster."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.onnx_graphs import Node, write_constant_graph, write_graph
from tracker import engines
from tracker.detection.detector import open_network
from tracker.engines import OpenVinoNetwork, open_onnx
from tracker.errors import DependencyError, DeviceError, ModelError, TrackerError, UsageError
from tracker.job.batch import describe_settings
from tracker.job.job import Engine, Job
from tracker.pose import load_pose_network
from tracker.runtime import OnnxNetwork, TensorInfo
from tracker.weights import find_default

IMAGE = TensorInfo("image", (None, 3, None, 32), "float32")
OPENVINO = pytest.mark.skipif(not importlib.util.find_spec("openvino"), reason="OpenVINO is not installed")


class StandIn:
    """What OpenVINO would run, where it is not installed."""

    def __init__(self, described: OnnxNetwork, *_: Any) -> None:
        self.path, self.note, self.engine = described.path, None, "OpenVINO 9.9 on CPU"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_constant_graph(tmp_path / "a.onnx", [IMAGE], {"answer": np.zeros((1, 2), np.float32)})


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[float, float], list[tuple[int, ...]]]:
    """Has both engines take so many milliseconds; the shapes they were measured with are noted."""
    monkeypatch.setattr(engines, "OpenVinoNetwork", StandIn)
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda _: "installed")
    monkeypatch.setattr(engines, "user_cache_path", lambda *_, **__: tmp_path / "new" / "cache")

    def take(first: float, second: float) -> list[tuple[int, ...]]:
        shapes: list[tuple[int, ...]] = []
        monkeypatch.setattr(engines, "_measure", lambda _, __, shape: (shapes.append(shape), (first, second))[1])
        return shapes

    return take


@pytest.mark.parametrize(
    ("times_ms", "kind"), [((10, 9.5), StandIn), ((10, 9.6), OnnxNetwork)], ids=["just fast enough", "about equal"]
)
def test_auto_takes_what_was_measured_to_be_faster(measured: Any, path: Path, times_ms: Any, kind: type) -> None:
    shapes = measured(*times_ms)
    network = open_onnx(path)
    assert type(network) is kind
    assert f"a.onnx was measured to take {times_ms[1]:.1f} ms of CPU with OpenVINO and 10.0" in str(network.note)
    assert shapes == [(1, 3, 256, 32)]


def test_a_network_that_openvino_does_not_run_is_run_by_onnx_runtime(
    measured: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(10, 5)

    def fail(*_: Any) -> None:
        raise ModelError("a.onnx failed on OpenVINO 9.9: no such operator")

    monkeypatch.setattr(engines, "_measure", fail)
    network = open_onnx(path)
    assert type(network) is OnnxNetwork
    assert "OpenVINO is not used: a.onnx failed on OpenVINO 9.9" in str(network.note)


@pytest.mark.parametrize("cache", [None, "[]", "{}", "no json"])
def test_a_network_is_measured_once(measured: Any, path: Path, tmp_path: Path, cache: str | None) -> None:
    if cache is not None:
        (tmp_path / "new" / "cache").mkdir(parents=True)
        (tmp_path / "new" / "cache" / "engines.json").write_text(cache)
    measured(10, 5)
    open_onnx(path)
    shapes = measured(5, 10)
    assert type(open_onnx(path)) is StandIn
    assert shapes == []
    assert type(open_onnx(path, num_threads=7)) is OnnxNetwork  # another load
    assert len(json.loads((tmp_path / "new" / "cache" / "engines.json").read_text())) == 2


def test_without_a_place_for_the_cache_it_is_measured_each_time(measured: Any, path: Path, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("no folder")
    shapes = measured(10, 5)
    assert [type(open_onnx(path)) for _ in range(2)] == [StandIn] * 2
    assert len(shapes) == 2


def test_a_named_engine_and_networks_of_other_inputs_are_not_measured(
    measured: Any, path: Path, tmp_path: Path
) -> None:
    shapes = measured(10, 5)
    rows = write_constant_graph(tmp_path / "b.onnx", [TensorInfo("row", (1, 9), "float32")], {"c": np.zeros((1, 2))})
    assert type(open_onnx(path, engine="onnxruntime")) is type(open_onnx(rows)) is OnnxNetwork
    assert shapes == []


@pytest.mark.parametrize(
    ("load", "error", "message"),
    [
        pytest.param(lambda path: open_onnx(path, engine="torch"), UsageError, "torch does not run", id="a graph"),
        pytest.param(
            lambda path: open_onnx(path, "cuda", engine="openvino"), UsageError, "leave out --device cuda", id="CUDA"
        ),
        pytest.param(
            lambda path: open_network(path.with_suffix(".safetensors"), engine="onnxruntime"),
            UsageError,
            "runs in torch alone; leave out --engine",
            id="a detector's weights",
        ),
        pytest.param(
            lambda path: load_pose_network(path.with_suffix(".pth"), engine="openvino"),
            UsageError,
            "runs in torch alone; leave out --engine",
            id="a checkpoint",
        ),
        pytest.param(
            lambda path: open_onnx(path, engine="openvino"), DependencyError, "pip install 'openvino", id="absent"
        ),
    ],
)
def test_what_an_engine_cannot_do_is_one_line(
    monkeypatch: pytest.MonkeyPatch, path: Path, load: Callable[[Path], Any], error: type[TrackerError], message: str
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    engines._openvino.cache_clear()
    with pytest.raises(error, match=message) as refusal:
        load(path)
    assert "\n" not in str(refusal.value)


def test_the_engine_chooses_among_the_shipped_files() -> None:
    files = {engine: find_default("pose", "cpu", engine=engine).suffix for engine in engines.ENGINES}
    assert files.pop("torch") == ".safetensors"
    assert set(files.values()) == {".onnx"}


def test_outputs_in_bfloat16_are_other_outputs() -> None:
    kinds = [describe_settings(Job("a"), Engine("cpu", engine=name)) for name in ("auto", "openvino", "openvino-bf16")]
    assert kinds[0] == kinds[1] != kinds[2]


@OPENVINO
@pytest.mark.parametrize("kind", ["pose", "detector"])
def test_openvino_gives_what_onnx_runtime_gives(kind: Any) -> None:
    """Alone, in batches, and in more sizes than have a graph of their own."""
    path = find_default(kind, "cpu")
    plain, network = (open_onnx(path, "cpu", engine=engine) for engine in ("onnxruntime", "openvino"))
    assert isinstance(network, OpenVinoNetwork)
    assert (network.inputs, network.outputs, network.metadata) == (plain.inputs, plain.outputs, plain.metadata)
    assert network.engine.startswith("OpenVINO 20")
    heights = [None] if kind == "pose" else range(64, 64 + 6 * 32, 32)
    for height in heights:
        shape = (3, 3, *(network.inputs[0].shape[2:] if height is None else (height, 96)))
        images = np.random.default_rng(0).standard_normal(shape, np.float32)
        for batch in (images, images[:1]):
            for found, expected in zip(network.run(batch), plain.run(batch), strict=True):
                np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@OPENVINO
def test_openvino_takes_several_inputs_in_half_precision(tmp_path: Path) -> None:
    a, b, total = (TensorInfo(name, (None, 2), "float16") for name in ("a", "b", "total"))
    path = write_graph(tmp_path / "sum.onnx", [a, b], [total], nodes=[Node("Add", ["a", "b"], "total")])
    (found,) = open_onnx(path, engine="openvino").run(np.array([[1.0, 2.0]] * 2), np.array([[0.5, 0.25]] * 2))
    assert found.dtype == np.float32
    assert found.tolist() == [[1.5, 2.25]] * 2


def test_bfloat16_is_refused_where_the_cpu_lacks_it(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    core = SimpleNamespace(get_property=lambda *_: ["FP32", "INT8"])
    monkeypatch.setattr(engines, "_openvino", lambda: SimpleNamespace(Core=lambda: core))
    with pytest.raises(DeviceError, match="does not compute in bfloat16; use --engine openvino or auto"):
        open_onnx(path, engine="openvino-bf16")
