"""Pose networks from files: published checkpoints under their names, ONNX models with what they state."""

from __future__ import annotations

import functools
import json
import re

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tests.onnx_graphs import Node, write_constant_graph, write_graph
from tests.trained import DETECTOR, POSE, write_weights
from tests.vectors import SHARED
from tracker.errors import DeviceError, ModelError
from tracker.nets.pose_resnet import PoseResNet
from tracker.pose import TopDownEstimator, load_pose_network
from tracker.pose.networks import Normalization, OnnxHeatmapNetwork, TorchHeatmapNetwork, load_pose_resnet
from tracker.runtime import TensorInfo
from tracker.skeletons import BODY_19, COCO_17, CROWDPOSE_14, MPII_16
from tracker.types import Candidates
from tracker.weights import load_network

STATED = {
    "skeleton": "coco17",
    "color": "rgb",
    "mean": "[123.675, 116.28, 103.53]",
    "std": "[58.395, 57.12, 57.375]",
}
IMAGE = TensorInfo("image", (1, 3, 256, 192), "float32")
HEATMAPS = np.zeros((1, 17, 64, 48), np.float32)


@pytest.fixture(scope="module")
def resnet18():
    torch.manual_seed(0)
    model = PoseResNet(18, 17).eval()
    nn.init.normal_(model.final_layer.weight, std=0.1)
    return model


@functools.cache
def weights(num_keypoints=17):
    """A state dict of R18 with one number per tensor, so that its file is small."""
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in PoseResNet(18, num_keypoints).state_dict().items()}
    return {name: torch.tensor(float(i)).expand(shape) for i, (name, shape) in enumerate(shapes.items())}


def save(path, state, rename=lambda name: name):
    torch.save({rename(name): value for name, value in state.items()}, path)
    return path


def mmpose_name(name):
    return f"keypoint_head.{name}" if name.startswith(("deconv", "final")) else f"backbone.{name}"


def crops(n, size_wh=(192, 256)):
    return np.random.default_rng(0).integers(0, 256, (n, size_wh[1], size_wh[0], 3), np.uint8)


def refusal(path, device="cpu"):
    with pytest.raises(ModelError) as error:
        load_pose_network(path, device)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "rename",
    [
        pytest.param(lambda name: name, id="published"),
        pytest.param(lambda name: f"module.{name}", id="DataParallel"),
        pytest.param(mmpose_name, id="MMPose"),
        pytest.param(lambda name: mmpose_name(name).replace("keypoint_head", "head"), id="MMPose 1"),
    ],
)
def test_checkpoints_of_all_names_give_the_same_network(tmp_path, rename):
    loaded = load_pose_resnet(save(tmp_path / "a.pth", weights(), rename))
    assert all(torch.equal(value, weights()[name]) for name, value in loaded.state_dict().items())
    assert not loaded.training


