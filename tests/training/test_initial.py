"""Weights to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.trained import like_trained
from tests.vectors import SHARED
from tracker.errors import ModelError
from tracker.nets.mobilenet import MobileNetV2
from tracker.nets.person_detector import PersonDetector
from tracker.nets.pose_mobilenet import PoseMobileNet
from tracker.nets.pose_resnet import PoseResNet
from tracker.skeletons import BODY_19, COCO_17, CROWDPOSE_14
from tracker.training.initial import initialise


def same(model: nn.Module, other: nn.Module, prefix: str = "") -> bool:
    state = other.state_dict()
    return all(torch.equal(value, state[name]) for name, value in model.state_dict().items() if name.startswith(prefix))


def as_npz(trunk: MobileNetV2, head: dict[str, Any]) -> dict[str, Any]:
    """The arrays of a trunk in TensorFlow's axes."""
    arrays = {}
    convolutions = [module for module in trunk.modules() if isinstance(module, nn.Conv2d)]
    for number, conv in enumerate(convolutions):
        kind, axes = ("DEPTHWISE_CONV_2D", (1, 2, 3, 0)) if conv.groups > 1 else ("CONV_2D", (0, 2, 3, 1))
        arrays[f"{number:03}_{kind}_w"] = conv.weight.detach().numpy().transpose(axes)
        assert conv.bias is not None
        arrays[f"{number:03}_{kind}_b"] = conv.bias.detach().numpy()
    return arrays | head


def write(path: Path, model: nn.Module, **others: torch.Tensor) -> Path:
    torch.save(model.state_dict() | others, path)
    return path


def test_a_checkpoint_of_the_same_network_gives_everything(tmp_path: Path) -> None:
    trained, model = like_trained(PoseMobileNet(17, 8)), PoseMobileNet(17, 8)
    assert initialise(model, write(tmp_path / "a.pth", trained)) == []
    assert same(model, trained)


def test_weights_in_half_precision_are_widened(tmp_path: Path) -> None:
    trained, model = like_trained(PoseMobileNet(17, 8)), PoseMobileNet(17, 8)
    halves = {name: value.half() if value.ndim > 1 else value for name, value in trained.state_dict().items()}
    save_file(halves, tmp_path / "a.safetensors")
    assert initialise(model, tmp_path / "a.safetensors") == []
    assert model.final_layer.weight.dtype == torch.float32
    torch.testing.assert_close(model.final_layer.weight, trained.final_layer.weight, rtol=1e-3, atol=1e-6)


def test_another_number_of_keypoints_starts_its_last_layer_anew(tmp_path: Path) -> None:
    trained, model = like_trained(PoseResNet(18, 17)), PoseResNet(18, 15)
    assert initialise(model, write(tmp_path / "a.pth", trained)) == ["final_layer"]
    assert same(model, PoseResNet(18, 15), "final_layer.b")
    assert same(model, trained, "deconv_layers")
    assert same(model, trained, "layer4")


def test_another_skeleton_takes_the_keypoints_that_both_have(tmp_path: Path) -> None:
    trained, model = like_trained(PoseMobileNet(19, 8)), PoseMobileNet(14, 8)
    save_file(trained.state_dict(), tmp_path / "a.safetensors", {"skeleton": "body19"})
    assert initialise(model, tmp_path / "a.safetensors", CROWDPOSE_14) == []
    for kind in ("weight", "bias"):
        given, own = trained.state_dict()[f"final_layer.{kind}"], model.state_dict()[f"final_layer.{kind}"]
        for name in ("left_shoulder", "right_ankle", "neck"):
            assert torch.equal(own[CROWDPOSE_14.index(name)], given[BODY_19.index(name)]), name
    assert same(model, trained, "trunk")


def test_keypoints_of_the_same_skeleton_are_taken_whole(tmp_path: Path) -> None:
    trained, model = like_trained(PoseMobileNet(17, 8)), PoseMobileNet(17, 8)
    save_file(trained.state_dict(), tmp_path / "a.safetensors", {"skeleton": "coco17"})
    assert initialise(model, tmp_path / "a.safetensors", COCO_17) == []
    assert same(model, trained)


