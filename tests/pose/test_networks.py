"""Pose networks from files: published checkpoints under their names, ONNX models with what they state."""

from __future__ import annotations

import functools
import json
import threading
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tests.onnx_graphs import Node, write_constant_graph, write_graph
from tests.trained import BOTTOM_UP, DETECTOR, POSE, like_trained, write_weights
from tests.vectors import SHARED
from tracker.errors import ModelError
from tracker.nets.litepose import LITEPOSE_SIZES, LitePose, LitePoseConfig
from tracker.nets.pose_resnet import PoseResNet
from tracker.pose import TopDownEstimator, load_pose_network, load_poses
from tracker.pose.checkpoints import load_published
from tracker.pose.networks import Normalization, OnnxPoseNetwork, TorchPoseNetwork
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
SMALL = LitePoseConfig(8, (8, 8, 16), (16, 8), num_blocks=(2, 1, 2), expansion=2, kernel=5)


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


def litepose(num_keypoints=14, config=SMALL):
    return like_trained(LitePose(num_keypoints, config))


def save(path, state, rename=lambda name: name):
    torch.save({rename(name): value for name, value in state.items()}, path)
    return path


def mmpose_name(name):
    return f"keypoint_head.{name}" if name.startswith(("deconv", "final")) else f"backbone.{name}"


def crops(n, size_wh=(192, 256)):
    return np.random.default_rng(0).integers(0, 256, (n, size_wh[1], size_wh[0], 3), np.uint8)


def assert_near(given, expected, share=1e-4):
    np.testing.assert_allclose(given, expected, rtol=0, atol=share * np.abs(expected).max())


def refusal(path, load=load_pose_network):
    with pytest.raises(ModelError) as error:
        load(path, "cpu")
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
    loaded, _ = load_published(save(tmp_path / "a.pth", weights(), rename))
    assert all(torch.equal(value, weights()[name]) for name, value in loaded.state_dict().items())
    assert not loaded.training


def test_a_checkpoint_gives_what_its_network_gave(tmp_path, resnet18):
    path = tmp_path / "pose_resnet_18_128x96.safetensors"
    save_file(resnet18.state_dict(), path)
    pixels = crops(2, (96, 128))
    with torch.inference_mode():
        expected = resnet18(torch.from_numpy(Normalization("bgr").apply(pixels))).numpy()
    assert_near(load_pose_network(path, "cpu").run(pixels)["heatmaps"], expected)


def test_a_litepose_gives_what_its_network_gave_of_rgb(tmp_path):
    model = litepose()
    network = load_pose_network(save(tmp_path / "a.pth", model.state_dict()), "cpu")
    pixels = crops(2, (128, 64))
    with torch.inference_mode():
        coarse, fine = model(torch.from_numpy(Normalization("rgb").apply(pixels)))
    given = network.run(pixels)
    assert list(given) == ["heatmaps_0", "tags_0", "heatmaps_1"]
    for maps, expected in zip(given.values(), (coarse[:, :14], coarse[:, 14:], fine), strict=True):
        assert_near(maps, expected.numpy())


@pytest.mark.parametrize("style", ["pytorch", "caffe"])
@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_the_depth_is_read_off_the_names_and_the_style_off_the_files_or_the_toml(tmp_path, monkeypatch, depth, style):
    with torch.device("meta"):
        state = PoseResNet(depth, 5, style).state_dict()
    monkeypatch.setattr("tracker.pose.checkpoints.load_checkpoint", lambda _path: state)
    monkeypatch.setattr("tracker.pose.checkpoints.load_strictly", lambda *_: None)
    if style == "pytorch":
        (tmp_path / "a_caffe.toml").write_text('style = "pytorch"')
    with torch.device("meta"):
        model, _ = load_published(tmp_path / "a_caffe.pth")
    assert {k: v.shape for k, v in model.state_dict().items()} == {k: v.shape for k, v in state.items()}
    assert model.layer2[0].conv1.stride == ((2, 2) if style == "caffe" or depth < 50 else (1, 1))