def test_a_checkpoint_gives_what_its_network_gave(tmp_path, resnet18):
    path = tmp_path / "pose_resnet_18_128x96.safetensors"
    save_file(resnet18.state_dict(), path)
    pixels = crops(2, (96, 128))
    inputs = torch.from_numpy(Normalization("bgr").apply(pixels))
    with torch.inference_mode():
        expected = resnet18(inputs).numpy()
    given = load_pose_network(path, "cpu").heatmaps(pixels)
    np.testing.assert_allclose(given, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("style", ["pytorch", "caffe"])
@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_the_depth_is_read_off_the_names(tmp_path, monkeypatch, depth, style):
    with torch.device("meta"):
        state = PoseResNet(depth, 5, style).state_dict()
    monkeypatch.setattr("tracker.pose.networks.load_checkpoint", lambda _path: state)
    built = []
    monkeypatch.setattr("tracker.pose.networks.load_strictly", lambda model, *_: built.append(model))
    with torch.device("meta"):
        model = load_pose_resnet(tmp_path / "a.pth", style)
    assert model.final_layer.out_channels == 5
    assert {k: v.shape for k, v in model.state_dict().items()} == {k: v.shape for k, v in state.items()}
    assert built[0].layer2[0].conv1.stride == ((2, 2) if style == "caffe" or depth < 50 else (1, 1))


@pytest.mark.parametrize(
    ("name", "num_keypoints", "settings", "size_wh", "skeleton"),
    [
        pytest.param("pose_resnet_18_384x288.pth.tar", 17, None, (288, 384), COCO_17, id="size in the name"),
        pytest.param("a.pth", 17, None, (192, 256), COCO_17, id="17 keypoints: COCO"),
        pytest.param("a.pth", 16, None, (256, 256), MPII_16, id="16 keypoints: MPII"),
        pytest.param("a_100x100.pt", 16, None, (256, 256), MPII_16, id="no such size: as published"),
        pytest.param("a_384x288.pth", 17, "input_size = [64, 32]", (32, 64), COCO_17, id="toml before name"),
        pytest.param(
            "a.pth.tar", 14, 'skeleton = "crowdpose14"\ninput_size = [64, 64]', (64, 64), CROWDPOSE_14,
            id="all from the toml",
        ),
    ],
)  # fmt: skip
def test_what_a_checkpoint_leaves_open(tmp_path, name, num_keypoints, settings, *, size_wh, skeleton):
    path = save(tmp_path / name, weights(num_keypoints))
    if settings:
        path.with_name(path.name.split(".")[0] + ".toml").write_text(settings)
    loaded = load_pose_network(path, "cpu")
    assert (loaded.input_size_wh, loaded.skeleton) == (size_wh, skeleton)
    assert loaded.name == name
    assert "on CPU" in loaded.engine
    width, height = size_wh
    assert loaded.heatmaps(crops(1, size_wh)).shape == (1, num_keypoints, height // 4, width // 4)


@pytest.mark.parametrize(
    ("name", "settings"), [("pose_resnet_50_caffe_256x192.pth.tar", None), ("a.pth", 'style = "caffe"')]
)
def test_the_caffe_style_is_in_the_name_or_the_toml(tmp_path, monkeypatch, resnet18, name, settings):
    if settings:
        (tmp_path / "a.toml").write_text(settings)
    asked = []

    def record(checkpoint, path, style):
        asked.append(style)
        return resnet18

    monkeypatch.setattr("tracker.pose.networks.load_checkpoint", lambda path: {})
    monkeypatch.setattr("tracker.pose.networks._build_pose_resnet", record)
    load_pose_network(tmp_path / name, "cpu")
    assert asked == ["caffe"]


@pytest.mark.parametrize(
    ("rename", "stated", "swaps"),
    [
        (str, "", False),  # the authors normalise what cv2.imread gives
        (mmpose_name, "", True),  # MMPose converts to RGB
        (str, 'color = "rgb"', True),  # a checkpoint of one's own says so
    ],
)
def test_the_channel_order_is_that_of_the_training(tmp_path, rename, stated, swaps):
    (tmp_path / "a.toml").write_text(stated)
    network = load_pose_network(save(tmp_path / "a.pth", weights(), rename), "cpu")
    assert network._swaps_channels is swaps


def test_torch_gets_normalised_pixels_in_the_order_of_its_training():
    class Echo(nn.Module):
        def forward(self, x):
            return x

    pixels = crops(2)
    for color in ("rgb", "bgr"):
        spec = Normalization(color, mean=(1, 2, 3), std=(4, 5, 6))
        echoed = TorchHeatmapNetwork(Echo(), COCO_17, (192, 256), normalization=spec, device="cpu")
        given = echoed.heatmaps(pixels)
        ordered = pixels[..., ::-1] if color == "rgb" else pixels
        by_hand = ((ordered.astype(float) - [1, 2, 3]) / [4, 5, 6]).transpose(0, 3, 1, 2)
        np.testing.assert_allclose(given, by_hand, atol=1e-4)
        np.testing.assert_allclose(spec.apply(pixels), by_hand, atol=1e-4)


def test_a_batch_gives_what_each_crop_gives_alone(resnet18):
    loaded = TorchHeatmapNetwork(resnet18, COCO_17, (96, 128), device="cpu")
    pixels = crops(3, (96, 128))
    together = loaded.heatmaps(pixels)
    alone = np.concatenate([loaded.heatmaps(crop[None]) for crop in pixels])
    np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-4 * np.abs(together).max())


def test_a_model_that_is_handed_in_can_go_on_training():
    model = PoseResNet(18, 17).train()
    TorchHeatmapNetwork(model, COCO_17, (192, 256), device="cpu")
    assert model.training


def test_the_note_says_why_the_cpu_was_taken(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    named = {"name": "r18.pth", "input_size_wh": (192, 256)}
    on_auto, on_cpu = (TorchHeatmapNetwork(nn.Identity(), COCO_17, device=d, **named) for d in ("auto", "cpu"))
    assert on_auto.note.startswith("runs on the CPU: torch finds no CUDA")
    assert on_cpu.note is None
    assert TopDownEstimator(on_auto).note == on_auto.note


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_gives_what_the_cpu_gives(resnet18):
    on_cpu, on_cuda = (TorchHeatmapNetwork(resnet18, COCO_17, (192, 256), device=device) for device in ("cpu", "cuda"))
    assert "CUDA" in on_cuda.engine
    expected, given = on_cpu.heatmaps(crops(4)), on_cuda.heatmaps(crops(4))
    assert given.dtype == np.float32
    assert np.abs(given - expected).max() < 0.02 * np.abs(expected).max()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_cuda_device_that_is_absent_is_an_error(tmp_path):
    with pytest.raises(DeviceError):
        load_pose_network(save(tmp_path / "a.pth", weights()), "cuda")


def test_a_network_of_another_kind_is_refused(tmp_path):
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "a.pth")
    assert "holds no PoseResNet (it begins with conv.weight)" in refusal(tmp_path / "a.pth")


def test_the_first_wrong_names_are_told(tmp_path):
    message = refusal(save(tmp_path / "a.pth", weights(), lambda name: name.replace("r.bias", "r.bais")))
    assert "missing final_layer.bias; unexpected final_layer.bais" in message


def test_a_number_of_keypoints_that_nobody_described(tmp_path):
    path = save(tmp_path / "a_256x192.pth", weights(5))
    assert "5 keypoints" in refusal(path)
    (tmp_path / "a_256x192.toml").write_text('skeleton = "coco17"')
    assert "5 keypoints" in refusal(path)


@pytest.mark.parametrize("name", ["model.txt", "model", "model.engine"])
def test_other_suffixes_are_refused(tmp_path, name):
    message = refusal(tmp_path / name)
    assert ".onnx, .pth.tar, .pth, .pt, .safetensors" in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("skeleton = ", "is no TOML", id="no TOML"),
        pytest.param("colour = 'rgb'", "unknown; known: skeleton, color", id="unknown key"),
        pytest.param("skeleton = 'coco18'", "known: coco17", id="unknown skeleton"),
        pytest.param("color = 'grey'", "rgb or bgr", id="unknown colour"),
        pytest.param("mean = [1, 2]", "three numbers", id="two means"),
        pytest.param(f"mean = [1, 2, 9{'0' * 400}]", "makes no sense", id="mean beyond floating point"),
        pytest.param("mean = " + "[" * 9999, "is no TOML", id="too deep"),
        pytest.param("std = [1, 0, 1]", "above 0", id="std of 0"),
        pytest.param("input_size = [250, 192]", "multiples of 32", id="size that is no multiple of 32"),
        pytest.param("input_size = 256", "makes no sense", id="one size"),
        pytest.param("style = 'keras'", "pytorch or caffe", id="unknown style"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path, text, words):
    (tmp_path / "a.toml").write_text(text)
    message = refusal(tmp_path / "a.pth")
    assert words in message
    assert "a.toml" in message


def test_our_own_weights_are_built_as_they_state(tmp_path):
    path = write_weights(tmp_path / "weights.safetensors", POSE, color="bgr", mean="[1, 2, 3]")
    loaded = load_pose_network(path, "cpu")
    assert (loaded.skeleton, loaded.input_size_wh) == (BODY_19, (32, 64))
    assert loaded.name == "weights.safetensors"
    pixels = crops(2, (32, 64))
    inputs = Normalization("bgr", (1, 2, 3), (127.5,) * 3).apply(pixels)
    with torch.inference_mode():
        expected = load_network(path, "pose")(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(loaded.heatmaps(pixels), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_the_toml_beside_our_own_weights_comes_first(tmp_path):
    path = write_weights(tmp_path / "weights.safetensors", POSE)
    (tmp_path / "weights.toml").write_text('color = "bgr"\ninput_size = [96, 64]')
    loaded = load_pose_network(path, "cpu")
    assert loaded.input_size_wh == (64, 96)
    assert loaded._swaps_channels is False


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        pytest.param(DETECTOR, "states RTMDetNano in its metadata, but must be PoseLiteHRNet", id="a detector"),
        pytest.param(POSE | {"skeleton": "coco17"}, "has 19 keypoints and must state the skeleton of so many", id="17"),
        pytest.param(POSE | {"mean": "[1]"}, "which makes no sense", id="one mean"),
        pytest.param(POSE | {"input_size": "256"}, "which makes no sense", id="one size"),
        pytest.param({k: v for k, v in POSE.items() if k != "input_size"}, "and its input_size", id="no size"),
    ],
)
def test_our_own_weights_must_state_all(tmp_path, stated, words):
    path = write_weights(tmp_path / "weights.safetensors", stated if stated is DETECTOR else POSE)
    save_file(load_file(path), path, stated)
    assert words in refusal(path)


def write_scaled_channels(path, batch):
    """Heatmaps that are the input's channels 0, 1, 2, 0, 1, … at full size, after a Gather."""
    return write_graph(
        path,
        [TensorInfo("image", (batch, 3, 64, 32), "float32")],
        [TensorInfo("heatmaps", (batch, 17, 64, 32), "float32"), TensorInfo("argmax", (batch, 17), "int64")],
        nodes=[
            Node("Gather", ["image", "order"], "heatmaps", {"axis": 1}),
            Node("Identity", ["best"], "argmax"),
        ],
        constants={"order": np.arange(17) % 3, "best": np.zeros((1, 17), np.int64)},
        metadata=STATED,
    )  # fmt: skip


@pytest.mark.parametrize("batch", [1, None], ids=["batch 1 is looped", "an open batch is filled"])
def test_onnx_models_run_on_batches(tmp_path, batch):
    loaded = load_pose_network(write_scaled_channels(tmp_path / "a.onnx", batch), "cpu")
    assert loaded.input_size_wh == (32, 64)
    assert loaded.skeleton is COCO_17
    pixels = crops(3, (32, 64))
    expected = Normalization().apply(pixels)[:, np.arange(17) % 3]
    np.testing.assert_allclose(loaded.heatmaps(pixels), expected, rtol=1e-6)


def test_the_toml_beside_an_onnx_model_comes_before_its_metadata(tmp_path):
    path = write_constant_graph(tmp_path / "a.onnx", [IMAGE], {"heatmaps": HEATMAPS}, STATED)
    (tmp_path / "a.toml").write_text('color = "bgr"\nskeleton = "posetrack17"')
    loaded = OnnxHeatmapNetwork(path, "cpu")
    assert loaded.skeleton.name == "posetrack17"
    assert loaded._normalization.color == "bgr"
    assert loaded._normalization.mean == tuple(json.loads(STATED["mean"]))


def test_foreign_metadata_is_no_concern(tmp_path):
    path = write_constant_graph(tmp_path / "a.onnx", [IMAGE], {"heatmaps": HEATMAPS}, STATED | {"author": "somebody"})
    assert OnnxHeatmapNetwork(path, "cpu").input_size_wh == (192, 256)


@pytest.mark.parametrize("missing", list(STATED))
def test_an_onnx_model_must_state_all(tmp_path, missing):
    stated = {key: value for key, value in STATED.items() if key != missing}
    write_constant_graph(tmp_path / "a.onnx", [IMAGE], {"heatmaps": HEATMAPS}, stated)
    message = refusal(tmp_path / "a.onnx")
    assert f"does not state its {missing}; write" in message
    assert "a.toml" in message


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        pytest.param([TensorInfo("x", (None, 3, None, None), "float32")], {"y": HEATMAPS}, id="open size"),
        pytest.param([TensorInfo("x", (1, 256, 192, 3), "float32")], {"y": HEATMAPS}, id="channels last"),
        pytest.param([TensorInfo("x", (1, 3, 256, 192), "uint8")], {"y": HEATMAPS}, id="bytes"),
        pytest.param([IMAGE], {"y": HEATMAPS, "z": HEATMAPS}, id="two sets of heatmaps"),
        pytest.param([IMAGE], {"y": HEATMAPS[:, :14]}, id="heatmaps of another skeleton"),
        pytest.param([IMAGE], {"simcc_x": np.zeros((1, 17, 384), np.float32)}, id="no heatmaps"),
    ],
)
def test_an_unknown_signature_says_what_was_found_and_what_is_supported(tmp_path, inputs, outputs):
    write_constant_graph(tmp_path / "a.onnx", inputs, outputs, STATED)
    message = refusal(tmp_path / "a.onnx")
    assert all(str(info) in message for info in inputs)
    assert all(name in message for name in outputs)
    assert re.search(r"\[1 or \?, (17|K), h, w\]", message)


