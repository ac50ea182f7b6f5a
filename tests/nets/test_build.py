"""From names to networks, and what holds for all of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trained import like_trained
from tracker.nets.bottom_up_mobilenet import BottomUpMobileNet
from tracker.nets.build import INPUT_SIZES_HW, NETWORKS, build_network, describe_network
from tracker.nets.deployment import arrange_for_export
from tracker.nets.pose_resnet import PoseResNet

LITEPOSE = {"stem": 8, "channels": [8, 8, 16], "deconvolutions": [16, 8], "num_blocks": [2, 1, 2]}
SMALL: list[tuple[str, dict[str, Any]]] = [
    ("PoseResNet", {"depth": 18, "num_keypoints": 3}),
    ("PoseLiteHRNet", {"num_keypoints": 3, "further": 1, "upsampling": "deconvolution"}),
    ("RTMDetNano", {}),
    ("LitePose", {"num_keypoints": 3, "tags_at_each_scale": True, "expansion": 2, "kernel": 5, **LITEPOSE}),
    ("BottomUpMobileNet", {"num_keypoints": 3, "width": 0.25}),
]


@pytest.fixture(params=SMALL, ids=lambda described: described[0])
def model(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return build_network(*request.param)


def images(count: int, height: int = 64, width: int = 96) -> Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))


def outputs(model: nn.Module, pictures: Tensor) -> list[Tensor]:
    given = model(pictures)
    return [given] if isinstance(given, Tensor) else list(given)


@pytest.mark.parametrize("name", INPUT_SIZES_HW)
def test_what_describes_a_network_in_json_builds_it(name: str) -> None:
    network, arguments = describe_network(name, 5)
    kind = NETWORKS[network]
    assert arguments.get("num_keypoints") == (None if kind == "detector" else 5)
    height, width = INPUT_SIZES_HW[name]
    with torch.device("meta"), torch.inference_mode():
        model = build_network(network, json.loads(json.dumps(arguments))).eval()
        maps = outputs(model, torch.zeros(1, 3, height, width))
    stride = 8 if kind == "detector" else 4
    assert maps[0].shape[2:] == (height // stride, width // stride)


def test_everything_receives_a_gradient(model: nn.Module) -> None:
    seen = model.look(images(2, 64, 64)) if isinstance(model, BottomUpMobileNet) else outputs(model, images(2, 64, 64))
    torch.stack([maps.square().mean() for maps in seen]).sum().backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]


def test_a_batch_gives_what_each_image_gives_alone(model: nn.Module) -> None:
    trained, pictures = like_trained(model), images(2)
    # tags are roots of sums of squares
    tolerance = 1e-4 if isinstance(model, BottomUpMobileNet) else 1e-5
    with torch.inference_mode():
        parts = [outputs(trained, part) for part in (pictures, pictures[:1], pictures[1:])]
        for together, *alone in zip(*parts, strict=True):
            torch.testing.assert_close(together, torch.cat(alone), rtol=tolerance, atol=tolerance)
            assert not torch.equal(*alone)


def test_the_arranged_network_computes_the_same_with_tags_apart(model: nn.Module) -> None:
    trained, pictures = like_trained(model), images(2)
    with torch.inference_mode():
        expected, given = outputs(trained, pictures), outputs(arrange_for_export(trained), pictures)
    if NETWORKS[type(model).__name__] == "bottom-up":
        expected = [part for maps in expected for part in (maps[:, :3], maps[:, 3:])]
    for maps, wanted in zip(given, expected, strict=True):
        torch.testing.assert_close(maps, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))


def test_arranging_does_not_change_the_original(model: nn.Module) -> None:
    before = {name: value.clone() for name, value in model.train().state_dict().items()}
    arranged = arrange_for_export(model)
    assert model.training
    assert not any(module.training for module in arranged.modules())
    if not isinstance(model, PoseResNet):
        assert not any(isinstance(module, nn.BatchNorm2d) for module in arranged.modules())
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())
