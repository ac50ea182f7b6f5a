"""The MobileNetV2 trunk."""

from __future__ import annotations

import pytest
import torch

from tracker.nets.mobilenet import MobileNetV2, SameConv


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