@pytest.mark.parametrize(
    ("num_keypoints", "config"),
    [
        pytest.param(14, SMALL, id="CrowdPose"),
        pytest.param(17, replace(SMALL, tags_at_each_scale=True), id="COCO, tags at each scale"),
        pytest.param(17, replace(SMALL, num_outputs=1), id="one output"),
    ],
)
def test_the_widths_of_a_litepose_are_read_off_its_weights(tmp_path, num_keypoints, config):
    model = litepose(num_keypoints, config)
    loaded, _ = load_published(save(tmp_path / "a.pth.tar", model.state_dict()))
    assert (loaded.num_keypoints, loaded.config, loaded.training) == (num_keypoints, config, False)
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("name", "model", "stated", "size_hw", "skeleton"),
    [
        pytest.param("pose_resnet_18_384x288.pth.tar", 17, None, (384, 288), COCO_17, id="size in the name"),
        pytest.param("a.pth", 17, None, (256, 192), COCO_17, id="17 keypoints: COCO"),
        pytest.param("a_100x100.pt", 16, None, (256, 256), MPII_16, id="16: MPII; no such size: as published"),
        pytest.param("a_384x288.pth", 17, "input_size = [64, 32]", (64, 32), COCO_17, id="toml before name"),
        pytest.param(
            "a.pth.tar", 14, 'skeleton = "crowdpose14"\ninput_size = [64, 64]', (64, 64), CROWDPOSE_14,
            id="all from the toml",
        ),
        pytest.param("a.pth", (14, SMALL), None, (512, 512), CROWDPOSE_14, id="LitePose of 14: CrowdPose"),
        pytest.param("a.pth", (17, LITEPOSE_SIZES["XS"]), None, (256, 256), COCO_17, id="17: COCO; XS: 256"),
        pytest.param("a.pth", (19, SMALL), 'skeleton = "body19"', (512, 512), BODY_19, id="a LitePose's skeleton"),
    ],
)  # fmt: skip
def test_what_a_checkpoint_leaves_open(tmp_path, name, model, stated, *, size_hw, skeleton):
    path = save(tmp_path / name, weights(model) if isinstance(model, int) else LitePose(*model).state_dict())
    if stated:
        path.with_name(path.name.split(".")[0] + ".toml").write_text(stated)
    loaded = load_pose_network(path, "cpu")
    assert (loaded.input_size_hw, loaded.skeleton, loaded.name) == (size_hw, skeleton, name)
    assert "on CPU" in loaded.engine


@pytest.mark.parametrize(
    ("rename", "stated", "color"),
    [
        (str, "", "bgr"),  # the authors normalise what cv2.imread gives
        (mmpose_name, "", "rgb"),  # MMPose converts to RGB
        (str, 'color = "rgb"', "rgb"),  # a checkpoint of one's own says so
    ],
)
def test_the_channel_order_is_that_of_the_training(tmp_path, rename, stated, color):
    (tmp_path / "a.toml").write_text(stated)
    assert load_published(save(tmp_path / "a.pth", weights(), rename))[1]["color"] == color


def test_a_checkpoint_of_udp_says_so_beside_it(tmp_path):
    # As Notepad of Windows saves it.
    (tmp_path / "a.toml").write_text('crop = "udp"\ndark_kernel = 17', encoding="utf-8-sig")
    family = load_pose_network(save(tmp_path / "a.pth", weights()), "cpu").family
    assert family.udp
    assert family.decode.keywords == {"dark_kernel": 17}


