"""Weights to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.trained import like_trained
from tracker.errors import ModelError
from tracker.nets.pose_lite_hrnet import PoseLiteHRNet
from tracker.nets.pose_resnet import PoseResNet
from tracker.skeletons import BODY_19, COCO_17, CROWDPOSE_14
from tracker.training.initial import initialise


def same(model: nn.Module, other: nn.Module, prefix: str = "") -> bool:
    state = other.state_dict()
    return all(torch.equal(value, state[name]) for name, value in model.state_dict().items() if name.startswith(prefix))


def write(path: Path, model: nn.Module, **others: torch.Tensor) -> Path:
    torch.save(model.state_dict() | others, path)
    return path


def test_a_checkpoint_of_the_same_network_gives_everything(tmp_path: Path) -> None:
    trained, model = like_trained(PoseLiteHRNet(17)), PoseLiteHRNet(17)
    assert initialise(model, write(tmp_path / "a.pth", trained)) == []
    assert same(model, trained)
    save_file(trained.state_dict(), tmp_path / "a.safetensors", {"skeleton": "coco17"})
    assert initialise(again := PoseLiteHRNet(17), tmp_path / "a.safetensors", COCO_17) == []
    assert same(again, trained)


def test_another_number_of_keypoints_starts_its_last_layer_anew(tmp_path: Path) -> None:
    trained, model = like_trained(PoseResNet(18, 17)), PoseResNet(18, 15)
    assert initialise(model, write(tmp_path / "a.pth", trained)) == ["final_layer"]
    assert same(model, PoseResNet(18, 15), "final_layer.b")
    assert same(model, trained, "deconv_layers")
    assert same(model, trained, "layer4")


def test_another_skeleton_takes_the_keypoints_that_both_have(tmp_path: Path) -> None:
    trained, model = like_trained(PoseLiteHRNet(19, 2)), PoseLiteHRNet(14)
    save_file(trained.state_dict(), tmp_path / "a.safetensors", {"skeleton": "body19"})
    assert initialise(model, tmp_path / "a.safetensors", CROWDPOSE_14) == []
    for kind in ("weight", "bias"):
        given, own = trained.state_dict()[f"decoder.last.{kind}"], model.state_dict()[f"decoder.last.{kind}"]
        # the neck is among the further keypoints
        for name in ("left_shoulder", "right_ankle"):
            assert torch.equal(own[CROWDPOSE_14.index(name)], given[BODY_19.index(name)]), name
    assert same(model, trained, "trunk")


def test_torchvisions_resnets_give_the_trunk(tmp_path: Path) -> None:
    imagenet = like_trained(PoseResNet(18, 17))
    imagenet.deconv_layers = nn.Sequential()
    del imagenet.final_layer
    path = write(tmp_path / "resnet18.pth", imagenet, **{"fc.weight": torch.ones(10, 512)})
    model = PoseResNet(18, 17)
    assert initialise(model, path) == ["deconv_layers", "final_layer"]
    assert same(imagenet, model)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(PoseResNet(18, 17).state_dict(), r"lacks \d+ tensors of the trunk of PoseLite", id="a ResNet"),
        pytest.param({"trunk.stem.first.bias": torch.zeros(32)}, "first trunk.stem.first.w", id="a part of it"),
        pytest.param([1], "no state dict", id="no weights"),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(ModelError, match=message):
        initialise(PoseLiteHRNet(19, 2), tmp_path / "a.pth")
