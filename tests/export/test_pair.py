"""Trained weights as the two files that are shipped: what is in them, and that they agree."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.trained import BOTTOM_UP, BOTTOM_UP_MOBILENET, DETECTOR, POSE, write_weights
from tracker.errors import ModelError, OutputError
from tracker.export import pair
from tracker.export.pair import export_network, manifest_entry
from tracker.runtime import OnnxNetwork, _onnxruntime
from tracker.weights import read_metadata, sha256_of


@pytest.fixture(
    scope="module", params=[POSE, DETECTOR, BOTTOM_UP, BOTTOM_UP_MOBILENET], ids=lambda metadata: metadata["network"]
)
def exported(request, tmp_path_factory):
    """The trained file and the two made of it."""
    folder = tmp_path_factory.mktemp("export")
    trained = write_weights(folder / "weights.safetensors", request.param)
    return trained, *export_network([trained], folder / "small")


def test_both_files_hold_the_weights_and_state_the_same(exported):
    trained, on_onnx, on_torch = exported
    assert (on_onnx.name, on_torch.name) == ("small.onnx", "small.safetensors")
    assert set(trained.parent.iterdir()) == set(exported)
    state, before = load_file(on_torch), load_file(trained)
    assert state.keys() == before.keys()
    for name, value in state.items():
        assert value.dtype == (torch.float16 if value.ndim >= 2 else before[name].dtype), name
        assert torch.equal(value, before[name].to(value.dtype))
    stated = OnnxNetwork(on_onnx, "cpu").metadata
    assert stated == read_metadata(on_torch)
    assert read_metadata(trained).items() <= stated.items()
    assert {"network", "arguments", "color", "mean", "std", "input_size"} <= stated.keys()


def test_the_graph_stores_weights_in_half_precision_without_batch_norm(exported):
    graph = onnx.load(exported[1]).graph
    assert {tensor.data_type for tensor in graph.initializer if len(tensor.dims) >= 2} == {onnx.TensorProto.FLOAT16}
    operators = {node.op_type for node in graph.node}
    assert "Cast" in operators
    # Borders are repeated before a deconvolution; zeros are a convolution's own.
    pads = [node for node in graph.node if node.op_type == "Pad"]
    assert all(attribute.s == b"edge" for node in pads for attribute in node.attribute)
    assert "BatchNormalization" not in operators


def test_onnx_runtime_casts_weights_once_at_load(exported, tmp_path):
    options = _onnxruntime().SessionOptions()
    options.graph_optimization_level = _onnxruntime().GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    _onnxruntime().InferenceSession(str(exported[1]), options, providers=["CPUExecutionProvider"])
    graph = onnx.load(tmp_path / "optimised.onnx").graph
    weights = {tensor.name for tensor in graph.initializer}
    assert not [node for node in graph.node if node.op_type == "Cast" and node.input[0] in weights]
    assert {tensor.data_type for tensor in graph.initializer if len(tensor.dims) >= 2} == {onnx.TensorProto.FLOAT}


def test_batches_are_open_and_sizes_those_of_detectors_too(exported):
    network = OnnxNetwork(exported[1], "cpu")
    names, num_channels, strides, size_hw = {
        "PoseLiteHRNet": (["heatmaps"], [19], [4], (64, 32)),
        "RTMDetNano": (["stride_8", "stride_16", "stride_32"], [5, 5, 5], [8, 16, 32], (None, None)),
        "LitePose": (["heatmaps_0", "tags_0", "heatmaps_1"], [14, 14, 14], [4, 4, 2], (None, None)),
        "BottomUpMobileNet": (["heatmaps_0", "tags_0"], [14, 28], [4, 4], (None, None)),
    }[network.metadata["network"]]
    assert [info.name for info in network.outputs] == names
    assert network.inputs[0].shape == (None, 3, *size_hw)
    height, width = size_hw if size_hw[0] else (96, 128)
    outputs = network.run(np.zeros((3, 3, height, width), np.float32))
    expected = [(3, n, height // stride, width // stride) for n, stride in zip(num_channels, strides, strict=True)]
    assert [output.shape for output in outputs] == expected


def test_the_entry_for_the_manifest_is_toml(exported):
    _, on_onnx, on_torch = exported
    (entry,) = tomllib.loads(manifest_entry(on_onnx, on_torch))["network"]
    stated = read_metadata(on_torch)
    assert entry["network"] == stated["network"]
    assert entry["arguments"] == json.loads(stated["arguments"])
    assert [entry["mean"], entry["std"]] == [json.loads(stated[key]) for key in ("mean", "std")]
    assert entry.get("skeleton") == stated.get("skeleton")
    for path in (on_onnx, on_torch):
        listed = entry[path.suffix[1:]]
        assert listed == {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}


def test_the_same_weights_make_the_same_bytes_and_can_be_exported_again(tmp_path):
    trained = write_weights(tmp_path / "weights.safetensors", BOTTOM_UP)
    first, second = (export_network([trained], tmp_path / name) for name in ("first", "second"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert load_file(export_network([first[1]], tmp_path / "again")[1]).keys() == load_file(trained).keys()


def refuse(path, stem, error=ModelError):
    """The one line with which an export is refused, after which nothing new is there."""
    before = set(stem.parent.iterdir())
    with pytest.raises(error) as refused:
        export_network([path], stem)
    assert set(stem.parent.iterdir()) == before
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_what_exists_is_not_overwritten(tmp_path):
    trained = write_weights(tmp_path / "weights.safetensors", BOTTOM_UP)
    for name in ("small.onnx", "small.safetensors", "small.partial.onnx"):
        (tmp_path / name).write_text("mine")
        assert "pass --overwrite" in refuse(trained, tmp_path / "small", OutputError)
        assert (tmp_path / name).read_text() == "mine"
        if name != "small.safetensors":
            (tmp_path / name).unlink()
    export_network([trained], tmp_path / "small", overwrite=True)
    assert (tmp_path / "small.safetensors").read_bytes() != b"mine"


def test_files_above_the_limit_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pair, "MAX_BYTES", 1_000_000)
    trained = write_weights(tmp_path / "weights.safetensors", DETECTOR)
    assert re.search(r"would have \d{7} bytes, above 1000000", refuse(trained, tmp_path / "small"))


def test_weights_that_half_precision_cannot_hold_are_refused(tmp_path):
    trained = write_weights(tmp_path / "weights.safetensors", BOTTOM_UP)
    state = load_file(trained)
    state["final_refined.0.conv.3.weight"][0, 0] = 1e6
    save_file(state, trained, BOTTOM_UP)
    assert "do not bear half precision" in refuse(trained, tmp_path / "small")


def test_files_that_state_too_little_are_refused(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    assert "holds no PoseResNet or LitePose" in refuse(tmp_path / "a.safetensors", tmp_path / "b")
    assert "there is no network file" in refuse(tmp_path / "absent.safetensors", tmp_path / "b")
    trained = write_weights(tmp_path / "weights.safetensors", POSE)
    save_file(load_file(trained), trained, {key: value for key, value in POSE.items() if key != "skeleton"})
    assert "does not state its skeleton" in refuse(trained, tmp_path / "small")


def test_the_weights_of_several_files_are_averaged(tmp_path: Path) -> None:
    first = write_weights(tmp_path / "first.safetensors", BOTTOM_UP)
    state = load_file(first)
    second, tripled = tmp_path / "second.safetensors", {name: 3 * value for name, value in state.items()}
    save_file(tripled, second, read_metadata(first))
    _, averaged = export_network([first, first, second], tmp_path / "small")
    for name, value in load_file(averaged).items():
        torch.testing.assert_close(value.float(), state[name] * (5 / 3), rtol=2e-3, atol=1e-4)


def test_weights_of_another_input_are_not_averaged(tmp_path: Path) -> None:
    first = write_weights(tmp_path / "first.safetensors", POSE)
    other = write_weights(tmp_path / "other.safetensors", POSE, input_size="[96, 64]")
    with pytest.raises(ModelError, match="average files of one recipe"):
        export_network([first, other], tmp_path / "small")
    assert not list(tmp_path.glob("small*"))
