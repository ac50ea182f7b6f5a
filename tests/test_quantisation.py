"""Networks in 8 bits: what is quantised, what the file states, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file

from tracker import quantisation
from tracker.errors import DependencyError, InputError, ModelError, OutputError
from tracker.nets.rtmdet import RTMDetNano
from tracker.pose import load_pose_network
from tracker.quantisation import Comparison, export_int8
from tracker.runtime import OnnxNetwork
from tracker.types import Detections

METADATA = {
    "network": "PoseLiteHRNet",
    "skeleton": "coco17",
    "color": "rgb",
    "mean": "[127.5, 127.5, 127.5]",
    "std": "[64, 64, 64]",
    "input_size": "[64, 32]",
}
PICTURES = [np.random.default_rng(seed).integers(0, 256, (80, 60, 3), np.uint8) for seed in range(3)]


class Finder:
    """Finds one person, or nobody, in each picture."""

    name = "finder"

    def __init__(self, *people: tuple[float, ...]) -> None:
        self._found = Detections(np.array(people, np.float32).reshape(-1, 4), np.ones(len(people), np.float32))

    def detect(self, images):
        return [self._found for _ in images]


def write_graph(path: Path) -> Path:
    """A convolution, what activates it, and a last convolution to 17 heatmaps, their weights in half precision."""
    random = np.random.default_rng(0)
    weights = {"first": (8, 3, 4, 4), "last": (17, 8, 1, 1)}
    values = {name: random.normal(0, 0.2, shape).astype(np.float16) for name, shape in weights.items()}
    stored = [numpy_helper.from_array(array, f"{name}_half") for name, array in values.items()]
    nodes = [helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT) for name in weights]
    nodes += [
        helper.make_node("Conv", ["image", "first"], ["a"], name="conv_a", strides=[4, 4]),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Conv", ["b", "last"], ["heatmaps"], name="conv_b"),
    ]
    sizes = {"image": ["batch", 3, 64, 32], "heatmaps": ["batch", 17, 16, 8]}
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in sizes.items()]
    graph = helper.make_graph(nodes, "graph", infos[:1], infos[1:], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, METADATA)
    onnx.save(model, path)
    return path


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A file that states a pose network, whose graph is a small one, and somebody in each picture."""
    monkeypatch.setattr(quantisation, "export_network", lambda _, stem: (write_graph(stem.with_suffix(".onnx")), stem))
    monkeypatch.setattr(quantisation, "load_detector", lambda *_: Finder((10, 10, 40, 70)))
    save_file({"a": torch.zeros(1)}, tmp_path / "weights.safetensors", METADATA)
    return tmp_path / "weights.safetensors"


def test_all_but_the_last_layers_are_quantised_by_channel(weights, tmp_path):
    path, comparison = export_int8([weights], tmp_path / "small", iter(PICTURES))
    assert set(tmp_path.iterdir()) == {weights, path}
    graph = onnx.load(path).graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    (integers,) = (values for values in tensors.values() if values.ndim == 4 and values.dtype == np.int8)
    assert integers.shape == (8, 3, 4, 4)
    assert np.abs(integers).max(axis=(1, 2, 3)).tolist() == [64] * 8
    assert {values.shape for values in tensors.values() if values.dtype == np.float32} >= {(8,), (17, 8, 1, 1)}
    assert comparison.num_inputs == len(PICTURES)
    assert 0 < comparison.typical < comparison.largest < 0.05


def test_the_file_is_a_pose_network_as_it_is(weights, tmp_path):
    path, _ = export_int8([weights], tmp_path / "small", PICTURES)
    assert OnnxNetwork(path, "cpu").metadata == METADATA
    crops = np.random.default_rng(9).integers(0, 256, (2, 64, 32, 3), np.uint8)
    expected = load_pose_network(write_graph(tmp_path / "plain.onnx"), "cpu").run(crops)["heatmaps"]
    # A few cells of other pictures are outside the ranges that were seen.
    difference = np.abs(load_pose_network(path, "cpu").run(crops)["heatmaps"] - expected)
    assert np.quantile(difference, 0.99) < 0.03 * np.abs(expected).max()


def test_the_figures_are_one_line():
    assert str(Comparison(7, 0.051, 0.0032, (2000, 1000), (30.0, 20.0))) == (
        "7 inputs: outputs differ by at most 5.1% of the channel's largest value, typically by 0.32%; "
        "2000 bytes before, 1000 after; 30.0 ms of CPU before, 20.0 after: 1.50 times as fast"
    )


def test_pictures_of_nobody_are_refused(weights, tmp_path, monkeypatch):
    monkeypatch.setattr(quantisation, "load_detector", lambda *_: Finder())
    with pytest.raises(InputError, match="finds nobody in the pictures"):
        export_int8([weights], tmp_path / "small", PICTURES)
    assert list(tmp_path.iterdir()) == [weights]


def test_what_exists_is_not_overwritten(weights, tmp_path):
    (tmp_path / "small.onnx").write_text("mine")
    with pytest.raises(OutputError, match="pass --overwrite"):
        export_int8([weights], tmp_path / "small", PICTURES)
    export_int8([weights], tmp_path / "small", PICTURES, overwrite=True)
    assert (tmp_path / "small.onnx").read_bytes() != b"mine"


def test_bottom_up_networks_are_refused(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors", {"network": "LitePose"})
    with pytest.raises(ModelError, match="a bottom-up network, which int8 does not suit"):
        export_int8([tmp_path / "a.safetensors"], tmp_path / "b", PICTURES)


def test_without_the_package_onnx_the_line_says_what_to_install(tmp_path, monkeypatch):
    save_file(RTMDetNano().state_dict(), tmp_path / "det.safetensors", {"network": "RTMDetNano"})
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(DependencyError, match="pip install 'pose-tracker"):
        export_int8([tmp_path / "det.safetensors"], tmp_path / "small", PICTURES)
