"""Published networks: read by structure, equal to their graphs, and refused by the first convolution that differs."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from tests.trained import like_trained
from tests.vectors import SHARED
from tracker.detection.rtmdet import RTMDET
from tracker.errors import DependencyError, ModelError
from tracker.export.pair import export_network
from tracker.nets.pose_lite_hrnet import PoseLiteHRNet
from tracker.nets.pose_resnet import PoseResNet
from tracker.nets.rtmdet import RTMDetNano
from tracker.pose import load_pose_network
from tracker.published import published_network, published_state, read_published
from tracker.runtime import OnnxNetwork
from tracker.skeletons import BODY_19, CROWDPOSE_14
from tracker.training.initial import initialise
from tracker.weights import load_network

MODELS = SHARED / "models"
PICTURES = SHARED / "data" / "val" / "coco"
needs_models = pytest.mark.skipif(not MODELS.is_dir(), reason="needs the development models")
BUILDERS: dict[str, Callable[[], nn.Module]] = {"RTMDetNano": RTMDetNano, "PoseLiteHRNet": lambda: PoseLiteHRNet(17)}


def as_published(model: nn.Module) -> onnx.ModelProto:
    """The graph that torch makes of a network, its shuffles and all."""
    buffer = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        image: Any = torch.zeros(1, 3, 64, 64)
        torch.onnx.export(model.eval(), (image,), buffer, opset_version=17, dynamo=False)  # type: ignore[arg-type]
    return onnx.load_from_string(buffer.getvalue())


@cache
def graph_of(name: str) -> tuple[nn.Module, bytes]:
    """A network of random weights, and its graph; the same each time, whatever test comes in between."""
    torch.manual_seed(0)
    model = like_trained(BUILDERS[name]())
    return model, as_published(model).SerializeToString()


@pytest.fixture(params=BUILDERS)
def published(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[nn.Module, Path]:
    """A network of random weights, and its graph."""
    model, graph = graph_of(request.param)
    path = tmp_path / "published.onnx"
    path.write_bytes(graph)
    return model, path


def same(state: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return state.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in state.items())


def refusal(read: Callable[..., Any], *arguments: Any) -> str:
    with pytest.raises(ModelError) as refused:
        read(*arguments)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_graph_reads_back_to_the_same_weights(published: tuple[nn.Module, Path]) -> None:
    model, path = published
    read, stated = published_network(path)
    assert same(read.state_dict(), dict(model.state_dict()))
    assert not read.training
    assert stated["network"] == type(model).__name__
    assert BUILDERS[stated["network"]]().load_state_dict(read.state_dict())
    if stated["network"] == "PoseLiteHRNet":
        assert (stated["skeleton"], json.loads(stated["input_size"])) == ("coco17", [256, 192])


def test_biases_may_be_added_afterwards_and_weights_stored_in_half_precision(
    published: tuple[nn.Module, Path], tmp_path: Path
) -> None:
    model, path = published
    graph = onnx.load(path)
    stored = {tensor.name: tensor for tensor in graph.graph.initializer}
    nodes = []
    for number, node in enumerate(graph.graph.node):
        nodes.append(node)
        if node.op_type == "Conv":
            weight, bias = stored[node.input[1]], stored[node.input[2]]
            weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), weight.name))
            added = numpy_helper.to_array(bias).reshape(1, -1, 1, 1)
            graph.graph.initializer.append(numpy_helper.from_array(added, f"added_{number}"))
            given, node.output[0] = node.output[0], f"bare_{number}"
            nodes.append(onnx.helper.make_node("Add", [node.output[0], f"added_{number}"], [given]))
            del node.input[2]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    onnx.save(graph, tmp_path / "a.onnx")
    for name, value in read_published(tmp_path / "a.onnx", model).items():
        own = model.state_dict()[name]
        assert torch.equal(value, own.half().float() if name.endswith("weight") else own), name


def change_kernel(graph: onnx.GraphProto, conv: onnx.NodeProto) -> None:
    """One tap more on both axes."""
    (weight,) = (tensor for tensor in graph.initializer if tensor.name == conv.input[1])
    shape = [size + (axis > 1) for axis, size in enumerate(weight.dims)]
    weight.CopyFrom(numpy_helper.from_array(np.zeros(shape, np.float32), weight.name))


def change_stride(_: onnx.GraphProto, conv: onnx.NodeProto) -> None:
    (strides,) = (attribute for attribute in conv.attribute if attribute.name == "strides")
    strides.ints[:] = [3 - strides.ints[0]] * 2


def change_source(graph: onnx.GraphProto, conv: onnx.NodeProto) -> None:
    """It sees the picture itself."""
    conv.input[0] = graph.input[0].name


@pytest.mark.parametrize("change", [change_kernel, change_stride, change_source])
@pytest.mark.parametrize("number", [1, 20, 57])
def test_one_changed_convolution_is_refused_by_name(
    published: tuple[nn.Module, Path], tmp_path: Path, change: Callable[..., None], number: int
) -> None:
    model, path = published
    graph = onnx.load(path)
    convolutions = [node for node in graph.graph.node if node.op_type == "Conv"]
    change(graph.graph, convolutions[number])
    onnx.save(graph, tmp_path / "a.onnx")
    # torch names a weight in the graph as in the module
    name = convolutions[number].input[1].removesuffix(".weight")
    message = refusal(read_published, tmp_path / "a.onnx", model)
    assert f"is no {type(model).__name__}: it has no convolution for {name} (" in message


def test_a_convolution_too_many_is_refused_by_name(published: tuple[nn.Module, Path], tmp_path: Path) -> None:
    model, path = published
    graph = onnx.load(path)
    last = [node for node in graph.graph.node if node.op_type == "Conv"][-1]
    graph.graph.node.append(onnx.helper.make_node("Conv", list(last.input), ["more"], strides=[1, 1]))
    onnx.save(graph, tmp_path / "a.onnx")
    message = refusal(read_published, tmp_path / "a.onnx", model)
    assert f"is no {type(model).__name__}: its convolution more has no place there" in message


def test_a_graph_of_neither_network_names_the_first_convolution_of_both(tmp_path: Path) -> None:
    onnx.save(as_published(nn.Sequential(nn.Conv2d(3, 8, 5))), tmp_path / "a.onnx")
    message = refusal(published_network, tmp_path / "a.onnx")
    assert "no convolution for trunk.stem.0.0 (8×3×3×3, stride 2)" in message
    assert "no convolution for trunk.stem.first (32×3×3×3, stride 2)" in message
    assert message.endswith("name a published RTMDet-nano with raw heads or PP-TinyPose")
    assert "a.onnx" in refusal(export_network, [tmp_path / "a.onnx"], tmp_path / "small")


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"no graph")
    for path in (tmp_path / "a.onnx", tmp_path / "absent.onnx"):
        assert "cannot be read as an ONNX graph" in refusal(published_network, path)


def test_other_networks_start_from_no_graph(published: tuple[nn.Module, Path]) -> None:
    assert "PoseResNet cannot start from" in refusal(published_state, published[1], PoseResNet(18, 17))


def test_without_the_package_onnx_the_line_says_what_to_install(
    published: tuple[nn.Module, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(DependencyError, match="pip install 'pose-tracker"):
        read_published(published[1], published[0])


def test_training_starts_from_a_graph(published: tuple[nn.Module, Path]) -> None:
    model, path = published
    if isinstance(model, RTMDetNano):
        started: Any = RTMDetNano()
        assert initialise(started, path) == []
        assert same(dict(started.state_dict()), dict(model.state_dict()))
        return
    given = dict(model.state_dict())
    started = PoseLiteHRNet(19, 2)
    assert initialise(started, path, BODY_19) == ["further"]
    assert all(torch.equal(started.state_dict()[name], value) for name, value in given.items())
    # of another skeleton, the keypoints that it shares with the published one
    started = PoseLiteHRNet(14)
    assert initialise(started, path, CROWDPOSE_14) == []
    row = CROWDPOSE_14.index("left_wrist")
    assert torch.equal(started.decoder.last.weight[row], given["decoder.last.weight"][9])
    assert "has no convolution for" in refusal(initialise, RTMDetNano(), path)


def frames() -> list[npt.NDArray[np.uint8]]:
    """Two real pictures that show people."""
    images = sorted((PICTURES / "images").iterdir())[:2]
    return [cv2.imread(str(path)) for path in images]


@pytest.mark.shared
@needs_models
def test_rtmdet_nano_gives_what_the_published_graph_gives() -> None:
    path = MODELS / "rtmdet_nano_raw.onnx"
    model, stated = published_network(path)
    assert stated == {"network": "RTMDetNano", "arguments": "{}"}
    graph = OnnxNetwork(path, "cpu")
    for frame in frames():
        inputs = RTMDET.prepare(frame, (320, 320))[0][None]
        with torch.inference_mode():
            given = model(torch.from_numpy(inputs))
        for maps, expected in zip(given, graph.run(inputs), strict=True):
            found = maps.permute(0, 2, 3, 1).numpy()
            # scores, and sides
            for part in (slice(0, 1), slice(1, 5)):
                difference = np.abs(found[..., part] - expected[..., part]).max()
                assert difference <= 1e-4 * np.abs(expected[..., part]).max()


@pytest.mark.shared
@needs_models
def test_our_graph_of_rtmdet_nano_takes_all_sizes_and_batches(tmp_path: Path) -> None:
    on_onnx, on_torch = export_network([MODELS / "rtmdet_nano_raw.onnx"], tmp_path / "det")
    graph, model = OnnxNetwork(on_onnx, "cpu"), load_network(on_torch, "detector")
    for count, width, height in ((1, 320, 320), (2, 416, 416), (3, 96, 64), (1, 32, 32), (2, 224, 352)):
        inputs = np.stack([RTMDET.prepare(frames()[i % 2], (width, height))[0] for i in range(count)])
        with torch.inference_mode():
            expected = model(torch.from_numpy(inputs))
        for found, maps in zip(graph.run(inputs), expected, strict=True):
            for part in (slice(0, 1), slice(1, 5)):
                wanted = maps[:, part].numpy()
                np.testing.assert_allclose(found[:, part], wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.shared
@needs_models
def test_pose_lite_hrnet_gives_what_pp_tinypose_gives() -> None:
    from tracker.datasets.coco import read_ground_truth, read_picture
    from tracker.pose.networks import Normalization

    path = MODELS / "tinypose_256x192.onnx"
    model, stated = published_network(path)
    assert stated["arguments"] == '{"num_keypoints": 17}'
    pictures = [p for p in read_ground_truth(PICTURES / "annotations.json").pictures if p.people][:4]
    crops = []
    for picture in pictures:
        x0, y0, x1, y1 = picture.true_boxes().boxes[0].astype(int)
        crops.append(cv2.resize(read_picture(picture, PICTURES / "images")[y0:y1, x0:x1], (192, 256)))
    expected = load_pose_network(path, "cpu").run(np.stack(crops))["heatmaps"]
    mean, std = json.loads(stated["mean"]), json.loads(stated["std"])
    inputs = Normalization(stated["color"], mean, std).apply(np.stack(crops))  # type: ignore[arg-type]
    with torch.inference_mode():
        given = model(torch.from_numpy(inputs)).numpy()
    # it sees somebody
    assert expected.max() > 0.5
    np.testing.assert_allclose(given, expected, rtol=0, atol=1e-3)


@pytest.mark.shared
@needs_models
@pytest.mark.parametrize("name", ["yolox_nano", "picodet_s_320_pedestrian"])
def test_other_published_networks_are_refused(name: str) -> None:
    message = refusal(published_network, MODELS / f"{name}.onnx")
    assert "it has no convolution for trunk.stem" in message
