"""Networks arranged for export compute what they computed before."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.trained import like_trained
from tracker.nets.bottom_up_mobilenet import BottomUpMobileNet
from tracker.nets.deployment import arrange_for_export
from tracker.nets.litepose import LitePose, LitePoseConfig
from tracker.nets.pose_lite_hrnet import PoseLiteHRNet
from tracker.nets.pose_resnet import PoseResNet
from tracker.nets.rtmdet import RTMDetNano

LITEPOSE = LitePose(3, LitePoseConfig(8, (8, 8, 16), (16, 8), num_blocks=(2, 1, 2), expansion=2, kernel=5))


def outputs(model, images):
    with torch.inference_mode():
        given = model(images)
    return [given] if isinstance(given, torch.Tensor) else list(given)


@pytest.mark.parametrize(
    ("network", "size_hw"),
    [
        pytest.param(PoseLiteHRNet(19, 2), (64, 96), id="pose"),
        pytest.param(PoseResNet(18, 3), (32, 32), id="ResNet"),
        pytest.param(RTMDetNano(), (96, 64), id="detector"),
    ],
)
def test_the_function_stays_the_same(network, size_hw):
    model = like_trained(network)
    images = torch.randn(2, 3, *size_hw, generator=torch.Generator().manual_seed(1))
    for given, expected in zip(outputs(arrange_for_export(model), images), outputs(model, images), strict=True):
        assert given.shape == expected.shape
        torch.testing.assert_close(given, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_litepose_gives_heatmaps_and_tags_apart():
    model = like_trained(LITEPOSE)
    images = torch.randn(2, 3, 32, 64, generator=torch.Generator().manual_seed(1))
    coarse, fine = outputs(model, images)
    given = outputs(arrange_for_export(model), images)
    for maps, expected in zip(given, (coarse[:, :3], coarse[:, 3:], fine), strict=True):
        torch.testing.assert_close(maps, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_a_bottom_up_mobilenet_gives_heatmaps_and_tags_apart():
    model = like_trained(BottomUpMobileNet(3, 0.25))
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    (maps,) = outputs(model, images)
    given = outputs(arrange_for_export(model), images)
    for part, expected in zip(given, (maps[:, :3], maps[:, 3:]), strict=True):
        torch.testing.assert_close(part, expected, rtol=0, atol=1e-5 * float(maps.abs().max()))


@pytest.mark.parametrize(
    "network",
    [PoseLiteHRNet(2, 1), RTMDetNano(), LITEPOSE, BottomUpMobileNet(2, 0.25)],
    ids=["pose", "detector", "LitePose", "bottom-up"],
)
def test_the_original_is_not_changed(network):
    before = {name: value.clone() for name, value in network.train().state_dict().items()}
    arranged = arrange_for_export(network)
    assert network.training
    assert not any(module.training for module in arranged.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in arranged.modules())
    after = network.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())
