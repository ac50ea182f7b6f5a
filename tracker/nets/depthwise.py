"""Depthwise convolutions with large kernels whose backward pass is fast on the CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight

# oneDNN is fast at the weights' gradient up to this width of the kernel; beyond, it takes 10 to 30 times as long.
_FAST_WIDTH = 3


class DepthwiseConv(nn.Conv2d):
    """A depthwise convolution without bias, padded by half its odd kernel: (B, C, H, W) → (B, C, ⌈H / s⌉, ⌈W / s⌉).

    Training on a CPU takes a way back of its own, to torch's gradients: at 7×7 in bfloat16 it takes a fifth to a ninth
    of the time. In state dicts and exports it is a plain `nn.Conv2d`.
    """

    def __init__(self, channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__(channels, channels, kernel, stride, padding=kernel // 2, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The convolved x."""
        if self.training and x.device.type == "cpu":
            return _OwnBackward.apply(x, self.weight.to(x.dtype), self.stride[0])  # type: ignore[no-untyped-call]
        return super().forward(x)


class StridedDepthwiseConv(nn.Conv2d):
    """A depthwise 3×3 convolution of stride 2 with bias, padded by 1: (B, C, H, W) → (B, C, ⌈H / 2⌉, ⌈W / 2⌉).

    In training every second pixel of stride 1 is taken: the backward pass of strided depthwise convolutions takes 2 to
    6 times as long on a CPU.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, 2, padding=1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """The convolved x."""
        if self.training and torch.is_grad_enabled() and self.weight.requires_grad:
            return F.conv2d(x, self.weight, self.bias, padding=1, groups=self.groups)[..., ::2, ::2]
        return super().forward(x)


def depthwise_conv(channels: int, stride: int = 1, kernel: int = 3) -> nn.Conv2d:
    """A depthwise convolution with bias, padded by half its odd kernel; of stride 2 with a kernel of 3 alone."""
    if stride == 2:
        return StridedDepthwiseConv(channels)
    return nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)


class _OwnBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        with torch.autocast("cpu", enabled=False):
            return F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        stride, reach = ctx.stride, weight.shape[-1] // 2
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        padded = F.pad(x, (reach, reach, reach, reach))
        of_x, of_weight = torch.zeros_like(padded), torch.empty_like(weight)
        # A convolution of stride s is a sum of s² plain ones: of every s-th pixel and every s-th weight.
        for row in range(stride):
            for column in range(stride):
                part = weight[..., row::stride, column::stride]
                rows, columns = (n + k - 1 for n, k in zip(gradient.shape[2:], part.shape[2:], strict=True))
                pixels = (
                    ...,
                    slice(row, row + stride * rows, stride),
                    slice(column, column + stride * columns, stride),
                )
                of_weight[..., row::stride, column::stride] = _weight_gradient(padded[pixels], gradient, part)
                of_x[pixels] = _input_gradient(gradient, part)
        return of_x[..., reach : reach + x.shape[2], reach : reach + x.shape[3]], of_weight, None


def _input_gradient(gradient: Tensor, weight: Tensor) -> Tensor:
    """Gradient of the input of an unpadded depthwise convolution with the weight (C, 1, h, w)."""
    reach = weight.shape[2] - 1, weight.shape[3] - 1
    return F.conv2d(gradient, weight.flip(2, 3), None, 1, reach, groups=len(weight))


def _weight_gradient(x: Tensor, gradient: Tensor, weight: Tensor) -> Tensor:
    """Gradient of the weight (C, 1, h, w) of an unpadded depthwise convolution of x, some columns at a time."""
    parts = []
    for start in range(0, weight.shape[3], _FAST_WIDTH):
        part = weight[..., start : start + _FAST_WIDTH]
        seen = x[..., start : start + gradient.shape[3] + part.shape[3] - 1]
        parts.append(conv2d_weight(seen, part.shape, gradient, groups=len(weight)))  # type: ignore[no-untyped-call]
    return torch.cat(parts, dim=3)
