"""MobileNetV2 trunk (Sandler et al., CVPR 2018) of any width, with batch norm folded."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Stage(NamedTuple):
    """A row of table 2 of the paper: blocks that share a width; the first one has the stride."""

    expansion: int
    channels: int
    num_blocks: int
    stride: int


STAGES = (
    Stage(1, 16, 1, 1),
    Stage(6, 24, 2, 2),
    Stage(6, 32, 3, 2),
    Stage(6, 64, 4, 2),
    Stage(6, 96, 3, 1),
    Stage(6, 160, 3, 2),
    Stage(6, 320, 1, 1),
)
# The stages with features at strides 4, 8, 16 and 32; the last one is the 1×1 layer that follows those of the paper.
_TAPS = (1, 2, 3, 7)
_STEM, _LAST = 32, 1280
# Channels are multiples of this.
_DIVISOR = 8


class SameConv(nn.Conv2d):
    """A convolution with bias and TensorFlow's padding: at stride 2 the odd pixel is at the bottom and right.

    (B, C_in, H, W) → (B, C, H / stride, W / stride), H and W multiples of the stride.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            in_channels, out_channels, kernel, stride, padding=kernel // 2 if stride == 1 else 0, groups=groups
        )

    def forward(self, x: Tensor) -> Tensor:
        """The convolved x."""
        if self.stride[0] == 1:
            return super().forward(x)
        if self.groups > 1 and torch.is_grad_enabled() and self.weight.requires_grad:
            # The backward pass of strided depthwise convolutions is slow on the CPU: 2 to 6 times as long as
            # that of all pixels, of which every second one is taken.
            return F.conv2d(x, self.weight, self.bias, padding=1, groups=self.groups)[..., 1::2, 1::2]
        return super().forward(F.pad(x, (0, 1, 0, 1)))


class InvertedResidual(nn.Module):
    """1×1 up, 3×3 depthwise, 1×1 down without activation; the shortcut where shapes allow it."""

    def __init__(self, in_channels: int, out_channels: int, expansion: int, stride: int) -> None:
        super().__init__()
        width = in_channels * expansion
        self.expand = nn.Identity() if expansion == 1 else _activated(SameConv(in_channels, width, 1))
        self.depthwise = _activated(SameConv(width, width, 3, stride, groups=width))
        self.project = SameConv(width, out_channels, 1)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """The block's features of x."""
        out = self.project(self.depthwise(self.expand(x)))
        return x + out if self.has_shortcut else out


class MobileNetV2(nn.Module):
    """Images (B, 3, H, W) to features at strides 4, 8, 16 and 32, H and W multiples of 32.

    width: factor on the channels of all stages but the 1×1 layer of 1280 that comes last. Pixels are in −1…1.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        stem = scaled_channels(_STEM, width)
        self.stem = _activated(SameConv(3, stem, 3, stride=2))
        widths = [scaled_channels(stage.channels, width) for stage in STAGES]
        stages = [_stage(*args) for args in zip((stem, *widths), STAGES, widths, strict=False)]
        self.stages = nn.ModuleList([*stages, _activated(SameConv(widths[-1], _LAST, 1))])
        self.out_channels = tuple((*widths, _LAST)[tap] for tap in _TAPS)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Features of images, from stride 4 to stride 32."""
        features = []
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return tuple(features[tap] for tap in _TAPS)


def scaled_channels(channels: int, width: float) -> int:
    """Channels at a width: the nearest multiple of 8 that is at least nine tenths of their product.

    >>> [scaled_channels(24, width) for width in (0.25, 1.0, 1.5)]
    [8, 24, 40]
    """
    wanted = channels * width
    nearest = max(_DIVISOR, int(wanted + _DIVISOR / 2) // _DIVISOR * _DIVISOR)
    return nearest if nearest >= 0.9 * wanted else nearest + _DIVISOR


def _activated(conv: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(conv, nn.ReLU6(inplace=True))


def _stage(in_channels: int, stage: Stage, channels: int) -> nn.Sequential:
    first = InvertedResidual(in_channels, channels, stage.expansion, stage.stride)
    others = (InvertedResidual(channels, channels, stage.expansion, 1) for _ in range(stage.num_blocks - 1))
    return nn.Sequential(first, *others)