def test_torch_gets_normalised_pixels_in_the_order_of_its_training():
    pixels = crops(2)
    for color in ("rgb", "bgr"):
        spec = Normalization(color, mean=(1, 2, 3), std=(4, 5, 6))
        echoed = TorchPoseNetwork(nn.Identity(), COCO_17, (256, 192), normalization=spec, device="cpu")
        ordered = pixels[..., ::-1] if color == "rgb" else pixels
        by_hand = ((ordered.astype(float) - [1, 2, 3]) / [4, 5, 6]).transpose(0, 3, 1, 2)
        np.testing.assert_allclose(echoed.run(pixels)["heatmaps"], by_hand, atol=1e-4)
        np.testing.assert_allclose(spec.apply(pixels), by_hand, atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_gives_what_the_cpu_gives(resnet18):
    on_cpu, on_cuda = (TorchPoseNetwork(resnet18, COCO_17, (256, 192), device=device) for device in ("cpu", "cuda"))
    assert "CUDA" in on_cuda.engine
    given = on_cuda.run(crops(4))["heatmaps"]
    assert given.dtype == np.float32
    assert_near(given, on_cpu.run(crops(4))["heatmaps"], 0.02)


@pytest.mark.parametrize(
    ("name", "state", "words"),
    [
        pytest.param("a.pth", {"conv.weight": torch.zeros(3)}, "holds no PoseResNet or LitePose (it begins with "
                     "conv.weight)", id="another network"),
        pytest.param("a.pth", {name.replace("r.bias", "r.bais"): value for name, value in weights().items()},
                     "missing final_layer.bias; unexpected final_layer.bais", id="the first wrong names"),
        pytest.param("a.pth", {name: value for name, value in litepose().state_dict().items() if "1.0.inv.1" not in
                     name}, "missing stage.1.0.inv.1.bias", id="a LitePose that lacks weights"),
        pytest.param("a_256x192.pth", weights(5), "5 keypoints", id="keypoints that nobody described"),
        pytest.param("b.pth", weights(5), "5 keypoints", id="a skeleton of others beside it"),
        pytest.param("a.pth", litepose(5).state_dict(), "has 5 keypoints", id="a LitePose's"),
        pytest.param("model.engine", {}, ".onnx, .pth.tar, .pth, .pt, .safetensors", id="suffix"),
    ],
)  # fmt: skip
def test_other_checkpoints_are_refused(tmp_path, name, state, words):
    (tmp_path / "b.toml").write_text('skeleton = "coco17"\ninput_size = [64, 64]')
    assert words in refusal(save(tmp_path / name, state))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("skeleton = ", "is no TOML", id="no TOML"),
        pytest.param("colour = 'rgb'", "unknown; known: skeleton, color", id="unknown key"),
        pytest.param("skeleton = 'coco18'", "known: coco17", id="unknown skeleton"),
        pytest.param("color = 'grey'", "rgb or bgr", id="unknown colour"),
        pytest.param("mean = [1, 2]", "3 numbers", id="two means"),
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
    message = refusal(save(tmp_path / "a.pth", weights()))
    assert words in message
    assert "a.toml" in message


def test_our_own_weights_are_built_as_they_state(tmp_path):
    path = write_weights(tmp_path / "weights.safetensors", POSE, color="bgr", mean="[1, 2, 3]")
    loaded = load_pose_network(path, "cpu")
    assert (loaded.skeleton, loaded.input_size_hw) == (BODY_19, (64, 32))
    assert loaded.name == "weights.safetensors"
    pixels = crops(2, (32, 64))
    inputs = Normalization("bgr", (1, 2, 3), (127.5,) * 3).apply(pixels)
    with torch.inference_mode():
        expected = load_network(path, "pose")(torch.from_numpy(inputs)).numpy()
    assert_near(loaded.run(pixels)["heatmaps"], expected)
    (tmp_path / "weights.toml").write_text('color = "rgb"\ninput_size = [96, 64]')
    beside = load_pose_network(path, "cpu")
    assert beside.input_size_hw == (96, 64)
    assert_near(beside.run(pixels[..., ::-1])["heatmaps"], expected)


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        pytest.param(DETECTOR, "states RTMDetNano in its metadata, but must be PoseLiteHRNet", id="a detector"),
        pytest.param(POSE | {"skeleton": "coco17"}, "has 19 keypoints and is not described", id="17"),
        pytest.param(POSE | {"mean": "[1]"}, "which makes no sense", id="one mean"),
        pytest.param(POSE | {"input_size": "256"}, "which makes no sense", id="one size"),
        pytest.param({k: v for k, v in POSE.items() if k != "input_size"}, "does not tell its input_size", id="none"),
        pytest.param(BOTTOM_UP | {"skeleton": "coco17"}, "has 14 keypoints", id="bottom-up"),
    ],
)
def test_our_own_weights_must_state_all(tmp_path, stated, words):
    path = write_weights(tmp_path / "weights.safetensors", BOTTOM_UP if "Lite" in stated["network"][:4] else POSE)
    save_file(load_file(path), path, stated)
    assert words in refusal(path)


@pytest.mark.parametrize("stated", [POSE, BOTTOM_UP], ids=["crops", "whole pictures"])
def test_a_network_of_the_other_method_is_told_by_its_outputs(tmp_path, stated):
    path = write_weights(tmp_path / "weights.safetensors", stated)
    sees, method = ("bottom_up", "top-down") if stated is POSE else ("has_boxes", "bottom-up")
    assert f"take --pose {method}" in refusal(path, functools.partial(load_poses, **{sees: True}))


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
    assert loaded.input_size_hw == (64, 32)
    assert loaded.skeleton is COCO_17
    pixels = crops(3, (32, 64))
    expected = Normalization().apply(pixels)[:, np.arange(17) % 3]
    np.testing.assert_allclose(loaded.run(pixels)["heatmaps"], expected, rtol=1e-6)