def test_torchvisions_resnets_give_the_trunk(tmp_path: Path) -> None:
    imagenet = like_trained(PoseResNet(18, 17))
    imagenet.deconv_layers = nn.Sequential()
    del imagenet.final_layer
    path = write(tmp_path / "resnet18.pth", imagenet, **{"fc.weight": torch.ones(10, 512)})
    model = PoseResNet(18, 17)
    assert initialise(model, path) == ["deconv_layers", "final_layer"]
    assert same(imagenet, model)


def test_a_pose_network_gives_its_trunk_and_deconvolutions_to_a_detector(tmp_path: Path) -> None:
    pose, detector = like_trained(PoseMobileNet(19, 8)), PersonDetector(8)
    assert initialise(detector, write(tmp_path / "a.pth", pose)) == ["heads"]
    assert same(detector, pose, "trunk")
    assert same(detector, pose, "upsampling")


def test_tensorflows_arrays(tmp_path: Path) -> None:
    trained, model = like_trained(PoseMobileNet(19, 8)), PoseMobileNet(19, 8)
    state = {name: value.numpy() for name, value in trained.state_dict().items()}
    head = {"final_w": state["final_layer.weight"], "final_b": state["final_layer.bias"]}
    for i in range(3):
        head[f"deconv{i}_w"] = state[f"upsampling.deconvolutions.{i}.0.weight"]
        for kind in ("weight", "bias", "running_mean", "running_var"):
            head[f"deconv{i}_bn_{kind}"] = state[f"upsampling.deconvolutions.{i}.1.{kind}"]
    np.savez(tmp_path / "a.npz", **as_npz(trained.trunk, head))
    assert initialise(model, tmp_path / "a.npz") == ["upsampling"]  # its lateral convolutions
    assert same(trained.trunk, model.trunk)
    assert same(trained.upsampling.deconvolutions[0][0], model.upsampling.deconvolutions[0][0])
    x = torch.rand(1, 3, 32, 32)
    for lateral in trained.upsampling.laterals.parameters():
        nn.init.zeros_(lateral)
    torch.testing.assert_close(model.eval()(x), trained(x))


def test_more_layers_than_the_trunk_are_left_out(tmp_path: Path) -> None:
    trunk = MobileNetV2()
    np.savez(tmp_path / "a.npz", **as_npz(trunk, {"052_CONV_2D_w": np.ones((1280, 1, 1, 320)), "052_CONV_2D_b": 0}))
    model = PersonDetector(8)
    assert initialise(model, tmp_path / "a.npz") == ["heads", "upsampling"]
    assert same(trunk, model.trunk)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(PoseResNet(18, 17).state_dict(), "lacks 102 tensors of the trunk of PoseMobileNet", id="a ResNet"),
        pytest.param({"trunk.stem.0.bias": torch.zeros(32)}, "first trunk.stem.0.weight", id="a part of the trunk"),
        pytest.param([1], "no state dict", id="no weights"),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(ModelError, match=message):
        initialise(PoseMobileNet(19, 8), tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        pytest.param(None, "holds no weights of MobileNetV2", id="missing"),
        pytest.param({"other": np.zeros(3)}, "lacks 102 tensors of the trunk", id="of something else"),
        pytest.param({"000_CONV_2D_w": np.zeros((32, 3, 3, 3))}, "000_CONV_2D_b", id="without biases"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, arrays: Any, message: str) -> None:
    if arrays is not None:
        np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ModelError, match=message) as raised:
        initialise(PoseMobileNet(19, 8), tmp_path / "a.npz")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("member", [b"no array", b"\x93NUMPY\x01\x00\xff\xff{"])
def test_damaged_arrays_are_refused_in_one_line(tmp_path: Path, member: bytes) -> None:
    with ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("final_w.npy", member)
    with pytest.raises(ModelError, match="holds no weights of MobileNetV2") as raised:
        initialise(PoseMobileNet(19, 8), tmp_path / "a.npz")
    assert "\n" not in str(raised.value)


@pytest.mark.shared
@pytest.mark.skipif(not (SHARED / "models").is_dir(), reason="needs the development models")
def test_the_published_mobilenet_fits() -> None:
    assert initialise(PersonDetector(), SHARED / "models" / "mobilenet_v2_imagenet.npz") == ["heads", "upsampling"]
    assert initialise(PoseMobileNet(19), SHARED / "models" / "mobilenet_v2_pose.npz") == ["upsampling"]
