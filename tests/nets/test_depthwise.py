"""Depthwise convolutions: torch's own outputs and gradients, on the faster way back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tracker.nets.depthwise import DepthwiseConv, StridedDepthwiseConv


@pytest.mark.parametrize(
    ("kernel", "stride", "size"),
    [
        pytest.param(7, 1, (12, 9), id="7×7"),
        pytest.param(7, 2, (12, 16), id="7×7 at stride 2"),
        pytest.param(5, 1, (6, 11), id="5×5"),
        pytest.param(5, 2, (7, 9), id="odd sizes at stride 2"),
        pytest.param(3, 2, (8, 8), id="3×3 at stride 2"),
        pytest.param(1, 1, (4, 5), id="1×1"),
        pytest.param(7, 1, (2, 3), id="smaller than the kernel"),
    ],
)
def test_gradients_are_those_of_torch(kernel: int, stride: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    conv = DepthwiseConv(4, kernel, stride).double()
    x = torch.randn(2, 4, *size, dtype=torch.float64)
    results = []
    for is_training in (True, False):
        conv.train(is_training).zero_grad()
        inputs = x.clone().requires_grad_()
        out = conv(inputs)
        (out * torch.arange(out.numel(), dtype=torch.float64).view_as(out).sin()).sum().backward()
        results.append((out, inputs.grad, conv.weight.grad))
    assert results[0][0].grad_fn is not None
    assert "OwnBackward" in results[0][0].grad_fn.name()
    assert "OwnBackward" not in results[1][0].grad_fn.name()
    for own, native in zip(*results, strict=True):
        torch.testing.assert_close(own, native, rtol=0, atol=1e-9)


def test_autocast_trains_in_half_precision() -> None:
    torch.manual_seed(0)
    conv = DepthwiseConv(4, 7).train()
    x = torch.randn(1, 4, 8, 8)
    conv(x).sum().backward()
    exact, conv.weight.grad = conv.weight.grad, None
    with torch.autocast("cpu", torch.bfloat16):
        out = conv(x.bfloat16())
    out.float().sum().backward()
    assert out.dtype == torch.bfloat16
    assert exact is not None
    torch.testing.assert_close(conv.weight.grad, exact, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("size", [(8, 12), (7, 9), (1, 2)], ids=["even", "odd", "smallest"])
def test_every_second_pixel_of_stride_1_is_stride_2(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    conv = StridedDepthwiseConv(4).double()
    native = nn.Conv2d(4, 4, 3, 2, padding=1, groups=4).double()
    native.load_state_dict(conv.state_dict())
    x = torch.randn(2, 4, *size, dtype=torch.float64)
    results = []
    for layer in (conv.train(), native):
        inputs = x.clone().requires_grad_()
        out = layer(inputs)
        (out * torch.arange(out.numel(), dtype=torch.float64).view_as(out).sin()).sum().backward()
        results.append((out, inputs.grad, layer.weight.grad, layer.bias.grad))
    assert results[0][0].grad_fn.name() != results[1][0].grad_fn.name()
    for own, expected in zip(*results, strict=True):
        torch.testing.assert_close(own, expected, rtol=0, atol=1e-12)
    with torch.no_grad():
        assert torch.equal(conv(x), native(x))
    # frozen, there are no weights to learn, and the plain one is faster
    assert conv.requires_grad_(False)(x.requires_grad_()).grad_fn.name() == results[1][0].grad_fn.name()