def shared(*parts):
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"the development material {'/'.join(parts)} is absent")
    return path


@pytest.mark.shared
@pytest.mark.parametrize("flip_test", [False, True], ids=["plain", "flip test"])
def test_a_real_model_finds_real_keypoints(flip_test):
    model, folder = shared("models", "tinypose_256x192.onnx"), shared("data", "val", "coco")
    estimator = TopDownEstimator(load_pose_network(model, "cpu"), flip_test=flip_test)
    truth = json.loads((folder / "annotations.json").read_text())
    errors = []
    for picture in truth["images"][:6]:
        people = [
            person
            for person in truth["annotations"]
            if person["image_id"] == picture["id"] and person["num_keypoints"] >= 10
        ]
        boxes = np.array([person["bbox"] for person in people], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        image = cv2.imread(str(folder / "images" / picture["file_name"]))
        candidates = Candidates(boxes, np.ones(len(boxes), np.float32), np.zeros(len(boxes), np.int8))
        poses = estimator.estimate(image, candidates)
        for person, keypoints in zip(people, poses.keypoints, strict=True):
            true = np.array(person["keypoints"], float).reshape(17, 3)
            distance = np.linalg.norm(keypoints - true[:, :2], axis=1)[true[:, 2] > 0]
            errors.append(distance / np.sqrt(person["bbox"][2] * person["bbox"][3]))
    assert len(errors) >= 5
    # Share of keypoints within a tenth of the person's size.
    assert np.mean(np.concatenate(errors) < 0.1) > 0.85