@pytest.mark.parametrize(("cores", "num_threads", "at_once"), [(2, 0, 2), (2, 1, 1), (1, 0, 1)])
def test_two_batches_run_at_a_time_where_there_are_cores_for_them(tmp_path, monkeypatch, cores, num_threads, at_once):
    monkeypatch.setattr("tracker.pose.networks.num_cores", lambda: cores)
    loaded = load_pose_network(write_scaled_channels(tmp_path / "a.onnx", 1), "cpu", num_threads)
    barrier, run = threading.Barrier(at_once, timeout=20), loaded._network.run
    monkeypatch.setattr(loaded._network, "run", lambda batch: barrier.wait() >= 0 and run(batch))
    pixels = crops(2, (32, 64))
    np.testing.assert_array_equal(
        loaded.run(pixels)["heatmaps"], Normalization().apply(pixels)[:, np.arange(17) % 3].astype(np.float32)
    )


def test_the_toml_beside_an_onnx_model_comes_before_its_metadata(tmp_path):
    stated = STATED | {"author": "somebody"}
    path = write_constant_graph(tmp_path / "a.onnx", [IMAGE], {"heatmaps": HEATMAPS}, stated)
    (tmp_path / "a.toml").write_text('color = "bgr"\nskeleton = "posetrack17"')
    loaded = OnnxPoseNetwork(path, "cpu")
    assert loaded.skeleton.name == "posetrack17"
    assert loaded._normalization == Normalization("bgr", *(tuple(json.loads(STATED[key])) for key in ("mean", "std")))


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        pytest.param('color = "bgr"\ninput_size = [256, 192]', [], id="what the graph takes"),
        pytest.param("input_size = [384, 288]", ["input_size in a.toml is not used: a.onnx takes 256x192 alone"]),
        pytest.param('style = "caffe"', ["style in a.toml is not used: a.onnx is a graph, which has it"]),
    ],
)
def test_what_a_graph_fixes_is_not_silently_left_aside(tmp_path, stated, told):
    path = write_constant_graph(tmp_path / "a.onnx", [IMAGE], {"heatmaps": HEATMAPS}, STATED)
    (tmp_path / "a.toml").write_text(stated)
    assert (OnnxPoseNetwork(path, "cpu").note or "").splitlines() == told


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
        pytest.param([TensorInfo("x", (1, 256, 192, 3), "float32")], {"y": HEATMAPS}, id="channels last"),
        pytest.param([TensorInfo("x", (1, 3, 256, 192), "uint8")], {"y": HEATMAPS}, id="bytes"),
        pytest.param([IMAGE], {"y": HEATMAPS, "z": HEATMAPS}, id="two sets of heatmaps"),
        pytest.param([IMAGE], {"y": HEATMAPS[:, :14]}, id="heatmaps of another skeleton"),
        pytest.param([IMAGE], {"simcc_x": np.zeros((1, 17, 384), np.float32)}, id="no heatmaps"),
        pytest.param([IMAGE], {"heatmaps_0": HEATMAPS[0], "tags_0": HEATMAPS[0]}, id="tags without maps"),
    ],
)
def test_an_unknown_signature_says_what_was_found_and_what_is_supported(tmp_path, inputs, outputs):
    write_constant_graph(tmp_path / "a.onnx", inputs, outputs, STATED)
    message = refusal(tmp_path / "a.onnx")
    assert all(str(info) in message for info in inputs)
    assert all(name in message for name in outputs)
    assert "heatmaps [b, K, h, w]" in message


def test_a_size_that_a_graph_leaves_open_must_be_stated(tmp_path):
    image = TensorInfo("x", (None, 3, None, None), "float32")
    path = write_constant_graph(tmp_path / "a.onnx", [image], {"y": HEATMAPS}, STATED)
    assert "does not tell its input_size" in refusal(path)
    (tmp_path / "a.toml").write_text("input_size = [256, 192]")
    assert load_pose_network(path, "cpu").input_size_hw == (256, 192)


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
