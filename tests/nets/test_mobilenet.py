"""The MobileNetV2 trunk."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tracker.nets.mobilenet import InvertedResidual, MobileNetV2, SameConv


def test_as_many_weights_as_torchvision_has() -> None:
    with torch.device("meta"):
        trunk = MobileNetV2(1.0)
    # its features, without scale and shift of batch norm
    assert sum(p.numel() for p in trunk.parameters() if p.ndim > 1) == 2_223_872 - 2_560 - 31_552
    assert len([m for m in trunk.modules() if isinstance(m, nn.Conv2d)]) == 52


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        pytest.param(1.0, (24, 32, 64, 1280), id="as published"),
        pytest.param(1.5, (40, 48, 96, 1280), id="MoveNet MultiPose"),
        pytest.param(0.25, (8, 8, 16, 1280), id="the least is 8"),
    ],
)
def test_widths_and_the_last_layer(width: float, expected: tuple[int, ...]) -> None:
    with torch.device("meta"):
        trunk = MobileNetV2(width)
        features = trunk(torch.empty(1, 3, 64, 96))
    assert trunk.out_channels == tuple(f.shape[1] for f in features) == expected
    assert [64 // f.shape[2] for f in features] == [4, 8, 16, 32]


@pytest.mark.parametrize(
    ("kernel", "stride", "groups"),
    [
        pytest.param(1, 1, 1, id="1x1"),
        pytest.param(3, 1, 8, id="depthwise"),
        pytest.param(3, 2, 1, id="stem"),
        pytest.param(3, 2, 8, id="strided depthwise"),
    ],
)
def test_training_convolves_as_inference_does(kernel: int, stride: int, groups: int) -> None:
    torch.manual_seed(0)
    conv, x = SameConv(8, 8, kernel, stride, groups).double(), torch.randn(2, 8, 12, 10, dtype=torch.float64)
    with torch.inference_mode():
        expected = conv(x)
    found = conv(x)
    assert found.requires_grad
    torch.testing.assert_close(found.detach(), expected.clone(), rtol=0, atol=1e-14)
    with torch.no_grad():
        torch.testing.assert_close(conv(x), expected.clone(), rtol=0, atol=0)
    assert expected.shape == (2, 8, 12 // stride, 10 // stride)


def test_gradients_of_both_ways_are_equal() -> None:
    torch.manual_seed(0)
    conv, x = SameConv(4, 4, 3, 2, groups=4).double(), torch.randn(1, 4, 8, 6, dtype=torch.float64, requires_grad=True)
    conv(x).square().sum().backward()
    assert x.grad is not None
    assert conv.weight.grad is not None
    found = x.grad.clone(), conv.weight.grad.clone()
    x.grad = conv.weight.grad = None
    F.conv2d(F.pad(x, (0, 1, 0, 1)), conv.weight, conv.bias, 2, groups=4).square().sum().backward()
    torch.testing.assert_close(found, (x.grad, conv.weight.grad))


def test_the_odd_pixel_of_the_padding_is_at_the_bottom_and_right() -> None:
    conv = SameConv(1, 1, 3, 2)
    nn.init.ones_(conv.weight)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    with torch.no_grad():
        # sums of columns 0–2 and 2–3 by rows 0–2 and 2–3: TensorFlow pads nothing on the left
        assert conv(torch.ones(1, 1, 4, 4))[0, 0].tolist() == [[9, 6], [6, 4]]


def test_shortcuts_join_equal_shapes_alone() -> None:
    assert InvertedResidual(8, 8, 6, 1).has_shortcut
    assert not InvertedResidual(8, 8, 6, 2).has_shortcut
    assert not InvertedResidual(8, 16, 6, 1).has_shortcut
    block = InvertedResidual(8, 8, 1, 1)
    for parameter in block.project.parameters():
        nn.init.zeros_(parameter)
    x = torch.rand(1, 8, 4, 4)
    assert torch.equal(block(x), x)
